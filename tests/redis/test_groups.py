"""Groups: one progress for many jobs, correct whatever happens to them."""

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from arq import Retry, func
from arq.connections import ArqRedis
from arq.utils import timestamp_ms
from redis.exceptions import ResponseError

import arq_status
from arq_status import GroupRecord, Status, StatusClient, status_options, testing, track_status
from arq_status._client import feed
from arq_status._model.record import State
from arq_status._redis import keys
from arq_status._redis.recovery import recover_orphans
from arq_status._redis.store import Store
from tests.conftest import RunBurst, StartWorker, started, until
from tests.jobs import add, fail, wait
from tests.records import HOUR, begin, calls, own_keys, put_job, write_end, write_record

Context = dict[str, Any]


async def enqueue(pool: ArqRedis, *job_ids: str, function: str = "f", **options: Any) -> None:
    """Enqueue jobs in the group "g", which is then closed."""
    async with arq_status.group("g", title="accounts.csv") as group:
        for job_id in job_ids:
            await group.enqueue_job(pool, function, _job_id=job_id, **options)


async def told(client: StatusClient, group_id: str = "g") -> GroupRecord:
    """Return the record of a known group."""
    record = await client.group_status(group_id)
    assert record is not None
    assert sum(record.counts.values()) == record.total
    return record


def counts(**numbers: int) -> dict[Status, int]:
    """Return counts with every status."""
    return {status: numbers.get(status, 0) for status in Status}


# From start to end


