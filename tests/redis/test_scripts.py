"""Scripts under limits: large data, evicted keys, dead workers, and changes between two calls."""

import pickle

import pytest
from arq.connections import ArqRedis
from arq.utils import timestamp_ms

from arq_status import Status, StatusClient
from arq_status._model.options import FunctionOptions
from arq_status._model.record import State, StoredRecord
from arq_status._model.transitions import cancelled_record
from arq_status._redis import keys
from arq_status._redis.batch import CompletedRow, Row, batches
from arq_status._redis.history import encode_line
from arq_status._redis.recovery import recover_orphans
from arq_status._redis.store import Store
from tests.records import (
    HOUR,
    beat,
    begin,
    calls,
    own_keys,
    put_job,
    put_result,
    write_end,
    write_record,
)

ALIVE = "host:1:alive"


# Large data


async def test_a_lookup_of_large_payloads_takes_several_calls(pool: ArqRedis) -> None:
    """They are split by bytes, and every job is returned, in order."""
    ids = [f"job{number}" for number in range(6)]
    for job_id in ids:
        await put_job(pool, job_id, "x" * 200_000)
    store = Store(pool, deserializer=pickle.loads)
    await store.facts(ids)
    await pool.config_resetstat()
    found = await store.facts([*ids, "unknown"])
    assert [facts.job_id for facts, _ in found] == [*ids, "unknown"]
    assert all(facts.payload and facts.payload.function == "f" for facts, _ in found[:-1])
    made = (await pool.info("commandstats"))["cmdstat_evalsha"]["calls"]
    assert 2 <= made <= 4


async def test_a_lookup_of_much_data_takes_several_calls(pool: ArqRedis) -> None:
    """Stored fields count, too, of ended and of running jobs."""
    large = {"text": "x" * 60_000, "more": "y" * 60_000}
    for number in range(20):
        await write_end(pool, f"ended{number}", fields=large)
        run = await put_job(pool, f"live{number}")
        await write_record(pool, f"live{number}", run=run, worker=ALIVE, fields=large)
    ids = [f"{kind}{number}" for kind in ("ended", "live") for number in range(20)]
    store = Store(pool)
    await store.facts(ids)
    await pool.config_resetstat()
    found = await store.facts(ids, with_data=True)
    assert [facts.job_id for facts, _ in found] == ids
    assert all(len(fields) == 2 for _, fields in found)
    assert (await pool.info("commandstats"))["cmdstat_evalsha"]["calls"] >= 4


async def test_a_batch_that_copies_large_payloads_takes_several_calls(pool: ArqRedis) -> None:
    """All its rows are written, and all payloads are kept for ``retry``."""
    rows, now = [], timestamp_ms()
    for number in range(7):
        run = await put_job(pool, f"job{number}", "x" * 900_000, enqueued=now)
        record = StoredRecord(enqueued_ms=run, job_try=1, version=1, updated=now, worker=ALIVE)
        rows.append(Row(f"job{number}", True, record.encode(), {}))
    complete = StoredRecord(
        enqueued_ms=now, job_try=1, state=State.COMPLETE, updated=now, ended=now
    )
    await Store(pool).write([*rows, CompletedRow("complete", complete.encode(), now, HOUR)])
    for number in range(7):
        assert await pool.exists(f"{keys.RECORD}job{number}", f"{keys.PAYLOAD}job{number}") == 2
    assert await pool.exists(f"{keys.RECORD}complete")


async def test_rows_that_take_long(pool: ArqRedis) -> None:
    """Rows with tags, a group and a log are written by several calls, and none is lost."""
    now, store = timestamp_ms(), Store(pool)
    record = StoredRecord(
        enqueued_ms=now, job_try=1, state=State.COMPLETE, updated=now, ended=now, tags=("t",)
    )
    line = encode_line(1, now, "info", "begun", 1, None)
    rows = [Row(f"job{it}", True, record.encode(), {}, lines=(line,)) for it in range(250)]
    await pool.config_resetstat()
    await store.write(rows)
    assert (await calls(pool))["evalsha"] > 2
    index = f"{keys.ENDED}complete:{record.expires_after_ms}"
    assert await pool.zcard(index) == await pool.zcard(f"{index}{keys.TAGGED}t") == 250
    assert len(await pool.keys(f"{keys.LOGS}*")) == 250


async def test_sweeps_of_labels_come_first(pool: ArqRedis) -> None:
    """However many other entries have expired: large indexes of tags must not expire as a whole."""
    for tags in ((), ("t",)):
        for number in range(40):
            await write_end(
                pool,
                f"{tags} {number}",
                ended=timestamp_ms() - 10_000,
                expires_after_ms=5,
                tags=tags,
            )
    index = f"{keys.ENDED}complete:5"
    assert await Store(pool).sweep(20)
    assert await pool.zcard(index) == 70
    assert await pool.zcard(f"{index}{keys.TAGGED}t") == 30
    assert not await Store(pool).sweep(100)
    assert not await pool.exists(index, f"{index}{keys.TAGGED}t", keys.LABELLED)


