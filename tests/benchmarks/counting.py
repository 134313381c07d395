"""P16: the cost of counting by function: time per job and memory in Redis."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from arq.connections import ArqRedis

from arq_status._model.histogram import bucket_of
from arq_status._model.tally import Tally
from arq_status._redis import keys
from arq_status._redis.announcements import function_key
from arq_status._tracking.counters import Counters
from tests.benchmarks.measuring import Result, compare, pinned
from tests.benchmarks.overhead import tracked_slice
from tests.records import count_at

ROUNDS = 60
FUNCTIONS, QUEUES = 50, 5
JOBS_AN_HOUR = 1_000
_MINUTE, _HOUR = 60_000, 3_600_000
#: Redis' time at the end of the month, in ms
_END = 1_800_000_000_000


async def measure(pool: ArqRedis) -> list[Result]:
    """Measure both."""
    return [await _time(pool), await _memory(pool)]


async def _time(pool: ArqRedis) -> Result:
    async with pinned(pool):
        side = tracked_slice(pool)
        found = await compare(side, _uncounted(side), ROUNDS)
    met = found.ratio <= 1.005
    what = "no-op jobs, counted / not counted"
    return Result("P16", what, found.ratio, found.quartiles, "<= 1.005", met)


def _uncounted(side: Callable[[], Awaitable[float]]) -> Callable[[], Awaitable[float]]:
    async def uncounted() -> float:
        with _without_counting():
            return await side()

    return uncounted


@contextmanager
def _without_counting() -> Iterator[None]:
    count, send = Counters.count, Counters.send

    async def nothing(*_: Any) -> None:
        pass

    Counters.count = lambda *_: None  # type: ignore[method-assign]
    Counters.send = nothing  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        Counters.count, Counters.send = count, send  # type: ignore[method-assign]


async def _memory(pool: ArqRedis) -> Result:
    """Measure a month of functions with different log-normal distributions of run and wait."""
    await pool.flushdb()
    before = await _used(pool)
    generator = random.Random(1)
    for number in range(FUNCTIONS):
        name = function_key(f"queue-{number % QUEUES}", f"function_number_{number}")
        spread = generator.uniform(0.3, 1.2), generator.uniform(0.5, 1.5)
        middle = generator.uniform(-4, 4), generator.uniform(-6, 2)
        hours = [_tally(generator, JOBS_AN_HOUR, middle, spread) for _ in range(5)]
        minutes = [_tally(generator, JOBS_AN_HOUR // 60, middle, spread) for _ in range(50)]
        for hour in range(keys.HOURS_KEPT + 1):
            now = _END - (keys.HOURS_KEPT - hour) * _HOUR
            if hour < keys.HOURS_KEPT - 3:
                await count_at(pool, now, name, generator.choice(hours))
            else:
                for minute in range(60):
                    tally = generator.choice(minutes)
                    await count_at(pool, now + minute * _MINUTE, name, tally)
    await asyncio.sleep(2)
    taken = await _used(pool) - before
    function = sum(
        [await pool.memory_usage(prefix + name, samples=0) or 0 for prefix in
         (keys.MINUTES, keys.HOURS, keys.TOTALS)]
    )  # fmt: skip
    await pool.flushdb()
    what = (
        f"{FUNCTIONS} functions in {QUEUES} queues, {JOBS_AN_HOUR:,} jobs an hour each, 30 days, MB"
    )
    detail = f"{taken / FUNCTIONS / 1024:.0f} KiB a function, the last one {function / 1024:.0f}"
    return Result("P16", what, taken / 1e6, None, "<= 3", taken <= 3e6, detail)


def _tally(
    generator: random.Random,
    jobs: int,
    middle: tuple[float, float],
    spread: tuple[float, float],
) -> Tally:
    tally = Tally()
    for _ in range(jobs):
        tally.counts["complete" if generator.random() < 0.95 else "failed"] += 1
        for buckets, mu, sigma in zip((tally.runs, tally.waits), middle, spread, strict=True):
            seconds = generator.lognormvariate(mu, sigma)
            buckets[bucket_of(seconds)] = buckets.get(bucket_of(seconds), 0) + 1
            tally.run_max = max(tally.run_max, seconds)
    return tally


async def _used(pool: ArqRedis) -> int:
    return int((await pool.info("memory"))["used_memory"])
