"""``inline`` beyond one worker that runs each job at once: queues, jobs that wait, event loops."""

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from arq import Retry, cron, func
from arq.connections import ArqRedis
from arq.jobs import Job, JobStatus

import arq_status
from arq_status import JobRecord, Status, StatusClient, track_status
from arq_status.testing import inline
from arq_status.web import create_app
from tests.web import page_of

Context = dict[str, Any]


async def report(ctx: Context, rows: int = 4) -> int:
    async for _ in ctx["status"].track(range(rows), "Importing"):
        await ctx["status"].store(vino="veritas")
    return rows


async def fail(ctx: Context, words: str = "no vino") -> None:
    raise ValueError(words)


async def enqueue(ctx: Context, function: str, *args: Any, queue: str | None = None) -> None:
    await ctx["redis"].enqueue_job(function, *args, _job_id="below", _queue_name=queue)


@track_status
class Imports:
    functions = [report, fail, enqueue]


@track_status(record_args=False)
class Images:
    functions = [report, fail, enqueue]
    queue_name = "images"


async def known(job_id: str) -> JobRecord:
    record = await arq_status.job(job_id)
    assert record is not None
    return record


# several queues


async def test_several_queues() -> None:
    """Each job runs in the worker of its queue, and the queries know them all."""
    async with inline(Imports, Images) as pool:
        await pool.enqueue_job("report", 1, _job_id="a")
        job = await pool.enqueue_job("report", 2, _job_id="b", _queue_name="images")
        assert job is not None
        assert await job.result() == 2
        assert ((await known("a")).queue, (await known("a")).args) == ("arq:queue", "1")
        assert ((await known("b")).queue, (await known("b")).args) == ("images", "")
        page = await arq_status.list_jobs(function="report")
        assert [it.job_id for it in page.items] == ["b", "a"]
        with pytest.raises(ValueError, match="no vino"):
            await pool.enqueue_job("fail", _queue_name="images")


@pytest.mark.parametrize(("queue", "expected"), [(None, "images"), ("arq:queue", "arq:queue")])
async def test_the_queue_of_jobs_that_jobs_enqueue(queue: str | None, expected: str) -> None:
    """It is that of their worker, as in production, unless they name another."""
    async with inline(Imports, Images) as pool:
        await pool.enqueue_job("enqueue", "report", queue=queue, _queue_name="images")
        assert (await known("below")).queue == expected
        assert await arq_status.is_complete("below")


async def test_workers_of_one_queue() -> None:
    """Two settings for one queue are refused: in production either might get a job of the other."""
    with pytest.raises(ValueError, match="two of the settings have the queue 'arq:queue'"):
        async with inline(Imports, {"functions": [report]}):
            raise AssertionError("it began")


async def test_a_worker_that_does_not_start() -> None:
    """Those that have started before it are shut down, and it is as well, as by arq."""
    called: list[str] = []

    def hook(name: str, error: Exception | None = None) -> Callable[..., Coroutine[Any, Any, None]]:
        async def note(ctx: Context) -> None:
            called.append(name)
            if error is not None:
                raise error

        return note

    first = {"functions": [report], "on_startup": hook("up 1"), "on_shutdown": hook("down 1")}
    broken = hook("up 2", LookupError("no such thing"))
    second = {"functions": [report], "on_startup": broken, "on_shutdown": hook("down 2")}
    with pytest.raises(LookupError, match="no such thing"):
        async with inline(track_status(first), track_status({**second, "queue_name": "other"})):
            raise AssertionError("it began")
    assert called == ["up 1", "up 2", "down 2", "down 1"]


# jobs that wait


