"""P2, P3: the cost of tracking every job."""

import asyncio
from collections.abc import Awaitable, Callable
from statistics import median
from time import perf_counter
from typing import Any

from arq.connections import ArqRedis
from arq.utils import timestamp_ms
from arq.worker import create_worker

from arq_status import track_status
from tests.benchmarks.jobs import enqueue, noop, short
from tests.benchmarks.measuring import Comparison, Processor, Result, compare, pinned, repeated

JOBS = 400
ROUNDS = 30
#: Seconds after which late writes are done.
LATE = 0.25


async def measure(pool: ArqRedis) -> list[Result]:
    """Measure working and enqueueing."""
    async with pinned(pool):
        return [*await _working(pool), await _enqueueing(pool)]


async def _working(pool: ArqRedis) -> list[Result]:
    results = []
    for max_jobs in (10, 100):
        found = await compare(_slice(pool, True, max_jobs), _slice(pool, False, max_jobs), ROUNDS)
        results.append(_result("P2", f"no-op jobs, `max_jobs={max_jobs}`", found, 1.05))
    same = await compare(_slice(pool, False, 10), _slice(pool, False, 10), ROUNDS)
    results.append(_result("P2", "no-op jobs, untracked both (how much that scatters)", same, 2))
    naive = await compare(
        _slice(pool, False, 10, naive_hooks(pool)), _slice(pool, False, 10), ROUNDS // 2
    )
    results.append(
        _result("P2", "no-op jobs, a pipeline at each start and each end instead", naive, 9)
    )
    found = await compare(_waits(pool, True), _waits(pool, False), ROUNDS // 2)
    results.append(_result("P2", "jobs of 10 ms, time on the clock", found, 1.01))
    return results


def _result(measure: str, what: str, found: Comparison, aim: float) -> Result:
    detail = (
        f"{median(found.ours) * 1e6:.0f} µs a job tracked, {median(found.theirs) * 1e6:.0f} without"
    )
    met = found.ratio <= aim
    return Result(measure, what, found.ratio, found.quartiles, f"<= {aim}", met, detail)


def tracked_slice(pool: ArqRedis) -> Callable[[], Awaitable[float]]:
    """Return a side: CPU time of worker and Redis for a tracked job that does nothing."""
    return _slice(pool, True, 10)


def _slice(
    pool: ArqRedis, track: bool, max_jobs: int, hooks: dict[str, Any] | None = None
) -> Callable[[], Awaitable[float]]:
    """Return a side: CPU time of worker and Redis per job, including late writes.

    Start and shutdown of the worker are not included: they would be divided among too few jobs.
    """

    async def side() -> float:
        await _enqueue(pool, "noop")
        taken: list[float] = []

        async def note(ctx: dict[str, Any]) -> None:
            if taken:
                await asyncio.sleep(LATE)
            taken.append(used.seconds + await redis_seconds(pool))

        used = Processor()
        settings = {"functions": [noop], "on_startup": note, "on_shutdown": note, **(hooks or {})}
        await work(pool, track, max_jobs, settings)
        return (taken[1] - taken[0]) / JOBS

    return side


def naive_hooks(pool: ArqRedis) -> dict[str, Any]:
    """Return hooks that track jobs in the most obvious way."""

    async def write(ctx: dict[str, Any], status: str) -> None:
        key = f"status:{ctx['job_id']}"
        async with pool.pipeline(transaction=True) as pipe:
            pipe.hset(key, mapping={"status": status, "update_time": timestamp_ms()})
            pipe.expire(key, 1800)
            pipe.publish("status_updates", ctx["job_id"])
            await pipe.execute()

    async def on_job_start(ctx: dict[str, Any]) -> None:
        await write(ctx, "working")

    async def on_job_end(ctx: dict[str, Any]) -> None:
        await write(ctx, "complete")

    return {"on_job_start": on_job_start, "on_job_end": on_job_end}


def _waits(pool: ArqRedis, track: bool) -> Callable[[], Awaitable[float]]:
    """Return a side: wall-clock time per job that mostly waits, from first start to last end."""

    async def side() -> float:
        await _enqueue(pool, "short")
        moments: list[float] = []

        async def note(ctx: dict[str, Any]) -> None:
            moments.append(perf_counter())

        hooks = {"on_job_start": note, "after_job_end": note}
        await work(pool, track, 10, {"functions": [short], **hooks})
        return (max(moments) - min(moments)) / JOBS

    return side


async def _enqueue(pool: ArqRedis, function: str) -> None:
    await pool.flushdb()
    await enqueue(pool, function, range(JOBS))


async def work(pool: ArqRedis, track: bool, max_jobs: int, settings: dict[str, Any]) -> None:
    """Run all jobs of the queue with a worker."""
    worker = create_worker(
        track_status(settings) if track else settings,
        redis_pool=pool, burst=True, poll_delay=0.001, max_jobs=max_jobs, handle_signals=False,
    )  # fmt: skip
    await worker.async_run()
    await worker.close()
    assert worker.jobs_complete == JOBS


async def redis_seconds(pool: ArqRedis) -> float:
    """Return the CPU time that Redis has used so far."""
    used = await pool.info("cpu")
    return float(used["used_cpu_user"] + used["used_cpu_sys"])


async def _enqueueing(pool: ArqRedis) -> Result:
    """Compare enqueueing with and without the announcement of a tracked worker in Redis."""

    async def once() -> None:
        await pool.enqueue_job("noop")

    async def ours() -> float:
        await pool.flushdb()
        await _work_nothing(pool)
        await pool.ping()  # reconnect: the worker has closed the connections
        return await repeated(once, 200)()

    async def theirs() -> float:
        await pool.flushdb()
        return await repeated(once, 200)()

    return _result("P3", "enqueueing", await compare(ours, theirs, 2 * ROUNDS), 1.01)


async def _work_nothing(pool: ArqRedis) -> None:
    worker = create_worker(
        track_status({"functions": [noop]}),
        redis_pool=pool, burst=True, poll_delay=0.001, handle_signals=False,
    )  # fmt: skip
    await worker.async_run()
    await worker.close()
