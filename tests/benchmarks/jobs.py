"""Jobs to measure, and a tracked worker for a separate process."""

import asyncio
import os
from time import time
from typing import Any

from arq.connections import ArqRedis, RedisSettings

from arq_status import JobTracker, status_options, track_status

#: The Redis of workers in separate processes.
REDIS = RedisSettings.from_dsn(os.environ.get("REDIS_URL", "redis://localhost"))


async def enqueue(pool: ArqRedis, function: str, numbers: range) -> None:
    """Enqueue "job <number>" for each number, some at a time."""
    for start in range(0, len(numbers), 50):
        ids = (f"job {number}" for number in numbers[start : start + 50])
        await asyncio.gather(*(pool.enqueue_job(function, _job_id=job_id) for job_id in ids))


async def noop(ctx: dict[str, Any]) -> None:
    """Do nothing."""


@status_options(tags=lambda ctx: [f"last:{ctx['job_id'][-2:]}"])
async def chatty(ctx: dict[str, Any]) -> None:
    """Log a line."""
    status: JobTracker = ctx["status"]
    await status.log(f"this is {ctx['job_id']}")


async def short(ctx: dict[str, Any]) -> None:
    """Take ten milliseconds."""
    await asyncio.sleep(0.01)


async def report(ctx: dict[str, Any], seconds: float, rate: float) -> None:
    """Report the current time ``rate`` times a second."""
    status: JobTracker = ctx["status"]
    for step in range(round(seconds * rate)):
        await status.at(step, str(time()))
        await asyncio.sleep(1 / rate)


@track_status
class Settings:
    """A worker that runs many jobs concurrently."""

    functions = [noop, short, report]
    redis_settings = REDIS
    max_jobs = 2_000
    poll_delay = 0.01
