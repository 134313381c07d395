"""Expiry: when a job is forgotten after its end, and never before."""

import asyncio
from datetime import timedelta
from time import monotonic
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.utils import timestamp_ms
from arq.worker import Retry, func

from arq_status import JobStopped, JobTracker, Status, StatusClient, status_options, track_status
from arq_status._client import connections
from arq_status._model.options import Expires, FunctionOptions, expires_ms
from arq_status._model.record import State
from arq_status._redis.store import Store
from tests.conftest import RunBurst, StartWorker, ended, until
from tests.records import (
    HOUR,
    beat,
    begin,
    own_key,
    own_keys,
    put_job,
    put_result,
    write_end,
    write_record,
)

OWN = "arqstatus:1:"


async def short(ctx: dict[str, Any]) -> None:
    """A job that reports a little."""
    status: JobTracker = ctx["status"]
    await status.at(50, "Half")
    await status.store(vino="veritas")


async def expires_in(client: StatusClient, job_id: str) -> timedelta:
    """Return how long after its end the record of a job expires."""
    record = await ended(client, job_id)
    assert record.ended_at is not None
    assert record.expires_at is not None
    return record.expires_at - record.ended_at


@pytest.mark.parametrize("expires", [90, 90.0, timedelta(minutes=1.5)], ids=repr)
async def test_types_of_an_expiry(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker, expires: Expires
) -> None:
    """Seconds as ``int`` or ``float``, or a ``timedelta``, for a worker and for one function."""
    own = status_options(expires=expires)(_copy())
    settings = {"functions": [func(short, name="short"), func(own, name="own")]}
    await start_worker(track_status(expires=expires)(settings))
    await start_worker(track_status({**settings, "queue_name": "default"}))
    for job_id, queue in (("short", "arq:queue"), ("own", "default"), ("usual", "default")):
        function = "short" if job_id == "usual" else job_id
        await pool.enqueue_job(function, _job_id=job_id, _queue_name=queue)
    assert await expires_in(client, "short") == timedelta(seconds=90)
    assert await expires_in(client, "own") == timedelta(seconds=90)
    assert await expires_in(client, "usual") == timedelta(minutes=30)
    for name in ("job:short", "data:short"):
        assert 80_000 < await pool.pttl(own_key(name)) <= 90_000


def _copy() -> Any:
    async def own(ctx: dict[str, Any]) -> None:
        await short(ctx)

    return own


