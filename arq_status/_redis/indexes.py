"""What the indexes hold at one moment."""

from dataclasses import dataclass, field
from typing import Any, Self

from arq_status._model.facts import DeadWorker
from arq_status._redis.replies import dead_workers, integer, score, text


@dataclass(frozen=True, slots=True)
class UnindexedJob:
    """A job whose place in its queue does not tell its status."""

    job_id: str
    #: "running": in the index of a living worker; "lost": of a dead one; "pending": waits for a try
    kind: str
    live: bool
    queue: str | None
    due: int | None


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue and how many jobs are in it."""

    name: str
    jobs: int
    due: int


@dataclass(frozen=True, slots=True)
class EndedSet:
    """The ended jobs of one status and one expiry."""

    name: str
    jobs: int
    #: the ends of those that wait for another run
    again: list[int]

    @property
    def status(self) -> str:
        """The status of the jobs in it."""
        return self.name.partition(":")[0]

    @property
    def expires(self) -> int:
        """Their expiry in ms."""
        return integer(self.name.rpartition(":")[2].encode()) or 0


@dataclass(frozen=True, slots=True)
class IndexSnapshot:
    """What the indexes hold at one moment."""

    now: int
    queues: list[Queue]
    ended: list[EndedSet]
    specials: list[UnindexedJob]
    dead: list[DeadWorker]

    @classmethod
    def of(cls, now: int, reply: list[Any]) -> Self:
        """What ``census.lua`` answered."""
        queues, ended, specials, dead = reply
        return cls(
            now=now,
            queues=[Queue(text(name), jobs, due) for name, jobs, due in queues],
            ended=[
                EndedSet(text(name), jobs, [score(it) or 0 for it in again])
                for name, jobs, again, _ in ended
            ],
            specials=[
                UnindexedJob(
                    text(job_id),
                    text(kind),
                    bool(live),
                    text(queue) if queue else None,
                    score(due),
                )
                for job_id, kind, live, queue, due in specials
            ],
            dead=dead_workers(dead),
        )


@dataclass(frozen=True, slots=True)
class IndexRange:
    """A part of an index, by its scores, without the members that do not count there."""

    key: str
    min: str
    max: str
    skipped: list[int] = field(default_factory=list)