async def test_the_life_of_a_group(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """It waits, works with the progress of its jobs, and has ended when they have."""
    release = asyncio.Event()

    async def job(ctx: Context, at: int) -> None:
        await ctx["status"].at(at)
        await release.wait()
        if at == 75:
            raise ValueError("no vino")

    async with arq_status.group("g", title="accounts.csv") as group:
        empty = await told(client)
        assert (empty.status, empty.total, empty.pct_complete) == (Status.QUEUED, 0, 0)
        assert (group.group_id, group.title) == ("g", "accounts.csv")
        for at in (25, 50, 75):
            await group.enqueue_job(pool, job.__qualname__, at, _tags=["t"])
        waiting = await told(client)
        assert (waiting.status, waiting.closed) == (Status.QUEUED, False)
        assert (waiting.total, waiting.counts) == (3, counts(queued=3))
        assert (waiting.title, waiting.started_at, waiting.expires_at) == (
            "accounts.csv",
            None,
            None,
        )
    await start_worker(track_status({"functions": [job]}))

    async def works() -> bool:
        record = await told(client)
        return record.pct_complete == 50 and record.status is Status.WORKING

    await until(works)
    record = await told(client)
    assert (record.done, record.counts, record.closed) == (0, counts(working=3), True)
    assert record.started_at is not None
    assert record.eta is not None
    assert record.elapsed is not None
    release.set()
    last = await client.wait_group("g", timeout=10)
    assert last is not None
    assert (last.status, last.done, last.pct_complete) == (Status.FAILED, 3, 100)
    assert last.counts == counts(complete=2, failed=1)
    assert last.started_at == record.started_at
    assert last.ended_at is not None
    assert (last.elapsed, last.eta) == (last.ended_at - record.started_at, None)
    assert last.expires_at is not None
    assert last.expires_at - last.ended_at > timedelta(hours=23)
    listed = await client.list_jobs(group="g", status="complete")
    assert (listed.total, {it.group for it in listed.items}) == (2, {"g"})
    assert (await client.list_jobs(group="g", tag="t")).total == 3
    assert (await client.list_jobs(group="g", tag="u")).total == 0


@pytest.mark.parametrize(
    ("states", "status"),
    [
        ((State.COMPLETE, State.COMPLETE), Status.COMPLETE),
        ((State.COMPLETE, State.STOPPED), Status.STOPPED),
        ((State.STOPPED, State.FAILED), Status.FAILED),
        ((State.COMPLETE, State.INTERRUPTED), Status.FAILED),
    ],
)
async def test_how_it_ended(
    pool: ArqRedis, client: StatusClient, states: tuple[State, ...], status: Status
) -> None:
    """Its worst job decides its status, but not before it is closed."""
    async with client.group("g"):
        for number, state in enumerate(states):
            await write_end(pool, str(number), state, group="g")
        record = await told(client)
        assert (record.status, record.pct_complete, record.ended_at) == (Status.WORKING, 99, None)
    record = await told(client)
    assert (record.status, record.pct_complete) == (status, 100)


async def test_opened_again(pool: ArqRedis, client: StatusClient) -> None:
    """It grows; an exception closes it as well, and it then accepts no jobs."""
    await enqueue(pool, "one")
    group = client.group("g")
    with pytest.raises(RuntimeError, match="closed"):
        await group.enqueue_job(pool, "f")

    async def fail_in_between() -> None:
        async with group:
            assert not (await told(client)).closed
            await group.enqueue_job(pool, "f", _job_id="two")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_in_between()
    record = await told(client)
    assert (record.total, record.closed, record.title) == (2, True, "accounts.csv")


async def test_a_group_that_cannot_be_closed(
    pool: ArqRedis, client: StatusClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The exception of the block is raised, or else the error of Redis."""

    async def fill(error: Exception | None) -> None:
        async with client.group("g"):
            await pool.config_set("maxmemory", "1")
            if error is not None:
                raise error

    try:
        with pytest.raises(ZeroDivisionError):
            await fill(ZeroDivisionError())
        assert "could not close group g: " in caplog.text
        await pool.config_set("maxmemory", "0")
        with pytest.raises(ResponseError, match="OOM"):
            await fill(None)
    finally:
        await pool.config_set("maxmemory", "0")


async def test_a_group_without_a_name(pool: ArqRedis, client: StatusClient) -> None:
    """It gets a generated id; a group without jobs has ended when it is closed."""
    async with arq_status.group() as one, arq_status.group() as two:
        assert one.group_id != two.group_id
    record = await told(client, one.group_id)
    assert (record.status, record.total, record.title) == (Status.COMPLETE, 0, None)
    assert record.expires_at is not None


@pytest.mark.parametrize(
    ("group_id", "error"), [("", ValueError), ("x" * 201, ValueError), (7, TypeError)]
)
async def test_bad_names(client: StatusClient, group_id: Any, error: type) -> None:
    """They are refused when a group is created; querying them is no error."""
    with pytest.raises(error):
        client.group(group_id)
    assert await client.group_status(group_id) is None
    assert await client.wait_group(group_id) is None
    assert [it async for it in client.watch_group(group_id)] == []


async def test_a_job_enqueues_a_group(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without ``configure`` in its process, the group is in the Redis of its jobs."""
    monkeypatch.setattr("arq_status._client.default._default", StatusClient())

    async def parent(ctx: Context) -> None:
        async with arq_status.group("g") as group:
            for number in range(3):
                await group.enqueue_job(ctx["redis"], "add", number, 1)

    await pool.enqueue_job("parent")
    await run_burst(track_status({"functions": [func(parent, name="parent"), add]}))
    record = await told(client)
    assert (record.status, record.total, record.closed) == (Status.COMPLETE, 3, True)


# Everything that can happen to a job


async def test_killed_given_up_cancelled_expired(pool: ArqRedis, client: StatusClient) -> None:
    """The counts match the ``status`` of each job, also where no hook ran."""
    await enqueue(pool, "killed", "over", "cancelled", "expired", "booked", "waits", "begins")
    for job_id in ("killed", "over"):
        await begin(pool, job_id)
        record = await Store(pool).stored_record(job_id)
        assert record is not None
        run = record.enqueued_ms
        await write_record(pool, job_id, run=run, worker="host:7:dead")
    assert await client.cancel("cancelled")
    # arq gave up a dead worker's job and an expired one, and ran one without our hooks
    await pool.delete("arq:job:over", "arq:in-progress:over", "arq:job:expired")
    await pool.zrem("arq:queue", "over", "expired", "booked")
    await pool.delete("arq:job:booked")
    record = await Store(pool).stored_record("booked")
    assert record is not None
    from tests.records import put_result

    await put_result(pool, "booked", enqueued=record.enqueued_ms)
    await begin(pool, "begins")
    expected = {
        "killed": Status.INTERRUPTED,
        "over": Status.INTERRUPTED,
        "cancelled": Status.STOPPED,
        "expired": Status.FAILED,
        "booked": Status.COMPLETE,
        "waits": Status.QUEUED,
        "begins": Status.WORKING,
    }
    assert {it: await client.status(it) for it in expected} == expected
    for _ in range(2):
        found = await told(client)
        assert found.counts == counts(
            interrupted=2, stopped=1, failed=1, complete=1, queued=1, working=1
        )
        assert found.done == 4
        # lost jobs are ended by whoever reads them
        await recover_orphans(Store(pool))


async def test_deferred_retrying_interrupted(pool: ArqRedis, client: StatusClient) -> None:
    """Jobs between two tries are distinguished, also from those in their next try."""
    await enqueue(pool, "deferred", _defer_by=HOUR / 1000)
    await enqueue(pool, "retrying", "shut down", "again")
    for job_id, state in (
        ("retrying", State.RETRYING),
        ("shut down", State.INTERRUPTED),
        ("again", State.RETRYING),
    ):
        record = await Store(pool).stored_record(job_id)
        assert record is not None
        await write_record(pool, job_id, state, run=record.enqueued_ms)
    for _ in range(2):
        await begin(pool, "again")
    found = await told(client)
    assert found.counts == counts(deferred=1, retrying=1, interrupted=1, working=1)
    assert (found.status, found.done) == (Status.WORKING, 0)


async def test_retry_and_delete(pool: ArqRedis, client: StatusClient, run_burst: RunBurst) -> None:
    """A job that runs again has no longer ended; a deleted one does not count."""
    await enqueue(pool, "one", "two", function="fail")
    settings = track_status({"functions": [fail]})
    await run_burst(settings)
    assert (await told(client)).counts == counts(failed=2)
    assert await client.retry("one")
    again = await told(client)
    assert (again.counts, again.done) == (counts(failed=1, queued=1), 1)
    assert (again.status, again.expires_at) == (Status.WORKING, None)
    await run_burst(settings)
    assert await client.delete("two")
    last = await told(client)
    assert (last.counts, last.total) == (counts(failed=1), 1)
    assert await client.delete("one")
    assert await client.group_status("g") is None
    assert not {it for it in await own_keys(pool) if "g" in it.split("@")[1:]}


async def test_expiry(pool: ArqRedis, client: StatusClient) -> None:
    """An expired job keeps counting as it ended, while another record of the group exists."""
    async with client.group("g"):
        await write_end(pool, "short", group="g", expires_after_ms=300)
        await write_end(pool, "long", State.FAILED, group="g", expires_after_ms=1_500)

    async def expired() -> bool:
        return await client.status("short") is None

    await until(expired)
    record = await told(client)
    assert (record.counts, record.total) == (counts(complete=1, failed=1), 2)
    assert (await client.list_jobs(group="g")).total == 1

    async def gone() -> bool:
        return await client.group_status("g") is None

    await until(gone)

    async def forgotten() -> bool:
        return await client.status("long") is None

    await until(forgotten)


@pytest.mark.parametrize("is_late", [False, True])
async def test_a_job_that_leaves_nothing(
    pool: ArqRedis,
    client: StatusClient,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
    is_late: bool,
) -> None:
    """Untracked and without a result, it counts as complete, even if it ended at once."""
    options = status_options(track=False)
    worker = await start_worker(track_status({"functions": [options(func(add, keep_result=0))]}))
    run = Store.run

    async def run_late(*args: Any) -> list[Any]:
        await until(lambda: worker.jobs_complete == 1)
        await until(lambda: not worker.tasks)
        return await run(*args)

    if is_late:
        # Redis does not know the script yet: the job is enqueued without it
        await pool.script_flush()
        monkeypatch.setattr(Store, "run", run_late)
    async with client.group("import-7") as group:
        await group.enqueue_job(pool, "add", 1, 2, _job_id="job")
    await until(lambda: worker.jobs_complete == 1)
    record = await client.wait_group("import-7", timeout=10)
    assert record is not None
    assert (record.total, record.counts[Status.COMPLETE], record.done) == (1, 1, 1)
    assert await client.status("job") is Status.COMPLETE


async def test_an_id_is_used_again(pool: ArqRedis, client: StatusClient) -> None:
    """It is one job in the same group; elsewhere the earlier run counts as it ended."""
    await enqueue(pool, "job")
    assert await client.cancel("job")
    await enqueue(pool, "job")
    assert (await told(client)).counts == counts(queued=1)
    assert await client.cancel("job")
    run = await put_job(pool, "job", enqueued=timestamp_ms() + 5)
    assert (await told(client)).counts == counts(stopped=1)
    await begin(pool, "job")
    await write_record(pool, "job", run=run, worker="host:7:x")
    record = await told(client)
    assert (record.counts, record.status) == (counts(stopped=1), Status.STOPPED)
    assert (await client.list_jobs(group="g")).total == 0


async def test_a_lost_run_gives_way(pool: ArqRedis, client: StatusClient) -> None:
    """A job that nobody ended counts as lost when its id is reused."""
    await enqueue(pool, "waits", "runs")
    record = await Store(pool).stored_record("runs")
    assert record is not None
    await begin(pool, "runs")
    await write_record(pool, "runs", run=record.enqueued_ms, worker="host:7:x")
    await pool.delete("arq:in-progress:runs", "arq:retry:runs")
    for job_id in ("waits", "runs"):
        await put_job(pool, job_id, enqueued=timestamp_ms() + 5)
    expected = counts(failed=1, interrupted=1)
    await pool.zadd(keys.WORKERS, {"host:7:x": 0})
    await begin(pool, "waits")
    record_of_group = await told(client)
    assert (record_of_group.counts, record_of_group.done) == (expected, 2)
    await recover_orphans(Store(pool))
    record_of_group = await told(client)
    assert (record_of_group.counts, record_of_group.done) == (expected, 2)


async def test_a_lost_run_keeps_its_group(pool: ArqRedis, client: StatusClient) -> None:
    """If its id is reused elsewhere, the group is kept as long as its record would have been."""
    await enqueue(pool, "job")
    record = await Store(pool).stored_record("job")
    assert record is not None
    values: dict[str, Any] = {
        "worker": "host:7:x",
        "group": "g",
        "expires_after_ms": 30 * 24 * HOUR,
    }
    await write_record(pool, "job", run=record.enqueued_ms, **values)
    run = await put_job(pool, "job", enqueued=timestamp_ms() + 5)
    await begin(pool, "job")
    await write_record(pool, "job", run=run, worker="host:7:x")
    expires = (await told(client)).expires_at
    assert expires is not None
    assert expires - datetime.now(UTC) > timedelta(days=29)


async def test_another_queue(pool: ArqRedis, client: StatusClient) -> None:
    """A client knows all jobs of a group, whatever its queues are."""
    await enqueue(pool, "here")
    await enqueue(pool, "there", _queue_name="imports")
    narrow = StatusClient(pool, queues=["other"])
    assert (await told(narrow)).counts == (await told(client)).counts == counts(queued=2)


async def test_many_live_jobs(
    pool: ArqRedis, client: StatusClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are all counted, even if that takes more than one call."""
    monkeypatch.setattr("arq_status._redis.groups._AT_ONCE", 100)
    await enqueue(pool, *map(str, range(250)))
    assert (await told(client)).counts == counts(queued=250)


async def test_ended_jobs_cost_nothing(pool: ArqRedis, client: StatusClient) -> None:
    """Reading takes as many commands with 1,000 ended jobs as with 10."""
    taken = []
    for number in (10, 1_000):
        async with client.group("g"):
            for job in range(number):
                await write_end(pool, f"{number}-{job}", group="g")
        await client.group_status("g")
        await pool.config_resetstat()
        await client.group_status("g")
        taken.append(sum((await calls(pool)).values()))
    assert taken[0] == taken[1]


# Following


async def test_watch_group(pool: ArqRedis, client: StatusClient, start_worker: StartWorker) -> None:
    """It yields every change, including new jobs, and ends with the group."""
    seen: list[GroupRecord] = []

    async def watch() -> None:
        async for record in client.watch_group("g"):
            seen.append(record)

    async with arq_status.group("g") as group:
        task = asyncio.create_task(watch())
        await until(lambda: seen)
        await group.enqueue_job(pool, "add", 1, 2)
        await until(lambda: seen[-1].total == 1)
    await start_worker(track_status({"functions": [add]}))
    await asyncio.wait_for(task, 10)
    assert (seen[0].total, seen[-1].status, seen[-1].pct_complete) == (0, Status.COMPLETE, 100)
    assert [it.done for it in seen] == sorted(it.done for it in seen)


async def test_a_heartbeat(
    pool: ArqRedis, client: StatusClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a change the last record is yielded again, even if the group was read in between."""
    monkeypatch.setattr(feed, "POLL_INTERVAL", 0.05)
    await enqueue(pool, "job")
    async with aclosing(client.watch_group("g", heartbeat=0.3)) as records:
        seen = [await anext(records) for _ in range(3)]
    assert [it.total for it in seen] == [1, 1, 1]
    with pytest.raises(ValueError, match="positive"):
        await anext(client.watch_group("g", heartbeat=0))


async def test_waiting_for_too_long(pool: ArqRedis, client: StatusClient) -> None:
    """It raises ``TimeoutError``; if the group expires it returns ``None``."""
    await enqueue(pool, "job")
    with pytest.raises(TimeoutError):
        await client.wait_group("g", timeout=0.05)
    waiting = asyncio.create_task(client.wait_group("g"))
    await asyncio.sleep(0)
    await pool.delete(f"{keys.GROUP}g")
    assert await asyncio.wait_for(waiting, 10) is None


async def test_a_group_that_goes_while_it_is_watched(pool: ArqRedis, client: StatusClient) -> None:
    """The iteration ends."""
    await enqueue(pool, "job")
    async with aclosing(client.watch_group("g", heartbeat=0.3)) as records:
        for _ in range(3):
            assert (await anext(records)).total == 1
        await pool.delete(f"{keys.GROUP}g")
        rest = [it async for it in records]
    assert all(it.total == 1 for it in rest)


async def test_an_end_that_arq_has_not_booked(pool: ArqRedis, client: StatusClient) -> None:
    """The job counts as its ``status`` until arq has ended it or runs it again."""
    await enqueue(pool, "job")
    found = await Store(pool).stored_record("job")
    assert found is not None
    await begin(pool, "job")
    now = timestamp_ms()
    await write_record(pool, "job", State.COMPLETE, run=found.enqueued_ms, ended=now)
    assert await client.status("job") is Status.WORKING
    record = await told(client)
    assert (record.counts, record.done) == (counts(working=1), 0)
    await pool.delete("arq:job:job", "arq:in-progress:job")
    await pool.zrem("arq:queue", "job")
    record = await told(client)
    assert (record.counts, record.done) == (counts(complete=1), 1)


async def test_an_expired_group(pool: ArqRedis, client: StatusClient) -> None:
    """A follower that has seen it change gets nothing more and does not wait for it."""
    seen: list[GroupRecord] = []

    async def watch() -> None:
        async for record in arq_status.watch_group("g"):
            seen.append(record)

    await enqueue(pool, "job")
    task = asyncio.create_task(watch())
    await until(lambda: seen)
    await enqueue(pool, "another")
    await until(lambda: seen[-1].total == 2)
    await pool.delete(f"{keys.GROUP}g")
    await asyncio.wait_for(task, 10)
    assert seen[-1].ended_at is None


async def test_several_watch_one_group(pool: ArqRedis, client: StatusClient) -> None:
    """A later follower gets it at once, and both see its end."""
    seen: dict[int, list[GroupRecord]] = {0: [], 1: []}

    async def watch(number: int) -> None:
        async for record in client.watch_group("g"):
            seen[number].append(record)

    await enqueue(pool, "job")
    tasks = []
    for number, records in seen.items():
        tasks.append(asyncio.create_task(watch(number)))
        await until(partial(bool, records))
    assert await client.cancel("job")
    await asyncio.wait_for(asyncio.gather(*tasks), 10)
    assert {records[-1].status for records in seen.values()} == {Status.STOPPED}


async def test_progress_of_running_jobs(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """Their progress counts, with a total of 0 or beyond it as well."""

    async def job(ctx: Context, at: int, total: int) -> None:
        await ctx["status"].total(total)
        await ctx["status"].at(at)
        await asyncio.sleep(HOUR)

    async with arq_status.group("g") as group:
        for at, total in ((5, 10), (20, 10), (7, 0), (0, 10)):
            await group.enqueue_job(pool, job.__qualname__, at, total)
    await start_worker(track_status({"functions": [job]}))

    async def half() -> bool:
        return (await told(client)).pct_complete == 37

    await until(half)


async def test_a_job_that_retries(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """It is a single job of its group."""

    async def job(ctx: Context) -> None:
        if ctx["job_try"] < 3:
            raise Retry

    async with arq_status.group("g") as group:
        await group.enqueue_job(pool, job.__qualname__, _job_id="job")
    await run_burst(track_status({"functions": [job]}))
    assert (await told(client)).counts == counts(complete=1)


async def test_inline() -> None:
    """Groups, tags and bulk actions work without a server."""

    class Settings:
        functions = [add, fail]

    async with testing.inline(track_status(Settings), raises=False) as pool:
        async with arq_status.group("g") as group:
            await group.enqueue_job(pool, "add", 1, 2, _tags=["t"])
            await group.enqueue_job(pool, "fail", _job_id="job")
        record = await arq_status.group_status("g")
        assert record is not None
        assert record.counts == counts(complete=1, failed=1)
        assert (await arq_status.list_jobs(tag="t")).total == 1
        assert await arq_status.retry_jobs(group="g", status="failed") == 1
        assert [it.run for it in await arq_status.tries("job")] == [1, 2]
        assert await arq_status.delete_jobs(group="g") == 2


async def test_stopping_all(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """``stop_jobs`` asks running jobs to stop, and cancels waiting ones."""
    await start_worker(track_status({"functions": [wait]}), max_jobs=1)
    await enqueue(pool, "runs", function="wait")
    await started(client, "runs")
    await enqueue(pool, "waits", function="wait")
    assert await client.stop_jobs(group="g", force=True) == 2
    record = await client.wait_group("g", timeout=10)
    assert record is not None
    assert (record.status, record.counts) == (Status.STOPPED, counts(stopped=2))


async def test_a_group_that_has_ended(pool: ArqRedis, client: StatusClient) -> None:
    """It is yielded once, and waiting returns immediately."""
    await enqueue(pool, "job")
    assert await client.cancel("job")
    seen = [it.status async for it in arq_status.watch_group("g")]
    assert seen == [Status.STOPPED]
    record = await arq_status.wait_group("g", timeout=0)
    assert record is not None
    assert record.status is Status.STOPPED
