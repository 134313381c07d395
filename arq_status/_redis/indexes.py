"""The list of all jobs, read from the indexes in one call or, if there are many, in several."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

from arq_status._model.facts import DeadWorker
from arq_status._model.status import Status
from arq_status._redis import scripts
from arq_status._redis.replies import dead_workers, score_ms, text
from arq_status._redis.scripts import Argument

#: Maximum sets of jobs to merge in one call, so that it blocks Redis for only a few ms: if the call
#: covers all indexes, and if it is one of several.
_MOST_IN_ALL, _MOST_IN_PART = 200, 60
#: How many places to request the ranks of at once, and how many jobs may be read and skipped.
_PROBES, _SLACK = 3, 50


@dataclass(frozen=True, slots=True)
class ListReply:
    """The reply of ``list.lua``: the counts of all statuses, and the ids of a part of the list."""

    now: int
    counts: dict[Status, int]
    #: number of jobs with the requested statuses
    total: int
    #: the jobs in the requested part of the list
    job_ids: list[str]
    #: some of the jobs that dead workers left behind and that arq no longer has
    orphans: list[str]
    dead: list[DeadWorker]
    #: the keys of the indexes of jobs that have not ended
    live_indexes: list[str]
    #: announced queues that are left out because the Redis user may not read them
    refused: list[str]

    @classmethod
    def decode(cls, replies: Sequence[list[Any]]) -> Self:
        """Decode the replies of one or several calls of ``list.lua``."""
        counts = dict.fromkeys(Status, 0)
        for _, numbers, *_ in replies:
            for status, jobs in zip(numbers[::2], numbers[1::2], strict=True):
                counts[Status(text(status))] += jobs
        return cls(
            now=replies[0][0],
            counts=counts,
            total=sum(sum(sizes) for _, _, sizes, *_ in replies),
            job_ids=[text(job_id) for job_id in replies[0][3]],
            orphans=[text(job_id) for reply in replies for job_id in reply[4]],
            dead=dead_workers(replies[0][5]),
            live_indexes=[text(index) for reply in replies for index in reply[6]],
            refused=[text(queue) for queue in replies[0][7]],
        )


class _Part(NamedTuple):
    """Consecutive holders of jobs (see ``list.lua``) that one call covers."""

    first: int
    last: int
    #: number of jobs in each of the two segments of the list, and their first and last places
    sizes: Sequence[int]
    places: Sequence[int]


class Indexes:
    """The indexes of the given queues, restricted to some statuses and one label."""

    def __init__(
        self, redis: Any, queues: Sequence[str], statuses: Collection[Status], label: str
    ) -> None:
        self._redis = redis
        self._statuses = " ".join(statuses)
        self._label = label
        self._queues = queues
        self._parts: list[_Part] = []

    async def read(self, offset: int, count: int, *, descending: bool) -> ListReply:
        """Return the counts and a part of the list; see ``Store.read_indexes``.

        Usually that takes one call. Otherwise each call covers a part of the indexes, and the parts
        are merged.
        """
        order = "descending" if descending else "ascending"
        reply = await self._call(order, offset, count, 1, 1, 0, _MOST_IN_ALL)
        if not reply[-2]:
            return ListReply.decode([reply])
        counted = await self._count()
        named = max(0, min(count, counted.total - offset))
        if not descending:
            offset = counted.total - offset - named
        newest = sum(part.sizes[0] for part in self._parts)
        job_ids = [
            *await self._slice(1, min(offset, newest), min(offset + named, newest)),
            *await self._slice(2, max(0, offset - newest), max(0, offset + named - newest)),
        ]
        return replace(counted, job_ids=job_ids if descending else job_ids[::-1])

    async def _count(self) -> ListReply:
        """Count all jobs, part by part."""
        replies, first, left = [], 1, 1
        while left:
            reply = await self._call("descending", 0, 0, 1, first, 0, _MOST_IN_PART)
            *_, sizes, _, _, _, _, _, last, left, places = reply
            replies.append(reply)
            self._parts.append(_Part(first, last, sizes, [int(place) for place in places]))
            first = last + 1
        return ListReply.decode(replies)

    async def _slice(self, segment: int, first: int, last: int) -> list[str]:
        """Return the jobs of a segment from one position to another."""
        if first >= last:
            return []
        begins, skipped = await self._positions(segment, first)
        found = await self._named(segment, begins, skipped + last - first)
        return [job_id for *_, job_id in sorted(found)][skipped : skipped + last - first]

    async def _positions(self, segment: int, first: int) -> tuple[list[int], int]:
        """Return where to start in each part, and how many jobs to skip after merging the parts."""
        above = [part.sizes[segment - 1] for part in self._parts]
        below = [0] * len(above)
        places = [
            place
            for part in self._parts
            if part.sizes[segment - 1]
            for place in part.places[2 * segment - 2 : 2 * segment]
        ]
        low, high = min(places), max(places) + 1
        while high - low > 1 and first - sum(below) > _SLACK:
            probes = sorted(
                {low + (high - low) * it // (_PROBES + 1) for it in range(1, _PROBES + 1)}
            )
            asked = " ".join(map(str, probes))
            ranks = await self._call_all("ranks", [asked] * len(below), 0, segment)
            for place, before in zip(probes, zip(*ranks, strict=True), strict=True):
                if sum(before) > first:
                    high, above = place, list(before)
                    break
                low, below = place, list(before)
        left = first - sum(below)
        if high - low > 1:
            return below, left
        # of jobs with the same place, those of earlier parts come first
        for number, jobs in enumerate(below):
            more = min(left, max(0, above[number] - jobs))
            below[number], left = jobs + more, left - more
        return below, left

    async def _named(
        self, segment: int, begins: Sequence[int], count: int
    ) -> list[tuple[int, int, int, str]]:
        """Return ``count`` jobs of each part: place, number of the part, rank in the part, id."""
        replies = await self._call_all("part", begins, count, segment)
        return [
            (int(place), number, rank, text(job_id))
            for number, reply in enumerate(replies)
            for rank, (job_id, place) in enumerate(zip(reply[::2], reply[1::2], strict=True))
        ]

    async def _call_all(
        self, what: str, offsets: Sequence[int | str], count: int, segment: int
    ) -> list[Any]:
        calls = [
            self._arguments(what, offset, count, segment, part.first, part.last, 0)
            for part, offset in zip(self._parts, offsets, strict=True)
        ]
        return await scripts.list_jobs.many(self._redis, calls)

    async def _call(self, *asked: Argument) -> list[Any]:
        reply: list[Any] = await scripts.list_jobs(self._redis, *self._arguments(*asked))
        return reply

    def _arguments(
        self,
        what: Argument,
        offset: Argument,
        count: Argument,
        segment: Argument,
        *holders: Argument,
    ) -> tuple[Argument, ...]:
        return (what, offset, count, segment, self._statuses, self._label, *holders, *self._queues)


class QueueCounts(NamedTuple):
    """The number of jobs per status in a queue at one moment."""

    name: str
    queued: int
    deferred: int
    retrying: int
    working: int
    #: when the job that has waited longest became due
    oldest_due: int | None
    workers: int

    @classmethod
    def decode(cls, row: list[Any]) -> Self:
        """Decode a row of the reply of ``queues.lua``."""
        name, queued, deferred, retrying, working, oldest, workers = row
        return cls(text(name), queued, deferred, retrying, working, score_ms(oldest), workers)