async def test_jobs_that_wait_to_be_run() -> None:
    """With ``run=False`` jobs stay in their queues, as in production before a worker comes."""
    async with inline(Imports, Images, run=False) as pool:
        job = await pool.enqueue_job("report", 3, _job_id="due")
        assert job is not None
        await pool.enqueue_job("report", 2, _job_id="later", _defer_by=60)
        await pool.enqueue_job("report", 1, _job_id="image", _queue_name="images")
        assert await job.status() is JobStatus.queued
        assert await arq_status.is_queued("image")
        assert await arq_status.is_deferred("later")
        counts = await arq_status.counts()
        assert (counts[Status.QUEUED], counts[Status.DEFERRED]) == (2, 1)
        assert await arq_status.store("due", owner="me")
        assert await pool.enqueue_job("report", _job_id="due") is None

        assert await pool.run_jobs() == 3
        assert await pool.run_jobs() == 0
        assert (await arq_status.counts())[Status.COMPLETE] == 3
        assert (await known("due")).data == {"owner": "me", "vino": "veritas"}
        assert await job.result() == 3


@pytest.mark.parametrize("max_jobs", [1, 2])
async def test_jobs_in_the_order_in_which_they_are_due(max_jobs: int) -> None:
    """They start as arq would start them, at most ``max_jobs`` at a time."""
    started: list[str] = []
    most = running = 0

    async def job(ctx: Context) -> None:
        nonlocal most, running
        started.append(ctx["job_id"])
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1

    settings = track_status({"functions": [func(job, name="job")], "max_jobs": max_jobs})
    async with inline(settings, run=False) as pool:
        for seconds in (40, 10, 30, 20):
            await pool.enqueue_job("job", _job_id=f"in {seconds}", _defer_by=seconds)
        assert await pool.run_jobs() == 4
    assert most == max_jobs
    # of those that start together any may be first
    parts = [started[at : at + max_jobs] for at in range(0, 4, max_jobs)]
    assert [job_id for part in parts for job_id in sorted(part)] == [
        "in 10",
        "in 20",
        "in 30",
        "in 40",
    ]


async def test_a_job_that_waits_for_one_that_it_enqueued() -> None:
    """It gets the result, for they run beside each other."""

    async def outer(ctx: Context) -> int:
        job = await ctx["redis"].enqueue_job("report", 5)
        return int(await job.result(poll_delay=0.005)) + 1

    settings = track_status({"functions": [report, func(outer, name="outer")]})
    async with inline(settings, run=False) as pool:
        job = await pool.enqueue_job("outer")
        assert job is not None
        assert await pool.run_jobs() == 2
        assert await job.result() == 6


async def test_what_jobs_that_waited_raise() -> None:
    """``run_jobs`` raises it when all have run, unless another job has asked for it."""

    async def careful(ctx: Context) -> None:
        job = await ctx["redis"].enqueue_job("fail", "dealt with", _job_id="asked")
        with pytest.raises(ValueError, match="dealt with"):
            await job.result(poll_delay=0.005)

    settings = track_status({"functions": [report, fail, func(careful, name="careful")]})
    async with inline(settings, run=False) as pool:
        await pool.enqueue_job("careful", _job_id="careful")
        assert await pool.run_jobs() == 2
        assert await arq_status.is_failed("asked")
        await pool.enqueue_job("fail", _job_id="failed")
        await pool.enqueue_job("report", _job_id="after")
        with pytest.raises(ValueError, match="no vino"):
            await pool.run_jobs()
        assert await arq_status.is_complete("after")
        # what has waited and is retried waits again
        assert await arq_status.retry("failed")
        assert await arq_status.is_queued("failed")
        with pytest.raises(ValueError, match="no vino"):
            await pool.run_jobs()


async def test_waiting_jobs_that_always_enqueue_the_next() -> None:
    """The hundredth is refused, as where each runs at once."""

    async def poll(ctx: Context) -> None:
        await ctx["redis"].enqueue_job("poll", _defer_by=3600)

    async with inline({"functions": [func(poll, name="poll")]}, run=False) as pool:
        await pool.enqueue_job("poll")
        with pytest.raises(RuntimeError, match="nested 100 deep"):
            await pool.run_jobs()


