"""Only Redis' clock counts: hosts whose clocks are wrong, and late writes."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from arq import Retry, func
from arq.connections import ArqRedis
from arq.utils import timestamp_ms

from arq_status import Status, StatusClient, track_status
from arq_status._model.options import FunctionOptions
from arq_status._model.record import State, StoredRecord
from arq_status._redis import keys
from arq_status._redis.batch import Row
from arq_status._redis.recovery import recover_orphans
from arq_status._redis.store import Store
from tests.conftest import StartWorker, ended, until
from tests.records import HOUR, begin, put_job, put_result, write_end, write_record

DAY = 24 * HOUR
Shift = Callable[[int], None]


@pytest.fixture
def shift(monkeypatch: pytest.MonkeyPatch) -> Shift:
    """Shifts the clock of this host, which arq and its workers use, by some ms."""

    def set_off(by: int) -> None:
        for module in ("arq.worker", "arq.connections", "arq.jobs"):
            monkeypatch.setattr(f"{module}.timestamp_ms", lambda: timestamp_ms() + by)
        monkeypatch.setattr(
            "arq_status._tracking.functions.timestamp_ms", lambda: timestamp_ms() + by
        )
        now = timestamp_ms
        monkeypatch.setattr("arq_status._redis.clock.time", lambda: (now() + by) / 1000)

    return set_off


def near(moment: datetime | None, seconds: float = 5) -> bool:
    """Return True if a moment is close to now."""
    return moment is not None and abs(moment - datetime.now(UTC)) < timedelta(seconds=seconds)


@pytest.mark.parametrize("by", [-DAY, -60_000, 60_000, DAY])
async def test_a_host_whose_clock_is_wrong(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker, shift: Shift, by: int
) -> None:
    """Its jobs have the right times, durations and expiry, and are in lists and counts."""

    async def work(ctx: dict[str, Any], fails: bool = False) -> None:
        await ctx["status"].at(50)
        if fails:
            raise ValueError("no vino")

    shift(by)
    await start_worker(track_status(expires=30)({"functions": [func(work, name="work")]}))
    await pool.enqueue_job("work", _job_id="good")
    await pool.enqueue_job("work", fails=True, _job_id="bad")
    for job_id, status in (("good", Status.COMPLETE), ("bad", Status.FAILED)):
        record = await ended(client, job_id)
        assert record.status is status
        assert near(record.started_at)
        assert near(record.ended_at)
        assert record.elapsed is not None
        assert record.elapsed < timedelta(seconds=5)
    assert 20_000 < await pool.pttl("arqstatus:1/good") <= 30_000
    assert {it.job_id for it in (await client.list_jobs()).items} == {"good", "bad"}
    counts = await client.counts()
    assert (counts[Status.COMPLETE], counts[Status.FAILED]) == (1, 1)


async def test_a_host_whose_clock_steps_back_between_two_tries(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker, shift: Shift
) -> None:
    """The next try is recorded nevertheless."""

    async def work(ctx: dict[str, Any]) -> None:
        shift(-60_000)
        await ctx["status"].at(ctx["job_try"])
        if ctx["job_try"] == 1:
            raise Retry

    await start_worker(track_status({"functions": [func(work, name="work")]}))
    await pool.enqueue_job("work", _job_id="job")
    await until(lambda: client.is_retrying("job"))
    # by that clock it is due only in a minute
    await pool.zadd("arq:queue", {"job": timestamp_ms() - 120_000})
    record = await ended(client, "job")
    assert (record.status, record.job_try, record.at) == (Status.COMPLETE, 2, 2)
    assert near(record.ended_at)


async def test_an_id_reused_by_a_host_whose_clock_is_behind(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker, shift: Shift
) -> None:
    """Neither a deleted nor an ended record of a run with a later enqueue time hides it."""

    async def work(ctx: dict[str, Any]) -> None:
        await ctx["status"].store(run=ctx["job_id"])

    await start_worker(track_status({"functions": [func(work, name="work", keep_result=0)]}))
    for job_id in ("deleted", "ended"):
        await pool.enqueue_job("work", _job_id=job_id)
        await ended(client, job_id)
    assert await client.delete("deleted")
    shift(-30_000)
    for job_id in ("deleted", "ended"):
        before = await client.job(job_id)
        await pool.enqueue_job("work", _job_id=job_id)
        await until(partial(_has_ended_again, client, job_id, before))


async def _has_ended_again(client: StatusClient, job_id: str, before: Any) -> bool:
    record = await client.job(job_id)
    return (
        record is not None
        and record.status is Status.COMPLETE
        and record.enqueued_at != (before and before.enqueued_at)
        and near(record.ended_at)
    )


async def test_readers_do_not_use_their_own_clock(
    pool: ArqRedis, client: StatusClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it is, a list hides nothing and a count sweeps nothing."""
    now = timestamp_ms()
    await write_end(pool, "ended", expires_after_ms=60_000)
    await put_job(pool, "queued", due=now - 5)
    await put_job(pool, "deferred", due=now + 60_000)
    for by in (-DAY, 31 * 60_000, DAY):
        monkeypatch.setattr("time.time", lambda by=by: now / 1000 + by / 1000)
        monkeypatch.setattr("arq.utils.timestamp_ms", lambda by=by: now + by)
        reader = StatusClient(pool)
        counts = await reader.counts()
        assert (counts[Status.COMPLETE], counts[Status.QUEUED], counts[Status.DEFERRED]) == (
            1,
            1,
            1,
        )
        assert (await reader.list_jobs()).total == 3
        for job_id, status in (
            ("ended", "complete"),
            ("queued", "queued"),
            ("deferred", "deferred"),
        ):
            assert await reader.status(job_id) == status
        monkeypatch.undo()


