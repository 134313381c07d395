"""Writes from outside the job: data stored, records deleted, lost jobs ended."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from arq import create_pool
from arq.connections import ArqRedis, RedisSettings
from arq.utils import timestamp_ms
from arq.worker import func

from arq_status import JobTracker, Status, StatusClient, track_status
from arq_status._model.record import State
from arq_status._redis.recovery import end_lost_jobs
from arq_status._redis.scripts import Script
from arq_status._redis.store import Store
from tests.conftest import StartWorker, ended, until
from tests.records import (
    HOUR,
    beat,
    begin,
    own_keys,
    put_job,
    put_result,
    write_end,
    write_record,
)
from tests.server import Server

OWN = "arqstatus:1:"
ALIVE = "host:1:alive"


async def listed(client: StatusClient) -> dict[str, Status]:
    """Return the status of each job in the list, checking that the counts agree."""
    page = await client.list_jobs()
    counts = await client.counts()
    statuses = [record.status for record in page.items]
    assert counts == {status: statuses.count(status) for status in Status}
    return {record.job_id: record.status for record in page.items}


# store


async def test_storing_in_a_waiting_job(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """Data stored before the job starts is available in the job and after it."""
    seen: list[Any] = []

    async def work(ctx: dict[str, Any]) -> None:
        status: JobTracker = ctx["status"]
        seen.append(await status.retrieve("owner"))
        await status.store(rows=3)

    await pool.enqueue_job("work", _job_id="job")
    await pool.enqueue_job("work", _job_id="later", _defer_by=60)
    assert await client.store("job", owner="Ada", rows=0)
    assert await client.store("later", owner="Bob")
    assert await client.is_queued("job")
    assert await client.is_deferred("later")
    waiting = await client.job("job")
    assert waiting is not None
    assert waiting.data == {"owner": "Ada", "rows": 0}
    assert (waiting.function, waiting.job_try, waiting.started_at) == ("work", None, None)
    assert await listed(client) == {"job": Status.QUEUED, "later": Status.DEFERRED}
    await start_worker(track_status({"functions": [func(work, name="work")]}))
    record = await ended(client, "job")
    assert (record.status, record.data) == ("complete", {"owner": "Ada", "rows": 3})
    assert seen == ["Ada"]
    assert (await listed(client))["later"] is Status.DEFERRED


async def test_storing_in_a_running_and_in_an_ended_job(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """The job sees data stored while it runs, and its later writes do not change that."""
    reached, gate = asyncio.Event(), asyncio.Event()
    seen: list[Any] = []

    async def work(ctx: dict[str, Any]) -> None:
        status: JobTracker = ctx["status"]
        await status.store(mine=1)
        await status.flush()
        reached.set()
        await gate.wait()
        seen.append(await status.retrieve("theirs"))
        await status.at(50)

    await start_worker(track_status({"functions": [func(work, name="work")]}))
    await pool.enqueue_job("work", _job_id="job")
    await reached.wait()
    assert await client.store("job", theirs=2)
    gate.set()
    assert (await ended(client, "job")).data == {"mine": 1, "theirs": 2}
    assert await client.store("job", late=3)
    assert await client.get("job", "data") == {"mine": 1, "theirs": 2, "late": 3}
    assert seen == [2]


async def test_storing_in_an_unknown_job(pool: ArqRedis, client: StatusClient) -> None:
    """Nothing is written for jobs that are not live and have no record."""
    assert not await client.store("unknown", a=1)
    await put_result(pool, "result alone")
    assert not await client.store("result alone", a=1)
    await write_end(pool, "deleted")
    await client.delete("deleted")
    assert not await client.store("deleted", a=1)
    assert await own_keys(pool) <= {"job:deleted", "ended"}


async def test_storing_nothing(pool: ArqRedis, client: StatusClient) -> None:
    """A call without fields returns whether the job is known."""
    await put_job(pool, "job")
    assert await client.store("job")
    assert not await client.store("unknown")
    assert await client.get("job", "data") == {}


async def test_storing_from_many_places_at_once(pool: ArqRedis, client: StatusClient) -> None:
    """No writer overwrites another's fields."""
    await put_job(pool, "job")
    names = [f"field{number}" for number in range(50)]
    assert all(await asyncio.gather(*(client.store("job", **{name: name}) for name in names)))
    assert await client.get("job", "data") == {name: name for name in names}