def test_batches_are_bounded_by_bytes() -> None:
    """A large row gets its own batch, and none is lost."""
    small = Row("small", True, "x" * 100, {})
    large = Row("large", True, "x", {"text": "x" * 300_000})
    rows = [small, large, small, small]
    split = [[row.job_id for row, _ in batch] for batch in batches(rows)]
    assert split == [["small"], ["large"], ["small", "small"]]
    assert [list(batch) for batch in batches([small])] == [[(small, small.encode())]]


async def test_queues_and_functions_that_nobody_announces_are_forgotten(pool: ArqRedis) -> None:
    """After a day, unless the queue has jobs; readers notice."""
    store = Store(pool)
    options = {"f": FunctionOptions()}
    for queue in ("old", "old with jobs", "new"):
        await Store(pool).beat(f"host:1:{queue}", queue, HOUR, options)
    await put_job(pool, "kept", queue="old with jobs")
    long_ago = timestamp_ms() - keys.FORGOTTEN_AFTER_MS - 1
    await pool.zadd(keys.QUEUES, {"old": long_ago, "old with jobs": long_ago})
    await pool.zadd(keys.FUNCTIONS_SEEN, {"old\0f": long_ago})
    await put_job(pool, "lost", queue="old")
    client = StatusClient(pool)
    assert await client.status("kept") is Status.QUEUED
    await pool.delete("old", "arq:job:lost")
    await store.sweep()
    assert set(await pool.zrange(keys.QUEUES, 0, -1)) == {b"old with jobs", b"new"}
    functions = set(await pool.hkeys(keys.FUNCTIONS))  # type: ignore[misc]
    assert functions == {b"old with jobs\0f", b"new\0f"}
    await pool.zadd("old", {"elsewhere": 5})
    assert await client.status("elsewhere") is None
    assert await client.status("kept") is Status.QUEUED


