"""Control of jobs from outside: stop, cancel, retry, delete, and store and tag."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from arq_status._model.facts import Facts
from arq_status._model.record import State
from arq_status._model.status import Status
from arq_status._model.transitions import (
    cancelled_record,
    requeued_record,
    tombstone,
    waiting_record,
)
from arq_status._model.truth import decide
from arq_status._redis.control import Call
from arq_status._redis.store import Store

#: Attempts to act on a job that keeps changing.
_MOST_ATTEMPTS = 20
#: Seconds between attempts for jobs that have just begun: their records follow soon.
_DELAY = 0.05
#: Jobs that are read, or acted on, in one round trip.
_AT_ONCE = 100

_CAN_RUN_AGAIN = (Status.FAILED, Status.STOPPED, Status.INTERRUPTED)

#: Decides how to act on a job: returns the script to run, which replies with False if the job has
#: changed in the meantime; ``False`` if its state forbids the action; ``None`` to try again later.
Plan = Callable[[Store, Facts], Call | bool | None]


def stop(store: Store, facts: Facts) -> Call | bool | None:
    """Ask a running job to stop, or cancel a waiting one."""
    if decide(facts) is not Status.WORKING:
        return _cancel(store, facts)
    stored = facts.current_record
    if stored is None or stored.state is not State.WORKING:
        # it has no record yet, or is not tracked
        return None
    return store.stop(facts.job_id, stored.enqueued_ms, force=False)


def force_stop(store: Store, facts: Facts) -> Call | bool | None:
    """Do the same as ``stop``, and also cancel a running job at its next ``await``."""
    planned = stop(store, facts)
    stored = facts.current_record
    if decide(facts) is Status.WORKING and planned is not None and stored is not None:
        return store.stop(facts.job_id, stored.enqueued_ms, force=True)
    return planned


def cancel(store: Store, facts: Facts) -> Call | bool:
    """Remove a job that is not running from its queue for good."""
    return False if decide(facts) is Status.WORKING else _cancel(store, facts)


def retry(store: Store, facts: Facts) -> Call | bool:
    """Have arq run an ended job again."""
    stored = facts.current_record
    if facts.live or stored is None or decide(facts) not in _CAN_RUN_AGAIN:
        return False
    return store.retry(facts, requeued_record(facts, stored))


def delete(store: Store, facts: Facts) -> Call:
    """Delete the tracking data of a job."""
    return store.delete(facts.job_id, tombstone(facts))


async def act(
    store: Store,
    plan: Plan,
    job_ids: Sequence[str],
    matches: Callable[[Facts], bool] | None = None,
) -> int:
    """Act on each job as planned. Returns the number of jobs for which it succeeded.

    Args:
        store: where the jobs are.
        plan: decides how to act on a job.
        job_ids: the ids of the jobs.
        matches: returns True for the facts of jobs to act on; by default all are acted on.
    """
    done, pending = 0, list(job_ids)
    #: the stored records of jobs whose script found that they had changed
    changed: dict[str, bytes] = {}
    for attempt in range(_MOST_ATTEMPTS):
        if attempt:
            await asyncio.sleep(0 if attempt == 1 and changed else _DELAY)
        remaining: list[str] = []
        for start in range(0, len(pending), _AT_ONCE):
            chunk = pending[start : start + _AT_ONCE]
            found = [
                facts
                for facts, _ in await store.facts(chunk, short=len(job_ids) > 1)
                if decide(facts) is not None and (matches is None or matches(facts))
            ]
            number, again = await _act_once(store, plan, found, changed)
            done += number
            remaining += again
        pending = remaining
        if not pending:
            break
    return done


async def _act_once(
    store: Store, plan: Plan, found: Sequence[Facts], changed: dict[str, bytes]
) -> tuple[int, list[str]]:
    """Act on each of a few jobs. Returns for how many it succeeded, and which to try again."""
    planned: list[tuple[Facts, Call]] = []
    remaining: list[str] = []
    for facts in found:
        step = plan(store, facts)
        if isinstance(step, Call):
            # if a retry failed although nothing had changed, the payload was not kept
            if plan is not retry or changed.get(facts.job_id) != facts.stored_text:
                planned.append((facts, step))
        elif step is None:
            remaining.append(facts.job_id)
    done = 0
    replies = await store.run([call for _, call in planned])
    for (facts, _), reply in zip(planned, replies, strict=True):
        if reply:
            done += 1
        else:
            remaining.append(facts.job_id)
            changed[facts.job_id] = facts.stored_text
    return done, remaining


async def store_fields(store: Store, job_id: str, fields: Mapping[str, str]) -> bool:
    """Add encoded fields to the job's data. Returns True if the job is known."""
    return await store.store(job_id, waiting_record(await _read(store, job_id)), fields)


async def tag(store: Store, job_id: str, tags: tuple[str, ...]) -> bool:
    """Add tags to the job. Returns True if the job is known.

    Raises:
        ValueError: the job would have too many tags.
    """
    return await store.tag(job_id, waiting_record(await _read(store, job_id), tags))


async def _read(store: Store, job_id: str) -> Facts:
    [(facts, _)] = await store.facts([job_id])
    return facts


def _cancel(store: Store, facts: Facts) -> Call | bool:
    if not facts.live:
        return False
    # arq would mistake a dead worker's in-progress key for that of the next job with this id
    drop_key = decide(facts) is Status.INTERRUPTED
    return store.cancel(facts, cancelled_record(facts), drop_key=drop_key)