async def test_storing_in_a_job_that_is_enqueued_again(
    pool: ArqRedis, client: StatusClient
) -> None:
    """A new run starts without data; the record of the previous run is dropped."""
    await write_end(pool, "job", ended=timestamp_ms() - 100, fields={"old": 1})
    await put_job(pool, "job")
    assert await client.get("job", "data") == {}
    assert await client.store("job", new=2)
    assert await client.get("job", "data") == {"new": 2}
    assert await listed(client) == {"job": Status.QUEUED}


async def test_storing_in_a_job_without_a_payload(pool: ArqRedis, client: StatusClient) -> None:
    """Data can be stored in a job that is only in the queue."""
    await pool.zadd("other", {"job": timestamp_ms()})
    looking = StatusClient(pool, queues=["other"])
    assert not await client.store("job", a=1)
    assert await looking.store("job", a=1)
    assert await looking.store("job", b=2)
    assert await looking.get("job", "data") == {"a": 1, "b": 2}
    assert await listed(looking) == {"job": Status.QUEUED}


# delete


async def test_deleting_an_ended_job(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """It is unknown from then on, even if arq keeps its result; other jobs are untouched."""

    async def work(ctx: dict[str, Any]) -> int:
        await ctx["status"].store(vino="veritas")
        return 5

    await start_worker(track_status({"functions": [func(work, name="work")]}))
    for job_id in ("job", "other"):
        await pool.enqueue_job("work", _job_id=job_id)
        await ended(client, job_id)
    assert await client.delete("job") == 1
    assert await client.status("job") is None
    assert await client.job("job") is None
    assert await pool.exists("arq:result:job")
    assert await client.delete("job") == 0
    assert not await pool.exists(f"{OWN}data:job")
    assert await listed(client) == {"other": Status.COMPLETE}
    # a later run of the same id is a new job
    await pool.delete("arq:result:job")
    await pool.enqueue_job("work", _job_id="job")
    record = await ended(client, "job")
    assert (record.status, record.data) == ("complete", {"vino": "veritas"})
    assert await listed(client) == {"job": Status.COMPLETE, "other": Status.COMPLETE}


async def test_deleting_a_job_that_only_arq_knows(pool: ArqRedis, client: StatusClient) -> None:
    """Its result is hidden as well; results of later runs are shown."""
    enqueued = await put_result(pool, "job")
    await pool.set("arq:result:unreadable", b"?")
    for job_id in ("job", "unreadable"):
        assert await client.delete(job_id) == 1
        assert await client.status(job_id) is None
        assert await client.delete(job_id) == 0
    await put_result(pool, "job", enqueued=enqueued + 1)
    assert await client.is_complete("job")


async def test_a_late_write_does_not_restore_a_deleted_job(
    pool: ArqRedis, client: StatusClient
) -> None:
    """Late writes of the deleted run are rejected; writes of a later run are not."""
    now = timestamp_ms()
    await write_end(pool, "job", run=now, ended=now + 9)
    assert await client.delete("job") == 1
    await write_end(pool, "job", run=now, ended=now + 10, version=5, fields={"late": 1})
    await write_record(pool, "job", run=now, job_try=2)
    await write_end(pool, "job", run=now - 5, ended=now + 10, first=False)
    assert await client.status("job") is None
    assert await listed(client) == {}
    assert await own_keys(pool) == {"job:job"}
    await write_end(pool, "job", run=now + 20)
    assert await client.is_complete("job")


async def test_deleting_lasts_as_long_as_the_record_would(
    pool: ArqRedis, client: StatusClient
) -> None:
    """The tombstone expires when the record would have, after at least a minute."""
    await write_end(pool, "long", expires_after_ms=HOUR)
    await write_end(pool, "short", expires_after_ms=5)
    await put_result(pool, "result")
    for job_id, seconds in (("long", 3600), ("short", 60), ("result", 1800)):
        if job_id == "short":
            await write_end(pool, "short", expires_after_ms=1000)
        assert await client.delete(job_id) == 1
        assert seconds - 5 < await pool.ttl(f"arqstatus:1/{job_id}") <= seconds


@pytest.mark.parametrize("state", ["queued", "deferred", "working", "retrying"])
async def test_deleting_a_live_job(pool: ArqRedis, client: StatusClient, state: str) -> None:
    """It remains live without its data, and the next write creates a new record."""
    now = timestamp_ms()
    later = state in {"deferred", "retrying"}
    run = await put_job(pool, "job", enqueued=now, due=now + HOUR if later else now)
    await beat(pool, ALIVE)
    if state == "working":
        await begin(pool, "job")
    if state in {"working", "retrying"}:
        due = now + HOUR if later else now
        await write_record(
            pool, "job", State(state), run=run, due=due, worker=ALIVE, message="old", at=9
        )
    assert await client.store("job", vino="veritas")
    assert await client.status("job") == state
    assert await client.delete("job") == 1
    record = await client.job("job")
    assert record is not None
    assert record.status == ("deferred" if later else state)
    assert (record.data, record.message, record.at) == ({}, None, 0)
    assert record.function == "f"
    if state == "working":
        # it has no record before its next write, and looks like a waiting job until then
        assert await own_keys(pool) == set()
    else:
        assert list(await listed(client)) == ["job"]
    assert await client.store("job", more=1)
    assert await client.get("job", "data") == {"more": 1}
    await begin(pool, "job")
    await write_record(
        pool, "job", run=run, due=now + HOUR if later else now, worker=ALIVE, job_try=2, version=7,
        first=False, message="new",
    )  # fmt: skip
    record = await client.job("job")
    assert record is not None
    assert (record.status, record.message, record.data) == ("working", "new", {"more": 1})
    assert await listed(client) == {"job": Status.WORKING}


async def test_deleting_a_running_job(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """A real job that is deleted while it runs is tracked again from its next report."""
    reached, gate = asyncio.Event(), asyncio.Event()

    async def work(ctx: dict[str, Any]) -> None:
        status: JobTracker = ctx["status"]
        await status.store(before=1)
        await status.at(10, "First")
        await status.flush()
        reached.set()
        await gate.wait()
        await status.store(after=2)
        await status.at(20)

    await start_worker(track_status({"functions": [func(work, name="work")]}))
    await pool.enqueue_job("work", _job_id="job")
    await reached.wait()
    assert await client.delete("job") == 1
    assert await client.is_working("job")
    assert await client.get("job", "data") == {}
    gate.set()
    record = await ended(client, "job")
    assert (record.status, record.at, record.data) == ("complete", 20, {"after": 2})


# Writes of a worker


async def test_older_writes_do_not_replace_newer_ones(pool: ArqRedis, client: StatusClient) -> None:
    """They are ordered by run, try and version, and the end of a try is its last write."""
    now = timestamp_ms()
    await write_record(pool, "job", run=now, job_try=2, version=5, message="newest")
    earlier: list[dict[str, Any]] = [
        {"run": now, "job_try": 2, "version": 4},
        {"run": now, "job_try": 2, "version": 5},
        {"run": now, "job_try": 1, "version": 9},
        {"run": now - 1, "job_try": 3, "version": 9},
    ]
    for older in earlier:
        await write_record(pool, "job", message="older", **older)
    assert await client.message("job") == "newest"
    await write_end(pool, "job", run=now, job_try=2, version=6, message="end")
    await write_record(pool, "job", run=now, job_try=2, version=9, message="late")
    assert await client.message("job") == "end"
    # a run that started after that end, but was enqueued by a host whose clock is behind
    began = timestamp_ms() + 10
    await write_record(pool, "job", run=now - 1000, started=began, message="begun again")
    assert await client.message("job") == "begun again"
    # arq does not know the enqueue time of a run whose payload has expired
    await write_record(pool, "other", message="unknown run")
    await pool.set("arqstatus:1/other", '{"s":"working","r":0,"n":1,"v":9,"m":"without_durations"}')
    await write_record(pool, "other", run=now, message="known run")
    assert await client.message("other") == "known run"


# Lost jobs


async def test_a_lost_job_is_ended_by_lists_and_counts(
    pool: ArqRedis, client: StatusClient
) -> None:
    """A query for one job changes nothing; the next list or count ends it."""
    began = timestamp_ms() - HOUR
    for job_id, look in (("a", client.list_jobs), ("b", client.counts)):
        await write_record(
            pool, job_id, run=began, worker="host:1:dead", expires_after_ms=60_000, fields={"x": 1}
        )
        assert await client.is_interrupted(job_id)
        assert await pool.ttl(f"arqstatus:1/{job_id}") == -1
        before = timestamp_ms()
        await look()
        record = await client.job(job_id)
        assert record is not None
        assert record.error == "worker host:1 stopped responding"
        assert record.ended_at is not None
        assert record.ended_at.timestamp() * 1000 >= before
        for key in (f"arqstatus:1/{job_id}", f"{OWN}data:{job_id}"):
            assert 0 <= 24 * HOUR - await pool.pttl(key) < 10_000
    assert await listed(client) == dict.fromkeys("ab", Status.INTERRUPTED)
    assert not await pool.exists(f"{OWN}running:host:1:dead")


async def test_a_job_that_arq_will_run_again_is_not_ended(
    pool: ArqRedis, client: StatusClient
) -> None:
    """It lost its worker but is still in its queue: it is interrupted and keeps its record."""
    run = await put_job(pool, "job")
    await begin(pool, "job")
    await write_record(pool, "job", run=run, worker="host:1:dead")
    for _ in range(2):
        assert await listed(client) == {"job": Status.INTERRUPTED}
        assert await client.ended_at("job") is None
        assert await pool.ttl("arqstatus:1/job") == -1
    # another worker takes it
    await pool.incr("arq:retry:job")
    await beat(pool, ALIVE)
    await write_record(pool, "job", run=run, worker=ALIVE, job_try=2)
    assert await listed(client) == {"job": Status.WORKING}


async def test_a_lost_job_ends_as_in_arqs_result(pool: ArqRedis, client: StatusClient) -> None:
    """If its worker could not record the end, outcome and time are those of arq's result."""
    finished = timestamp_ms() - 60_000
    run = finished - 1000
    await beat(pool, ALIVE)
    for job_id, worker in (("dead", "host:1:dead"), ("alive", ALIVE)):
        await write_record(pool, job_id, run=run, worker=worker)
        await put_result(
            pool, job_id, ValueError("x"), success=False, enqueued=run, finished=finished
        )
    assert await listed(client) == dict.fromkeys(("dead", "alive"), Status.FAILED)
    for job_id in ("dead", "alive"):
        record = await client.job(job_id)
        assert record is not None
        assert record.error == "ValueError: x"
        assert record.ended_at is not None
        assert round(record.ended_at.timestamp() * 1000) == finished
        assert await pool.ttl(f"arqstatus:1/{job_id}") > 0


async def test_a_live_worker_has_time_to_write_the_end(
    pool: ArqRedis, client: StatusClient
) -> None:
    """A job whose end arq has just stored is shown as ended, but its worker writes the record."""
    await beat(pool, ALIVE)
    run = timestamp_ms()
    await write_record(pool, "job", run=run, worker=ALIVE)
    await put_result(pool, "job", enqueued=run)
    await client.counts()
    assert await client.is_complete("job")
    assert await pool.ttl("arqstatus:1/job") == -1
    await write_end(pool, "job", run=run, version=2, message="Done")
    assert await client.message("job") == "Done"
    assert await listed(client) == {"job": Status.COMPLETE}


async def test_a_lost_job_whose_id_an_untracked_worker_ran_again(
    pool: ArqRedis, client: StatusClient
) -> None:
    """Arq's result is of the later run, and every query uses it."""
    finished = timestamp_ms() - 1000
    await write_record(pool, "job", run=finished - 500, worker="host:1:dead", fields={"a": 1})
    await put_result(
        pool, "job", ValueError("x"), success=False, enqueued=finished, finished=finished
    )
    for _ in range(2):
        assert await client.is_failed("job")
        assert await listed(client) == {"job": Status.FAILED}
    record = await client.job("job")
    assert record is not None
    assert (record.error, record.args, record.data) == ("ValueError: x", "1", {})
    assert record.ended_at is not None
    assert round(record.ended_at.timestamp() * 1000) == finished
    assert record.enqueued_at is not None
    assert round(record.enqueued_at.timestamp() * 1000) == finished
    assert await pool.ttl("arqstatus:1/job") > 0


@pytest.mark.parametrize("later", [0, 500], ids=["the same run", "a later run"])
async def test_a_lost_job_that_an_untracked_worker_ended_long_ago(
    pool: ArqRedis, client: StatusClient, later: int
) -> None:
    """It has expired, and is not restored."""
    run = timestamp_ms() - HOUR
    await write_record(pool, "job", run=run, worker="host:1:dead")
    await put_result(pool, "job", enqueued=run + later, finished=run + 1000)
    for _ in range(2):
        assert await client.status("job") is None
        assert await listed(client) == {}
        assert await client.status("job") is None


async def test_there_is_nothing_to_end(pool: ArqRedis) -> None:
    """Jobs that are live, ended, deleted or unknown are left alone."""
    client, store = StatusClient(pool), Store(pool)
    await put_job(pool, "live")
    await client.store("live", a=1)
    await write_end(pool, "ended")
    await write_end(pool, "deleted")
    await client.delete("deleted")
    assert not await end_lost_jobs(store, ["live", "ended", "deleted", "unknown"])
    assert not await end_lost_jobs(store, [])


async def test_a_worker_that_deregisters(pool: ArqRedis, client: StatusClient) -> None:
    """It is dead immediately; the jobs that it leaves behind are found and ended."""
    store = Store(pool)
    await beat(pool, "host:1:idle")
    await beat(pool, "host:1:busy")
    await write_record(pool, "job", worker="host:1:busy")
    await begin(pool, "job")
    await put_job(pool, "job", enqueued=1)
    await pool.delete("arq:job:job")
    assert await client.is_working("job")
    for worker in ("host:1:idle", "host:1:busy"):
        await store.leave(worker)
        assert not await pool.exists(f"{OWN}worker:{worker}")
    assert await pool.zrange(f"{OWN}workers", 0, -1) == [b"host:1:busy"]
    assert await client.is_interrupted("job")
    await pool.zrem("arq:queue", "job")
    assert await listed(client) == {"job": Status.INTERRUPTED}
    assert await client.ended_at("job") is not None
    await store.sweep()
    assert await pool.zcard(f"{OWN}workers") == 0


async def test_a_read_only_redis(tmp_path: Path) -> None:
    """On a replica all queries return the same, without recovering anything."""
    options = ("--repl-diskless-sync-delay", "0")
    first, second = Server(tmp_path, *options), Server(tmp_path)
    first.start()
    second.start()
    try:
        primary = await create_pool(RedisSettings(port=first.port))
        async with primary, StatusClient(second.dsn) as client:
            await write_record(primary, "lost", worker="host:1:dead")
            await write_end(primary, "ended", fields={"vino": "veritas"})
            await write_end(primary, "swept", ended=timestamp_ms() - HOUR, expires_after_ms=60_000)
            await primary.delete("arqstatus:1/swept")
            replica = await create_pool(RedisSettings(port=second.port))
            async with replica:
                await replica.slaveof("127.0.0.1", first.port)
                await until(lambda: replica.exists("arqstatus:1/ended"))
            expected = {"lost": Status.INTERRUPTED, "ended": Status.COMPLETE}
            assert await listed(client) == expected
            assert await client.get("ended", "vino") == "veritas"
            assert await client.ended_at("lost") is not None
            assert await primary.ttl("arqstatus:1/lost") == -1
    finally:
        first.stop()
        second.stop()


async def test_a_script_that_redis_forgot(pool: ArqRedis) -> None:
    """Many calls of it take one more round trip the first time."""
    await pool.zadd("queue", {"job": 5})
    calls = [("queue", 5), ("other", 5)]
    for script in (Script("front"), Script("front")):
        for _ in range(2):
            assert await script.many(pool, calls) == [[b"job"], []]
        await pool.script_flush()
    assert await script.many(pool, calls[1:]) == [[]]


async def test_the_data_of_a_job_is_bounded(pool: ArqRedis, client: StatusClient) -> None:
    """Several calls together store at most 1 MiB; replacing a field frees its space."""
    await pool.enqueue_job("add", 1, 2, _job_id="job")
    for number in range(17):
        assert await client.store("job", **{f"field{number}": "x" * 60_000})
    with pytest.raises(ValueError, match="more than 1048576"):
        await client.store("job", more="x" * 60_000)
    assert await client.get("job", "more") is None
    assert await client.store("job", field3="y" * 60_000)
    assert await client.store("job", field4=1, more="x" * 50_000)
    assert await client.get("job", "more") == "x" * 50_000