@pytest.mark.parametrize("by", [-DAY, DAY])
async def test_results_of_hosts_whose_clock_is_wrong(pool: ArqRedis, by: int) -> None:
    """Without a record, its end is when arq stored the result, and the expiry counts from there."""
    now = timestamp_ms()
    options = {"f": FunctionOptions(expires=60_000, keep_result=HOUR)}
    await Store(pool).beat("host:1:x", "arq:queue", HOUR, options)
    client = StatusClient(pool)
    await put_result(pool, "job", enqueued=now + by - 9, finished=now + by)
    record = await client.job("job")
    assert record is not None
    assert record.status is Status.COMPLETE
    assert near(record.ended_at)
    assert record == await client.job("job")
    await pool.pexpire("arq:result:job", HOUR - 61_000)
    assert await client.status("job") is None


async def test_a_result_that_a_worker_keeps_longer_than_announced(pool: ArqRedis) -> None:
    """Its remaining lifetime is meaningless, so its own times count."""
    await Store(pool).beat("host:1:x", "arq:queue", HOUR, {"f": FunctionOptions(keep_result=1000)})
    finished = timestamp_ms() - 60_000
    await put_result(pool, "job", finished=finished)
    assert await StatusClient(pool).ended_at("job") == datetime.fromtimestamp(finished / 1000, UTC)


async def test_late_writes_expire_on_time(pool: ArqRedis) -> None:
    """The expiry of a record starts at the end of the job, even if Redis was unreachable since."""
    for job_id, first in (("once", True), ("again", False)):
        await write_end(
            pool, job_id, ended=timestamp_ms() - 40_000, expires_after_ms=60_000, first=first
        )
        assert 10_000 < await pool.pttl(f"arqstatus:1/{job_id}") <= 20_000


# Generations, which distinguish the runs before and after `retry`


def row(now: int, kind: Any = "later", **values: Any) -> Row:
    """Return a row of the worker "host:1:x" that may still be in flight."""
    record = StoredRecord(
        **{"enqueued_ms": now, "job_try": 1, "worker": "host:1:x", "updated": now, **values}
    )
    return Row("job", kind == "first", record.encode(), {})


@pytest.fixture
async def retried(pool: ArqRedis, client: StatusClient) -> int:
    """Let a job fail and retry it; return when it was enqueued."""
    now = await put_job(pool, "job", enqueued=timestamp_ms() - 1000)
    await begin(pool, "job")
    await write_record(pool, "job", run=now, due=now, worker="host:1:x")
    await write_end(pool, "job", State.FAILED, run=now, due=now, worker="host:1")
    await pool.delete("arq:job:job", "arq:in-progress:job", "arq:retry:job")
    await pool.zrem("arq:queue", "job")
    assert await client.retry("job")
    return now


