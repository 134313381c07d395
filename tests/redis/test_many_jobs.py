"""Actions on many jobs at once, and following many jobs."""

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.utils import timestamp_ms

import arq_status
from arq_status import JobRecord, Status, StatusClient, track_status
from arq_status._client.changes import _ChangeLog
from arq_status._client.listing import candidates
from arq_status._model.query import Query
from arq_status._model.record import State
from arq_status._redis import keys
from arq_status._redis.store import Store
from tests.conftest import RunBurst, StartWorker, started, until
from tests.jobs import add, fail, wait
from tests.records import HOUR, begin, calls, put_job, write_end, write_record, write_running

Context = dict[str, Any]


async def statuses(client: StatusClient, *job_ids: str) -> list[Status | None]:
    """Return the status of each job."""
    found = await client.jobs(job_ids)
    return [None if record is None else record.status for record in found]


# Actions


@pytest.mark.parametrize("name", ["stop_jobs", "cancel_jobs", "retry_jobs", "delete_jobs"])
async def test_at_least_one_filter(client: StatusClient, name: str) -> None:
    """Nobody can act on all jobs by mistake; impossible filters are rejected."""
    act = getattr(client, name)
    nothing: list[dict[str, Any]] = [{}, {"search": ""}, {"status": []}]
    for filters in nothing:
        with pytest.raises(TypeError, match="at least one filter"):
            await act(**filters)
    with pytest.raises(ValueError, match="unknown status"):
        await act(status="nonsense")
    # an empty value, computed by mistake, does not select more jobs than intended
    empty: list[dict[str, Any]] = [{"search": ""}, {"status": []}]
    for filters in empty:
        with pytest.raises(ValueError, match="is empty"):
            await act(**filters, function="f")
    assert await act(tag="none") == 0


async def test_every_filter(pool: ArqRedis, client: StatusClient) -> None:
    """They are those of lists: each selects the same jobs as there."""
    old = timestamp_ms() - 2 * HOUR
    await write_end(pool, "one", State.FAILED, function="resize", tags=("t",), group="g")
    await write_end(
        pool,
        "two",
        State.FAILED,
        function="other",
        queue="imports",
        ended=old,
        expires_after_ms=24 * HOUR,
    )
    chosen: list[dict[str, Any]] = [
        {"function": "resize"}, {"tag": "t"}, {"group": "g"}, {"search": "resiz"},
        {"queue": "arq:queue"}, {"since": timedelta(hours=1)}, {"search": "one"},
        {"since": datetime.now(UTC) - timedelta(hours=1), "status": ["failed", "stopped"]},
    ]  # fmt: skip
    for filters in chosen:
        assert [it.job_id for it in (await client.list_jobs(**filters)).items] == ["one"]
    assert await arq_status.delete_jobs(until=timedelta(hours=1)) == 1
    assert await statuses(client, "one", "two") == [Status.FAILED, None]
    assert await arq_status.delete_jobs(queue="arq:queue", function="resize") == 1
    assert await client.status("one") is None


async def test_retry_and_cancel(pool: ArqRedis, client: StatusClient, run_burst: RunBurst) -> None:
    """Each job is handled as by the single call; the count is that of successful actions."""
    for number in range(3):
        await pool.enqueue_job("fail", _job_id=f"failed-{number}")
    await pool.enqueue_job("add", 1, 2, _job_id="complete")
    settings = track_status({"functions": [add, fail]})
    await run_burst(settings)
    await pool.delete(f"{keys.PAYLOAD}failed-2")
    assert await arq_status.retry_jobs(function="fail") == 2
    assert await arq_status.retry_jobs(function="add") == 0
    found = await statuses(client, "failed-0", "failed-1", "failed-2")
    assert found == [Status.QUEUED, Status.QUEUED, Status.FAILED]
    assert await arq_status.cancel_jobs(status="queued") == 2
    assert await arq_status.cancel_jobs(status="queued") == 0
    assert await client.status("failed-0") is Status.STOPPED


