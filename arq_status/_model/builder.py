"""Builds the `JobRecord` of a job from the facts about it."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, overload

from arq_status._model.facts import Facts, JobPayload, ResultPayload
from arq_status._model.record import State, StoredRecord
from arq_status._model.snapshot import JobRecord
from arq_status._model.status import ENDED, Status
from arq_status._model.text import clean
from arq_status._model.truth import decide


def build_record(facts: Facts, data: Mapping[str, Any] | None = None) -> JobRecord | None:
    """Return the snapshot of a job; ``None`` if it is unknown."""
    status = decide(facts)
    if status is None:
        return None
    if (stored := facts.current_record) is not None:
        return _from_record(facts, status, stored, data or {})
    if facts.live:
        return _from_queue(facts, status, facts.payload)
    assert facts.result is not None  # otherwise the job would be unknown
    return _from_result(facts, status, facts.result)


def _from_record(
    facts: Facts, status: Status, stored: StoredRecord, data: Mapping[str, Any]
) -> JobRecord:
    stored, payload = _with_later_try(stored, facts.result), facts.payload
    ended, updated = _last_times(facts, stored)
    started = stored.started
    seen = stored.state is not State.WAITING
    # otherwise the end is only inferred, and the expiry starts when it is recorded
    end_is_known = stored.ended is not None or facts.result is not None
    expires = stored.expires_after_ms if stored.ended else _expiry(facts, status)
    working = status is Status.WORKING
    until = facts.now if working else ended or stored.updated
    elapsed = None if started is None else max(0, until - started)
    return JobRecord(
        job_id=facts.job_id,
        status=status,
        function=stored.function or (payload.function if payload else None),
        queue=facts.queue or stored.queue,
        args=stored.args or (payload.args if payload and not seen else ""),
        job_try=(stored.job_try or None) if seen else None,
        at=stored.at,
        total=stored.total,
        message=stored.message,
        pct_complete=100 if status is Status.COMPLETE else percent(stored.at, stored.total),
        enqueued_at=utc_datetime(stored.enqueued_ms or _enqueued(payload)),
        due_at=utc_datetime(facts.due if _waits(status) else None),
        started_at=utc_datetime(started),
        updated_at=utc_datetime(updated),
        ended_at=utc_datetime(ended),
        elapsed=milliseconds(elapsed),
        waited=milliseconds(_waited(facts, status, stored)),
        eta=milliseconds(_remaining(facts, stored) if working else None),
        error=_error(facts, status, stored),
        returned=facts.returned,
        tags=stored.tags,
        group=stored.group,
        worker=shown_worker(stored.worker),
        data=data,
        expires_at=utc_datetime(ended + expires if ended and end_is_known else None),
    )


def _with_later_try(stored: StoredRecord, result: ResultPayload | None) -> StoredRecord:
    """Return the record, or that of a later try which so far only arq's result knows."""
    if result is None or stored.ended is not None or (result.job_try or 0) <= stored.job_try:
        return stored
    return replace(
        stored,
        state=State.WORKING,
        job_try=result.job_try or 0,
        started=result.started_ms,
        at=0,
        worker=None,
    )


def _last_times(facts: Facts, stored: StoredRecord) -> tuple[int | None, int]:
    """Return when the job ended, ``None`` if it is live, and when it last changed."""
    if facts.live:
        # lists sort waiting jobs by the time when they became due
        waits = stored.state is State.WAITING
        return None, (_due_since(facts) if waits else 0) or stored.updated
    ended = stored.ended or (facts.result and facts.result.finished_ms) or stored.updated
    return ended, max(stored.updated, ended)


def _from_queue(facts: Facts, status: Status, payload: JobPayload | None) -> JobRecord:
    enqueued = _enqueued(payload)
    return JobRecord(
        job_id=facts.job_id,
        status=status,
        function=payload.function if payload else None,
        queue=facts.queue,
        args=payload.args if payload else "",
        error=(
            stopped_responding(facts.lost_worker)
            if status is Status.INTERRUPTED and facts.lost_worker is not None
            else None
        ),
        enqueued_at=utc_datetime(enqueued),
        due_at=utc_datetime(facts.due if _waits(status) else None),
        waited=milliseconds(_waited(facts, status)),
        # possibly before it was enqueued: lists sort by its score in the queue
        updated_at=utc_datetime(_due_since(facts) or enqueued),
    )


