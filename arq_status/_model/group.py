"""``GroupRecord``: the combined progress of the jobs of a group."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from arq_status._model.builder import milliseconds, utc_datetime
from arq_status._model.status import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRecord:
    """A snapshot of a group. Times are aware UTC datetimes; what is unknown is ``None``.

        record = await arq_status.group_status("import-7")
        if record is not None:
            print(f"{record.done} of {record.total}, {record.counts[Status.FAILED]} failed")

    Attributes:
        group_id: the id of the group.
        title: its title.
        status: ``queued`` before the first job begins; ``working`` until the group is closed and
            all have ended; then ``complete`` if all are, else ``failed`` if one failed or was
            interrupted, else ``stopped``.
        total: how many jobs it has.
        counts: how many of them have each status, 0 included.
        done: how many of them have ended.
        pct_complete: the progress of all together, 0 to 100, rounded down; a running job counts by
            its own progress. 100 only when all have ended and the group is closed.
        started_at: when the first job began.
        updated_at: when something in it last changed.
        ended_at: when the last job ended; ``None`` until all have and the group is closed.
        elapsed: how long it has been running or ran.
        eta: how much longer it will run at its pace so far; ``None`` if that is unknown.
        closed: True if no more jobs will be enqueued in it, unless it is opened again.
        expires_at: when it expires; ``None`` while one of its jobs is live.
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
    #: every status, also that of jobs that have ended
    counts: Mapping[Status, int]
    #: of which so many have ended
    done: int
    #: what the running ones have done together, each 0 to 1
    progress: float
    started: int | None
    updated: int | None
    ended: int | None
    expires_at: int | None


def build_group(facts: GroupFacts) -> GroupRecord:
    """Build the record of a group from the facts about it."""
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
    """Return whether two records differ in more than the time that has passed."""
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


#: Statuses that a job has only when it or its group has begun.
_BEGUN = (Status.WORKING, Status.RETRYING, Status.COMPLETE, Status.FAILED, Status.INTERRUPTED)


def _remaining(elapsed: int | None, share: float) -> int | None:
    return None if not elapsed or not 0 < share < 1 else int(elapsed * (1 - share) / share)
