"""P1, P8, P12: the cost of progress and log lines."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import choice
from statistics import median, quantiles
from time import monotonic, perf_counter, time
from typing import Any

from arq import func
from arq.connections import ArqRedis
from arq.worker import create_worker

from arq_status import JobTracker, StatusClient, track_status
from tests.benchmarks.measuring import Comparison, Processor, Result
from tests.conftest import until

CALLS = 20_000
PEER_CALLS = 300
LINES = 5_000
ROUNDS = 20
JOBS, RATE, SECONDS, TURNS = 1_000, 50, 4, 10
#: Seconds after which late writes are done.
LATE = 0.5


async def measure(pool: ArqRedis) -> list[Result]:
    """Measure all of them."""
    return [*await _one_call(pool), *await _one_line(pool), *await _many_jobs(pool)]


async def _one_call(pool: ArqRedis) -> list[Result]:
    """Measure a tight loop of ``at``, in turns with the commands of sidekiq-status' ``at``."""
    ours: list[float] = []
    theirs: list[float] = []
    written: list[float] = []

    async def loop(ctx: dict[str, Any]) -> None:
        status: JobTracker = ctx["status"]
        await pool.config_resetstat()
        busy = 0.0
        for _ in range(ROUNDS):
            began = perf_counter()
            for step in range(CALLS):
                await status.at(step, "Almost done")
            ours.append((perf_counter() - began) / CALLS)
            busy += perf_counter() - began
            began = perf_counter()
            for step in range(PEER_CALLS):
                await at_of_sidekiq(pool, step)
            theirs.append((perf_counter() - began) / PEER_CALLS)
            busy += perf_counter() - began
        calls = (await pool.info("commandstats"))["cmdstat_evalsha"]["calls"]
        written.append(calls / busy)

    await _run(pool, loop)
    compared = Comparison(ours, theirs)
    cheaper = 1 / compared.ratio
    microseconds = median(ours) * 1e6
    return [
        Result(
            "P1", "`at` in a tight loop, µs a call", microseconds, None, "<= 0.4",
            microseconds <= 0.4,
        ),
        Result(
            "P1", "commands of sidekiq-status' `at` / ours", cheaper,
            (1 / compared.quartiles[1], 1 / compared.quartiles[0]), ">= 500", cheaper >= 500,
            f"{median(theirs) * 1e6:.0f} µs",
        ),
        Result(
            "P1", "calls of Redis a second for it, heartbeats included", written[0], None,
            "<= 10 writes", written[0] <= 10.5, "of them 0.5 heartbeats",
        ),
    ]  # fmt: skip


async def at_of_sidekiq(pool: ArqRedis, step: int) -> None:
    """Send the commands of sidekiq-status: read the total, then write all changes with a TTL."""
    await pool.get("sidekiq:status:job:total")
    async with pool.pipeline(transaction=True) as pipe:
        pipe.hset(
            "sidekiq:status:job",
            mapping={"at": step, "pct_complete": 5, "message": "Almost done", "update_time": 1},
        )
        pipe.expire("sidekiq:status:job", 1800)
        pipe.publish("status_updates", "job")
        await pipe.execute()


class _Formatter(logging.Handler):
    """Formats each line, as any useful handler does, and discards it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Format it."""
        self.format(record)


async def _one_line(pool: ArqRedis) -> list[Result]:
    """Measure ``status.log`` and `logging` calls in tight loops, the latter in two ways."""
    lines: list[float] = []
    captured: list[float] = []
    formatted: list[float] = []
    logger = logging.getLogger("tests.benchmarks.lines")
    logger.setLevel(logging.INFO)
    handler = _Formatter()

    async def loop(ctx: dict[str, Any]) -> None:
        status: JobTracker = ctx["status"]
        for _ in range(ROUNDS):
            began = perf_counter()
            for _step in range(LINES):
                await status.log("x")
            lines.append((perf_counter() - began) / LINES)
            captured.append(await _logged(logger))
            logger.addHandler(handler)
            logger.propagate = False
            formatted.append(await _logged(logger))
            logger.removeHandler(handler)
            logger.propagate = True

    await _run(pool, loop, record_logs="INFO")
    compared = Comparison(captured, formatted)
    microseconds = median(lines) * 1e6
    return [
        Result(
            "P12", "`log` in a tight loop, µs a call", microseconds, None, "<= 3", microseconds <= 3
        ),
        Result(
            "P12", "a `logging` call with `record_logs` / with a handler that formats",
            compared.ratio, compared.quartiles, "<= 1.3", compared.ratio <= 1.3,
        ),
    ]  # fmt: skip