def _from_result(facts: Facts, status: Status, result: ResultPayload) -> JobRecord:
    started, finished = result.started_ms, result.finished_ms
    ran = None
    if started is not None and finished is not None:
        ran = max(0, finished - started)
    complete = status is Status.COMPLETE
    return JobRecord(
        job_id=facts.job_id,
        status=status,
        function=result.function,
        queue=result.queue,
        args=result.args,
        job_try=result.job_try,
        pct_complete=100 if complete else 0,
        enqueued_at=utc_datetime(result.enqueued_ms or None),
        started_at=utc_datetime(started),
        updated_at=utc_datetime(finished),
        ended_at=utc_datetime(finished),
        elapsed=milliseconds(ran),
        error=None if complete else result.error,
        returned=facts.returned if complete else None,
        expires_at=utc_datetime(None if finished is None else finished + _expiry(facts, status)),
    )


def _expiry(facts: Facts, status: Status) -> int:
    return facts.options.expires if status is Status.COMPLETE else facts.options.expires_failed


def percent(at: float, total: float) -> int:
    """Return ``at`` as a percentage of ``total``, 0 to 100, rounded down; 0 without a total."""
    if not total:
        return 0
    # rounded first: 0.29 * 100 is a little less than 29
    return 100 if at >= total else min(99, int(round(at * 100 / total, 9)))


@lru_cache(maxsize=256)
def shown_worker(worker: str | None) -> str | None:
    """Return HOST:PID, without the random part of a worker's name."""
    return ":".join(worker.split(":")[:2]) if worker else None


def decode_data(raw: Mapping[bytes, bytes]) -> dict[str, Any]:
    """Decode stored fields, skipping damaged ones."""
    data = {}
    for name, value in raw.items():
        try:
            data[clean(name.decode())] = json.loads(value)
        except (ValueError, RecursionError):
            continue
    return data


#: The error if neither the record nor arq's result has one.
_DEFAULT_ERRORS = {
    Status.FAILED: "removed from its queue",
    Status.INTERRUPTED: "lost without a result",
}


def _error(facts: Facts, status: Status, stored: StoredRecord) -> str | None:
    if status not in (*ENDED, Status.RETRYING) or status is Status.COMPLETE:
        return None
    if status is Status.INTERRUPTED and (worker := _lost_with(facts, stored)) is not None:
        return stopped_responding(worker)
    if facts.result is not None and (stored.error is None or stored.ended is None):
        return facts.result.error
    return _DEFAULT_ERRORS.get(status) if stored.error is None else stored.error


def _lost_with(facts: Facts, stored: StoredRecord) -> str | None:
    """Return the worker whose death interrupted the job."""
    if facts.live and facts.lost_worker is not None:
        return facts.lost_worker
    return stored.worker if stored.state is State.WORKING and not facts.worker_alive else None


def stopped_responding(worker: str) -> str:
    return f"worker {shown_worker(worker)} stopped responding"


def _waits(status: Status) -> bool:
    return status in (Status.DEFERRED, Status.QUEUED, Status.RETRYING)


def _due_since(facts: Facts) -> int:
    """Return when a waiting job became due, 0 if it is not due yet."""
    return facts.due if facts.due is not None and facts.due <= facts.now else 0


def _waited(facts: Facts, status: Status, stored: StoredRecord | None = None) -> int | None:
    """Return how long the job has been due or, once it runs, how long it had been due, in ms."""
    if _waits(status) and facts.due is not None and facts.due <= facts.now:
        return facts.now - facts.due
    if stored is None or stored.started is None or stored.state is State.RETRYING:
        # between two tries the record's due time is that of the next one
        return None
    # a record omits the due time of a try if it equals the enqueue time
    due = stored.due or stored.enqueued_ms
    return max(0, stored.started - due) if due else None


def _enqueued(payload: JobPayload | None) -> int | None:
    return payload.enqueued_ms if payload else None


def _remaining(facts: Facts, stored: StoredRecord) -> int | None:
    """Return the remaining time in ms as estimated at the job's last report.

    ``None`` if there is no estimate.
    """
    if stored.remaining is None:
        return None
    return max(0, stored.remaining - max(0, facts.now - stored.updated))


@overload
def utc_datetime(ms: int) -> datetime: ...
@overload
def utc_datetime(ms: int | None) -> datetime | None: ...
def utc_datetime(ms: int | None) -> datetime | None:
    """Convert epoch milliseconds to an aware datetime."""
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)


def milliseconds(ms: int | None) -> timedelta | None:
    """Convert milliseconds to a timedelta."""
    return None if ms is None else timedelta(milliseconds=ms)
