"""Fixtures: a Redis, arq's pool, a client, and arq workers that run as in production."""

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from arq import create_pool, func
from arq.connections import ArqRedis, RedisSettings
from arq.constants import in_progress_key_prefix, job_key_prefix
from arq.worker import Worker, create_worker

import arq_status
from arq_status import StatusClient
from tests import (
    browser,
    fuzzing,  # noqa: F401 - registers its profile
)
from tests.server import Server, running_server

StartWorker = Callable[..., Awaitable[Worker]]
RunBurst = Callable[..., Awaitable[Worker]]
RunJob = Callable[..., Awaitable[arq_status.JobRecord]]

_UNIT = Path(__file__).parent / "unit"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return the number of test processes: more than processors, because most tests wait.

    Each has its own Redis. With a given Redis there is only one process: tests ask the server for
    the number of commands and connections, and it would count those of other processes as well.
    """
    return 0 if os.environ.get("REDIS_URL") else min(2 * (os.cpu_count() or 1), 8)


def pytest_configure() -> None:
    """Let Ctrl-C reach the processes that tests start, even if the suite runs in the background.

    Shells make background processes ignore it, and their children inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that need no server as ``pure``, and start the longest tests first."""
    for item in items:
        if item.path.is_relative_to(_UNIT):
            item.add_marker("pure")
    _put_long_ones_first(items)


def _put_long_ones_first(items: list[pytest.Item]) -> None:
    """Put tests that wait long first in half of the processes; the others start with quick ones.

    Each process starts with an equal share of the list and then takes over from other shares.
    """
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    share = len(items) // processes
    quick = iter([item for item in items if not _seconds(item)])
    lanes: list[list[pytest.Item]] = [[] for _ in range(max(1, processes // 2))]
    for item in sorted(filter(_seconds, items), key=_seconds, reverse=True):
        min(lanes, key=lambda lane: sum(map(_seconds, lane))).append(item)
    begun: list[pytest.Item] = []
    for lane in lanes:
        # one in between, because shares may differ by one
        begun += [*islice(quick, 1), *lane, *islice(quick, max(0, share - len(lane) - 1))]
    items[:] = begun + list(quick)


def _seconds(item: pytest.Item) -> float:
    mark = item.get_closest_marker("long")
    return 0 if mark is None else mark.args[0]


def pytest_report_header() -> str:
    """Show at the top whether there is a browser."""
    return f"browser: {browser.missing() or browser.executable()}"


@pytest.fixture(autouse=True)
def no_worker_left() -> Iterator[None]:
    """Fail the test that leaves a worker's heartbeat behind, rather than later tests."""
    before = _heartbeats()
    yield
    deadline = monotonic() + 5
    while left := _heartbeats() - before:
        assert monotonic() < deadline, f"the test left {left} behind"
        sleep(0.01)


def _heartbeats() -> set[threading.Thread]:
    return {it for it in threading.enumerate() if it.name == "arq-status heartbeat"}


@pytest.fixture(scope="session")
def dsn() -> Iterator[str]:
    """The DSN of the Redis under test."""
    with running_server() as dsn:
        yield dsn


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A separate server, which the test may damage."""
    server = Server(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_settings(dsn: str) -> RedisSettings:
    """Arq's settings for the Redis under test."""
    return RedisSettings.from_dsn(dsn)


@pytest.fixture
async def pool(redis_settings: RedisSettings) -> AsyncIterator[ArqRedis]:
    """Arq's pool on an empty database."""
    pool = await create_pool(redis_settings)
    await pool.flushdb()
    yield pool
    await pool.aclose()


@pytest.fixture
async def client(pool: ArqRedis) -> StatusClient:
    """A client for the same database, which is also the default client."""
    return arq_status.configure(pool)