async def test_rows_from_before_a_retry_are_ignored(
    pool: ArqRedis, client: StatusClient, retried: int
) -> None:
    """Neither while the job waits, nor when it runs again, nor when it has failed again."""
    now, store = retried, Store(pool)
    stale = [
        row(now, "first", due=now, version=9),
        row(now, due=now, version=9),
        row(now, "first", due=now + 5, job_try=2, version=9),
        row(now, due=now, state=State.FAILED, ended=now + 9, error="stale", worker="host:1"),
    ]

    async def nothing_changes() -> None:
        before = await store.stored_record("job")
        for it in stale:
            await store.write([it])
        assert await store.stored_record("job") == before

    await nothing_changes()
    assert await client.status("job") is Status.QUEUED
    waiting = await store.stored_record("job")
    assert waiting is not None
    assert waiting.generation == 2
    await begin(pool, "job")
    await store.write([row(now, "first", due=waiting.due, worker="host:2:y", version=1)])
    found = await store.stored_record("job")
    assert found is not None
    assert (found.worker, found.generation, found.state) == ("host:2:y", 2, State.WORKING)
    await nothing_changes()
    end = row(
        now, due=waiting.due, state=State.FAILED, ended=timestamp_ms(), error="new", worker="host:2"
    )
    await store.write([end])
    found = await store.stored_record("job")
    assert found is not None
    assert (found.error, found.generation) == ("new", 2)
    await nothing_changes()


async def test_generations_count_on(pool: ArqRedis, client: StatusClient, retried: int) -> None:
    """Each ``retry`` adds one, and enqueueing the id again starts over."""
    store = Store(pool)
    for generation in (2, 3):
        waiting = await store.stored_record("job")
        assert waiting is not None
        assert waiting.generation == generation
        await begin(pool, "job")
        await store.write([row(retried, "first", due=waiting.due, version=1)])
        ended_ms = timestamp_ms()
        last: dict[str, Any] = {
            "state": State.FAILED,
            "ended": ended_ms,
            "due": waiting.due,
            "worker": "host:1",
        }
        await store.write([row(retried, **last)])
        await pool.delete("arq:job:job", "arq:in-progress:job", "arq:retry:job")
        await pool.zrem("arq:queue", "job")
        await asyncio.sleep(0.002)
        assert await client.retry("job")
    await pool.delete("arq:job:job")
    run = await put_job(pool, "job", enqueued=retried + 5)
    await store.write([row(run, "first", due=run, version=1)])
    found = await store.stored_record("job")
    assert found is not None
    assert (found.enqueued_ms, found.generation) == (run, 1)


async def test_rows_of_another_worker_do_not_overwrite(pool: ArqRedis) -> None:
    """Only the worker that runs a try may write its record."""
    now, store = timestamp_ms(), Store(pool)
    await store.write([row(now, "first", version=1, message="mine")])
    await store.write([row(now, version=5, worker="host:2:y", message="theirs")])
    end: dict[str, Any] = {"state": State.COMPLETE, "ended": now + 5}
    await store.write([row(now, **end, worker="host:2", message="theirs")])
    found = await store.stored_record("job")
    assert found is not None
    assert found.message == "mine"
    await store.write([row(now, **end, worker="host:1", message="the end")])
    found = await store.stored_record("job")
    assert found is not None
    assert found.message == "the end"


async def test_the_due_time_of_the_next_try_is_corrected(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """The index of started jobs has a forecast first, and then the time in arq's queue."""

    async def work(ctx: dict[str, Any]) -> None:
        raise Retry(defer=60)

    await start_worker(track_status({"functions": [func(work, name="work")]}))
    await pool.enqueue_job("work", _job_id="job")
    await until(lambda: client.is_retrying("job"))
    await until(lambda: _is_later(pool, "arq:queue"))
    index = f"{keys.STARTED_BY_DUE}arq:queue"
    foretold, due = await pool.zscore(index, "job"), await pool.zscore("arq:queue", "job")
    assert foretold is not None
    assert due is not None
    assert abs(foretold - due) < 1_000
    await recover_orphans(Store(pool))
    assert await pool.zscore(index, "job") == due


async def _is_later(pool: ArqRedis, queue: str) -> bool:
    score = await pool.zscore(queue, "job")
    return score is not None and score > timestamp_ms() + 30_000