async def test_a_worker_announces_itself_again(
    pool: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Immediately if its queue is no longer known, else every hour."""
    store, options = Store(pool), {"f": FunctionOptions()}
    await store.beat(ALIVE, "queue", HOUR, options)
    for lost in (keys.QUEUES, keys.WORKER + ALIVE):
        await pool.delete(lost, keys.FUNCTIONS)
        await store.beat(ALIVE, "queue", HOUR, options)
        assert await pool.hexists(keys.FUNCTIONS, "queue\0f")  # type: ignore[misc]
    await pool.delete(keys.FUNCTIONS)
    await store.beat(ALIVE, "queue", HOUR, options)
    assert not await pool.exists(keys.FUNCTIONS)
    monkeypatch.setattr(store, "_announce_due", 0)
    await store.beat(ALIVE, "queue", HOUR, options)
    assert await pool.hexists(keys.FUNCTIONS, "queue\0f")  # type: ignore[misc]


# Evicted keys


async def test_an_evicted_in_progress_key(pool: ArqRedis, client: StatusClient) -> None:
    """While its worker is alive the job is working; after that it is interrupted."""
    await beat(pool, ALIVE)
    run = await put_job(pool, "job")
    await begin(pool, "job")
    await write_record(pool, "job", run=run, due=run, worker=ALIVE)
    await pool.delete("arq:in-progress:job")
    assert await client.status("job") is Status.WORKING
    assert (await client.list_jobs(status="working")).total == 1
    await pool.zincrby(keys.WORKERS, -12_000, ALIVE)
    assert await client.status("job") is Status.INTERRUPTED
    assert (await client.list_jobs(status="interrupted")).total == 1
    assert (await client.counts())[Status.INTERRUPTED] == 1


async def test_evicted_records_leave_the_indexes(pool: ArqRedis, client: StatusClient) -> None:
    """An index of jobs whose records are gone is repaired by the next pass."""
    await beat(pool, ALIVE)
    for job_id in ("one", "two"):
        run = await put_job(pool, job_id)
        await begin(pool, job_id)
        await write_record(pool, job_id, run=run, due=run, worker=ALIVE)
    await pool.delete(f"{keys.RECORD}one")
    await recover_orphans(Store(pool))
    assert await pool.zrange(keys.RUNNING + ALIVE, 0, -1) == [b"two"]
    assert (await client.counts())[Status.WORKING] == 1


# Changes between reading and writing


async def test_a_job_that_starts_while_it_is_cancelled(pool: ArqRedis) -> None:
    """A worker that sets the in-progress key between reading and cancelling keeps the job."""
    await put_job(pool, "job")
    store = Store(pool)
    [(facts, _)] = await store.facts(["job"])
    await begin(pool, "job")
    assert not (await store.run([store.cancel(facts, cancelled_record(facts), drop_key=False)]))[0]
    [(begun, _)] = await store.facts(["job"])
    await pool.pexpire("arq:in-progress:job", 2 * HOUR)
    assert not (await store.run([store.cancel(begun, cancelled_record(begun), drop_key=True)]))[0]
    assert await pool.exists("arq:job:job", "arq:in-progress:job") == 2
    [(now, _)] = await store.facts(["job"])
    assert (await store.run([store.cancel(now, cancelled_record(now), drop_key=True)]))[0]
    assert not await pool.exists("arq:job:job", "arq:in-progress:job")


async def test_an_inferred_end_counts_if_nothing_was_written_since(pool: ArqRedis) -> None:
    """It replaces neither a newer row nor a record that is gone."""
    now, store = timestamp_ms(), Store(pool)
    guess = StoredRecord(
        enqueued_ms=now, job_try=1, state=State.INTERRUPTED, updated=now, ended=now
    )
    rows = [Row("job", False, guess.encode(), {}, seen=1)]
    await store.write(rows)
    assert await store.stored_record("job") is None
    await write_record(pool, "job", run=now, version=2)
    await store.write(rows)
    found = await store.stored_record("job")
    assert found is not None
    assert found.state is State.WORKING
    await store.write([rows[0]._replace(seen=2)])
    found = await store.stored_record("job")
    assert found is not None
    assert found.state is State.INTERRUPTED


# Dead workers


async def test_the_second_of_several_dead_workers(pool: ArqRedis, client: StatusClient) -> None:
    """Whichever of them had started an unrecorded job, the job is interrupted."""
    store = Store(pool)
    for number, worker in enumerate(("host:1:a", "host:2:b", "host:3:c")):
        await beat(pool, worker)
        await put_job(pool, worker)
        await begin(pool, worker)
        # started long before the worker's last heartbeat: only its own note shows it
        await pool.pexpire(f"arq:in-progress:{worker}", HOUR // 2)
        await store.begun(worker, HOUR, [worker])
        await pool.zincrby(keys.WORKERS, -12_000 - number, worker)
    for worker in ("host:1:a", "host:2:b", "host:3:c"):
        record = await client.job(worker)
        assert record is not None
        assert record.status is Status.INTERRUPTED
        assert record.error == f"worker {worker[:6]} stopped responding"


async def test_the_try_of_an_adopted_job(pool: ArqRedis, client: StatusClient) -> None:
    """A job that was lost without a record in its third try gets a record of that try."""
    await beat(pool, "host:1:dead")
    await put_job(pool, "job")
    for _ in range(3):
        await begin(pool, "job")
    await Store(pool).begun("host:1:dead", HOUR, ["job"])
    await pool.zincrby(keys.WORKERS, -12_000, "host:1:dead")
    assert (await client.counts())[Status.INTERRUPTED] == 1
    record = await client.job("job")
    assert record is not None
    assert (record.status, record.job_try) == (Status.INTERRUPTED, 3)


async def test_a_lost_job_whose_result_has_expired(pool: ArqRedis, client: StatusClient) -> None:
    """The next pass deletes its record and everything that belongs to it."""
    run = timestamp_ms() - 2 * HOUR
    await write_record(pool, "job", run=run, worker="host:1:dead", fields={"a": 1})
    await put_result(pool, "job", enqueued=run, finished=run + 5)
    await client.counts()
    found = await Store(pool).stored_record("job")
    assert found is not None
    assert found.state is State.DELETED
    assert await own_keys(pool) == {"job:job"}


async def test_a_pass_continues_where_the_last_one_stopped(
    pool: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No matter how many live jobs there are, all of them are checked in the end."""
    monkeypatch.setattr("arq_status._redis.recovery._CHECKED", 6)
    monkeypatch.setattr("arq_status._redis.recovery._CHECKED_AT_ONCE", 3)
    for queue in ("arq:queue", "other"):
        await Store(pool).beat(f"host:1:{queue}", queue, HOUR, {})
        for number in range(8):
            job_id = f"{queue} {number}"
            if number % 2:
                await put_job(pool, job_id, queue=queue, enqueued=5)
            await write_record(pool, job_id, State.RETRYING, run=5, queue=queue)
    store, passes = Store(pool), 0
    while (
        await pool.zcard(f"{keys.RETRYING}arq:queue") + await pool.zcard(f"{keys.RETRYING}other")
        > 8
    ):
        await recover_orphans(store)
        passes += 1
        assert passes < 10
    assert passes > 1