@pytest.fixture
async def start_worker(pool: ArqRedis, redis_settings: RedisSettings) -> AsyncIterator[StartWorker]:
    """Starts workers in this event loop as ``arq`` would: settings, overridden by arguments."""
    running: list[tuple[Worker, asyncio.Task[None]]] = []

    async def start(settings: Any, **overrides: Any) -> Worker:
        arguments = {
            "redis_settings": redis_settings,
            "poll_delay": 0.02,
            "handle_signals": False,
            **overrides,
        }
        worker = create_worker(settings, **arguments)
        task = asyncio.create_task(worker.async_run())
        running.append((worker, task))
        await until(lambda: "redis" in worker.ctx or task.done())
        return worker

    yield start
    for worker, task in running:
        await stop_worker(worker, task)


@pytest.fixture
def run_burst(pool: ArqRedis, redis_settings: RedisSettings) -> RunBurst:
    """Runs a worker until its queue is empty and shuts it down, as ``arq --burst`` does."""

    async def run(settings: Any, **overrides: Any) -> Worker:
        arguments = {
            "redis_settings": redis_settings,
            "poll_delay": 0.02,
            "handle_signals": False,
            "burst": True,
            **overrides,
        }
        worker = create_worker(settings, **arguments)
        try:
            await worker.async_run()
        finally:
            await worker.close()
        return worker

    return run


@pytest.fixture
def run_job(pool: ArqRedis, client: StatusClient, run_burst: RunBurst) -> RunJob:
    """Runs a function as the tracked job "job" to its end; returns its record."""

    async def run(function: Any, *args: Any, **settings: Any) -> arq_status.JobRecord:
        await pool.enqueue_job("job", *args, _job_id="job")
        functions = [func(function, name="job")]
        await run_burst(arq_status.track_status({"functions": functions, **settings}))
        record = await client.job("job")
        assert record is not None
        return record

    return run


async def stop_worker(worker: Worker, task: "asyncio.Task[None]") -> None:
    """End a worker as a signal would, but between two of its polls.

    Arq leaves connections open when it is cancelled in the middle of a command.
    """
    worker.max_burst_jobs, worker.max_jobs, worker.burst = 0, 0, True
    cancelled: set[asyncio.Task[Any]] = set()
    while not task.done():
        for job in set(worker.tasks.values()) - cancelled:
            job.cancel()
            cancelled.add(job)
        await asyncio.wait((task,), timeout=0.05)
    if worker.tasks:
        # if arq is just storing the end of a job, it would not call `on_shutdown`
        await asyncio.wait(worker.tasks.values())
        worker.tasks.clear()
    await worker.close()


def end_loop(loop: asyncio.AbstractEventLoop, worker: Worker) -> None:
    """End a worker whose event loop was stopped midway, and close that loop."""
    assert worker.main_task is not None
    stopping = loop.create_task(stop_worker(worker, worker.main_task))
    while not stopping.done():
        # what a job raised passes through each task that waits for it and leaves the loop
        with suppress(SystemExit):
            loop.run_until_complete(stopping)
    loop.close()


async def until(condition: Callable[[], Any], seconds: float = 10) -> Any:
    """Wait until a condition (a function or coroutine function) holds; return its result."""
    deadline = monotonic() + seconds
    while True:
        holds = condition()
        if asyncio.iscoroutine(holds):
            holds = await holds
        if holds:
            return holds
        if monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s")
        await asyncio.sleep(0.005)


async def started(client: StatusClient, job_id: str) -> None:
    """Wait until the record shows that the job runs, which arq shows a moment earlier."""

    async def runs() -> bool:
        record = await client.job(job_id)
        return record is not None and record.status == "working" and record.job_try is not None

    await until(runs)


async def forgotten_by_arq(pool: ArqRedis, job_id: str) -> None:
    """Wait until arq has finished a job of which it keeps no result."""

    async def is_forgotten() -> bool:
        return not await pool.exists(job_key_prefix + job_id, in_progress_key_prefix + job_id)

    await until(is_forgotten)


async def ended(client: StatusClient, job_id: str, seconds: float = 10) -> arq_status.JobRecord:
    """Wait until a job has ended; return its record."""

    async def record() -> arq_status.JobRecord | None:
        record = await client.job(job_id)
        return record if record is not None and record.ended_at is not None else None

    found: arq_status.JobRecord = await until(record, seconds)
    return found
