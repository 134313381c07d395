"""One look at the indexes of all jobs."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from arq_status._model.facts import DeadWorker
from arq_status._model.status import Status
from arq_status._redis.replies import dead_workers, score, text


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the indexes: counts, and the part of the list that was asked for."""

    now: int
    counts: dict[Status, int]
    #: how many jobs there are of the statuses that were asked for
    total: int
    #: the jobs in the part of the list that was asked for
    job_ids: list[str]
    #: some of the jobs that dead workers left behind and that arq has no more
    orphans: list[str]
    dead: list[DeadWorker]
    #: the keys of the indexes of jobs that have not ended
    live_indexes: list[str]

    @classmethod
    def of(cls, reply: list[Any]) -> Self:
        """Read what ``list.lua`` answered."""
        now, numbers, total, job_ids, orphans, dead, live_indexes = reply
        found = dict(zip(map(text, numbers[::2]), numbers[1::2], strict=True))
        return cls(
            now=now,
            counts={status: found.get(status, 0) for status in Status},
            total=total,
            job_ids=[text(job_id) for job_id in job_ids],
            orphans=[text(job_id) for job_id in orphans],
            dead=dead_workers(dead),
            live_indexes=[text(index) for index in live_indexes],
        )


class QueueLook(NamedTuple):
    """What is in a queue at one moment."""

    name: str
    queued: int
    deferred: int
    retrying: int
    working: int
    #: when the job that is due longest and does not run became due
    oldest_due: int | None
    workers: int

    @classmethod
    def of(cls, row: list[Any]) -> Self:
        """Read a row of what ``queues.lua`` answered."""
        name, queued, deferred, retrying, working, oldest, workers = row
        return cls(text(name), queued, deferred, retrying, working, score(oldest), workers)
