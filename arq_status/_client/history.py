"""The tries and the log of a job."""

from collections.abc import Sequence
from dataclasses import replace

from arq_status._model.builder import (
    build_record,
    milliseconds,
    shown_worker,
    stopped_responding,
    utc_datetime,
)
from arq_status._model.facts import Facts
from arq_status._model.history import LAST_TRIES, KeptTry, LogLine, Try
from arq_status._model.record import State
from arq_status._model.snapshot import JobRecord
from arq_status._model.status import Status
from arq_status._redis.store import Store

_NO_TRY = (Status.DEFERRED, Status.QUEUED)


async def tries(store: Store, job_id: str) -> list[Try]:
    """Return the tries of a job, oldest first; an empty list if it is unknown."""
    [(facts, _)] = await store.facts([job_id])
    record = build_record(facts)
    return [] if record is None else build_tries(facts, record, await store.tries(job_id))


async def logs(store: Store, job_id: str, after: int = 0) -> list[LogLine]:
    """Return the lines of a job's log after this number, oldest first; none if it is unknown."""
    [(facts, _)] = await store.facts([job_id])
    return [] if build_record(facts) is None else await store.logs(job_id, after)


def build_tries(facts: Facts, record: JobRecord, kept: Sequence[KeptTry]) -> list[Try]:
    """Return the tries of a job: those that are kept, and the current or last one."""
    found = [_kept_try(it) for it in kept if it.record.state is not State.WAITING]
    last = _last_try(facts, record)
    if last is None:
        return found
    if found and (found[-1].run, found[-1].job_try) == (last.run, last.job_try):
        # the record has its end, and the kept try its traceback
        return [*found[:-1], replace(last, traceback=found[-1].traceback)]
    # the first try and the newest ones, of which this is the last
    return [*found[:1], *[*found[1:], last][-LAST_TRIES:]]


def _kept_try(kept: KeptTry) -> Try:
    record = kept.record
    # another try followed, so this one is over although its worker never ended it
    lost = record.state is State.WORKING
    worker = record.worker or ""
    ended = None if lost else record.ended or record.updated
    return Try(
        job_try=record.job_try,
        status=Status.INTERRUPTED if lost else Status(record.state),
        started_at=utc_datetime(record.started),
        ended_at=utc_datetime(ended),
        elapsed=milliseconds(
            None if ended is None or record.started is None else ended - record.started
        ),
        error=stopped_responding(worker) if lost else record.error,
        traceback=kept.traceback,
        worker=shown_worker(record.worker),
        run=kept.generation,
    )


def _last_try(facts: Facts, record: JobRecord) -> Try | None:
    """Return the current or last try, from the record itself, if one has begun."""
    if record.job_try is None or record.status in _NO_TRY:
        return None
    stored = facts.current_record
    runs = record.status is Status.WORKING
    return Try(
        job_try=record.job_try,
        status=record.status,
        started_at=record.started_at,
        ended_at=None if runs else record.ended_at or record.updated_at,
        elapsed=record.elapsed,
        error=record.error,
        worker=record.worker,
        run=1 if stored is None else stored.generation,
    )
