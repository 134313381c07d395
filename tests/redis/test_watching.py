"""Following jobs: watch, wait, and the feed behind them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import pytest
from arq import Retry, func
from arq.connections import ArqRedis, RedisSettings, create_pool
from redis.asyncio import Redis

import arq_status
from arq_status import (
    JobRecord,
    JobTracker,
    Status,
    StatusClient,
    status_options,
    track_status,
)
from arq_status._client import feed, subscription
from arq_status._client.feed import Feed
from arq_status._model.builder import build_record
from arq_status._model.facts import Facts
from arq_status._redis.lookup import Fields
from arq_status._redis.store import Store
from tests.conftest import RunBurst, StartWorker, until
from tests.jobs import add
from tests.network import Link
from tests.records import write_end
from tests.server import Server
from tests.verdicts import FOLLOWERS
from tests.worker_process import worker_process

Context = dict[str, Any]


async def follow(client: StatusClient, job_id: str = "job") -> list[JobRecord]:
    """Return everything that a watcher sees of a job."""
    return [record async for record in client.watch(job_id)]


async def subscribers(pool: ArqRedis) -> int:
    """Return how many connections are subscribed to changes."""
    [(_, number)] = await pool.pubsub_numsub("arqstatus:1:changes:0")
    return int(number)


async def test_watch(pool: ArqRedis, client: StatusClient, start_worker: StartWorker) -> None:
    """It yields the job now, at every change, and finally when it has ended."""
    go = asyncio.Event()

    async def job(ctx: Context) -> None:
        status: JobTracker = ctx["status"]
        await status.at(10, "ten")
        await go.wait()
        go.clear()
        await status.store(rows=1)
        await go.wait()
        await status.at(99, "last")

    await pool.enqueue_job("job", _job_id="job")
    seen: list[JobRecord] = []
    async with aclosing(client.watch("job")) as records:
        async for record in records:
            seen.append(record)
            if len(seen) == 1:
                await start_worker(track_status({"functions": [func(job, name="job")]}))
            elif record.at == 10:
                go.set()
    assert seen[0].status is Status.QUEUED
    assert (seen[-1].status, seen[-1].message) == (Status.COMPLETE, "last")
    assert ("ten", {}) in [(it.message, it.data) for it in seen]
    assert ("ten", {"rows": 1}) in [(it.message, it.data) for it in seen]
    assert all(
        after.status in FOLLOWERS[before.status] | {before.status}
        for before, after in pairwise(seen)
    )
    await until(lambda: _is_alone(pool))


async def test_what_comes_fast_is_told_as_one(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """A watcher of a fast job sees some changes, in order, and the end."""

    async def job(ctx: Context) -> None:
        for step in range(100):
            await ctx["status"].at(step)
            await asyncio.sleep(0.005)

    await start_worker(track_status({"functions": [func(job, name="job")]}))
    await pool.enqueue_job("job", _job_id="job")
    began = monotonic()
    seen = await follow(client)
    steps = [record.at for record in seen]
    assert steps == sorted(steps)
    assert 3 < len(set(steps)) < 10 + 20 * (monotonic() - began)
    assert (seen[-1].status, seen[-1].at) == (Status.COMPLETE, 99)


async def end_with(error: BaseException | None) -> None:
    if error is not None:
        raise error


@pytest.mark.parametrize("keep_result", [0, 3600])
@pytest.mark.parametrize("track", [True, False], ids=["tracked", "untracked"])
@pytest.mark.parametrize(
    ("error", "status"),
    [(None, Status.COMPLETE), (ValueError("no"), Status.FAILED), (Retry(), Status.COMPLETE)],
    ids=["returns", "raises", "retries"],
)
async def test_wait(
    pool: ArqRedis,
    client: StatusClient,
    start_worker: StartWorker,
    error: Exception | None,
    status: Status,
    track: bool,
    keep_result: int,
) -> None:
    """It returns the final record of every job, however short it is and whoever tracks it."""

    @status_options(track=track)
    async def job(ctx: Context) -> None:
        if ctx["job_try"] == 1:
            await end_with(error)

    if not track and not keep_result:
        status = Status.FAILED  # nothing is left of it, so it counts as unknown
    function = func(job, name="job", keep_result=keep_result)
    await start_worker(track_status({"functions": [function]}))
    waiting = []
    for number in range(20):
        await pool.enqueue_job("job", _job_id=str(number))
        waiting.append(asyncio.create_task(client.wait(str(number), timeout=10)))
        await asyncio.sleep(number / 1000)
    records = await asyncio.gather(*waiting)
    if track or keep_result:
        assert [record and record.status for record in records] == [status] * 20
    else:
        assert records == [None] * 20


async def test_wait_for_a_job_that_has_ended(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """It opens no connection of its own; for an unknown job it returns None."""
    await pool.enqueue_job("add", 1, 2, _job_id="job")
    await run_burst(track_status({"functions": [add]}))
    before = (await pool.info("stats"))["total_connections_received"]
    record = await arq_status.wait("job", timeout=0)
    assert record == await client.job("job")
    assert [it async for it in arq_status.watch("job")] == [record]
    assert await client.wait("unknown") is None
    assert await follow(client, "unknown") == []
    assert (await pool.info("stats"))["total_connections_received"] == before


async def test_wait_times_out(pool: ArqRedis, client: StatusClient) -> None:
    """It raises ``TimeoutError`` on time, and leaves nothing open."""
    await pool.enqueue_job("add", 1, 2, _job_id="job")
    began = monotonic()
    with pytest.raises(TimeoutError):
        await client.wait("job", timeout=0.3)
    assert 0.3 <= monotonic() - began < 5
    await until(lambda: _is_alone(pool))


async def _is_alone(pool: ArqRedis) -> bool:
    return await subscribers(pool) == 0


async def test_wait_sees_a_cancelled_job_end(
    pool: ArqRedis, client: StatusClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, because cancel publishes it: no polling is needed."""
    monkeypatch.setattr(feed, "POLL_INTERVAL", 3600)
    await pool.enqueue_job("add", 1, 2, _job_id="job", _defer_by=60)
    waiting = asyncio.create_task(client.wait("job", timeout=10))
    await until(lambda: _listens(pool))
    await client.cancel("job")
    record = await waiting
    assert record is not None
    assert record.status is Status.STOPPED