async def test_a_test_that_gives_up_waiting_for_jobs() -> None:
    """A cancelled ``run_jobs`` cuts off what runs, as a shutdown does."""

    begun = asyncio.Event()

    async def wait(ctx: Context) -> None:
        begun.set()
        await asyncio.sleep(3600)

    settings = track_status({"functions": [func(wait, name="wait")]})
    async with inline(settings, run=False) as pool:
        await pool.enqueue_job("wait", _job_id="job")
        running = asyncio.create_task(pool.run_jobs())
        await begun.wait()
        # it runs already
        assert await asyncio.wait_for(pool.enqueue_job("wait", _job_id="job"), 1) is None
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert await arq_status.is_interrupted("job")


async def test_two_that_run_the_same_jobs() -> None:
    """Each job runs once."""
    ran: list[str] = []

    async def job(ctx: Context) -> None:
        ran.append(ctx["job_id"])

    async with inline({"functions": [func(job, name="job")]}, run=False) as pool:
        for job_id in ("a", "b"):
            await pool.enqueue_job("job", _job_id=job_id)
        await asyncio.gather(pool.run_jobs(), pool.run_jobs())
    assert sorted(ran) == ["a", "b"]


# failures that are not raised


async def test_failures_that_are_left_to_the_queries() -> None:
    """With ``raises=False`` nothing that a job raises is raised by the pool."""
    async with inline(Imports, raises=False) as pool:
        job = await pool.enqueue_job("fail", _job_id="failed")
        assert job is not None
        assert (await known("failed")).error == "ValueError: no vino"
        with pytest.raises(ValueError, match="no vino"):
            await job.result()
        await pool.enqueue_job("enqueue", "fail", _job_id="above")
        assert await arq_status.is_failed("below")
        assert await arq_status.is_complete("above")
    async with inline(Imports, raises=False, run=False) as pool:
        await pool.enqueue_job("fail", _job_id="failed")
        assert await pool.run_jobs() == 1
        assert await arq_status.is_failed("failed")


# what runs again


async def test_whoever_retries_a_job() -> None:
    """It runs at once, whichever client of the pool or page asks for that; also in other queues."""
    tries: list[int] = []

    async def flaky(ctx: Context) -> None:
        tries.append(ctx["job_try"])
        if len(tries) < 4:
            raise ValueError("not yet")

    flakies = {"functions": [func(flaky, name="flaky")], "queue_name": "flaky"}
    async with inline(Imports, track_status(flakies), raises=False) as pool:
        await pool.enqueue_job("flaky", _job_id="job", _queue_name="flaky")
        assert await arq_status.retry("job")
        assert await StatusClient(pool).retry("job")
        assert await arq_status.is_failed("job")
        async with page_of(create_app(pool)) as page:
            form, headers = {"action": "retry"}, {"X-Arq-Status": "1"}
            answer = await page.post("/statuses/job", data=form, headers=headers)
            assert answer.status_code == 303
        assert await arq_status.is_complete("job")
    assert tries == [1, 1, 1, 1]


async def test_a_job_that_another_job_retries() -> None:
    """It runs inside the other, which does not fail with it."""

    async def again(ctx: Context, job_id: str) -> None:
        assert await arq_status.retry(job_id)

    settings = track_status({"functions": [fail, func(again, name="again")]})
    async with inline(settings) as pool:
        with pytest.raises(ValueError, match="no vino"):
            await pool.enqueue_job("fail", _job_id="failed")
        await pool.enqueue_job("again", "failed", _job_id="again")
        assert await arq_status.is_complete("again")
        assert await arq_status.is_failed("failed")


async def test_a_cron_job_that_runs_again() -> None:
    """Arq's key that a cron job leaves in progress for a minute keeps nothing waiting here."""

    async def nightly(ctx: Context) -> int:
        if ctx["job_try"] == 1:
            raise Retry(defer=60)
        return int(ctx["job_try"])

    settings = track_status({"cron_jobs": [cron(nightly, name="nightly", hour=3, max_tries=2)]})
    async with inline(settings) as pool:
        await pool.enqueue_job("nightly", _job_id="job")
        record = await known("job")
        assert (record.status, record.job_try) == (Status.COMPLETE, 2)


