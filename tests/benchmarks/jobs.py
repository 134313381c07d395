"""Jobs to be measured, and a tracked worker for a process of its own."""

import asyncio
import os
from time import time
from typing import Any

from arq.connections import RedisSettings

from arq_status import JobTracker, track_status


async def noop(ctx: dict[str, Any]) -> None:
    """Do nothing."""


async def short(ctx: dict[str, Any]) -> None:
    """Take ten milliseconds."""
    await asyncio.sleep(0.01)


async def report(ctx: dict[str, Any], seconds: float, rate: float) -> None:
    """Say so many times a second what the time is."""
    status: JobTracker = ctx["status"]
    for step in range(round(seconds * rate)):
        await status.at(step, str(time()))
        await asyncio.sleep(1 / rate)


async def wait(ctx: dict[str, Any], seconds: float, rate: float) -> None:
    """Look at the time as often, and say nothing."""
    for _ in range(round(seconds * rate)):
        str(time())
        await asyncio.sleep(1 / rate)


@track_status
class Settings:
    """A worker for many jobs at a time."""

    functions = [noop, short, report, wait]
    redis_settings = RedisSettings.from_dsn(os.environ.get("REDIS_URL", "redis://localhost"))
    max_jobs = 2_000
    poll_delay = 0.01
