"""Queries for functions, queues, workers and cron jobs."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from math import floor
from typing import TypedDict

from redis.exceptions import ResponseError

from arq_status._model.builder import build_record, shown_worker
from arq_status._model.facts import DEAD_AFTER_MS
from arq_status._model.insight import (
    ActivityPoint,
    CronRecord,
    FunctionStats,
    QueueRecord,
    WorkerRecord,
)
from arq_status._model.query import Moment, check_moment, resolve
from arq_status._model.snapshot import JobRecord
from arq_status._model.status import ENDED, Status
from arq_status._model.tally import COUNTED, Tally
from arq_status._redis.announcements import announced_as, queue_and_function
from arq_status._redis.store import Store
from arq_status._redis.tallies import Stretch, counted_functions, read_stretches
from arq_status._redis.workers import AnnouncedCron, LastJob, read_last_jobs, read_workers

#: Points of an ``activity`` at most.
MOST_POINTS = 10_000
_SHORTEST_STEP = timedelta(minutes=1)
_MINUTE_MS = 60_000


class InsightQueries(ABC):
    """The queries of ``StatusClient`` that are about more than jobs."""

    @abstractmethod
    async def _opened(self) -> Store:
        """Return the store of the running event loop."""

    async def functions(
        self, since: Moment = timedelta(hours=1), queue: str | None = None
    ) -> list[FunctionStats]:
        """Return how the jobs of each function ended lately, and how long they ran and waited.

            for it in await client.functions(since=timedelta(days=1)):
                print(it.function, it.complete, it.failed, it.run_p95)

        Covers the tracked functions that workers announced, sorted by queue and name, and as
        ``(other)`` the jobs of all others. Workers count in memory and send sums every 2 s; a
        worker that is killed takes those of the last 2 s with it. Percentiles are estimates within
        10 %.

        Args:
            since: from when on: a ``timedelta`` ago, or a ``datetime`` with a timezone. The minute
                in which that lies is covered whole and, beyond the last two to three hours, the
                hour. Counts are kept for 30 days.
            queue: only functions of the queue with this name.

        Raises:
            TypeError: ``since`` is neither a ``datetime`` nor a ``timedelta``.
            ValueError: the ``datetime`` has no timezone.
        """
        _, found = await self._counted(since, queue)
        return [stats_of(*it) for it in found]

    async def _counted(
        self, since: Moment, queue: str | None = None
    ) -> tuple[int, list[tuple[str, str, list[Stretch]]]]:
        """Return Redis' time in ms and, for each queue and function, what was counted since."""
        check_moment("since", since)
        store = await self._opened()
        now, names = await counted_names(store, queue)
        found = await read_stretches(store.redis, names, _ms_of(since, now), now)
        return now, [
            (*queue_and_function(name), stretches)
            for name, stretches in zip(names, found, strict=True)
        ]

    async def activity(
        self,
        since: Moment = timedelta(hours=24),
        step: timedelta = timedelta(minutes=5),
        function: str | None = None,
        queue: str | None = None,
    ) -> list[ActivityPoint]:
        """Return how jobs ended over time, in steps from the oldest to the present one.

            for point in await client.activity(timedelta(hours=1), timedelta(minutes=1)):
                print(point.time, point.complete, point.failed)

        Every step has a point, also one in which no job ended. Minutes are kept for three hours
        and hours for 30 days: shorter steps of an hour before that share its numbers evenly.

        Args:
            since: from when on: a ``timedelta`` ago, or a ``datetime`` with a timezone.
            step: how long a step is, at least a minute; steps begin at multiples of it in UTC.
            function: only jobs of the function with this name.
            queue: only jobs of the queue with this name.

        Raises:
            TypeError: ``since`` is neither a ``datetime`` nor a ``timedelta``, or ``step`` is no
                ``timedelta``.
            ValueError: ``step`` is shorter than a minute, there would be more than 10,000 steps, or
                the ``datetime`` has no timezone.
        """
        points, _ = await self._activity(since, step, function, queue)
        return points

    async def _activity(
        self,
        since: Moment,
        step: timedelta,
        function: str | None = None,
        queue: str | None = None,
    ) -> tuple[list[ActivityPoint], ActivityPoint]:
        """Return the points of ``activity``, and one for all of them together."""
        check_moment("since", since)
        step_ms = _step_ms(step)
        store = await self._opened()
        now, names = await counted_names(store, queue, function)
        first = _ms_of(since, now) // step_ms
        number = now // step_ms + 1 - first
        if number > MOST_POINTS:
            raise ValueError(f"{number:,} steps: choose a longer one, for {MOST_POINTS:,} at most")
        points = [Tally() for _ in range(number)]
        total = Tally()
        for stretches in await read_stretches(store.redis, names, first * step_ms, now):
            for it in stretches:
                _spread(it, points, first, step_ms)
                total.add(it.tally)
        _make_whole(points)
        found = [
            ActivityPoint(time=_datetime((first + number) * step_ms), **_figures(tally))
            for number, tally in enumerate(points)
        ]
        return found, ActivityPoint(time=_datetime(first * step_ms), **_figures(total))

    async def queues(self) -> list[QueueRecord]:
        """Return what is in each of the client's queues, and how long jobs wait there.

            for queue in await client.queues():
                print(queue.name, queue.queued, queue.latency, queue.workers)

        Those are arq's default queue and all that a tracked worker has announced, unless the client
        was given others.
        """
        now, found = await (await self._opened()).queues()
        return [
            QueueRecord(
                name=it.name,
                queued=it.queued,
                deferred=it.deferred,
                retrying=it.retrying,
                working=it.working,
                oldest_due_at=None if it.oldest_due is None else _datetime(it.oldest_due),
                latency=timedelta(milliseconds=now - (it.oldest_due or now)),
                workers=it.workers,
            )
            for it in found
        ]

    async def workers(self) -> list[WorkerRecord]:
        """Return the tracked workers, those heard from last first.

            for worker in await client.workers():
                print(worker.name, worker.alive, len(worker.running), worker.max_jobs)

        A worker that has shut down is left out, unless it left jobs behind. Workers of all queues
        are returned.
        """
        now, found = await read_workers((await self._opened()).redis)
        records = []
        for it in found:
            host, _, pid = (shown_worker(it.name) or "").rpartition(":")
            records.append(
                WorkerRecord(
                    name=it.name,
                    host=host,
                    pid=int(pid) if pid.isdecimal() else None,
                    queue=it.queue,
                    started_at=None if it.started_ms is None else _datetime(it.started_ms),
                    seen_at=_datetime(it.beat) if it.beat else None,
                    alive=now - it.beat < DEAD_AFTER_MS,
                    max_jobs=it.max_jobs,
                    functions=tuple(it.functions),
                    running=tuple(it.running),
                )
            )
        return records

    async def crons(self) -> list[CronRecord]:
        """Return the cron jobs that living workers announce, those that run next first.

            for cron in await client.crons():
                print(cron.name, cron.schedule, cron.next_run_at, cron.status)

        How the last job ended is known longer than its record is kept.
        """
        store = await self._opened()
        now, workers = await read_workers(store.redis)
        announced: dict[tuple[str, str], AnnouncedCron] = {}
        for worker in workers:
            if now - worker.beat < DEAD_AFTER_MS and worker.queue is not None:
                for it in worker.cron_jobs:
                    before = announced.setdefault((worker.queue, it.name), it)
                    if it.next_ms is not None and it.next_ms < (before.next_ms or it.next_ms + 1):
                        announced[worker.queue, it.name] = it
        last = await read_last_jobs(store.redis) if announced else {}
        found = [
            (queue, it, last.get(announced_as(queue, it.name)))
            for (queue, _), it in announced.items()
        ]
        known = await _records_of(store, [job.job_id for _, _, job in found if job is not None])
        records = [
            CronRecord(
                name=it.name,
                function=it.function,
                queue=queue,
                schedule=it.schedule,
                next_run_at=None if it.next_ms is None else _datetime(it.next_ms),
                **({} if job is None else _last_job(job, known.get(job.job_id))),
            )
            for queue, it, job in found
        ]
        return sorted(records, key=lambda it: (it.next_run_at or _END, it.queue, it.name))