async def _logged(logger: logging.Logger) -> float:
    """Return the seconds that a `logging` call takes."""
    await asyncio.sleep(0)
    began = perf_counter()
    for step in range(LINES):
        logger.info("row %d", step)
    return (perf_counter() - began) / LINES


async def _run(pool: ArqRedis, job: Any, **options: Any) -> None:
    await pool.flushdb()
    await pool.enqueue_job("job", _job_id="job")
    worker = create_worker(
        track_status(**options)({"functions": [func(job, name="job", timeout=600)]}),
        redis_pool=pool, burst=True, poll_delay=0.01, handle_signals=False,
    )  # fmt: skip
    await worker.async_run()


async def _many_jobs(pool: ArqRedis) -> list[Result]:
    """Measure a thousand jobs that report fifty times a second, in turns with silent ones."""
    shares: list[float] = []
    quiet: list[float] = []
    behind: list[float] = []
    async with _load(pool) as load, StatusClient(pool) as client:
        for _ in range(TURNS):
            quiet.append(await load.share(reporting=False))
            shares.append(100 * (await load.share(reporting=True) - quiet[-1]))
        load.reporting = True
        await asyncio.sleep(1)
        began = monotonic()
        while monotonic() - began < SECONDS:
            await asyncio.sleep(0.1)
            if message := await client.message(choice(load.ids)):
                behind.append(time() - float(message))
    share, (lower, _, upper) = median(shares), quantiles(shares, n=4)
    late = sorted(behind)[int(len(behind) * 0.99)]
    return [
        Result(
            "P8", "50,000 reports a second from 1,000 jobs, % of a core", share, (lower, upper),
            "< 10", share < 10, f"beside {100 * median(quiet):.0f} % for the jobs themselves",
        ),
        Result(
            "P8", "how old what a reader sees is, 99 of 100, s", late, None, "<= 0.5", late <= 0.5,
            f"median {median(behind):.2f}",
        ),
    ]  # fmt: skip


class _Load:
    """A worker whose jobs read the clock many times a second and, if ``reporting``, report it."""

    def __init__(self) -> None:
        self.ids = [f"job {number}" for number in range(JOBS)]
        self.reporting = False
        self.ended = False

    async def job(self, ctx: dict[str, Any]) -> None:
        """Run until the load ends."""
        status: JobTracker = ctx["status"]
        step = 0
        while not self.ended:
            now = str(time())
            if self.reporting:
                step += 1
                await status.at(step, now)
            await asyncio.sleep(1 / RATE)

    async def share(self, *, reporting: bool) -> float:
        """Measure for a second; return the share of a core that everything takes."""
        self.reporting = reporting
        # earlier reports are written late
        await asyncio.sleep(LATE)
        used, began = Processor(), monotonic()
        await asyncio.sleep(1)
        return used.seconds / (monotonic() - began)


@asynccontextmanager
async def _load(pool: ArqRedis) -> AsyncIterator[_Load]:
    await pool.flushdb()
    load = _Load()
    for job_id in load.ids:
        await pool.enqueue_job("job", _job_id=job_id)
    worker = create_worker(
        track_status({"functions": [func(load.job, name="job", timeout=600)]}),
        redis_settings=None, redis_pool=pool, burst=True, poll_delay=0.05, max_jobs=JOBS,
        handle_signals=False,
    )  # fmt: skip
    task = asyncio.create_task(worker.async_run())
    await until(lambda: len(worker.tasks) == JOBS, 60)
    await asyncio.sleep(1)
    try:
        yield load
    finally:
        load.ended = True
        await task
