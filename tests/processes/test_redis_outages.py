"""Redis in trouble: tracking fails no job and ends no worker, and pending reports arrive."""

import asyncio
import logging
import pickle
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from arq import Retry, create_pool, func
from arq.connections import ArqRedis, RedisSettings
from arq.utils import timestamp_ms
from arq.worker import Worker, create_worker
from redis.asyncio import Redis

from arq_status import JobTracker, Status, StatusClient, track_status
from arq_status._model.record import State, StoredRecord
from arq_status._redis.store import Store
from arq_status._tracking.attempt import Attempt
from arq_status._tracking.outbox import Outbox
from arq_status._tracking.writer import Writer
from tests.conftest import ended, until
from tests.fates import KINDS, NEVER, Fate, all_arrived, running_pair
from tests.network import Link
from tests.server import Server, free_port


@pytest.fixture
async def admin(server: Server) -> AsyncIterator[Redis]:
    """A connection to it for administrative commands."""
    async with Redis(port=server.port) as redis:
        yield redis


@pytest.fixture
async def own_pool(server: Server) -> AsyncIterator[ArqRedis]:
    """Arq's pool for it."""
    pool = await create_pool(RedisSettings(port=server.port))
    yield pool
    await pool.aclose()


released = asyncio.Event()


async def long_job(ctx: dict[str, Any]) -> str:
    """Report until the test releases it."""
    status: JobTracker = ctx["status"]
    step = 0
    while not released.is_set():
        step += 1
        await status.at(step, f"step {step}")
        await status.store(step=step)
        await asyncio.sleep(0.01)
    return "done"


@pytest.fixture
async def worker(server: Server, own_pool: ArqRedis) -> AsyncIterator[Worker]:
    """A tracked worker on it that runs the job "long"."""
    global released  # noqa: PLW0603 - an event belongs to one event loop
    released = asyncio.Event()
    worker = create_worker(
        track_status({"functions": [long_job]}),
        redis_settings=RedisSettings(port=server.port),
        # a poll during the trouble would end arq itself
        poll_delay=3600,
        handle_signals=False,
    )
    await own_pool.enqueue_job("long_job", _job_id="long")
    task = asyncio.create_task(worker.async_run())
    await until(lambda: worker.tasks)
    yield worker
    worker.max_burst_jobs, worker.burst = 0, True
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await worker.close()


async def test_pause(admin: Redis, own_pool: ArqRedis, worker: Worker) -> None:
    """The job runs on while Redis does not answer for two seconds; its reports then arrive."""
    client = StatusClient(own_pool)
    await until(lambda: client.at("long"))
    await admin.client_pause(2000)
    before = await client.at("long")  # answered after the pause
    assert before is not None
    await until(lambda: _is_beyond(client, before + 20))
    released.set()
    assert (await ended(client, "long")).status is Status.COMPLETE


async def _is_beyond(client: StatusClient, at: float) -> bool:
    return (await client.at("long") or 0) > at


async def test_connections_killed_over_and_over(
    admin: Redis, server: Server, own_pool: ArqRedis, worker: Worker
) -> None:
    """With all connections killed every 200 ms, the job still ends with a complete record."""
    async with StatusClient(f"redis://127.0.0.1:{server.port}") as client:
        await until(lambda: client.at("long"))
        for _ in range(8):
            await admin.client_kill_filter(_type="normal", skipme=True)
            await asyncio.sleep(0.2)
        released.set()
    async with StatusClient(f"redis://127.0.0.1:{server.port}") as client:
        record = await ended(client, "long")
    assert record.status is Status.COMPLETE
    assert record.data["step"] == record.at