_END = datetime.max.replace(tzinfo=UTC)


class _LastJob(TypedDict, total=False):
    """What a ``CronRecord`` tells of the last job."""

    job_id: str
    status: Status
    ended_at: datetime | None
    elapsed: timedelta | None


async def _records_of(store: Store, job_ids: Sequence[str]) -> dict[str, JobRecord]:
    found = await store.facts(job_ids) if job_ids else []
    return {it.job_id: record for it, _ in found if (record := build_record(it)) is not None}


def _last_job(noted: LastJob, record: JobRecord | None) -> _LastJob:
    """Return what the job's own record tells or, when that has expired, what its worker noted."""
    if record is not None:
        return {
            "job_id": record.job_id,
            "status": record.status,
            "ended_at": record.ended_at,
            "elapsed": record.elapsed,
        }
    # a worker that lives notes the end
    ended = noted.ended_ms is not None and noted.state in ENDED
    return {
        "job_id": noted.job_id,
        "status": Status(noted.state) if ended else Status.INTERRUPTED,
        "ended_at": None if noted.ended_ms is None else _datetime(noted.ended_ms),
        "elapsed": _milliseconds(noted.elapsed_ms),
    }


async def counted_names(
    store: Store, queue: str | None = None, function: str | None = None
) -> tuple[int, list[str]]:
    """Return Redis' time in ms, and the functions that are counted or announced, sorted."""
    # a replica takes no writes
    with suppress(ResponseError):
        await store.count_uncounted()
    now, counted = await counted_functions(store.redis)
    announced = (await store.announced()).names
    names = sorted({queue_and_function(it) for it in counted} | announced)
    return now, [
        announced_as(*it) for it in names if queue in (None, it[0]) and function in (None, it[1])
    ]