# other event loops, other threads


def in_another_loop(code: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run code in an event loop of a thread of its own; what it returned."""
    return asyncio.to_thread(asyncio.run, code())


async def test_another_event_loop() -> None:
    """Queries work there as well; jobs cannot run there, and that is said at once."""

    async def ask(pool: ArqRedis) -> list[Any]:
        client = StatusClient(pool)
        followed = [record.status async for record in client.watch("job")]
        return [
            *followed,
            await Job("job", pool).result(),
            (await client.counts())[Status.COMPLETE],
            *await asyncio.gather(*(client.status("job") for _ in range(50))),
        ]

    async with inline(Imports) as pool:
        await pool.enqueue_job("report", 4, _job_id="job")
        assert await in_another_loop(lambda: ask(pool)) == [
            Status.COMPLETE, 4, 1, *[Status.COMPLETE] * 50
        ]  # fmt: skip
        for code in (lambda: pool.enqueue_job("report", _job_id="other"), pool.run_jobs):
            with pytest.raises(RuntimeError, match=r"another event loop, .* the same loop_scope"):
                await in_another_loop(code)
        assert await arq_status.status("other") is None

    async with inline(Imports, run=False) as pool:
        await in_another_loop(lambda: pool.enqueue_job("report", _job_id="job"))
        assert await pool.run_jobs() == 1
        assert await arq_status.is_complete("job")


def test_an_end_in_another_event_loop() -> None:
    """It is refused with the same words."""

    async def enter() -> Any:
        context = inline(Imports)
        await context.__aenter__()
        return context

    with asyncio.Runner() as first, asyncio.Runner() as second:
        context = first.run(enter())
        with pytest.raises(RuntimeError, match="another event loop"):
            second.run(context.__aexit__(None, None, None))


async def test_nothing_is_left_behind() -> None:
    """No task and no thread outlives the ``async with``."""
    tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
    async with inline(Imports, Images) as pool:
        await pool.enqueue_job("report", _job_id="job")
        async for _ in arq_status.watch("job"):
            pass
        await arq_status.list_jobs()
    assert asyncio.all_tasks() == tasks
    assert set(threading.enumerate()) <= threads


@pytest.mark.parametrize("missing", ["fakeredis", "lupa"])
async def test_without_the_extra(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing is named, with the installation that brings it."""
    monkeypatch.setitem(sys.modules, missing, None)
    words = rf"^arq_status.testing.inline needs {missing}: pip install 'arq-status\[testing\]'$"
    with pytest.raises(ModuleNotFoundError, match=words):
        async with inline(Imports):
            raise AssertionError("it began")


async def test_how_the_pool_is_shown() -> None:
    """Its queue tells pools apart."""
    async with inline({"functions": [report]}) as pool:
        assert repr(pool) == "<InlinePool of queue 'arq:queue'>"


async def test_tags_and_groups_from_the_start() -> None:
    """A job has them while it runs, the first one and one that fails as well."""
    seen = []

    async def job(ctx: Context, words: str | None = None) -> None:
        record = await arq_status.job(ctx["job_id"])
        seen.append(() if record is None else record.tags)
        if words is None:
            await arq_status.enqueue_job(ctx["redis"], "job", "below", _tags=["below"])
        if words == "fail":
            raise ValueError(words)

    settings = track_status({"functions": [func(job, name="job")]})
    async with inline(settings, raises=False) as redis:
        await arq_status.enqueue_job(redis, "job", "fail", _tags=["t"])
        async with arq_status.group("import-7") as group:
            await group.enqueue_job(redis, "job", _tags=["t", "u"])
        record = await arq_status.group_status("import-7")
        assert record is not None
        assert (record.total, record.done) == (1, 1)
        assert (await arq_status.list_jobs(tag="t")).total == 2
        assert (await arq_status.list_jobs(tag="below")).total == 1
    assert sorted(seen) == [("below",), ("t",), ("t", "u")]