async def test_restart_with_nothing(
    server: Server, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that comes back empty soon has the running job and its worker again."""
    caplog.set_level(logging.INFO, "arq_status")
    async with StatusClient(server.dsn) as client:
        await until(lambda: client.at("long"))
    server.stop(signal.SIGKILL)
    await until(lambda: "could not send reports" in caplog.text)
    await asyncio.sleep(0.5)
    server.start()
    async with Redis(port=server.port) as redis:
        await until(lambda: redis.exists("arqstatus:1/long"))
        await until(lambda: redis.zcard("arqstatus:1:workers"))
        await until(lambda: redis.zscore("arqstatus:1:queues", "arq:queue"))
    warnings = [it for it in caplog.records if "could not send reports" in it.message]
    # one for each open connection, not one for each write
    assert 1 <= len(warnings) <= 2


async def test_no_memory(
    admin: Redis, own_pool: ArqRedis, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    """A Redis that refuses writes delays nothing and is logged once; then all reports arrive."""
    client = StatusClient(own_pool)
    await until(lambda: client.at("long"))
    await admin.config_set("maxmemory-policy", "noeviction")
    await admin.config_set("maxmemory", 1)
    await until(lambda: "could not send reports" in caplog.text)
    before = await client.at("long")
    assert before is not None
    await admin.config_set("maxmemory", 0)
    await until(lambda: _is_beyond(client, before))
    released.set()
    assert (await ended(client, "long")).status is Status.COMPLETE
    assert caplog.text.count("could not send reports") == 1


async def test_read_only(server: Server, tmp_path: Path) -> None:
    """A replica gives the same answers as its primary, although lists cannot write there."""
    (tmp_path / "replica").mkdir()
    async with Redis(port=server.port) as primary:
        store = Store(primary)
        lost = StoredRecord(
            enqueued_ms=5, job_try=1, state=State.WORKING, function="f", worker="gone:1:x"
        )
        run = Attempt("lost", lost, None)
        await store.write([run.take_row()])
        replica = Server(tmp_path / "replica", "--replicaof", "127.0.0.1", str(server.port))
        replica.start()
        try:
            async with StatusClient(replica.dsn) as client, Redis(port=replica.port) as redis:
                await until(lambda: redis.exists("arqstatus:1/lost"))
                assert await client.status("lost") is Status.INTERRUPTED
                assert [it.job_id for it in (await client.list_jobs()).items] == ["lost"]
                assert (await client.counts())[Status.INTERRUPTED] == 1
        finally:
            replica.stop()


async def test_what_is_kept_is_bounded(
    server: Server, own_pool: ArqRedis, caplog: pytest.LogCaptureFixture, monkeypatch: Any
) -> None:
    """While Redis is away a limited number of ended jobs is kept; dropped ones are logged."""
    monkeypatch.setattr("arq_status._tracking.writer.CAPACITY", 10)
    outbox = Outbox()
    writer = Writer(Store(own_pool), outbox)
    server.stop(signal.SIGKILL)
    for number in range(50):
        Attempt(
            str(number), StoredRecord(enqueued_ms=1, job_try=1, ended=timestamp_ms()), outbox
        ).queue_urgently()
    writer.notify()
    await until(lambda: outbox.size == 10)
    await until(lambda: "dropped those of 40 jobs" in caplog.text)
    server.start()
    await writer.close()
    async with Redis(port=server.port) as redis:
        assert len(await redis.keys("arqstatus:1/*")) == 10


# compared with an untracked worker


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Trouble with Redis while jobs run."""

    name: str
    #: causes the trouble, and returns when it is over
    happens: Callable[[Server, Link], Coroutine[Any, Any, None]]
    #: options of the server
    options: tuple[str, ...] = ()
    #: seconds by which the workers' connections are delayed
    delay: float = 0
    #: seconds between arq's polls; in some troubles a poll ends the worker
    poll_delay: float = 0.05
    #: True if the jobs end meanwhile
    jobs_end: bool = False
    worker: str = "ended by a signal"


async def pause(server: Server, link: Link) -> None:
    async with Redis(port=server.port) as admin:
        await admin.client_pause(2000)
        await admin.ping()


async def kill_connections(server: Server, link: Link) -> None:
    async with Redis(port=server.port) as admin:
        for _ in range(8):
            await admin.client_kill_filter(_type="normal", skipme=True)
            await asyncio.sleep(0.2)


async def restart(server: Server, link: Link) -> None:
    server.stop(signal.SIGKILL)
    await asyncio.sleep(1)
    server.start()


async def take_no_more(server: Server, link: Link) -> None:
    async with Redis(port=server.port) as admin:
        await admin.config_set("maxmemory-policy", "noeviction")
        await admin.config_set("maxmemory", 1)
        await asyncio.sleep(1.5)
        await admin.config_set("maxmemory", 0)


async def become_a_replica(server: Server, link: Link) -> None:
    async with Redis(port=server.port) as admin:
        await admin.replicaof("127.0.0.1", free_port())
        await asyncio.sleep(1.5)
        await admin.replicaof("NO", "ONE")


async def go_on(server: Server, link: Link) -> None:
    await asyncio.sleep(2)


async def stall(server: Server, link: Link) -> None:
    await link.stall(6)


ENDED_BY_POLL = "ended by its poll"
KEPT = ("--appendonly", "yes", "--appendfsync", "always")
TROUBLES = [
    Trouble(name="pause", happens=pause),
    Trouble(name="pause, jobs end", happens=pause, jobs_end=True),
    Trouble(name="connections killed", happens=kill_connections, poll_delay=NEVER),
    Trouble(name="restart with nothing", happens=restart, poll_delay=NEVER),
    Trouble(name="restart with nothing, polled", happens=restart, worker=ENDED_BY_POLL),
    Trouble(name="restart with its data", happens=restart, options=KEPT, poll_delay=NEVER),
    Trouble(
        name="restart with its data, polled", happens=restart, options=KEPT, worker=ENDED_BY_POLL
    ),
    Trouble(name="out of memory", happens=take_no_more),
    Trouble(name="read-only", happens=become_a_replica),
    Trouble(name="slow", happens=go_on, delay=0.2),
    Trouble(name="stalled", happens=stall),
    Trouble(name="stalled, jobs end", happens=stall, jobs_end=True),
]


@pytest.mark.long(10)
@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.name)
async def test_jobs_and_workers_fare_as_without_tracking(tmp_path: Path, trouble: Trouble) -> None:
    """Job and worker end exactly like those of an untracked worker, and everything arrives."""
    server = Server(tmp_path, *trouble.options)
    server.start()
    pool = await create_pool(RedisSettings(port=server.port))
    try:
        async with Link(server.port, trouble.delay) as link:
            settings = RedisSettings(port=link.port)
            (tmp_path / "workers").mkdir()
            async with running_pair(
                pool, settings, tmp_path / "workers", trouble.poll_delay
            ) as pair:
                before = {kind: pair.steps(kind) for kind in KINDS}
                happening = asyncio.create_task(trouble.happens(server, link))
                for kind in KINDS:
                    await until(partial(pair.has_gone_on, kind, before[kind]))
                if trouble.jobs_end:
                    assert not happening.done()
                    pair.let_jobs_end()
                await happening
                fates = await pair.fates(pool, end=trouble.worker == ENDED_BY_POLL)
        assert fates["tracked"] == fates["plain"] == Fate("success", 1, trouble.worker)
        await all_arrived(StatusClient(pool))
    finally:
        await pool.aclose()
        server.stop(signal.SIGKILL)


