"""Control of a job from outside: stop, cancel, retry, store, delete."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from arq_status._model.facts import Facts
from arq_status._model.record import State
from arq_status._model.status import Status
from arq_status._model.transitions import cancelled, tombstone, waiting, waiting_again
from arq_status._model.truth import decide
from arq_status._redis.store import Store

#: Attempts at a job that changes while it is acted on.
_MOST_ATTEMPTS = 20
#: Seconds between attempts at a job that has just begun: its record follows soon.
_DELAY = 0.05

_CAN_RUN_AGAIN = (Status.FAILED, Status.STOPPED, Status.INTERRUPTED)


async def stop(store: Store, job_id: str, *, force: bool) -> bool:
    """Ask a running job to stop, or cancel one that waits. Returns whether there was one."""

    async def attempt(facts: Facts) -> bool | None:
        if decide(facts) is not Status.WORKING:
            return await _cancel(store, facts)
        stored = facts.current_record
        if stored is None or stored.state is not State.WORKING:
            # its record is on the way, unless it is not tracked
            await asyncio.sleep(_DELAY)
            return None
        return await store.stop(job_id, stored.enqueued_ms, force=force) or None

    return await _repeat(store, job_id, attempt)


async def cancel(store: Store, job_id: str) -> bool:
    """Remove a job that is not running from its queue for good. Returns whether it did."""

    async def attempt(facts: Facts) -> bool | None:
        return False if decide(facts) is Status.WORKING else await _cancel(store, facts)

    return await _repeat(store, job_id, attempt)


async def retry(store: Store, job_id: str) -> bool:
    """Have arq run an ended job again. Returns whether it will."""

    async def attempt(facts: Facts) -> bool | None:
        stored = facts.current_record
        if facts.live or stored is None or decide(facts) not in _CAN_RUN_AGAIN:
            return False
        if await store.retry(facts, waiting_again(facts, stored)):
            return True
        # the record has changed meanwhile, or else the payload was not kept
        return None if (await _read(store, job_id)).stored_text != facts.stored_text else False

    return await _repeat(store, job_id, attempt)


async def store_fields(store: Store, job_id: str, fields: Mapping[str, str]) -> bool:
    """Add encoded fields to the job's data. Returns whether the job is known."""
    return await store.store(job_id, waiting(await _read(store, job_id)), fields)


async def delete(store: Store, job_id: str) -> bool:
    """Delete the tracking data of the job. Returns whether it was known."""
    facts = await _read(store, job_id)
    if decide(facts) is None:
        return False
    await store.delete(job_id, tombstone(facts))
    return True


async def _repeat(
    store: Store, job_id: str, attempt: Callable[[Facts], Awaitable[bool | None]]
) -> bool:
    """Repeat an attempt until it succeeds or fails; ``None`` means that the job has changed."""
    for _ in range(_MOST_ATTEMPTS):
        facts = await _read(store, job_id)
        if decide(facts) is None:
            return False
        done = await attempt(facts)
        if done is not None:
            return done
    return False


async def _read(store: Store, job_id: str) -> Facts:
    [(facts, _)] = await store.facts([job_id])
    return facts


async def _cancel(store: Store, facts: Facts) -> bool | None:
    if not facts.live:
        return False
    # arq would take a dead worker's in-progress key for that of the next job with this id
    drop_key = decide(facts) is Status.INTERRUPTED
    return await store.cancel(facts, cancelled(facts), drop_key=drop_key) or None
