"""Queries for how jobs ended over time, answered from the counts that workers keep."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from math import floor
from typing import Any

from redis.exceptions import ResponseError

from arq_status._client.connections import Connections
from arq_status._model.builder import utc_datetime
from arq_status._model.insight import ActivityPoint, FunctionStats
from arq_status._model.query import Moment, check_moment, resolve
from arq_status._model.tally import COUNTED, Tally
from arq_status._model.validation import require_string
from arq_status._redis.announcements import function_key, split_function_key
from arq_status._redis.store import Store
from arq_status._redis.tallies import Interval, counted_functions, read_intervals

#: The most points that ``activity`` returns.
MOST_POINTS = 10_000
_SHORTEST_STEP = timedelta(minutes=1)
_MINUTE_MS = 60_000


class ActivityQueries:
    """The queries of ``StatusClient`` for how jobs ended over time."""

    _connections: Connections

    async def functions(
        self, since: Moment = timedelta(hours=1), queue: str | None = None
    ) -> list[FunctionStats]:
        """Return how each function's jobs ended recently, and how long they ran and waited.

            for it in await client.functions(since=timedelta(days=1)):
                print(it.function, it.complete, it.failed, it.run_p95)

        Covers the tracked functions that workers announced, sorted by queue and name, and all other
        jobs as ``(other)``. Workers count in memory and send their sums every 2 s; a worker that is
        killed loses its last 2 s. Percentiles are estimates within 10 %.

        Args:
            since: the start: a ``datetime`` with a timezone, or a ``timedelta`` that is subtracted
                from now. The whole minute that contains it is counted, or the whole hour if it is
                more than two to three hours ago. Counts are kept for 30 days.
            queue: only functions of the queue with this name.

        Raises:
            TypeError: ``since`` is neither a ``datetime`` nor a ``timedelta``, or ``queue`` is not
                a string.
            ValueError: the ``datetime`` has no timezone.
        """
        _, found = await self._counted(since, queue)
        return [stats_of(*it) for it in found]

    async def _counted(
        self, since: Moment, queue: str | None = None
    ) -> tuple[int, list[tuple[str, str, list[Interval]]]]:
        """Return Redis' time in ms and what was counted for each queue and function since then."""
        check_moment("since", since)
        require_string(queue, "queue")
        store = await self._connections.open()
        now, names = await counted_names(store, queue)
        found = await read_intervals(store.redis, names, _ms_of(since, now), now)
        return now, [
            (*split_function_key(name), intervals)
            for name, intervals in zip(names, found, strict=True)
        ]

    async def activity(
        self,
        since: Moment = timedelta(hours=24),
        step: timedelta = timedelta(minutes=5),
        function: str | None = None,
        queue: str | None = None,
    ) -> list[ActivityPoint]:
        """Return how jobs ended over time, in steps from the oldest to the current one.

            for point in await client.activity(timedelta(hours=1), timedelta(minutes=1)):
                print(point.time, point.complete, point.failed)

        Every step has a point, even if no job ended in it. Counts are kept by the minute for three
        hours, then by the hour for 30 days; shorter steps get equal shares of their hour's counts.

        Args:
            since: the start: a ``datetime`` with a timezone, or a ``timedelta`` that is subtracted
                from now.
            step: the length of a step, at least a minute; steps begin at multiples of it in UTC.
            function: only jobs of the function with this name.
            queue: only jobs of the queue with this name.

        Raises:
            TypeError: ``since`` is neither a ``datetime`` nor a ``timedelta``, ``step`` is not a
                ``timedelta``, or ``function`` or ``queue`` is not a string.
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
        """Return the points of ``activity``, and one point for the whole time."""
        check_moment("since", since)
        require_string(function, "function")
        require_string(queue, "queue")
        step_ms = _step_ms(step)
        store = await self._connections.open()
        now, names = await counted_names(store, queue, function)
        first = _ms_of(since, now) // step_ms
        number = now // step_ms + 1 - first
        if number > MOST_POINTS:
            raise ValueError(
                f"step is too short: {number:,} steps, at most {MOST_POINTS:,} possible"
            )
        points = [Tally() for _ in range(number)]
        total = Tally()
        for intervals in await read_intervals(store.redis, names, first * step_ms, now):
            for it in intervals:
                _spread(it, points, first, step_ms)
                total.add(it.tally)
        _round_counts(points)
        found = [
            ActivityPoint(time=utc_datetime((first + number) * step_ms), **_figures(tally))
            for number, tally in enumerate(points)
        ]
        return found, ActivityPoint(time=utc_datetime(first * step_ms), **_figures(total))


async def counted_names(
    store: Store, queue: str | None = None, function: str | None = None
) -> tuple[int, list[str]]:
    """Count the ends that no worker counted; return Redis' time in ms and the functions' keys.

    The functions are those that are counted or announced, sorted.
    """
    # a replica accepts no writes
    with suppress(ResponseError):
        await store.count_uncounted()
    now, counted = await counted_functions(store.redis)
    announced = (await store.announced()).names
    names = sorted({split_function_key(it) for it in counted} | announced)
    return now, [
        function_key(*it) for it in names if queue in (None, it[0]) and function in (None, it[1])
    ]


def stats_of(queue: str, function: str, intervals: Iterable[Interval]) -> FunctionStats:
    """Return the combined figures of all intervals."""
    tally = Tally()
    for it in intervals:
        tally.add(it.tally)
    return FunctionStats(function=function, queue=queue, **_figures(tally))


def _spread(it: Interval, points: Sequence[Tally], first: int, step_ms: int) -> None:
    """Add a minute or hour to the steps that it overlaps, in proportion."""
    begins, ends = it.begins_ms, it.begins_ms + it.length_ms
    if it.length_ms == _MINUTE_MS:
        # goes to one step whole, so that counts of recent minutes are integers
        ends = begins + 1
    for number in range(begins // step_ms, (ends - 1) // step_ms + 1):
        if 0 <= number - first < len(points):
            overlap = min(ends, (number + 1) * step_ms) - max(begins, number * step_ms)
            points[number - first].add(it.tally, overlap / (ends - begins))


def _round_counts(points: Sequence[Tally]) -> None:
    """Round the counts of the steps, carrying the remainders so that the sums are kept."""
    for name in COUNTED:
        rest = 0.0
        for tally in points:
            rest += tally.counts[name]
            tally.counts[name] = floor(rest + 1e-6)
            rest -= tally.counts[name]


def _figures(tally: Tally) -> dict[str, Any]:
    """Return the fields that ``FunctionStats`` and ``ActivityPoint`` have in common."""
    durations = {
        "run_p50": tally.run_percentile(0.5),
        "run_p95": tally.run_percentile(0.95),
        "run_max": tally.run_max if tally.runs else None,
        "wait_p50": tally.wait_percentile(0.5),
        "wait_p95": tally.wait_percentile(0.95),
    }
    return {
        **{name: round(number) for name, number in tally.counts.items()},
        **{name: it if it is None else timedelta(seconds=it) for name, it in durations.items()},
    }


def _step_ms(step: timedelta) -> int:
    if not isinstance(step, timedelta):
        raise TypeError(f"step must be a timedelta, not {type(step).__name__}")
    if step < _SHORTEST_STEP:
        raise ValueError(f"step must be a minute or more, not {step}")
    return step // timedelta(milliseconds=1)


def _ms_of(since: Moment, now_ms: int) -> int:
    moment = resolve(since, utc_datetime(now_ms))
    return min(now_ms, max(0, round(moment.timestamp() * 1000)))
