"""When and how what jobs report gets to Redis, and what happens if Redis does not take it."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

import pytest
from arq import create_pool, func
from arq.connections import ArqRedis, RedisSettings
from arq.worker import create_worker
from redis import Redis as SyncRedis
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, ResponseError

from arq_status import JobTracker, Status, StatusClient, track_status
from arq_status._model.record import State, StoredRecord
from arq_status._redis.batch import CompletedRow, Row
from arq_status._redis.connection import missing_permission
from arq_status._redis.store import Store
from arq_status._tracking.attempt import Attempt
from arq_status._tracking.delivery import Delivery
from arq_status._tracking.outbox import Outbox
from arq_status._tracking.writer import Writer
from tests.conftest import RunBurst, StartWorker, ended, until
from tests.records import calls
from tests.server import Server

Context = dict[str, Any]


def settings_of(*functions: Any, **others: Any) -> dict[str, Any]:
    """Tracked settings of functions by their bare names."""
    named = [func(it, name=it.__name__) for it in functions]
    return track_status({"functions": named, **others})


async def scripts_run(redis: Redis) -> int:
    """How many scripts Redis has run."""
    return (await calls(redis)).get("evalsha", 0)


async def idle(ctx: Context) -> None:
    """A job that says nothing."""


# when


async def test_progress_is_seen_soon(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """What a running job says is in Redis within 0.2 s, also when it says no more after that."""
    said, seen = asyncio.Event(), asyncio.Event()
    reports, took = range(10, 60, 10), []

    async def job(ctx: Context) -> None:
        for at in reports:
            await ctx["status"].at(at)
            said.set()
            await seen.wait()
            seen.clear()

    await start_worker(settings_of(job))
    await pool.enqueue_job("job", _job_id="job")
    for at in reports:
        await said.wait()
        said.clear()
        began = monotonic()

        async def shows(at: int = at) -> bool:
            return await client.at("job") == at

        await until(shows)
        took.append(monotonic() - began)
        seen.set()
    assert median(took) < 0.3
    await ended(client, "job")


async def test_progress_in_a_tight_loop_is_written_now_and_then(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """Thousands of reports a second make about ten writes a second."""
    written: asyncio.Future[tuple[int, float]] = asyncio.get_running_loop().create_future()
    steps = 0

    async def job(ctx: Context) -> None:
        nonlocal steps
        before, began = await scripts_run(pool), monotonic()
        while steps < 2_000 or monotonic() - began < 0.5:
            steps += 1
            await ctx["status"].at(steps)
        written.set_result((await scripts_run(pool) - before, monotonic() - began))

    await start_worker(settings_of(job))
    await pool.enqueue_job("job", _job_id="job")
    scripts, seconds = await written
    # ten ticks a second, heartbeats, and what the heartbeat's thread takes over
    assert 3 <= scripts <= 5 + 11 * seconds
    assert (await ended(client, "job")).at == steps


async def test_many_jobs_share_a_write(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """Hundreds of jobs that report at once need few scripts, more than a batch of them too."""
    count = 300
    ready, go_on = asyncio.Barrier(count + 1), asyncio.Event()

    async def job(ctx: Context) -> None:
        await ready.wait()
        for at in range(1, 6):
            await ctx["status"].at(at)
        await go_on.wait()

    for number in range(count):
        await pool.enqueue_job("job", _job_id=f"job{number}")
    await start_worker(settings_of(job), max_jobs=count, queue_read_limit=count)
    await ready.wait()
    before = await scripts_run(pool)

    async def all_reported() -> bool:
        keys = [f"arqstatus:1/job{number}" for number in range(count)]
        return all(b'"p":5' in (raw or b"") for raw in await pool.mget(keys))

    await until(all_reported)
    assert await scripts_run(pool) - before < 10
    go_on.set()
    records = [await ended(client, f"job{number}") for number in range(count)]
    assert {(it.status, it.at) for it in records} == {(Status.COMPLETE, 5)}


async def test_what_a_blocking_job_said_is_seen(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker, dsn: str
) -> None:
    """What a job reported before it blocks the event loop arrives while it does."""
    seen: list[bool] = []

    async def job(ctx: Context) -> None:
        await ctx["status"].at(33, "blocking")
        with SyncRedis.from_url(dsn) as redis:
            deadline = monotonic() + 5
            while monotonic() < deadline and not seen:
                time.sleep(0.02)
                raw = redis.get("arqstatus:1/job")
                seen.extend([True] if isinstance(raw, bytes) and b'"p":33' in raw else [])

    await start_worker(settings_of(job))
    await pool.enqueue_job("job", _job_id="job")
    assert (await ended(client, "job")).status is Status.COMPLETE
    assert seen == [True]


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("keep_result", [0, 60])
async def test_the_end_is_recorded_before_arq_forgets_the_job(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker, fails: bool, keep_result: int
) -> None:
    """The moment arq's job is gone its record has the end, the last progress and the data."""

    async def job(ctx: Context, number: int) -> None:
        await ctx["status"].at(number)
        await ctx["status"].store(number=number)
        if fails:
            raise ValueError(number)

    await start_worker(settings_of(job, keep_result=keep_result))

    async def watch(number: int) -> Any:
        await pool.enqueue_job("job", number, _job_id=f"job{number}")
        forgotten = False
        while not forgotten:
            forgotten = not await pool.exists(f"arq:job:job{number}")
        return await client.job(f"job{number}")

    for number, record in enumerate(await asyncio.gather(*map(watch, range(10)))):
        assert record.status is (Status.FAILED if fails else Status.COMPLETE)
        assert record.ended_at is not None
        assert record.at == number
        assert record.data == {"number": number}