def stats_of(queue: str, function: str, stretches: Iterable[Stretch]) -> FunctionStats:
    """Return the figures of all stretches together."""
    tally = Tally()
    for it in stretches:
        tally.add(it.tally)
    return FunctionStats(function=function, queue=queue, **_figures(tally))


def _spread(it: Stretch, points: Sequence[Tally], first: int, step_ms: int) -> None:
    """Add a minute or hour to the steps that it is a part of, to each its share."""
    begins, ends = it.begins_ms, it.begins_ms + it.length_ms
    if it.length_ms == _MINUTE_MS:
        # whole, so that short stretches have whole numbers
        ends = begins + 1
    for number in range(begins // step_ms, (ends - 1) // step_ms + 1):
        if 0 <= number - first < len(points):
            overlap = min(ends, (number + 1) * step_ms) - max(begins, number * step_ms)
            points[number - first].add(it.tally, overlap / (ends - begins))


def _make_whole(points: Sequence[Tally]) -> None:
    """Round the counts of steps so that their sums stay."""
    for name in COUNTED:
        rest = 0.0
        for tally in points:
            rest += tally.counts[name]
            tally.counts[name] = floor(rest + 1e-6)
            rest -= tally.counts[name]


class _Figures(TypedDict):
    """What ``FunctionStats`` and ``ActivityPoint`` have in common."""

    complete: int
    failed: int
    stopped: int
    interrupted: int
    retried: int
    run_p50: timedelta | None
    run_p95: timedelta | None
    run_max: timedelta | None
    wait_p50: timedelta | None
    wait_p95: timedelta | None


def _figures(tally: Tally) -> _Figures:
    number = {name: round(value) for name, value in tally.counts.items()}
    return {
        "complete": number["complete"],
        "failed": number["failed"],
        "stopped": number["stopped"],
        "interrupted": number["interrupted"],
        "retried": number["retried"],
        "run_p50": _seconds(tally.run(0.5)),
        "run_p95": _seconds(tally.run(0.95)),
        "run_max": _seconds(tally.run_max) if tally.runs else None,
        "wait_p50": _seconds(tally.wait(0.5)),
        "wait_p95": _seconds(tally.wait(0.95)),
    }


def _step_ms(step: timedelta) -> int:
    if not isinstance(step, timedelta):
        raise TypeError(f"step must be a timedelta, not {type(step).__name__}")
    if step < _SHORTEST_STEP:
        raise ValueError(f"step must be a minute or more, not {step}")
    return step // timedelta(milliseconds=1)


def _ms_of(since: Moment, now_ms: int) -> int:
    moment = resolve(since, _datetime(now_ms))
    return min(now_ms, max(0, round(moment.timestamp() * 1000)))


def _datetime(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _seconds(value: float | None) -> timedelta | None:
    return None if value is None else timedelta(seconds=value)


def _milliseconds(value: int | None) -> timedelta | None:
    return None if value is None else timedelta(milliseconds=value)
