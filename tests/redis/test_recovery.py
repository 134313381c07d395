"""Expiry from the indexes, and recovery of what dead workers left behind."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from arq.connections import ArqRedis, RedisSettings
from arq.utils import timestamp_ms
from arq.worker import func
from redis.asyncio import Redis

from arq_status import Status, StatusClient, track_status
from arq_status._model.record import State, StoredRecord
from arq_status._redis.store import Store
from arq_status._tracking.heartbeat import _sweep
from tests.conftest import StartWorker, ended, until
from tests.records import HOUR, beat, begin, own_keys, put_job, put_result, write_end, write_record
from tests.server import Server


async def test_expired_jobs_leave_the_indexes(pool: ArqRedis, client: StatusClient) -> None:
    """They are in no list immediately, and a client or worker sweeps them out."""
    now = timestamp_ms()
    for number in range(30):
        await write_end(
            pool, str(number), ended=now - HOUR, expires_after_ms=HOUR - 1 + number // 15 * HOUR
        )
    page = await client.list_jobs()
    assert page.total == 15
    store = Store(pool)
    await write_end(pool, "short", expires_after_ms=1)
    await until(lambda: _is_gone(pool, "short"))
    while await store.sweep(4):
        pass
    await _sweep(store)
    assert await pool.keys("arqstatus:1:ended:*") == [
        f"arqstatus:1:ended:complete:{2 * HOUR - 1}".encode()
    ]


async def _is_gone(pool: ArqRedis, job_id: str) -> bool:
    return not await pool.exists(f"arqstatus:1/{job_id}")


@pytest.mark.parametrize("expires", [1, 1.0, timedelta(seconds=1)])
async def test_expiry(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker, expires: Any
) -> None:
    """A second after its end a job is unknown, even if arq keeps its result; no key is left."""

    async def work(ctx: dict[str, Any]) -> None:
        await ctx["status"].store(vino="veritas")
        await ctx["status"].flush()
        assert await pool.ttl("arqstatus:1/job") == -1
        assert await pool.ttl("arqstatus:1:data:job") == -1
        assert await client.store("job", more=1)
        assert await pool.ttl("arqstatus:1:data:job") == -1

    settings = {"functions": [func(work, name="work")]}
    await start_worker(track_status(expires=expires)(settings))
    await pool.enqueue_job("work", _job_id="job")
    record = await ended(client, "job")
    assert record.error is None
    assert record.ended_at is not None
    assert record.expires_at == record.ended_at + timedelta(seconds=1)
    await until(lambda: _is_unknown(client, "job"))
    assert await pool.exists("arq:result:job")
    await Store(pool).sweep()
    assert await own_keys(pool) == set()


async def _is_unknown(client: StatusClient, job_id: str) -> bool:
    return await client.status(job_id) is None


async def test_results_without_a_record_expire(pool: ArqRedis, client: StatusClient) -> None:
    """After the time that workers announced for the function, else that of the client."""
    await put_result(pool, "old", finished=timestamp_ms() - HOUR)
    await put_result(pool, "new")
    assert await client.status("old") is None
    assert await client.status("new") is Status.COMPLETE
    assert await StatusClient(pool, expires=7200).status("old") is Status.COMPLETE


async def test_jobs_of_a_dead_worker(pool: ArqRedis, client: StatusClient) -> None:
    """Lost jobs are ended by the next list; one that arq will run again is not."""
    await write_record(pool, "gone", worker="host:1:dead", message="half way")
    enqueued = await put_job(pool, "live")
    await begin(pool, "live")
    await write_record(pool, "live", run=enqueued, worker="host:1:dead")
    assert await pool.ttl("arqstatus:1/gone") == -1
    page = await client.list_jobs()
    by_id = {record.job_id: record for record in page.items}
    assert {record.status for record in page.items} == {Status.INTERRUPTED}
    assert by_id["gone"].error == "worker host:1 stopped responding"
    assert by_id["gone"].message == "half way"
    assert by_id["gone"].ended_at is not None
    assert by_id["live"].ended_at is None
    assert await pool.ttl("arqstatus:1/gone") > 0
    assert await pool.ttl("arqstatus:1/live") == -1


async def test_jobs_that_arq_dropped(pool: ArqRedis, client: StatusClient) -> None:
    """A job that waited for a try and is no longer in any queue failed; a count ends it."""
    await write_record(pool, "retrying", State.RETRYING)
    await write_record(pool, "waiting", State.WAITING)
    await write_record(pool, "other run", State.RETRYING)
    await put_result(pool, "other run", enqueued=5)
    await write_record(pool, "booked", worker="host:1:live")
    await beat(pool, "host:1:live")
    await put_result(pool, "booked", enqueued=timestamp_ms())
    assert (await client.counts())[Status.FAILED] == 2
    assert await client.get("retrying", "error") == "removed from its queue"
    assert await client.status("other run") is Status.COMPLETE
    pending = await pool.zrange("arqstatus:1:pending:arq:queue", 0, -1)
    assert pending == []


async def test_a_job_that_killed_its_worker_before_it_was_recorded(
    pool: ArqRedis, client: StatusClient
) -> None:
    """It is interrupted once the worker is dead, and lists contain it."""
    await put_job(pool, "lost", 1, function="import_rows")
    await put_job(pool, "waits")
    await beat(pool, "host:1:dead")
    await begin(pool, "lost")
    assert await client.status("lost") is Status.WORKING
    dead_since = await pool.zscore("arqstatus:1:workers", "host:1:dead")
    assert dead_since is not None
    # twelve seconds pass
    await pool.zincrby("arqstatus:1:workers", -12_000, "host:1:dead")
    await pool.pexpire("arq:in-progress:lost", HOUR - 12_000)
    record = await client.job("lost")
    assert record is not None
    assert record.status is Status.INTERRUPTED
    assert record.error == "worker host:1 stopped responding"
    assert await client.status("waits") is Status.QUEUED
    page = await client.list_jobs(status=Status.INTERRUPTED)
    assert [(it.job_id, it.function, it.args) for it in page.items] == [
        ("lost", "import_rows", "1")
    ]
    counts = await client.counts()
    assert (counts[Status.INTERRUPTED], counts[Status.QUEUED]) == (1, 1)


@pytest.mark.parametrize("raw", [b"{", b"[]", b'{"queue":1}', b'{"queue":"q","in_progress_ms":[]}'])
async def test_a_damaged_description_of_a_dead_worker(
    pool: ArqRedis, client: StatusClient, raw: bytes
) -> None:
    """It is ignored and causes no errors."""
    await put_job(pool, "job")
    await begin(pool, "job")
    await pool.zadd("arqstatus:1:workers", {"host:1:dead": 5})
    await pool.set("arqstatus:1:worker:host:1:dead", raw)
    assert await client.status("job") is Status.WORKING
    assert (await client.counts())[Status.QUEUED] == 1


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b"{}", b'{"s":"dancing"}', b'"x"', b"\xff", b"[" * 100_000]
)
def test_records_that_cannot_be_decoded(raw: bytes) -> None:
    """Anything that is not a record decodes to ``None``."""
    assert StoredRecord.decode(raw) is None


def test_a_record_with_only_damaged_fields() -> None:
    """Fields of wrong types are ignored."""
    track = StoredRecord.decode(
        b'{"s":"working","r":-1,"n":"x","p":1e999,"t":"x","m":5,"e":"x","b":[]}'
    )
    assert track == StoredRecord(enqueued_ms=0, job_try=1, state=State.WORKING, updated=0)


async def test_the_try_after_a_retry_that_was_lost(pool: ArqRedis, client: StatusClient) -> None:
    """The error names the worker that died as it started a later try, not an earlier one."""
    enqueued = await put_job(pool, "lost")
    await write_record(pool, "lost", State.RETRYING, run=enqueued)
    await begin(pool, "lost")
    await begin(pool, "lost")
    for worker in ("host:1:dead", "host:2:long"):
        await beat(pool, worker)
    await pool.zincrby("arqstatus:1:workers", -12_000, "host:1:dead")
    await pool.zincrby("arqstatus:1:workers", -60_000, "host:2:long")
    await pool.pexpire("arq:in-progress:lost", HOUR - 12_000)
    record = await client.job("lost")
    assert record is not None
    assert record.status is Status.INTERRUPTED
    assert record.error == "worker host:1 stopped responding"
    await begin(pool, "lost")
    assert await client.status("lost") is Status.WORKING


async def test_an_index_without_a_status(pool: ArqRedis, client: StatusClient) -> None:
    """An invalid name among the indexes is not counted."""
    await pool.zadd("arqstatus:1:ended:dancing:60000", {"job": timestamp_ms()})
    await Store(pool).redis.sadd("arqstatus:1:ended", "dancing:60000")
    assert sum((await client.counts()).values()) == 0
    with pytest.raises(ValueError, match="unknown status 'dancing'"):
        await client.list_jobs(status="dancing")


async def test_many_expired_jobs(pool: ArqRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are swept in batches, so that neither Redis nor a heartbeat is blocked."""
    await pool.zadd("arqstatus:1:ended:failed:1", {str(number): 5 for number in range(2_500)})
    await Store(pool).redis.sadd("arqstatus:1:ended", "failed:1")
    monkeypatch.setattr("arq_status._tracking.heartbeat._SWEEPS", 2)
    await _sweep(Store(pool))
    assert await pool.zcard("arqstatus:1:ended:failed:1") == 500
    await _sweep(Store(pool))
    assert await own_keys(pool) == set()