# a slow connection


@pytest.fixture
async def slow_link(server: Server) -> AsyncIterator[Link]:
    """A connection to the server with a delay of 0.2 s in each direction."""
    async with Link(server.port, delay=0.2) as link:
        yield link


@pytest.mark.long(10)
async def test_a_slow_redis_does_not_delay_the_start_of_jobs(
    slow_link: Link, own_pool: ArqRedis
) -> None:
    """A job waits only briefly for its record, and at most a second for its last try."""
    read: list[float] = []
    waited: list[float] = []

    def deserialize(raw: bytes) -> Any:
        read.append(monotonic())
        return pickle.loads(raw)

    async def job(ctx: dict[str, Any]) -> None:
        waited.append(monotonic() - read[-1])
        status: JobTracker = ctx["status"]
        await status.at(ctx["job_try"], f"try {ctx['job_try']}")
        await status.store(tried=ctx["job_try"])
        if ctx["job_try"] == 1:
            raise Retry

    worker = create_worker(
        track_status({"functions": [func(job, name="job")]}),
        redis_settings=RedisSettings(port=slow_link.port),
        job_deserializer=deserialize,
        burst=True,
        poll_delay=0.05,
        handle_signals=False,
    )
    await own_pool.enqueue_job("job", _job_id="job")
    await worker.async_run()
    await worker.close()
    first, second = waited
    assert first < 0.5
    assert second < 1.5
    record = await StatusClient(own_pool).job("job")
    assert record
    assert (record.status, record.job_try, record.at, record.message, record.data) == (
        Status.COMPLETE, 2, 2, "try 2", {"tried": 2},
    )  # fmt: skip


async def test_retrieving_while_redis_is_away_from_the_start(
    server: Server, own_pool: ArqRedis
) -> None:
    """A job finds what it stored itself, but nothing that an earlier run may have stored."""
    outbox = Outbox()
    writer = Writer(Store(own_pool), outbox)
    status = JobTracker(Attempt("job", StoredRecord(enqueued_ms=1, job_try=1), outbox), writer)  # type: ignore[arg-type]
    server.stop(signal.SIGKILL)
    assert await status.retrieve("vino", "none") == "none"
    await status.store(vino="veritas")
    assert await status.retrieve("vino") == "veritas"
    server.start()
    await writer.close()