async def test_stop(pool: ArqRedis, client: StatusClient, start_worker: StartWorker) -> None:
    """Running jobs are asked to stop, waiting ones are cancelled, also with ``force``."""

    async def polite(ctx: Context) -> None:
        while True:
            await ctx["status"].advance()
            await asyncio.sleep(0.01)

    await start_worker(track_status({"functions": [wait, polite]}), max_jobs=2)
    await arq_status.enqueue_job(pool, polite.__qualname__, _job_id="polite", _tags=["t"])
    await arq_status.enqueue_job(pool, "wait", _job_id="stubborn", _tags=["t"])
    for job_id in ("polite", "stubborn"):
        await started(client, job_id)
    await arq_status.enqueue_job(pool, "wait", _job_id="waits", _tags=["t"])
    assert await arq_status.stop_jobs(tag="t") == 3

    async def is_stopped() -> bool:
        return await statuses(client, "polite", "waits") == [Status.STOPPED] * 2

    await until(is_stopped)
    assert await client.status("stubborn") is Status.WORKING
    assert await arq_status.stop_jobs(tag="t", force=True) == 1
    await until(lambda: _has_status(client, "stubborn", Status.STOPPED))


async def _has_status(client: StatusClient, job_id: str, status: Status) -> bool:
    return await client.status(job_id) is status