async def test_a_short_expiry(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """A job is forgotten soon after its end, even if arq keeps the result for an hour."""
    await start_worker(track_status(expires=2)({"functions": [short]}))
    await pool.enqueue_job("short", _job_id="job")
    record = await ended(client, "job")
    assert record.ended_at is not None
    assert record.expires_at == record.ended_at + timedelta(seconds=2)

    async def forgotten() -> bool:
        return await client.status("job") is None

    await until(forgotten)
    assert timestamp_ms() >= record.expires_at.timestamp() * 1000
    assert await pool.exists("arq:result:job")
    assert await client.job("job") is None
    assert await client.get_all("job") == {}
    assert await client.delete("job") == 0
    assert not await client.store("job", vino="veritas")
    assert (await client.list_jobs()).items == []
    assert sum((await client.counts()).values()) == 0

    async def gone() -> bool:
        return await own_keys(pool) <= {"ended", "ended:complete:2000"}

    await until(gone)
    await Store(pool).sweep()
    assert await own_keys(pool) == set()


@pytest.mark.parametrize(
    ("worker", "function", "expected"),
    [
        ({}, {}, timedelta(days=1)),
        ({"expires": timedelta(days=3)}, {}, timedelta(days=3)),
        ({"expires_failed": 60}, {}, timedelta(minutes=1)),
        ({}, {"expires": timedelta(days=2)}, timedelta(days=2)),
        ({"expires_failed": 60}, {"expires": timedelta(days=2)}, timedelta(minutes=1)),
        ({"expires_failed": 60}, {"expires_failed": 90}, timedelta(seconds=90)),
    ],
)
async def test_failures_are_shown_for_a_day_or_longer(
    pool: ArqRedis,
    client: StatusClient,
    run_burst: RunBurst,
    worker: dict[str, Any],
    function: dict[str, Any],
    expected: timedelta,
) -> None:
    """This is the default of ``expires_failed``, whatever kept the job from completing."""

    async def job(ctx: dict[str, Any], error: str | None) -> None:
        if error is not None:
            raise {"failed": ValueError, "stopped": JobStopped}[error]

    settings = {"functions": [func(status_options(**function)(job), name="job")]}
    for job_id, error in (("failed", "failed"), ("stopped", "stopped"), ("complete", None)):
        await pool.enqueue_job("job", error, _job_id=job_id)
    await run_burst(track_status(**worker)(settings))
    await pool.enqueue_job("job", None, _job_id="cancelled")
    assert await client.cancel("cancelled")
    for job_id in ("failed", "stopped", "cancelled"):
        assert await expires_in(client, job_id) == expected
    of_others = function.get("expires", worker.get("expires", timedelta(minutes=30)))
    assert await expires_in(client, "complete") == of_others


async def test_the_expiry_starts_when_the_job_has_ended(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """While a job waits, runs and waits again nothing expires, no matter how short the expiry."""
    gate, reached = asyncio.Event(), asyncio.Event()

    async def slow(ctx: dict[str, Any]) -> None:
        await short(ctx)
        await ctx["status"].flush()
        if ctx["job_try"] == 1:
            raise Retry(defer=2)
        reached.set()
        await gate.wait()

    async def has_no_clock() -> None:
        for name in ("job:job", "data:job"):
            assert await pool.ttl(own_key(name)) == -1

    await pool.enqueue_job("slow", _job_id="job")
    await client.store("job", early=1)
    await has_no_clock()
    settings = {"functions": [func(slow, name="slow")]}
    try:
        await start_worker(track_status(expires=1)(settings))
        await until(lambda: client.is_retrying("job"))
        await has_no_clock()
        assert await client.store("job", outside=1)
        await has_no_clock()
        await reached.wait()
        assert await client.store("job", outside=2)
        began = monotonic()
        # longer than the expiry
        await until(lambda: monotonic() - began > 1.1)
        await has_no_clock()
        record = await client.job("job")
        assert record is not None
        assert (record.status, record.expires_at) == (Status.WORKING, None)
        assert record.data == {"vino": "veritas", "outside": 2, "early": 1}
    finally:
        gate.set()
    assert (await ended(client, "job")).status is Status.COMPLETE

    async def forgotten() -> bool:
        return await client.status("job") is None

    await until(forgotten)


async def test_a_new_run_does_not_expire(pool: ArqRedis, client: StatusClient) -> None:
    """A job that runs again does not expire with its earlier run, nor does its data."""
    await write_end(pool, "job", fields={"old": 1}, expires_after_ms=60_000)
    run = await put_job(pool, "job", enqueued=timestamp_ms() + 5)
    await beat(pool, "host:1:x")
    await write_record(pool, "job", worker="host:1:x", run=run, fields={"new": 1})
    for name in ("job:job", "data:job"):
        assert await pool.ttl(own_key(name)) == -1
    assert await client.get("job", "data") == {"new": 1}
    # and with a later try of the same run, too
    await write_record(pool, "again", State.INTERRUPTED, run=run, fields={"old": 1})
    await write_end(
        pool, "again", run=run, ended=run, job_try=1, version=2, expires_after_ms=60_000
    )
    assert 0 < await pool.pttl(f"{OWN}data:again") <= 60_000
    await write_record(pool, "again", run=run, job_try=2)
    assert await pool.ttl("arqstatus:1/again") == -1
    assert await pool.ttl(f"{OWN}data:again") == -1


async def test_storing_from_outside_after_the_end(pool: ArqRedis, client: StatusClient) -> None:
    """It changes neither the job's place in the list nor its expiry."""
    now = timestamp_ms()
    for number, job_id in enumerate("abc"):
        await write_end(pool, job_id, ended=now - 1000 * number, expires_after_ms=60_000)
    before = await client.jobs(["a", "b", "c"])
    assert await client.store("c", vino="veritas")
    assert await client.store("b")
    after = await client.jobs(["a", "b", "c"])
    assert [record and record.job_id for record in (await client.list_jobs()).items] == [*"abc"]
    for old, new in zip(before, after, strict=True):
        assert old is not None
        assert new is not None
        assert (old.updated_at, old.ended_at, old.expires_at) == (
            new.updated_at,
            new.ended_at,
            new.expires_at,
        )
    of_record = await pool.pttl("arqstatus:1/c")
    assert of_record <= 60_000
    assert abs(of_record - await pool.pttl(f"{OWN}data:c")) < 5_000
    assert await client.get("c", "vino") == "veritas"


async def test_results_without_a_record(pool: ArqRedis) -> None:
    """They expire after the announced time, else after that of the client."""
    now = timestamp_ms()
    announced = {"quick": FunctionOptions(expires=60_000), "long": FunctionOptions(expires=HOUR)}
    await beat(pool, "host:1:x", announced)
    client, patient = StatusClient(pool, expires=600), StatusClient(pool, expires=timedelta(days=1))
    for function in ("quick", "long", "other"):
        for minutes in (0.5, 5, 50, 500):
            finished = now - int(minutes * 60_000)
            await put_result(pool, f"{function} {minutes}", function=function, finished=finished)

    async def known(asked: StatusClient) -> set[str]:
        ids = [f"{name} {it}" for name in ("quick", "long", "other") for it in (0.5, 5, 50, 500)]
        return {record.job_id for record in await asked.jobs(ids) if record is not None}

    expected = {"quick 0.5", "long 0.5", "long 5", "long 50", "other 0.5", "other 5"}
    assert await known(client) == expected
    assert await known(patient) == expected | {"other 50", "other 500"}
    record = await client.job("quick 0.5")
    assert record is not None
    assert record.ended_at is not None
    assert record.expires_at == record.ended_at + timedelta(minutes=1)
    # failures: a day
    for hours in (23, 25):
        finished = now - hours * HOUR
        await put_result(pool, f"{hours} h", ValueError(), success=False, finished=finished)
    assert [it and it.status for it in await client.jobs(["23 h", "25 h"])] == ["failed", None]


async def test_announcements_may_change(pool: ArqRedis, client: StatusClient) -> None:
    """A reader uses a newer announcement even if it has read an earlier one."""
    await put_result(pool, "job", finished=timestamp_ms() - 120_000)
    assert await client.is_complete("job")
    for worker, expires, known in (("a", 60_000, False), ("b", 180_000, True)):
        await beat(pool, f"host:1:{worker}", {"f": FunctionOptions(expires=expires)})
        assert await client.is_complete("job") is known


# Sweeping


async def load_expired(pool: ArqRedis, number: int) -> None:
    """Write expired jobs that are still in the indexes, and one that has not expired."""
    long_ago = timestamp_ms() - HOUR
    for i in range(number):
        await write_end(pool, f"old{i}", ENDED[i % 2], ended=long_ago, expires_after_ms=60_000)
        await pool.delete(f"arqstatus:1/old{i}")
    await write_end(pool, "new", expires_after_ms=60_000)


ENDED = (State.COMPLETE, State.FAILED)


@pytest.mark.parametrize("query", ["list_jobs", "counts"])
async def test_clients_sweep(pool: ArqRedis, query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that lists or counts removes expired jobs from the indexes now and then."""
    client = StatusClient(pool)
    await load_expired(pool, 6)
    assert await pool.zcard(f"{OWN}ended:complete:60000") == 4
    await getattr(client, query)()
    assert await pool.zrange(f"{OWN}ended:complete:60000", 0, -1) == [b"new"]
    assert await own_keys(pool) == {"job:new", "ended", "ended:complete:60000"}
    await load_expired(pool, 2)
    await getattr(client, query)()
    assert await pool.zcard(f"{OWN}ended:complete:60000") == 2
    monkeypatch.setattr(connections, "SWEEP_INTERVAL", 0)
    await getattr(client, query)()
    assert await pool.zcard(f"{OWN}ended:complete:60000") == 1


async def test_expired_jobs_are_not_listed_before_they_are_swept(
    pool: ArqRedis, client: StatusClient
) -> None:
    """They are in no list, count or total, swept or not."""
    await client.counts()
    await load_expired(pool, 6)
    page = await client.list_jobs()
    assert ([record.job_id for record in page.items], page.total) == (["new"], 1)
    assert (await client.list_jobs(status="failed")).total == 0
    assert (await client.list_jobs(sort="function")).total == 1
    assert sum((await client.counts()).values()) == 1
    assert await pool.zcard(f"{OWN}ended:complete:60000") == 4


async def test_a_sweep_is_bounded(pool: ArqRedis) -> None:
    """It removes a limited number of jobs and returns whether there are more."""
    store = Store(pool)
    await load_expired(pool, 7)
    assert await store.sweep(3)
    assert await store.sweep(3)
    assert not await store.sweep(3)
    assert await own_keys(pool) == {"job:new", "ended", "ended:complete:60000"}
    assert not await store.sweep()


async def test_a_sweep_forgets_workers(pool: ArqRedis) -> None:
    """Dead workers without jobs and without a description are forgotten, others are not."""
    await beat(pool, "host:1:alive")
    for name in ("gone", "dead", "lost"):
        await pool.zadd(f"{OWN}workers", {f"host:1:{name}": 5})
    await pool.set(f"{OWN}worker:host:1:dead", "{}")
    await pool.zadd(f"{OWN}running:host:1:lost", {"job": 1})
    await Store(pool).sweep()
    names = {name.decode() for name in await pool.zrange(f"{OWN}workers", 0, -1)}
    assert names == {"host:1:alive", "host:1:dead", "host:1:lost"}


@pytest.fixture
async def quick_worker(
    pool: ArqRedis, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Make workers sweep at once."""
    monkeypatch.setattr("arq_status._tracking.heartbeat._SWEEP_INTERVAL", 0.1)
    await start_worker(track_status({"functions": [short]}))


@pytest.mark.usefixtures("quick_worker")
async def test_workers_sweep(pool: ArqRedis) -> None:
    """A running worker removes expired jobs from the indexes, without any client."""
    await load_expired(pool, 4)

    async def swept() -> bool:
        return await own_keys(pool) == {"job:new", "ended", "ended:complete:60000"}

    await until(swept)


@pytest.mark.usefixtures("quick_worker")
async def test_workers_end_lost_jobs(pool: ArqRedis) -> None:
    """A running worker ends the jobs that were lost with another, and their expiry starts."""
    await write_record(pool, "job", worker="host:1:dead", expires_after_ms=60_000)

    async def interrupted() -> bool:
        return await pool.zscore(f"{OWN}ended:interrupted:{24 * HOUR}", "job") is not None

    await until(interrupted)
    assert 0 <= 24 * HOUR - await pool.pttl("arqstatus:1/job") < 10_000


async def test_nothing_is_left_of_many_jobs(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """When jobs of all outcomes have expired, only what workers announced is left."""

    async def work(ctx: dict[str, Any], outcome: str) -> None:
        await short(ctx)
        if outcome == "failed":
            raise ValueError
        if outcome == "retried" and ctx["job_try"] == 1:
            raise Retry

    settings = {"functions": [func(work, name="work")], "max_tries": 2}
    await start_worker(track_status(expires=4, expires_failed=4)(settings))
    outcomes = ("complete", "failed", "retried")
    for outcome in outcomes:
        await pool.enqueue_job("work", outcome, _job_id=outcome)
        await pool.enqueue_job("work", outcome, _job_id=f"{outcome}, deleted")
    await pool.enqueue_job("unknown function", _job_id="unknown function")
    for outcome in outcomes:
        await ended(client, outcome)
        await ended(client, f"{outcome}, deleted")
        assert await client.delete(f"{outcome}, deleted") == 1
    await ended(client, "unknown function")

    async def gone() -> bool:
        await Store(pool).sweep()
        # a tombstone outlives the record that it replaces
        return all(key.endswith("deleted") for key in await own_keys(pool))

    await until(gone)
    assert len(await own_keys(pool)) == 3
    for key in await own_keys(pool):
        assert 0 < await pool.ttl(own_key(key)) <= 60


async def test_a_job_in_progress_when_its_run_is_unknown(
    pool: ArqRedis, client: StatusClient
) -> None:
    """A job whose payload expired while it ran is shown and expires as any other."""
    await beat(pool, "host:1:x")
    await pool.zadd("arq:queue", {"job": timestamp_ms()})
    await begin(pool, "job")
    await write_record(pool, "job", worker="host:1:x", expires_after_ms=60_000)
    assert await client.is_working("job")
    assert await pool.ttl("arqstatus:1/job") == -1
    await pool.delete("arq:queue", "arq:in-progress:job", "arq:retry:job")
    record = await client.job("job")
    assert record is not None
    assert (record.status, record.error) == (Status.INTERRUPTED, "lost without a result")


async def test_reports_after_the_end(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """They neither extend the lifetime of the record nor restore an expired one."""
    said: list[asyncio.Task[None]] = []
    late = asyncio.Event()

    async def job(ctx: dict[str, Any]) -> None:
        status: JobTracker = ctx["status"]
        await status.store(first=1)

        async def go_on() -> None:
            await until(lambda: client.is_complete(ctx["job_id"]))
            await status.store(second=2)
            await status.flush()
            await late.wait()
            await status.store(third=3)
            await status.flush()

        said.append(asyncio.create_task(go_on()))

    await start_worker(track_status(expires=3)({"functions": [func(job, name="job")]}))
    await pool.enqueue_job("job", _job_id="job")
    record = await ended(client, "job")
    assert record.expires_at is not None
    await until(lambda: _has(client, "second"))
    before, now = await pool.pttl("arqstatus:1/job"), timestamp_ms()
    assert now + before < record.expires_at.timestamp() * 1000 + 500
    assert abs(await pool.pttl(f"{OWN}data:job") - before) < 500

    async def forgotten() -> bool:
        return await client.status("job") is None

    await until(forgotten)
    late.set()
    await asyncio.wait(said)
    assert await client.status("job") is None
    assert await pool.exists("arqstatus:1/job", f"{OWN}data:job") == 0


async def _has(client: StatusClient, name: str) -> bool:
    return await client.get("job", name) is not None


@pytest.mark.parametrize("expires", [1e308, 10**400, timedelta.max], ids=["float", "int", "max"])
def test_the_longest_expiry(expires: Expires) -> None:
    """It is a thousand years."""
    assert expires_ms(expires) == 1000 * 365 * 86_400_000
