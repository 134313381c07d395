"""What is known of functions, queues, workers and cron jobs."""

import asyncio
import os
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from arq import Retry, func
from arq.connections import ArqRedis

from arq_status import FunctionStats, StatusClient, track_status
from arq_status._model.histogram import bucket_of
from arq_status._model.tally import Tally
from arq_status._redis.announcements import announced_as
from arq_status._redis.store import Store
from arq_status._redis.tallies import encode_tally
from tests.conftest import RunBurst, StartWorker, ended, until

Context = dict[str, Any]
DAY = timedelta(days=1)


async def work(ctx: Context, outcome: str = "complete") -> None:
    """A job that ends as it is told to."""
    if outcome == "failed":
        raise ValueError("no vino")
    if outcome == "retried" and ctx["job_try"] == 1:
        raise Retry
    if outcome == "stopped":
        await asyncio.sleep(3600)


def tally_of(runs: Sequence[float] = (), waits: Sequence[float] = (), **counts: int) -> Tally:
    """What a worker counts of jobs that ran and waited for so many seconds."""
    tally = Tally()
    tally.counts.update(counts or {"complete": len(runs)})
    for durations, buckets in ((runs, tally.runs), (waits, tally.waits)):
        for it in durations:
            buckets[bucket_of(it)] = buckets.get(bucket_of(it), 0) + 1
    tally.run_max, tally.run_sum, tally.wait_sum = max(runs, default=0), sum(runs), sum(waits)
    return tally


async def count(redis: Any, tally: Tally, function: str = "f", queue: str = "arq:queue") -> None:
    """Add what a worker counted."""
    name = announced_as(queue, function)
    await Store(redis).count(os.urandom(4).hex(), 0, [encode_tally(name, tally, None)])


async def stats_of(client: StatusClient, function: str, **given: Any) -> FunctionStats:
    [found] = [it for it in await client.functions(**given) if it.function == function]
    return found


# functions


async def test_each_end_is_counted_once(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """A worker counts how its jobs end, by function, with the tries that arq repeats."""
    await start_worker(track_status({"functions": [work, func(work, name="other")]}))
    for number, outcome in enumerate(["complete", "complete", "failed", "retried", "stopped"]):
        await pool.enqueue_job("work", outcome, _job_id=str(number))
    await until(lambda: client.is_working("4"))
    assert await client.stop("4", force=True)
    for number in range(5):
        await ended(client, str(number))

    async def all_are_counted() -> FunctionStats | None:
        stats = await stats_of(client, "work")
        return stats if stats.ended == 5 else None

    stats = await until(all_are_counted)
    assert (stats.complete, stats.failed, stats.stopped) == (3, 1, 1)
    assert (stats.interrupted, stats.retried) == (0, 1)
    assert stats.queue == "arq:queue"
    assert stats.failure_rate == 0.2
    assert (await stats_of(client, "other")).ended == 0


async def test_what_is_counted_is_sent_when_the_worker_shuts_down(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """A worker that lives for less than a heartbeat counts as well, with runs and waits."""

    async def sleep(ctx: Context) -> None:
        await asyncio.sleep(0.05)

    await pool.enqueue_job("sleep", _job_id="job")
    await run_burst(track_status({"functions": [func(sleep, name="sleep")]}))
    stats, record = await stats_of(client, "sleep"), await client.job("job")
    assert stats.complete == 1
    assert record is not None
    assert record.elapsed is not None
    assert record.waited is not None
    assert stats.run_p50 == stats.run_p95
    assert stats.run_p50 is not None
    assert stats.run_p50 == pytest.approx(record.elapsed, rel=0.1, abs=timedelta(milliseconds=2))
    assert stats.wait_p95 is not None
    assert stats.wait_p95 == pytest.approx(record.waited, rel=0.1, abs=timedelta(milliseconds=2))
