"""A worker: options, settings, and everything that a job may report."""

import asyncio
from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from typing import Any, assert_type

from arq import Worker, cron, func
from arq.connections import RedisSettings
from arq.cron import CronJob
from arq.worker import Function

from arq_status import JobStopped, JobTracker, current_tracker, status_options, track_status

Ctx = dict[str, Any]


# functions


@status_options(expires=timedelta(days=30), track=True, record_args=False)
async def import_rows(ctx: Ctx, path: str) -> int:
    """Its decorator does not change its signature."""
    status: JobTracker = ctx["status"]
    await report(status)
    await iterate(status, [path])
    await in_a_thread(status)
    return len(path)


@status_options(expires=1800)
async def resize(ctx: Ctx, *names: str, width: int = 80) -> list[str]:
    return [f"{name}-{width}" for name in names]


@status_options(expires=0.5)
async def nightly(ctx: Ctx) -> None:
    assert_type(current_tracker(), JobTracker)


async def signatures(ctx: Ctx) -> None:
    """The decorator returns what it was given."""
    assert_type(await import_rows(ctx, "rows.csv"), int)
    assert_type(await resize(ctx, "a.png", "b.png", width=40), list[str])
    assert_type(status_options(track=False)(func(resize, keep_result=0)), Function)
    assert_type(status_options(track=False)(cron(nightly, hour=3)), CronJob)
    assert_type(await status_options()(import_rows)(ctx, path="rows.csv"), int)


# settings


@track_status
class WorkerSettings:
    functions = [import_rows, func(resize, keep_result=0), "tests.typing.worker.signatures"]
    cron_jobs = [cron(nightly, hour=3)]
    redis_settings = RedisSettings()
    max_jobs = 5


@track_status(expires=timedelta(hours=1), track=False, record_args=False)
class OptionalSettings:
    functions = [import_rows]
    max_tries = 3


def settings() -> Worker:
    """A class stays the same class; a dict gives a new dict."""

    class PlainSettings:
        functions = [resize]

    class OtherSettings:
        queue_name = "other"

    assert_type(WorkerSettings.max_jobs, int)
    assert_type(OptionalSettings().max_tries, int)
    assert_type(track_status(PlainSettings), type[PlainSettings])
    assert_type(track_status(expires=60)(OtherSettings).queue_name, str)
    assert_type(track_status({"functions": [resize], "max_jobs": 5}), dict[str, Any])
    options = {"functions": [import_rows]}
    assert_type(track_status(track=False)(options), dict[str, Any])
    return Worker(**track_status({"functions": [resize]}))


# reports


async def report(status: JobTracker) -> None:
    """Everything that an async job may report."""
    assert_type(status.job_id, str)
    assert_type(status.job_try, int)
    assert_type(await status.total(100), None)
    assert_type(await status.at(5), None)
    await status.at(5.5, "Almost done")
    await status.at(5, message=None)
    assert_type(await status.advance(), None)
    await status.advance(2, "Further")
    await status.advance(step=0.5)
    assert_type(await status.store(vino="veritas", rows=12, nested={"a": [1, None]}), None)
    assert_type(await status.retrieve("vino"), Any)
    rows: int = await status.retrieve("rows", default=0)
    assert rows == 12
    assert_type(await status.checkpoint(), None)
    assert_type(await status.flush(), None)


async def iterate(status: JobTracker, paths: Iterable[str]) -> None:
    """Items keep their type, whatever they come from."""
    async for path in status.track(paths, "Importing"):
        assert_type(path, str)
    async for number in status.track(range(3), total=3):
        assert_type(number, int)
    async for key, value in status.track({"a": 1.5}.items(), message="Sorting"):
        assert_type(key, str)
        assert_type(value, float)
    async for line in status.track(lines(), total=None):
        assert_type(line, bytes)


async def lines() -> AsyncIterator[bytes]:
    yield b"veritas"


async def in_a_thread(status: JobTracker) -> None:
    """The same calls without await."""
    assert_type(await asyncio.to_thread(crunch, status), float)
    loop: AbstractEventLoop = asyncio.get_running_loop()
    assert_type(await loop.run_in_executor(None, crunch, status), float)


def crunch(status: JobTracker) -> float:
    sync = status.sync
    assert_type(sync.job_id, str)
    assert_type(sync.job_try, int)
    sync.total(3)
    sync.at(1, "Crunching")
    sync.advance(step=0.5, message="Still crunching")
    sync.store(vino="veritas")
    assert_type(sync.retrieve("vino"), Any)
    for number in sync.track([1.5, 2.5], "Counting", total=2):
        assert_type(number, float)
    sync.checkpoint()
    sync.flush()
    return 0.5


async def stop_with_care(ctx: Ctx) -> None:
    """The exception can be caught."""
    try:
        await current_tracker().checkpoint()
    except JobStopped as stopped:
        assert_type(stopped.args, tuple[Any, ...])
        raise
