"""The rows of the tables of functions, queues, workers and cron jobs."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from arq_status._client.activity import stats_of
from arq_status._client.client import StatusClient
from arq_status._client.workers import records_of
from arq_status._model.insight import WorkerRecord
from arq_status._model.query import Moment, resolve
from arq_status._redis.tallies import Interval
from arq_status.web.chart import Chart, Ends
from arq_status.web.tables import Row, TableQuery

#: The approximate number of steps of a chart.
_STEPS = 30
#: The longest time that a chart covers: counts are not kept for longer.
_MOST = timedelta(days=30)
_MINUTE, _HOUR = 60_000, 3_600_000
#: Counts by the minute are kept for three hours: a chart of more minutes has steps of hours.
_MINUTES = 120
#: How many jobs a worker's row lists.
_SHOWN = 5


async def read_functions(client: StatusClient, query: TableQuery) -> list[Row]:
    """Read how jobs of each function ended."""
    now, found = await client._counted(query.since, query.queue)
    rows = []
    for queue, function, intervals in found:
        stats = stats_of(queue, function, intervals)
        chart = chart_of(intervals, query.since, now)
        key = (stats, chart)
        row = Row(id=f"{queue}\n{function}", record=stats, stats=stats, chart=chart, key=key)
        rows.append(row)
    return rows


async def read_queues(client: StatusClient, query: TableQuery) -> list[Row]:
    """Read what is in each queue, and how jobs in it ended."""
    records, (now, found) = await asyncio.gather(client.queues(), client._counted(query.since))
    rows = []
    for it in records:
        of_queue = [intervals for queue, _, intervals in found if queue == it.name]
        counted = [interval for intervals in of_queue for interval in intervals]
        stats, chart = stats_of(it.name, "", counted), chart_of(counted, query.since, now)
        # the latency changes with time alone
        key = (replace(it, latency=timedelta()), stats, chart)
        rows.append(Row(id=it.name, record=it, stats=stats, chart=chart, key=key))
    return rows


async def read_workers(client: StatusClient, query: TableQuery) -> list[Row]:
    """Read which workers there are, and what they run."""
    found = [it for it in await client.workers() if query.queue in (None, it.queue)]
    shown = [job_id for it in found for job_id in it.running[:_SHOWN]]
    jobs = await records_of(await client._connections.open(), shown)
    rows = []
    for it in sorted(found, key=_place):
        running = [jobs[job_id] for job_id in it.running[:_SHOWN] if job_id in jobs]
        names = [(job.job_id, job.function, job.started_at) for job in running]
        # a live worker is seen all the time
        key = (replace(it, seen_at=None) if it.alive else it, names)
        rows.append(Row(id=it.name, record=it, jobs=running, key=key))
    return rows


def _place(worker: WorkerRecord) -> tuple[str, int]:
    return worker.host, worker.pid or 0


async def read_crons(client: StatusClient, query: TableQuery) -> list[Row]:
    """Read the cron jobs, and how the last job of each ended."""
    return [
        Row(id=f"{it.queue}\n{it.name}", record=it, key=it)
        for it in await client.crons()
        if query.queue in (None, it.queue)
    ]


def chart_of(intervals: Sequence[Interval], since: Moment, now_ms: int) -> Chart:
    """Return a chart of how jobs ended, in about ``_STEPS`` equal steps up to now."""
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    begin = min(now, max(now - _MOST, resolve(since, now)))
    first_ms = int(begin.timestamp() * 1000)
    minutes = -(-(now_ms - first_ms) // _MINUTE)
    unit = _MINUTE if minutes <= _MINUTES else _HOUR
    step = unit * max(1, -(-(now_ms - first_ms) // (unit * _STEPS)))
    first = first_ms // step
    steps = [Ends()] * (now_ms // step - first + 1)
    for it in intervals:
        place = it.begins_ms // step - first
        if 0 <= place < len(steps):
            steps[place] = _added(steps[place], it)
    return Chart(tuple(steps))


def _added(ends: Ends, interval: Interval) -> Ends:
    counts = {name: round(number) for name, number in interval.tally.counts.items()}
    return Ends(
        ends.failed + counts["failed"] + counts["interrupted"],
        ends.stopped + counts["stopped"],
        ends.complete + counts["complete"],
    )
