"""Jobs of every kind, and settings for workers in separate processes."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any, NoReturn

from arq import Retry
from arq.connections import RedisSettings

from arq_status import status_options, track_status


class Unprintable:
    """A value that can be pickled, but whose ``repr`` fails."""

    def __repr__(self) -> NoReturn:
        raise RuntimeError("no repr")


class Pause:
    """An argument that takes a minute to unpickle, before any code of its job runs."""

    def __reduce__(self) -> tuple[Callable[[float], None], tuple[float]]:
        return sleep, (60,)


async def add(ctx: dict[str, Any], a: int, b: int) -> int:
    return a + b


async def give(ctx: dict[str, Any], what: str) -> object:
    """Return a value that arq cannot store, or cannot print."""
    return {"lambda": lambda: None, "unprintable": Unprintable()}[what]


async def fail(ctx: dict[str, Any]) -> None:
    raise ValueError("no vino")


async def retry(ctx: dict[str, Any], until: int, defer: float = 0) -> int:
    """Raise ``Retry`` in tries before the given one."""
    if ctx["job_try"] < until:
        raise Retry(defer=defer)
    return until


async def cancel_itself(ctx: dict[str, Any], until: int) -> None:
    """Raise ``CancelledError`` in tries before the given one."""
    if ctx["job_try"] < until:
        raise asyncio.CancelledError


async def wait(ctx: dict[str, Any], seconds: float = 3600) -> None:
    await asyncio.sleep(seconds)


async def wait_once(ctx: dict[str, Any], seconds: float = 3600) -> None:
    """Wait in the first try; return in all others."""
    if ctx["job_try"] == 1:
        await asyncio.sleep(seconds)


async def block_once(ctx: dict[str, Any], seconds: float = 60) -> None:
    """Block the event loop from the first line on in the first try."""
    if ctx["job_try"] == 1:
        sleep(seconds)


async def block_and_report(ctx: dict[str, Any], seconds: float) -> None:
    """Report without ever letting the event loop run."""
    until = monotonic() + seconds
    while monotonic() < until:
        ctx["status"].sync.advance()
        sleep(0.001)


async def spin_once(ctx: dict[str, Any], seconds: float = 60) -> None:
    """Keep the processor busy from the first line on in the first try."""
    until = monotonic() + seconds
    while ctx["job_try"] == 1 and monotonic() < until:
        pass


async def die_once(ctx: dict[str, Any]) -> None:
    """Kill the process in the first line, like the kernel when it is out of memory."""
    if ctx["job_try"] == 1:
        os.kill(os.getpid(), signal.SIGKILL)


async def report_until(ctx: dict[str, Any], release: str) -> int:
    """Print each step, and report it if tracked, until the file ``release`` exists."""
    step = 0
    while not Path(release).exists():
        step += 1
        if "status" in ctx:
            await ctx["status"].at(step, f"step {step}")
            await ctx["status"].store(step=step)
        print(f"step {step}", flush=True)
        await asyncio.sleep(0.02)
    return step


async def devour(ctx: dict[str, Any]) -> None:
    """Allocate more memory than there is."""
    bytearray(sys.maxsize)


async def enqueue(ctx: dict[str, Any], job_id: str, function: str, *args: Any) -> None:
    """Enqueue another job."""
    await ctx["redis"].enqueue_job(function, *args, _job_id=job_id)


@status_options(track=False)
async def untracked(ctx: dict[str, Any], until: int = 1, seconds: float = 0) -> None:
    """Wait without a record, and raise ``Retry`` in tries before the given one."""
    await asyncio.sleep(seconds)
    if ctx["job_try"] < until:
        raise Retry(defer=60)


FUNCTIONS = [
    add, give, fail, retry, cancel_itself, wait, wait_once, block_once, block_and_report,
    spin_once, die_once, report_until, devour,
    enqueue, untracked,
]  # fmt: skip


async def after_job_end(ctx: dict[str, Any]) -> None:
    """Print that arq has finished the try."""
    print(f"end of {ctx['job_id']}", flush=True)


class Plain:
    """Settings of a worker process; Redis and other settings come from the environment."""

    functions = FUNCTIONS
    redis_settings = RedisSettings(**json.loads(os.environ.get("WORKER_REDIS", "{}")))
    poll_delay = 0.02
    after_job_end = after_job_end


for _name, _value in json.loads(os.environ.get("WORKER_SETTINGS", "{}")).items():
    setattr(Plain, _name, _value)

#: The same, tracked.
Settings: type = track_status(type("Settings", (), dict(vars(Plain))))
