"""What is done to a job from outside: stop, cancel, retry, store, delete."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from arq_status._client.source import Source
from arq_status._model.facts import Facts
from arq_status._model.record import State
from arq_status._model.status import Status
from arq_status._model.transitions import cancelled, tombstone, waiting, waiting_again
from arq_status._model.truth import decide

#: Looks at a job that changes while it is being steered.
_LOOKS = 20
#: Seconds between looks at a job that begins: its record follows within a fraction of a second.
_PAUSE = 0.05

_AGAIN = (Status.FAILED, Status.STOPPED, Status.INTERRUPTED)


async def stop(source: Source, job_id: str, *, force: bool) -> bool:
    """Ask a running job to stop, cancel one that waits; whether there was one."""

    async def once(facts: Facts) -> bool | None:
        if decide(facts) is not Status.WORKING:
            return await _cancel(source, facts)
        stored = facts.current_record
        if stored is None or stored.state is not State.WORKING:
            # its record is on its way, unless it is not tracked
            await asyncio.sleep(_PAUSE)
            return None
        return await source.stop(job_id, stored.enqueued_ms, force=force) or None

    return await _until_decided(source, job_id, once)


async def cancel(source: Source, job_id: str) -> bool:
    """Take a job that is not running out of its queue for good; whether that was done."""

    async def once(facts: Facts) -> bool | None:
        return False if decide(facts) is Status.WORKING else await _cancel(source, facts)

    return await _until_decided(source, job_id, once)


async def retry(source: Source, job_id: str) -> bool:
    """Have arq run an ended job again; whether that was done."""

    async def once(facts: Facts) -> bool | None:
        stored = facts.current_record
        if facts.live or stored is None or decide(facts) not in _AGAIN:
            return False
        if await source.retry(facts, waiting_again(stored)):
            return True
        # another was faster, its payload is gone, or somebody stored something just now
        return None if (await _look(source, job_id)).stored_text != facts.stored_text else False

    return await _until_decided(source, job_id, once)


async def store(source: Source, job_id: str, fields: Mapping[str, str]) -> bool:
    """Add fields, encoded, to the job's data; whether it is known."""
    return await source.store(job_id, waiting(await _look(source, job_id)), fields)


async def delete(source: Source, job_id: str) -> bool:
    """Forget what was tracked of the job; whether it was known."""
    facts = await _look(source, job_id)
    if decide(facts) is None:
        return False
    await source.delete(job_id, tombstone(facts))
    return True


async def _until_decided(
    source: Source, job_id: str, attempt: Callable[[Facts], Awaitable[bool | None]]
) -> bool:
    """Try until it is clear, for what was seen of the job may have changed since."""
    for _ in range(_LOOKS):
        facts = await _look(source, job_id)
        if decide(facts) is None:
            return False
        done = await attempt(facts)
        if done is not None:
            return done
    return False


async def _look(source: Source, job_id: str) -> Facts:
    [(facts, _)] = await source.facts([job_id])
    return facts


async def _cancel(source: Source, facts: Facts) -> bool | None:
    if not facts.live:
        return False
    # arq would leave a dead worker's in-progress key to whoever uses the id next
    drop_key = decide(facts) is Status.INTERRUPTED
    return await source.cancel(facts, cancelled(facts), drop_key=drop_key) or None
