"""``GroupRecord``: the combined progress of a group's jobs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from arq_status._model.builder import milliseconds, utc_datetime
from arq_status._model.status import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRecord:
    """A snapshot of a group. Times are aware UTC datetimes; unknown values are ``None``.

        record = await arq_status.group_status("import-7")
        if record is not None:
            print(f"{record.done} of {record.total}, {record.counts[Status.FAILED]} failed")

    Attributes:
        group_id: the id of the group.
        title: its title.
        status: ``queued`` until the first job starts; ``working`` until the group is closed and
            all jobs have ended; then ``complete`` if all are complete, ``failed`` if any failed or
            was interrupted, otherwise ``stopped``.
        total: the number of its jobs.
        counts: the number of jobs per status, including 0.
        done: the number of jobs that have ended.
        pct_complete: the overall progress, 0 to 100, rounded down; running jobs contribute their
            own progress. 100 only if all jobs have ended and the group is closed.
        started_at: when the first job started.
        updated_at: when any of its jobs last changed.
        ended_at: when the last job ended; ``None`` until all have ended and the group is closed.
        elapsed: how long it has been running or ran.
        eta: the estimated remaining time at its pace so far; ``None`` if unknown.
        closed: True if no more jobs will be enqueued in it, unless it is reopened.
        expires_at: when it expires; ``None`` while any of its jobs is live.
    """

    group_id: str
    title: str | None = None
    status: Status
    total: int = 0
    counts: Mapping[Status, int] = field(default_factory=lambda: dict.fromkeys(Status, 0))
    done: int = 0
    pct_complete: int = 0
    started_at: datetime | None = None
    updated_at: datetime | None = None
    ended_at: datetime | None = None
    elapsed: timedelta | None = None
    eta: timedelta | None = None
    closed: bool = False
    expires_at: datetime | None = None


class GroupFacts(NamedTuple):
    """Everything that was read about a group at one moment. Times are epoch milliseconds."""

    group_id: str
    now: int
    title: str | None
    closed: bool
    #: jobs per status, including jobs that have ended
    counts: Mapping[Status, int]
    #: how many of them have ended
    done: int
    #: sum of the progress of the running ones, each 0 to 1
    progress: float
    started: int | None
    updated: int | None
    ended: int | None
    expires_at: int | None


def build_group(facts: GroupFacts) -> GroupRecord:
    """Build the record of a group from its facts."""
    total = sum(facts.counts.values())
    ended = facts.closed and facts.done == total
    ended_at = (facts.ended or facts.updated) if ended else None
    elapsed = None
    if facts.started is not None:
        elapsed = max(0, (ended_at or facts.now) - facts.started)
    share = (facts.done + facts.progress) / total if total else 0.0
    return GroupRecord(
        group_id=facts.group_id,
        title=facts.title,
        status=_status(facts, ended=ended),
        total=total,
        counts=facts.counts,
        done=facts.done,
        pct_complete=100 if ended else min(99, int(round(share * 100, 9))),
        started_at=utc_datetime(facts.started),
        updated_at=utc_datetime(facts.updated),
        ended_at=utc_datetime(ended_at),
        elapsed=milliseconds(elapsed),
        eta=None if ended else milliseconds(_remaining(elapsed, share)),
        closed=facts.closed,
        expires_at=utc_datetime(facts.expires_at),
    )


def group_has_changed(old: GroupRecord | None, new: GroupRecord | None) -> bool:
    """Return True if two records differ in more than the time that has passed."""
    if old is None or new is None:
        return old is not new
    return replace(old, elapsed=None, eta=None) != replace(new, elapsed=None, eta=None)


def _status(facts: GroupFacts, *, ended: bool) -> Status:
    counts = facts.counts
    if not ended:
        began = facts.started is not None or any(counts[it] for it in _BEGUN)
        return Status.WORKING if began else Status.QUEUED
    if counts[Status.FAILED] or counts[Status.INTERRUPTED]:
        return Status.FAILED
    return Status.STOPPED if counts[Status.STOPPED] else Status.COMPLETE


#: If any job has one of these statuses, the group has started.
_BEGUN = (Status.WORKING, Status.RETRYING, Status.COMPLETE, Status.FAILED, Status.INTERRUPTED)


def _remaining(elapsed: int | None, share: float) -> int | None:
    return None if not elapsed or not 0 < share < 1 else int(elapsed * (1 - share) / share)