async def _listens(pool: ArqRedis) -> bool:
    return await subscribers(pool) > 0


async def test_what_publishes_nothing_is_seen(pool: ArqRedis, client: StatusClient) -> None:
    """A due time and a job deleted by someone are noticed."""
    await pool.enqueue_job("add", 1, 2, _job_id="job", _defer_by=2)
    seen = []
    async with aclosing(client.watch("job")) as records, asyncio.timeout(15):
        async for record in records:
            seen.append(record.status)
            if record.status is Status.QUEUED:
                await pool.delete("arq:queue", "arq:job:job")
    assert seen == [Status.DEFERRED, Status.QUEUED]


async def test_watch_of_a_deleted_job(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """The iteration ends, and ``wait`` returns None."""
    await pool.enqueue_job("add", 1, 2, _job_id="job", _defer_by=60)
    await client.store("job", a=1)
    waiting = asyncio.create_task(client.wait("job", timeout=10))
    await until(lambda: _listens(pool))
    # its record first: a job that arq has lost, but that has a record, was given up
    await client.delete("job")
    await pool.delete("arq:queue", "arq:job:job")
    assert await waiting is None


@pytest.mark.long(10)
async def test_watch_goes_on_through_an_interruption(
    pool: ArqRedis, client: StatusClient, dsn: str, tmp_path: Path
) -> None:
    """A killed worker is noticed within 15 s, then the end by the next one."""
    async with worker_process(dsn, tmp_path) as worker:
        await pool.enqueue_job("wait_once", _job_id="job")
        statuses: asyncio.Queue[Status] = asyncio.Queue()

        async def watch() -> None:
            async for record in client.watch("job"):
                statuses.put_nowait(record.status)

        watching = asyncio.create_task(watch())
        while await statuses.get() is not Status.WORKING:
            pass
        await worker.kill()
        async with asyncio.timeout(15):
            while (status := await statuses.get()) is Status.WORKING:
                pass
        assert status is Status.INTERRUPTED
    await pool.delete("arq:in-progress:job")
    async with worker_process(dsn, tmp_path):
        await asyncio.wait_for(watching, 10)
    seen = []
    while not statuses.empty():
        seen.append(statuses.get_nowait())
    assert seen[-1] is Status.COMPLETE


async def test_one_connection_for_all(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """It serves any number of watchers and jobs; the last one to leave closes it."""
    go = asyncio.Event()

    async def job(ctx: Context) -> None:
        await go.wait()
        await ctx["status"].at(1)

    await start_worker(track_status({"functions": [func(job, name="job")]}), max_jobs=50)
    for number in range(20):
        await pool.enqueue_job("job", _job_id=str(number))
    watching = [asyncio.create_task(follow(client, str(number % 20))) for number in range(200)]
    left = asyncio.create_task(follow(client, "3"))
    await until(lambda: _listens(pool))
    assert await subscribers(pool) == 1
    left.cancel()
    await asyncio.wait([left])
    go.set()
    for seen in await asyncio.gather(*watching):
        assert seen[-1].status is Status.COMPLETE
    await until(lambda: _is_alone(pool))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A server of the test's own that it may damage."""
    server = Server(tmp_path)
    server.start()
    yield server
    server.stop()


async def test_a_lost_connection(pool: ArqRedis, client: StatusClient) -> None:
    """Changes that were missed are seen when the connection is back."""
    await pool.enqueue_job("add", 1, 2, _job_id="job", _defer_by=60)
    waiting = asyncio.create_task(client.wait("job", timeout=10))
    for _ in range(3):
        await until(lambda: _listens(pool))
        await pool.client_kill_filter(_type="pubsub")
    await client.cancel("job")
    record = await waiting
    assert record is not None
    assert record.status is Status.STOPPED


async def test_a_server_that_is_away(server: Server) -> None:
    """A watcher waits until it is back."""
    settings = RedisSettings(port=server.port, conn_retries=0)
    pool = await create_pool(settings)
    async with StatusClient(settings) as client:
        await pool.enqueue_job("add", 1, 2, _job_id="job", _defer_by=60)
        waiting = asyncio.create_task(client.wait("job", timeout=20))
        await until(lambda: _listens(pool))
        server.stop()
        heard = monotonic()
        await until(lambda: monotonic() - heard > 0.5)
        server.start()
        await pool.set("arq:job:job", b"damaged")
        await pool.delete("arq:job:job")
        assert await waiting is None
    await pool.aclose()


async def test_hostile_messages(pool: ArqRedis, client: StatusClient) -> None:
    """A watcher continues whatever is published."""
    await pool.enqueue_job("add", 1, 2, _job_id="job", _defer_by=60)
    waiting = asyncio.create_task(client.wait("job", timeout=10))
    await until(lambda: _listens(pool))
    for message in (
        b"\xff",
        b"",
        b"1",
        b"null",
        b'{"job": [{}]}',
        b"[[], {}, 1]",
        json.dumps(["x"]),
    ):
        await pool.publish("arqstatus:1:changes:0", message)
    await client.cancel("job")
    record = await waiting
    assert record is not None
    assert record.status is Status.STOPPED


async def test_a_client_that_decodes(pool: ArqRedis, dsn: str) -> None:
    """The user's client may return strings, and keeps its connections."""
    redis: Redis = Redis.from_url(dsn, decode_responses=True, max_connections=1)
    async with redis, StatusClient(redis) as client:
        await pool.enqueue_job("add", 1, 2, _job_id="job", _defer_by=60)
        waiting = asyncio.create_task(client.wait("job", timeout=10))
        await until(lambda: _listens(pool))
        assert await client.cancel("job")
        record = await waiting
        assert record is not None
        assert record.status is Status.STOPPED


async def test_closing_a_client_that_is_watched(pool: ArqRedis, client: StatusClient) -> None:
    """It closes its connection; a client that is used again opens another one."""
    await pool.enqueue_job("add", 1, 2, _job_id="job", _defer_by=60)
    watching = asyncio.create_task(follow(client))
    await until(lambda: _listens(pool))
    await client.aclose()
    await until(lambda: _is_alone(pool))
    watching.cancel()
    await asyncio.wait([watching])
    waiting = asyncio.create_task(client.wait("job", timeout=10))
    await until(lambda: _listens(pool))
    await client.cancel("job")
    assert await waiting is not None


def test_a_client_in_several_event_loops(dsn: str) -> None:
    """One after the other, each with its own connection."""
    client = StatusClient(dsn)

    async def use() -> None:
        pool = await create_pool(RedisSettings.from_dsn(dsn))
        await pool.flushdb()
        await pool.enqueue_job("add", 1, 2, _job_id="job", _defer_by=60)
        waiting = asyncio.create_task(client.wait("job", timeout=10))
        await until(lambda: _listens(pool))
        await client.cancel("job")
        assert await waiting is not None
        await client.aclose()
        await pool.aclose()

    for _ in range(2):
        asyncio.run(use())


async def test_a_feed_whose_jobs_change(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """A follower that changes its jobs gets the new ones' records and all later changes."""
    for name in ("a", "b", "c"):
        await pool.enqueue_job("add", 1, 2, _job_id=name, _defer_by=60)
    feed = await client._feed()
    async with feed.follow(["a", "b"], others=True) as following:
        told: dict[str, JobRecord | None] = {}
        async with asyncio.timeout(5):
            while told.keys() != {"a", "b"}:
                told |= await following.changed()
            following.subjects = {"b", "c", "unknown"}
            assert following.subjects == {"b", "c", "unknown"}
            told = {}
            while told.keys() != {"c", "unknown"}:
                told |= await following.changed()
            assert told["unknown"] is None
            await client.cancel("a")
            assert await following.changed() == {}
            await client.cancel("b")
            while "b" not in (told := await following.changed()):
                pass
            assert told["b"] is not None
            assert told["b"].status is Status.STOPPED


@pytest.mark.parametrize("silence", [0.02, 10])
async def test_a_heartbeat(pool: ArqRedis, client: StatusClient, silence: float) -> None:
    """After this many seconds without a change a watcher gets the last record again."""
    await pool.enqueue_job("add", 1, 2, _job_id="job", _defer_by=60)
    seen: list[JobRecord] = []
    async with aclosing(client.watch("job", heartbeat=silence)) as records:
        async for record in records:
            seen.append(record)
            if len(seen) == (4 if silence < 1 else 1):
                await client.cancel("job")
    *before, last = seen
    assert before == [before[0]] * len(before)
    assert (before[0].status, last.status) == (Status.DEFERRED, Status.STOPPED)
    assert len(before) >= 4 if silence < 1 else len(before) == 1


@pytest.mark.parametrize("heartbeat", [0, -1, float("nan")])
async def test_a_heartbeat_is_positive(client: StatusClient, heartbeat: float) -> None:
    """Anything else is refused, even for an unknown job."""
    with pytest.raises(ValueError, match="heartbeat must be positive"):
        await anext(client.watch("unknown", heartbeat=heartbeat))


async def test_seconds_are_numbers(client: StatusClient) -> None:
    """Anything else is refused by its name, even for an unknown job."""
    text: Any = "3"
    with pytest.raises(TypeError, match="heartbeat must be a number, not str"):
        await anext(client.watch("unknown", heartbeat=text))
    with pytest.raises(TypeError, match="timeout must be a number, not str"):
        await client.wait("unknown", timeout=text)
    with pytest.raises(TypeError, match="timeout must be a number, not str"):
        await client.wait_group("unknown", timeout=text)


@pytest.mark.parametrize("timeout", [0, 0.05, 0.5])
@pytest.mark.parametrize("stalled", ["before", "while it waits"])
async def test_wait_times_out_though_redis_hangs(
    pool: ArqRedis, dsn: str, timeout: float, stalled: str
) -> None:
    """On time, whether Redis stops responding before the first query or later."""
    await pool.enqueue_job("add", 1, 2, _job_id="job", _defer_by=60)
    async with (
        Link(urlsplit(dsn).port or 6379) as link,
        StatusClient(f"redis://127.0.0.1:{link.port}/0") as client,
    ):
        if stalled == "before":
            link.cut()
            began = monotonic()
        else:
            waiting = asyncio.create_task(client.wait("job", timeout=timeout + 1))
            await until(lambda: _listens(pool))
            began = monotonic()
            link.cut()
        with pytest.raises(TimeoutError):
            await (waiting if stalled != "before" else client.wait("job", timeout=timeout))
        assert monotonic() - began < timeout + 1.5


async def test_wait_may_look_once(pool: ArqRedis, client: StatusClient) -> None:
    """With a timeout of 0 it distinguishes an ended job from one that has not ended."""
    await write_end(pool, "ended")
    record = await client.wait("ended", timeout=0)
    assert record is not None
    assert record.status is Status.COMPLETE
    await pool.enqueue_job("add", 1, 2, _job_id="queued")
    with pytest.raises(TimeoutError):
        await client.wait("queued", timeout=0)


async def test_a_dead_connection_is_noticed(
    pool: ArqRedis,
    dsn: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A connection that silently carries nothing any more is replaced."""
    assert 2 * subscription.SILENCE < 30
    monkeypatch.setattr(subscription, "SILENCE", 0.1)
    monkeypatch.setattr(feed, "POLL_INTERVAL", 3600)
    await pool.enqueue_job("add", 1, 2, _job_id="job", _defer_by=60)
    async with (
        Link(urlsplit(dsn).port or 6379) as link,
        StatusClient(f"redis://127.0.0.1:{link.port}/0") as client,
    ):
        waiting = asyncio.create_task(client.wait("job", timeout=10))
        await until(lambda: _listens(pool))
        link.cut()
        await StatusClient(pool).cancel("job")
        record = await waiting
    assert record is not None
    assert record.status is Status.STOPPED
    assert "pub/sub connection lost, reconnecting" in caplog.text


async def test_a_long_silence(
    pool: ArqRedis,
    client: StatusClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An idle connection stays open as long as the server responds."""
    monkeypatch.setattr(subscription, "SILENCE", 0.02)
    await pool.enqueue_job("add", 1, 2, _job_id="job", _defer_by=60)
    waiting = asyncio.create_task(client.wait("job", timeout=10))
    await until(lambda: _listens(pool))
    quiet = monotonic()
    await until(lambda: monotonic() - quiet > 0.1)
    await client.cancel("job")
    assert await waiting is not None
    assert "reconnecting" not in caplog.text


class SlowStore(Store):
    """A store that pauses before it returns."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis)
        self.reading = asyncio.Event()
        self.go_on = asyncio.Event()

    async def facts(self, *args: Any, **options: Any) -> list[tuple[Facts, Fields]]:
        """Read the facts, and return them when told to."""
        found = await super().facts(*args, **options)
        self.reading.set()
        await self.go_on.wait()
        return found


async def test_one_who_leaves_while_jobs_are_read(pool: ArqRedis) -> None:
    """Records that nobody follows any more are dropped; others get theirs."""
    reader = SlowStore(pool)
    feed = Feed(reader)
    async with feed.follow(["a"]) as stays:
        async with feed.follow(["b"]):
            await reader.reading.wait()
        reader.go_on.set()
        assert await stays.changed() == {"a": None}
        assert feed._followed.keys() == {"a"}


async def test_one_who_leaves_while_groups_are_read(pool: ArqRedis) -> None:
    """The same holds for groups."""
    reader = SlowStore(pool)
    feed = Feed(reader)
    async with feed.follow_group("a") as stays:
        async with feed.follow_group("b"):
            await reader.reading.wait()
        reader.go_on.set()
        assert list((await stays.changed()).values()) == [None]
        assert len(feed._followed) == 1


async def test_a_follower_survives_what_goes_wrong(
    pool: ArqRedis,
    client: StatusClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """After any error a follower gets the next change."""
    await pool.enqueue_job("add", 1, 2, _job_id="job", _defer_by=60)
    build, wrong = build_record, [RuntimeError("no vino")]

    def fail_once(*args: Any) -> Any:
        if wrong:
            raise wrong.pop()
        return build(*args)

    monkeypatch.setattr("arq_status._client.feed.build_record", fail_once)
    waiting = asyncio.create_task(client.wait("job", timeout=10))
    await until(lambda: "RuntimeError: no vino" in caplog.text)
    await client.cancel("job")
    assert await waiting is not None