async def test_a_job_that_changed_meanwhile(
    pool: ArqRedis, client: StatusClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is checked again just before: jobs that no longer match are left alone."""
    await write_end(pool, "job", State.FAILED, tags=("t",))
    module = "arq_status._client.actions.candidates"

    async def then_it_runs_again(*args: Any) -> list[str]:
        found = await candidates(*args)
        await put_job(pool, "job")
        return found

    monkeypatch.setattr(module, then_it_runs_again)
    assert await client.delete_jobs(status="failed") == 0


async def test_jobs_that_are_not_tracked(pool: ArqRedis, client: StatusClient) -> None:
    """A running job without a record cannot be stopped, but does not delay the others."""
    await put_job(pool, "untracked")
    await begin(pool, "untracked")
    await put_job(pool, "waits")
    began = monotonic()
    assert await client.stop_jobs(queue="arq:queue") == 1
    assert monotonic() - began < 5
    assert await client.status("waits") is Status.STOPPED


@pytest.mark.long(5)
async def test_a_thousand_jobs(pool: ArqRedis, client: StatusClient) -> None:
    """Few round trips are made, and no script blocks Redis."""
    for number in range(1_000):
        await pool.enqueue_job("f", number, _job_id=str(number))
    assert await client.cancel_jobs(function="f") == 1_000
    assert (await client.counts())[Status.STOPPED] == 1_000
    assert await client.retry_jobs(status="stopped") == 1_000
    await pool.config_resetstat()
    assert await client.delete_jobs(queue="arq:queue") == 1_000
    # the jobs continue
    assert (await client.counts())[Status.QUEUED] == 1_000
    assert (await calls(pool))["evalsha"] < 1_200


# Following


async def test_watch_many(pool: ArqRedis, client: StatusClient, start_worker: StartWorker) -> None:
    """Yields every job, then each change, and ends when all jobs have ended."""
    await write_end(pool, "over")
    for number in range(3):
        await pool.enqueue_job("add", 1, number, _job_id=str(number), _defer_by=0.1 * number)
    seen: list[JobRecord] = []

    async def watch() -> None:
        async for record in arq_status.watch_many(["over", "0", "1", "2", "2", "unknown", ""]):
            seen.append(record)

    task = asyncio.create_task(watch())
    await until(lambda: len(seen) >= 4)
    assert [it.job_id for it in seen[:4]] == ["over", "0", "1", "2"]
    await start_worker(track_status({"functions": [add]}))
    await asyncio.wait_for(task, 10)
    for number in range(3):
        assert [it.status for it in seen if it.job_id == str(number)][-1] is Status.COMPLETE
    assert [it async for it in arq_status.watch_many([])] == []
    assert [it.job_id async for it in arq_status.watch_many(["over"])] == ["over"]


async def test_watch_many_of_which_one_is_deleted(pool: ArqRedis, client: StatusClient) -> None:
    """It is no longer followed."""
    await write_record(pool, "job", worker="host:7:x")
    run = await put_job(pool, "other")
    await begin(pool, "other")
    await write_record(pool, "other", run=run, worker="host:7:x")
    async with aclosing(client.watch_many(["job", "other"])) as records:
        assert {(await anext(records)).job_id for _ in range(2)} == {"job", "other"}
        await client.delete("job")
        await pool.delete("arq:job:other", "arq:in-progress:other")
        await pool.zrem("arq:queue", "other")
        rest = [it async for it in records]
    assert {it.job_id for it in rest} <= {"other", "job"}


async def test_changes(pool: ArqRedis, client: StatusClient, start_worker: StartWorker) -> None:
    """Yields matching changes from now on: of tracked jobs at once, of others soon."""
    await write_end(pool, "before", State.FAILED, tags=("t",))
    seen: list[JobRecord] = []
    everything: list[JobRecord] = []

    async def follow(into: list[JobRecord], **filters: Any) -> None:
        async for record in arq_status.changes(**filters):
            into.append(record)

    tasks = [
        asyncio.create_task(follow(seen, status="failed", tag="t")),
        asyncio.create_task(follow(everything)),
    ]
    try:

        async def is_told() -> bool:
            # until it has subscribed
            await write_end(pool, "other", State.FAILED, message=str(monotonic()))
            return "other" in {it.job_id for it in everything}

        await until(is_told)
        await pool.enqueue_job("wait", _job_id="plain", _defer_by=HOUR / 1000)
        await arq_status.enqueue_job(pool, "fail", _job_id="fails", _tags=["t"])
        await start_worker(track_status({"functions": [add, fail, wait]}))
        await until(lambda: seen)
        await pool.enqueue_job("add", 1, 2, _job_id="adds", _queue_name="imports")
        assert {(it.job_id, it.status) for it in seen} == {("fails", Status.FAILED)}
        assert "before" not in {it.job_id for it in everything}
        await until(lambda: "plain" in {it.job_id for it in everything})
        await until(
            lambda: ("fails", Status.FAILED) in {(it.job_id, it.status) for it in everything}
        )
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def test_many_changes_at_once(pool: ArqRedis, client: StatusClient) -> None:
    """If there are too many to be named one by one, the newest are still yielded."""
    feed = await client._feed()
    async with feed.follow(others=True) as following:
        feed.notify([str(number) for number in range(10_001)])
        assert (len(following.mentioned), following.missed_some) == (0, True)


async def test_a_log_of_changes(
    pool: ArqRedis, client: StatusClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that is gone yields nothing; one whose end arq has not stored is checked again."""
    monkeypatch.setattr("arq_status._client.changes._REMEMBERED", 1)
    store = Store(pool)
    log = _ChangeLog(store, Query())
    await write_end(pool, "old")
    await log.begin()
    run = await put_job(pool, "job")
    await begin(pool, "job")
    await write_end(pool, "job", run=run)
    [record] = await log.read({"job", "gone", "\0@g"}, missed_some=True)
    assert (record.job_id, record.status) == ("job", Status.WORKING)
    assert log.ending == {"job"}
    await pool.delete("arq:job:job", "arq:in-progress:job")
    await pool.zrem("arq:queue", "job")
    [record] = await log.read(set(), missed_some=False)
    assert (record.job_id, record.status) == ("job", Status.COMPLETE)
    assert await log.read({"job"}, missed_some=False) == []
    assert log.ending == set()


async def test_watch_many_yields_progress(pool: ArqRedis, client: StatusClient) -> None:
    """It yields each change of each job, as long as one is live."""
    await write_running(pool, "one")
    async with aclosing(client.watch_many(["one"])) as records:
        first = await anext(records)
        for at in (1, 2):
            found = await Store(pool).stored_record("one")
            assert found is not None
            await write_record(
                pool, "one", first=False, run=found.enqueued_ms, worker="host:7:x", at=at,
                version=found.version + 1,
            )  # fmt: skip
            while first.at != at:
                first = await anext(records)
    assert first.at == 2