async def test_what_is_pending_is_written_at_shutdown(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """What was said last, also of ends that nobody waited for, is there when the worker is gone."""

    async def quiet(ctx: Context) -> None:
        pass

    async def after_job_end(ctx: Context) -> None:
        await ctx["status"].store(late=True)

    quiet_ones = [f"quiet{number}" for number in range(20)]
    unknown = [f"unknown{number}" for number in range(50)]
    ids = quiet_ones + unknown
    for job_id in ids:
        await pool.enqueue_job(job_id.rstrip("0123456789"), _job_id=job_id)
    await run_burst(settings_of(quiet, after_job_end=after_job_end), max_jobs=100)
    await pool.delete(*(f"arq:result:{job_id}" for job_id in ids))
    records = await client.jobs(ids)
    assert [it.status for it in records if it] == [Status.COMPLETE] * 20 + [Status.FAILED] * 50
    assert [it.data for it in records if it] == [{"late": True}] * 20 + [{}] * 50


async def test_a_job_given_up_just_before_the_shutdown(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker ends only when the end of a job that arq gave up is written, slow or not."""
    leaving, track = asyncio.Event(), Store.stored_record

    async def slow_track(store: Store, job_id: str) -> StoredRecord | None:
        await leaving.wait()
        return await track(store, job_id)

    async def on_shutdown(ctx: Context) -> None:
        asyncio.get_running_loop().call_later(0.05, leaving.set)

    monkeypatch.setattr(Store, "stored_record", slow_track)
    await pool.enqueue_job("nowhere", _job_id="job")
    await run_burst(settings_of(idle, on_shutdown=on_shutdown))
    await pool.delete("arq:result:job")
    record = await client.job("job")
    assert record is not None
    assert (record.status, record.error) == (Status.FAILED, "function 'nowhere' not found")


@pytest.mark.parametrize("keep_result", [0, 60])
async def test_a_shutdown_while_the_end_is_recorded(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker, keep_result: int
) -> None:
    """A job that has ended is booked and recorded as ended, and does not run again."""
    runs, ending = 0, asyncio.Event()

    async def job(ctx: Context) -> None:
        nonlocal runs
        runs += 1
        await ctx["status"].at(5)
        await ctx["status"].flush()

    async def on_job_end(ctx: Context) -> None:
        await pool.client_pause(5_000, all=False)
        ending.set()

    worker = await start_worker(settings_of(job, on_job_end=on_job_end, keep_result=keep_result))
    await pool.enqueue_job("job", _job_id="job")
    await ending.wait()
    # what arq does with its jobs when it gets a signal, twice
    for _ in range(2):
        worker.tasks["job"].cancel()
        await asyncio.sleep(0)
    assert b'"s":"working"' in (await pool.get("arqstatus:1/job") or b"")
    await pool.client_unpause()
    record = await ended(client, "job")
    assert (record.status, record.at) == (Status.COMPLETE, 5)
    await until(lambda: worker.tasks == {})
    assert await pool.exists("arq:job:job", "arq:retry:job", "arq:in-progress:job") == 0
    assert bool(await pool.exists("arq:result:job")) == bool(keep_result)
    assert (runs, await pool.zcard("arq:queue")) == (1, 0)


async def test_a_field_is_read_back_while_it_is_on_its_way(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """A job reads what it stored also in the moment in which that is being written."""

    async def job(ctx: Context) -> None:
        status: JobTracker = ctx["status"]
        await status.store(vino="old")
        await status.flush()
        await pool.client_pause(5_000, all=False)
        await status.store(vino="new")

        async def is_on_its_way() -> bool:
            info = await pool.info("clients")
            return bool(info["blocked_clients"])

        await until(is_on_its_way)
        assert await status.retrieve("vino") == "new"
        await pool.client_unpause()

    await start_worker(settings_of(job))
    await pool.enqueue_job("job", _job_id="job")
    record = await ended(client, "job")
    assert (record.error, record.data) == (None, {"vino": "new"})


async def test_rows_that_overtake_each_other_lose_no_field(pool: ArqRedis) -> None:
    """Of two rows on their way at once the later has all that the earlier was to write."""
    outbox = Outbox()
    run = Attempt("job", StoredRecord(enqueued_ms=1, job_try=1), outbox)
    run.store({"vino": "veritas"})
    [(_, slow)] = outbox.take(1, progress=True)
    run.at(5, None)
    [(_, fast)] = outbox.take(1, progress=True)
    store = Store(pool)
    await store.write([fast])
    await store.write([slow])
    assert await store.field("job", "vino") == b'"veritas"'
    run.mark_sent(fast)
    run.mark_sent(slow)
    assert run.data is not None
    assert not run.data.to_send()


# Redis that refuses


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of these tests' own, whose rules they may change."""
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def admin(server: Server) -> AsyncIterator[Redis]:
    """A connection to it, empty, that may do all and sets the rules right again."""
    async with Redis(port=server.port) as redis:
        await redis.flushall()
        await allow(redis, "on", ">pass", "~*", "&*", "+@all")
        yield redis


@pytest.fixture
async def own_pool(admin: Redis, server: Server) -> AsyncIterator[ArqRedis]:
    """Arq's pool on it, of a user with rules of its own."""
    pool = await create_pool(their_settings(server))
    yield pool
    await pool.aclose()


def their_settings(server: Server) -> RedisSettings:
    """Settings of that user."""
    return RedisSettings(port=server.port, username="worker", password="pass")


async def allow(admin: Any, *rules: str) -> None:
    """Change what that user may do."""
    await admin.execute_command("ACL", "SETUSER", "worker", *rules)


@asynccontextmanager
async def running_worker(server: Server, settings: dict[str, Any]) -> AsyncIterator[None]:
    """A worker of that user; it has shut down afterwards."""
    worker = create_worker(
        settings,
        redis_settings=their_settings(server),
        poll_delay=0.02,
        handle_signals=False,
    )
    task = asyncio.create_task(worker.async_run())
    try:
        yield
    finally:
        worker.max_burst_jobs, worker.burst = 0, True
        await asyncio.wait((task,))
        await worker.close()


async def test_redis_that_refuses_from_the_start(
    server: Server, admin: Redis, own_pool: ArqRedis, caplog: pytest.LogCaptureFixture
) -> None:
    """Jobs run where Redis takes nothing of ours; that is told once, and all arrives later."""
    caplog.set_level(logging.INFO, "arq_status")
    await allow(admin, "-evalsha", "-eval")
    began = monotonic()

    async def job(ctx: Context) -> str:
        status: JobTracker = ctx["status"]
        await status.at(5, "refused")
        await status.store(vino="veritas")
        assert await status.retrieve("vino") == "veritas"
        return "done"

    for job_id in ("one", "two"):
        await own_pool.enqueue_job("job", _job_id=job_id)
    async with running_worker(server, settings_of(job)):
        await until(lambda: own_pool.exists("arq:result:one"))
        await until(lambda: own_pool.exists("arq:result:two"))
        assert monotonic() - began < 4
        assert not await admin.exists("arqstatus:1/one")
        # long enough for another heartbeat to be refused
        await asyncio.sleep(2.2)
        warnings = [it for it in caplog.records if it.name == "arq_status" and it.levelno > 20]
        assert len(warnings) == 1
        assert "lacks the permission +evalsha" in warnings[0].getMessage()
        await allow(admin, "+@all")
        for job_id in ("one", "two"):
            await until(partial(admin.exists, f"arqstatus:1/{job_id}"))
        await until(lambda: "sending reports again" in caplog.text)
    record = await StatusClient(own_pool).job("one")
    assert record is not None
    assert (record.status, record.at, record.message) == (Status.COMPLETE, 5, "refused")
    assert record.data == {"vino": "veritas"}


async def test_a_shutdown_does_not_wait_for_ever(
    server: Server,
    admin: Redis,
    own_pool: ArqRedis,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker that cannot write what is pending says so and ends."""
    monkeypatch.setattr("arq_status._tracking.writer.FLUSH_TIMEOUT", 0.2)
    await allow(admin, "-evalsha", "-eval")

    async def job(ctx: Context) -> None:
        await ctx["status"].at(5)

    await own_pool.enqueue_job("job", _job_id="job")
    async with running_worker(server, settings_of(job)):
        await until(lambda: own_pool.exists("arq:result:job"))
    assert "dropped unsent reports of 1 jobs" in caplog.text


async def test_a_record_that_redis_refuses(
    server: Server, admin: Redis, own_pool: ArqRedis, caplog: pytest.LogCaptureFixture
) -> None:
    """One record that cannot be written is dropped and logged; those beside it are written."""
    await allow(admin, "resetkeys", "~arq:*", "~arqstatus:1:[^j]*", "~arqstatus:1/good*")
    ready = asyncio.Barrier(3)

    async def job(ctx: Context) -> str:
        await ready.wait()
        await ctx["status"].at(5)
        await ctx["status"].flush()
        return "done"

    for job_id in ("good1", "bad", "good2"):
        await own_pool.enqueue_job("job", _job_id=job_id)
    async with running_worker(server, settings_of(job)):
        for job_id in ("good1", "bad", "good2"):
            await until(partial(own_pool.exists, f"arq:result:{job_id}"))
    async with StatusClient(server.dsn) as client:
        records = await client.jobs(["good1", "bad", "good2"])
    assert [(it.status, it.at) for it in records if it] == [
        (Status.COMPLETE, 5),
        (Status.COMPLETE, 0),
        (Status.COMPLETE, 5),
    ]
    assert "dropped a report of job 'bad'" in caplog.text


# a batch with a spoilt row


def waiting_run(job_id: str, outbox: Outbox, message: str | None = None) -> Attempt:
    """A run in the outbox."""
    run = Attempt(job_id, StoredRecord(enqueued_ms=1, job_try=1, message=message), outbox)
    run.store({"job": job_id})
    return run


class CutOff(Store):
    """Loses its connection once, at a given write."""

    def __init__(self, redis: Redis, at: int) -> None:
        super().__init__(redis)
        self.left = at

    async def write(self, rows: Any) -> set[str]:
        self.left -= 1
        if self.left == 0:
            raise RedisConnectionError("cut off")
        return await super().write(rows)


@pytest.mark.parametrize("cut_at", [0, 1, 2, 3, 4])
async def test_a_spoilt_row_and_a_lost_connection(
    pool: ArqRedis, caplog: pytest.LogCaptureFixture, cut_at: int
) -> None:
    """A row that is no UTF-8 takes no other with it, wherever the connection is lost besides."""
    outbox = Outbox()
    store = CutOff(pool, cut_at)
    runs = [
        waiting_run("first", outbox),
        waiting_run("bad", outbox, "\ud800"),
        waiting_run("last", outbox),
    ]
    if cut_at:
        with pytest.raises(RedisConnectionError):
            await Delivery(store, outbox).send(progress=True)
        assert outbox
    while outbox:
        await Delivery(store, outbox).send(progress=True)
    assert [run.first_row_written for run in runs] == [True, False, True]
    assert not any(run.data.to_send() for run in runs if run.data is not None)
    for job_id in ("first", "last"):
        assert await store.field(job_id, "job") == f'"{job_id}"'.encode()
    assert await pool.exists("arqstatus:1/bad") == 0
    assert caplog.text.count("dropped a report of job 'bad'") == 1


async def test_a_batch_that_is_refused_is_kept(server: Server, admin: Redis) -> None:
    """Where Redis takes none of the rows they stay in the outbox."""
    outbox = Outbox()
    for number in range(3):
        waiting_run(str(number), outbox)
    await admin.config_set("maxmemory-policy", "noeviction")
    await admin.config_set("maxmemory", 1)
    try:
        with pytest.raises(ResponseError):
            await Delivery(Store(admin), outbox).send(progress=True)
    finally:
        await admin.config_set("maxmemory", 0)
    assert outbox.size == 3
    assert await Delivery(Store(admin), outbox).send(progress=True) == 3
    assert not outbox


def test_an_outbox_that_is_too_full() -> None:
    """Those that only made progress go first, and come again with what they say next."""
    outbox = Outbox()
    runs = [waiting_run(str(number), outbox) for number in range(5)]
    runs[4].queue_urgently()
    assert outbox.shrink(10) == 0
    assert outbox.shrink(1) == 4
    assert [row.job_id for _, row in outbox.take(9, progress=True)] == ["4"]
    for each in runs:
        outbox.complete(each, CompletedRow(each.job_id, "", 1, 1))
    assert outbox.shrink(1) == 4
    assert [row.job_id for _, row in outbox.take(9, progress=True)] == ["4"]
    runs[0].at(1, None)
    [(attempt, row)] = outbox.take(9, progress=True)
    assert (attempt, row.fields) == (runs[0], {"job": '"0"'})


def test_an_outbox_gives_no_more_than_a_batch() -> None:
    """What is urgent comes first, each run once, and the rest stays."""
    outbox = Outbox()
    runs = [waiting_run(str(number), outbox) for number in range(4)]
    runs[3].queue_urgently()
    assert [it.job_id for _, it in outbox.take(2, progress=True)] == ["3", "0"]
    assert outbox.take(2, progress=False) == []
    assert [it.job_id for _, it in outbox.take(9, progress=True)] == ["1", "2"]


@pytest.mark.parametrize("completed_first", [True, False])
def test_an_outbox_notifies_once(completed_first: bool) -> None:
    """Whatever comes first notifies the writer; until that has looked nothing else need do so."""
    outbox = Outbox()
    notified: list[bool] = []
    outbox.notify = lambda: notified.append(True)
    run = Attempt("job", StoredRecord(enqueued_ms=1, job_try=1), outbox)
    for completed in (completed_first, not completed_first):
        if completed:
            outbox.complete(run, CompletedRow("job", run.record.encode(), 1, 1))
        else:
            outbox.add(run, urgent=True)
        assert notified == [True]


async def test_completed_jobs_wait_for_redis(pool: ArqRedis, client: StatusClient) -> None:
    """What of them could not be sent is sent later, unless it has expired by then."""
    outbox = Outbox()
    now = outbox.clock.now_ms()
    for job_id, expires in (("short", 1), ("long", 60_000)):
        record = StoredRecord(
            enqueued_ms=1,
            job_try=1,
            state=State.COMPLETE,
            started=now,
            ended=now,
            expires_after_ms=expires,
        )
        attempt = Attempt(job_id, record, outbox)
        outbox.complete(attempt, CompletedRow(job_id, record.encode(), now, expires))
    away = Redis(port=1)
    await until(lambda: outbox.clock.now_ms() > now + 1)
    with pytest.raises(RedisConnectionError):
        await Delivery(Store(away), outbox).send(progress=False)
    await away.aclose()
    assert [row.job_id for _, row in outbox.take(progress=False, ended=False)] == []
    assert await Delivery(Store(pool), outbox).send(progress=False) == 1
    assert [it and it.status for it in await client.jobs(["short", "long"])] == [
        None,
        Status.COMPLETE,
    ]


async def test_a_completed_job_that_redis_refuses(
    pool: ArqRedis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It alone is dropped, as any other that Redis will not take."""
    write = Store.write

    async def refuse_bad(self: Store, rows: Any) -> set[str]:
        if any(row.job_id == "bad" for row in rows):
            raise ResponseError("bad")
        return await write(self, rows)

    monkeypatch.setattr(Store, "write", refuse_bad)
    outbox = Outbox()
    for job_id in ("bad", "good"):
        record = StoredRecord(enqueued_ms=1, job_try=1, state=State.COMPLETE, ended=1)
        attempt = Attempt(job_id, record, outbox)
        outbox.complete(attempt, CompletedRow(job_id, record.encode(), 1, 60_000))
    assert await Delivery(Store(pool), outbox).send(progress=False) == 2
    assert not outbox
    assert "dropped a report of job 'bad'" in caplog.text


def test_what_has_ended_stays_where_the_worker_is_blocked() -> None:
    """Arq has not stored the end, and may run the job again."""
    outbox = Outbox()
    run = Attempt("job", StoredRecord(enqueued_ms=1, job_try=1), outbox)
    run.close(final=True)
    run.queue_urgently()
    outbox.complete(run, CompletedRow("job", "", 1, 1))
    run.drop()
    run.queue_urgently()
    assert outbox.take(progress=True, ended=False) == []
    assert outbox.size == 2


async def test_late_data_of_a_completed_job(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """What `after_job_end` stores and asks of a job that reported nothing is of that job."""
    seen: list[Any] = []

    async def job(ctx: Context) -> None:
        """Report nothing."""

    async def after_job_end(ctx: Context) -> None:
        status: JobTracker = ctx["status"]
        seen.append(status.record)
        await status.store(vino="veritas")

    # the first one waits for Redis to be told that it begins
    await pool.enqueue_job("job", _job_id="first")
    await pool.enqueue_job("job", _job_id="job")
    await run_burst(settings_of(job, after_job_end=after_job_end))
    record = await ended(client, "job")
    assert (record.status, record.data) == (Status.COMPLETE, {"vino": "veritas"})
    assert [it.status for it in seen] == [Status.COMPLETE] * 2
    own = next(it for it in seen if it.job_id == "job")
    assert (own.started_at, own.ended_at) == (record.started_at, record.ended_at)
    assert own.elapsed == record.elapsed


async def test_an_ended_job_that_has_expired_is_not_written() -> None:
    """Redis was away for longer than its record was to be shown."""
    outbox = Outbox()
    record = StoredRecord(enqueued_ms=1, job_try=1, state=State.FAILED, expires_after_ms=1)
    run = Attempt("job", record, outbox)
    run.close(final=True)
    closed = monotonic()
    await until(lambda: monotonic() > closed + 0.001)
    run.queue_urgently()
    assert not outbox


async def test_threads_may_notify(pool: ArqRedis) -> None:
    """A report from a thread wakes the writer of the event loop."""
    outbox = Outbox()
    writer = Writer(Store(pool), outbox)
    run = Attempt("thread", StoredRecord(enqueued_ms=1, job_try=1), outbox)
    await asyncio.to_thread(run.at, 7, "from a thread")
    await until(lambda: pool.exists("arqstatus:1/thread"))
    await writer.close()
    assert not outbox


def test_a_row_has_what_is_new() -> None:
    """Fields are written once, and again when they change."""
    run = Attempt("job", StoredRecord(enqueued_ms=1, job_try=1), Outbox())
    run.store({"a": 1, "b": 2})
    row = run.take_row()
    assert isinstance(row, Row)
    assert (row.is_first, row.fields) == (True, {"a": "1", "b": "2"})
    run.store({"a": 3})
    run.mark_sent(row)
    assert run.take_row().fields == {"a": "3"}


async def test_a_late_row_of_a_dead_try(pool: ArqRedis, client: StatusClient) -> None:
    """What a try says after the next one has begun, or the job has ended, is not written."""
    outbox, store = Outbox(), Store(pool)
    first = Attempt("job", StoredRecord(enqueued_ms=1, job_try=1), outbox)
    second = Attempt("job", StoredRecord(enqueued_ms=1, job_try=2), outbox)
    first.at(50, "late")
    first.store({"late": True})
    second.at(7, "second")
    await store.write([second.take_row()])
    await store.write([first.take_row()])
    track = await store.stored_record("job")
    assert track is not None
    assert (track.job_try, track.at, track.message) == (2, 7, "second")
    assert await store.field("job", "late") is None


async def test_more_than_a_batch(pool: ArqRedis) -> None:
    """What does not fit into one batch goes out with the next, at once."""
    outbox = Outbox()
    writer = Writer(Store(pool), outbox)
    for number in range(600):
        waiting_run(str(number), outbox)
    began = monotonic()
    await writer.flush(waiting_run("last", outbox))
    assert monotonic() - began < 4
    await writer.close()
    assert len(await pool.keys("arqstatus:1/*")) == 601


async def test_closing_releases_who_waits(pool: ArqRedis) -> None:
    """Nobody goes on waiting for a writer that is being closed."""
    outbox = Outbox()
    writer = Writer(Store(pool), outbox)
    flushing = [
        asyncio.create_task(writer.flush(waiting_run(str(number), outbox))) for number in range(5)
    ]
    await asyncio.sleep(0)
    began = monotonic()
    await writer.close()
    await asyncio.gather(*flushing)
    assert monotonic() - began < 4


async def test_a_redis_that_refuses_and_then_goes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who refuses holds no job up, who is away does for a while; both are told of once."""
    caplog.set_level(logging.INFO, "arq_status")
    server = Server(tmp_path)
    server.start()
    outbox = Outbox()
    try:
        async with Redis(port=server.port) as redis:
            await redis.config_set("maxmemory-policy", "noeviction")
            await redis.config_set("maxmemory", 1)
            writer = Writer(Store(redis), outbox)
            run = waiting_run("job", outbox)
            began = monotonic()
            await writer.flush(run)
            assert monotonic() - began < 4
            assert outbox
            server.stop()
            await writer.flush(run, 0.3)
            assert not run.first_row_written
            server.start()
            await until(lambda: run.first_row_written)
            await writer.close()
            assert await Store(redis).field("job", "job") == b'"job"'
    finally:
        server.stop()
    assert caplog.text.count("could not send reports") == 1
    assert caplog.text.count("sending reports again") == 1


async def test_closing_while_redis_is_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be sent at the end is given up, and its number told."""
    monkeypatch.setattr("arq_status._tracking.writer.FLUSH_TIMEOUT", 0.2)
    server = Server(tmp_path)
    server.start()
    outbox = Outbox()
    async with Redis(port=server.port) as redis:
        writer = Writer(Store(redis), outbox)
        server.stop()
        for number in range(3):
            waiting_run(str(number), outbox)
        began = monotonic()
        await writer.close()
        assert monotonic() - began < 4
    assert "dropped unsent reports of 3 jobs" in caplog.text


async def test_waiting_for_a_writer_that_was_closed(pool: ArqRedis) -> None:
    """Who waits for what nobody writes any more waits as long as told and no longer."""
    outbox = Outbox()
    writer = Writer(Store(pool), outbox)
    await writer.close()
    began = monotonic()
    await writer.flush(waiting_run("late", outbox), 0.05)
    assert monotonic() - began < 4
    assert not await pool.exists("arqstatus:1/late")


async def test_a_writer_outlives_what_goes_wrong_in_it(
    pool: ArqRedis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody waits for it then, and it goes on."""
    write = Store.write
    wrong = [RuntimeError("no vino")]

    async def fail_once(self: Store, rows: Any) -> set[str]:
        if wrong:
            raise wrong.pop()
        return await write(self, rows)

    monkeypatch.setattr(Store, "write", fail_once)
    outbox = Outbox()
    writer = Writer(Store(pool), outbox)
    await writer.flush(waiting_run("job", outbox))
    assert "RuntimeError('no vino')" in caplog.text
    await until(partial(pool.exists, "arqstatus:1/job"))
    await writer.close()


# permissions


@pytest.mark.parametrize(
    ("rules", "missing"),
    [
        (("-evalsha", "-eval"), "+evalsha"),
        (("resetkeys", "~arq:*"), "~arqstatus*, or ~ the name of a queue"),
    ],
)
async def test_a_user_who_may_not_track(
    server: Server,
    admin: Redis,
    own_pool: ArqRedis,
    caplog: pytest.LogCaptureFixture,
    rules: tuple[str, ...],
    missing: str,
) -> None:
    """No job waits for what is refused; one line in the log names the permission."""
    await allow(admin, *rules)

    async def job(ctx: Context) -> None:
        await ctx["status"].at(5)
        await ctx["status"].store(vino="veritas")

    for number in range(40):
        await own_pool.enqueue_job("job", _job_id=f"job{number}")
    began = monotonic()
    async with running_worker(server, settings_of(job)):
        await until(lambda: own_pool.exists("arq:result:job39"))
        # the worker's start waits for its first heartbeat, 40 ends would wait for seconds
        assert monotonic() - began < 4
        before = await calls(admin)
        await asyncio.sleep(2.5)
        after = await calls(admin)
    refused = [it.getMessage() for it in caplog.records if it.name == "arq_status"]
    assert len([it for it in refused if "lacks the permission" in it]) == 1
    assert f"lacks the permission {missing} " in "".join(refused)
    assert after.get("evalsha", 0) - before.get("evalsha", 0) < 40


async def test_a_user_who_may_not_publish(
    server: Server, admin: Redis, own_pool: ArqRedis, caplog: pytest.LogCaptureFixture
) -> None:
    """Jobs are tracked; that nobody is told of changes is logged once."""
    await allow(admin, "resetchannels")

    async def job(ctx: Context) -> None:
        await ctx["status"].at(5)

    for job_id in ("one", "two"):
        await own_pool.enqueue_job("job", _job_id=job_id)
    async with running_worker(server, settings_of(job)):
        for job_id in ("one", "two"):
            await until(partial(own_pool.exists, f"arq:result:{job_id}"))
    async with StatusClient(server.dsn) as client:
        records = await client.jobs(["one", "two"])
    assert [(it.status, it.at) for it in records if it] == [(Status.COMPLETE, 5)] * 2
    warnings = [it.getMessage() for it in caplog.records if it.name == "arq_status"]
    assert len(warnings) == 1
    assert "lacks the permission &arqstatus:*" in warnings[0]


@pytest.mark.parametrize(
    ("error", "permission"),
    [
        (ResponseError("OOM command not allowed"), None),
        (RedisConnectionError("no key"), None),
        (NoPermissionError("User x has no permissions to run the 'publish' command"), "+publish"),
        (NoPermissionError("No permissions to access a channel"), "&arqstatus:*"),
        (
            ResponseError("ACL failure in script: No permissions to access a key"),
            "~arqstatus*, or ~ the name of a queue",
        ),
        (
            ResponseError("The user executing the script can't run this command or subcommand"),
            "+@all -@dangerous",
        ),
    ],
)
def test_the_permission_that_an_error_tells(error: Exception, permission: str | None) -> None:
    """It is named as an ACL rule, whichever version of Redis says it."""
    assert missing_permission(error) == permission


async def test_the_writer_backs_off(pool: ArqRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    """While Redis is away it tries again after ever longer pauses, at most a second."""
    tried: list[float] = []

    async def fail(self: Store, rows: Any) -> set[str]:
        tried.append(monotonic())
        raise RedisConnectionError("away")

    monkeypatch.setattr(Store, "write", fail)
    outbox = Outbox()
    writer = Writer(Store(pool), outbox)
    run = waiting_run("job", outbox)
    run.queue_urgently()
    await until(lambda: len(tried) == 7)
    monkeypatch.undo()
    await until(lambda: run.first_row_written)
    await writer.close()
    pauses = [later - earlier for earlier, later in pairwise(tried)]
    assert pauses[0] < 0.5
    assert pauses[4] > 0.7
    assert 0.9 < pauses[5] < 1.5


async def test_more_than_is_kept_while_redis_is_away(
    pool: ArqRedis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The oldest progress is dropped and its number logged; the rest arrives."""
    away = [RedisConnectionError("away")]
    write = Store.write

    async def fail_once(self: Store, rows: Any) -> set[str]:
        if away:
            raise away.pop()
        return await write(self, rows)

    monkeypatch.setattr(Store, "write", fail_once)
    monkeypatch.setattr("arq_status._tracking.writer.CAPACITY", 3)
    outbox = Outbox()
    runs = [waiting_run(str(number), outbox) for number in range(5)]
    writer = Writer(Store(pool), outbox)
    writer.notify()
    await until(lambda: sum(run.first_row_written for run in runs) == 3)
    await writer.close()
    assert "dropped those of 2 jobs" in caplog.text


async def test_many_refused_rows_are_not_tried_one_by_one(
    pool: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After ten of them all count as refused; afterwards one is tried now and then."""
    sizes: list[int] = []

    async def refuse(self: Store, rows: Any) -> set[str]:
        sizes.append(len(rows))
        raise ResponseError("OOM")

    monkeypatch.setattr(Store, "write", refuse)
    outbox = Outbox()
    writer = Writer(Store(pool), outbox)
    runs = [waiting_run(str(number), outbox) for number in range(200)]
    await writer.flush(runs[0])
    assert outbox.busy_until > monotonic()
    await until(lambda: len(sizes) >= 14)
    monkeypatch.undo()
    assert sizes[:14] == [200, *[1] * 13]
    await until(lambda: all(run.first_row_written for run in runs))
    await writer.close()
