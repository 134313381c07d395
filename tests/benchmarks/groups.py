"""P11 and more: groups and tags of few and of many jobs."""

import asyncio
from collections.abc import Awaitable, Callable
from statistics import median

from arq.connections import ArqRedis
from arq.utils import timestamp_ms

import arq_status
from arq_status import StatusClient
from arq_status._model.record import State, StoredRecord
from arq_status._redis.batch import Row
from arq_status._redis.store import Store
from tests.benchmarks.jobs import enqueue, noop
from tests.benchmarks.measuring import Comparison, Processor, Result, compare, pinned, repeated
from tests.benchmarks.overhead import JOBS, LATE, redis_seconds, work

SIZES = (100, 10_000, 100_000)
ROUNDS, CALLS = 20, 50
BATCH = 500


async def measure(pool: ArqRedis) -> list[Result]:
    """Measure groups of three sizes, lists by tag, jobs in a group, enqueueing with a tag."""
    async with pinned(pool):
        return [
            *await _reading(pool),
            await _working(pool),
            await _enqueueing(pool),
            await _acting(pool),
        ]


async def _reading(pool: ArqRedis) -> list[Result]:
    await pool.flushdb()
    client = StatusClient(pool)
    for size in SIZES:
        await _fill(pool, size)

    def group_of(size: int) -> Callable[[], Awaitable[object]]:
        return lambda: client.group_status(f"group-{size}")

    def list_of(size: int) -> Callable[[], Awaitable[object]]:
        return lambda: client.list_jobs(tag=f"tag-{size}")

    results = []
    for size in SIZES[1:]:
        found = await compare(
            repeated(group_of(size), CALLS), repeated(group_of(SIZES[0]), CALLS), ROUNDS
        )
        what = f"`group_status`, {size:,} ended jobs / {SIZES[0]}"
        results.append(_result("P11", what, found, 1.2))
        found = await compare(
            repeated(list_of(size), CALLS), repeated(list_of(SIZES[0]), CALLS), ROUNDS
        )
        what = f"`list_jobs(tag=...)`, {size:,} jobs / {SIZES[0]}"
        results.append(_result("P5", what, found, 1.5))
    return results


async def _fill(pool: ArqRedis, size: int) -> None:
    """Write a group of ended jobs, each with a tag."""
    store, now = Store(pool), timestamp_ms()
    await store.set_group(f"group-{size}", closed=True)
    for start in range(0, size, BATCH):
        rows = []
        for number in range(start, min(start + BATCH, size)):
            record = StoredRecord(
                enqueued_ms=now - number, job_try=1, state=State.COMPLETE, function="f",
                started=now, ended=now, expires_after_ms=86_400_000, tags=(f"tag-{size}",),
                group=f"group-{size}",
            )  # fmt: skip
            rows.append(Row(f"{size}-{number}", True, record.encode(), {}))
        await store.write(rows)


async def _working(pool: ArqRedis) -> Result:
    """Measure the CPU time of worker and Redis for a no-op job in a group and in none."""

    async def side(group_id: str | None) -> float:
        await pool.flushdb()
        if group_id is None:
            await enqueue(pool, "noop", range(JOBS))
        else:
            async with arq_status.group(group_id) as group:
                for number in range(JOBS):
                    await group.enqueue_job(pool, "noop", _job_id=str(number))
        used = Processor()
        taken: list[float] = []

        async def note(ctx: dict[str, object]) -> None:
            if taken:
                await asyncio.sleep(LATE)
            taken.append(used.seconds + await redis_seconds(pool))

        settings = {"functions": [noop], "on_startup": note, "on_shutdown": note}
        await work(pool, True, 10, settings)
        return (taken[1] - taken[0]) / JOBS

    arq_status.configure(pool)
    found = await compare(lambda: side("g"), lambda: side(None), ROUNDS)
    return _result("P11", "no-op jobs in a group / not", found, 1.03)


async def _enqueueing(pool: ArqRedis) -> Result:
    await pool.flushdb()

    async def ours() -> object:
        return await arq_status.enqueue_job(pool, "noop", _tags=["tenant:42"])

    async def theirs() -> object:
        return await pool.enqueue_job("noop")

    found = await compare(repeated(ours, 200), repeated(theirs, 200), ROUNDS)
    return _result("P3", "`arq_status.enqueue_job` with a tag / arq's", found, 1.6)


async def _acting(pool: ArqRedis) -> Result:
    """Measure retrying 1,000 jobs."""
    await pool.flushdb()
    client, jobs = StatusClient(pool), 1_000
    async with arq_status.group("g") as group:
        for number in range(jobs):
            await group.enqueue_job(pool, "noop", number)
    assert await client.cancel_jobs(group="g") == jobs
    used = Processor()
    assert await client.retry_jobs(group="g") == jobs
    took = used.seconds
    met = took < 2
    return Result("-", "`retry_jobs` of 1,000 jobs, processor time in s", took, None, "< 2", met)


def _result(measure: str, what: str, found: Comparison, aim: float) -> Result:
    ours, theirs = median(found.ours) * 1e6, median(found.theirs) * 1e6
    detail = f"{ours:.0f} µs, {theirs:.0f} µs"
    met = found.ratio <= aim
    return Result(measure, what, found.ratio, found.quartiles, f"<= {aim}", met, detail)