async def test_a_lone_surrogate_in_a_record(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """The job is listed and ended, and no heartbeat fails."""
    now = timestamp_ms()
    damaged = r'"f":"x","w":"h:1:a","s":"working","u":1,"m":"\ud800"}'
    await pool.set("arqstatus:1/evil", f'{{"r":{now},{damaged}')
    await pool.zadd("arqstatus:1:running:h:1:a", {"evil": now})
    await pool.zadd("arqstatus:1:workers", {"h:1:a": now - 60_000})
    await _sweep(Store(pool))
    assert (await client.counts())[Status.INTERRUPTED] == 1
    [record] = (await client.list_jobs()).items
    assert (record.job_id, record.status, record.message) == ("evil", Status.INTERRUPTED, "?")


async def test_heartbeats_continue_after_an_error(
    pool: ArqRedis,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Otherwise all jobs of the worker would be taken for lost."""

    async def fails(store: Store) -> None:
        raise RuntimeError("no vino")

    monkeypatch.setattr("arq_status._tracking.heartbeat._sweep", fails)
    monkeypatch.setattr("arq_status._tracking.heartbeat._SWEEP_INTERVAL", 0.01)
    monkeypatch.setattr("arq_status._tracking.heartbeat._BEAT_INTERVAL", 0.1)
    await start_worker(track_status({"functions": [func(_nothing, name="f")]}))
    await until(lambda: "RuntimeError: no vino" in caplog.text)
    [(_, before)] = await pool.zrange("arqstatus:1:workers", 0, -1, withscores=True)

    async def beats_on() -> bool:
        [(_, latest)] = await pool.zrange("arqstatus:1:workers", 0, -1, withscores=True)
        return bool(latest > before)

    await until(beats_on)


async def test_heartbeats_continue_after_an_outage(
    server: Server,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One warning is logged, no matter how often it is tried, and they resume afterwards."""
    monkeypatch.setattr("arq_status._tracking.heartbeat._BEAT_INTERVAL", 0.1)
    monkeypatch.setattr("arq_status._tracking.heartbeat._RETRY_INTERVAL", 0.1)
    # arq's worker itself would end if it accessed Redis meanwhile
    await start_worker(
        track_status({"functions": [func(_nothing, name="f")]}),
        redis_settings=RedisSettings(port=server.port), poll_delay=60,
    )  # fmt: skip
    server.stop()
    await until(lambda: "background work of worker" in caplog.text)
    await asyncio.sleep(0.5)
    server.start()
    async with Redis(port=server.port) as redis:
        await until(lambda: redis.exists("arqstatus:1:workers"))
    assert caplog.text.count("background work of worker") == 1


async def _nothing(ctx: dict[str, Any]) -> None:
    pass


async def test_reused_ids_in_a_long_queue(pool: ArqRedis, client: StatusClient) -> None:
    """They are counted once, as long as the queue or the ended jobs are few."""
    await write_end(pool, "0", run=1, ended=timestamp_ms())
    await pool.zadd("arq:queue", {str(number): 1_000 for number in range(2_100)})
    await put_job(pool, "0")
    counts = await client.counts()
    assert (counts[Status.QUEUED], counts[Status.COMPLETE]) == (2_100, 0)
