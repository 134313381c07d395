"""``arq_status.testing``: jobs run inline, without a server, and trackers without a worker."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from arq import cron, func
from arq.connections import ArqRedis
from arq.jobs import Job, JobStatus, ResultNotFound, SerializationError
from arq.worker import JobExecutionFailed, Retry, RetryJob

import arq_status
from arq_status import (
    JobRecord,
    JobStopped,
    JobTracker,
    Status,
    StatusClient,
    current_tracker,
    status_options,
    track_status,
)
from arq_status.testing import InlinePool, inline, tracker
from arq_status.web import create_app
from tests.conftest import RunBurst, started, until
from tests.jobs import Unprintable
from tests.web import page_of

Context = dict[str, Any]


async def report(ctx: Context, rows: int = 4) -> int:
    """A job with progress and data."""
    status: JobTracker = ctx["status"]
    async for _ in status.track(range(rows), "Importing"):
        await status.store(vino="veritas")
    return rows


async def fail(ctx: Context, words: str = "no vino") -> None:
    await ctx["status"].at(3, "so far")
    raise ValueError(words)


async def again(ctx: Context, until_try: int) -> int:
    await ctx["status"].at(ctx["job_try"], f"try {ctx['job_try']}")
    if ctx["job_try"] < until_try:
        raise Retry(defer=0)
    return until_try


async def wait(ctx: Context) -> None:
    await asyncio.sleep(3600)


async def give(ctx: Context, what: str) -> object:
    return {"lambda": lambda: None, "unprintable": Unprintable()}[what]


async def halt(ctx: Context) -> None:
    raise JobStopped("enough")


async def cancel_itself(ctx: Context) -> None:
    raise asyncio.CancelledError


async def enqueue(ctx: Context, function: str, *args: Any) -> None:
    """Enqueue another job and take no notice of it."""
    await ctx["redis"].enqueue_job(function, *args, _job_id=f"below {ctx['job_id']}")


@status_options(record_args=False)
async def secret(ctx: Context, password: str) -> None:
    """A job whose arguments nobody is to see."""


@status_options(track=False)
async def untracked(ctx: Context, words: str | None = None) -> None:
    if words is not None:
        raise ValueError(words)


FUNCTIONS = [
    report, fail, again, give, halt, cancel_itself, enqueue, secret, untracked,
    func("tests.jobs.add", name="add"), func(wait, timeout=0.1),
    func(report, name="thrifty", keep_result=0), func(fail, name="thrifty_fail", keep_result=0),
    func(wait, name="thrifty_wait", keep_result=0, timeout=0.1),
]  # fmt: skip


@track_status(expires=600)
class Settings:
    """The settings of a worker, as production has them."""

    functions = FUNCTIONS
    cron_jobs = [cron(report, hour=3)]
    max_tries = 3


@pytest.fixture
async def inline_pool() -> AsyncIterator[InlinePool]:
    """Arq's pool without Redis, as the tests of a user have it."""
    async with inline(Settings) as pool:
        yield pool


async def known(job_id: str) -> JobRecord:
    """What the functions of the package answer."""
    record = await arq_status.job(job_id)
    assert record is not None
    return record


async def enqueued(pool: ArqRedis, *args: Any, **kwargs: Any) -> Job:
    """The job that was enqueued, and has run."""
    job = await pool.enqueue_job(*args, **kwargs)
    assert job is not None
    return job


async def test_a_job_runs_at_once(inline_pool: ArqRedis) -> None:
    """In a test with the fixture a job has run when it is enqueued, and the queries know it."""
    job = await enqueued(inline_pool, "report", 4, _job_id="rows")
    assert await job.result() == 4
    assert await job.status() is JobStatus.complete
    assert await arq_status.status("rows") is Status.COMPLETE
    record = await known("rows")
    assert (record.at, record.total, record.message) == (4, 4, "Importing")
    assert (record.function, record.args, record.pct_complete) == ("report", "4", 100)
    assert await arq_status.get("rows", "vino") == "veritas"
    assert await arq_status.wait("rows") == record
    assert await arq_status.store("rows", owner="me")
    assert (await known("rows")).data == {"vino": "veritas", "owner": "me"}
    assert await arq_status.status("other") is None


def comparable(record: JobRecord | None) -> dict[str, Any]:
    """What two runs of a job have in common: of times and of the worker only whether they stand."""
    assert record is not None
    found = {name: getattr(record, name) for name in JobRecord.__dataclass_fields__}
    for name, value in found.items():
        if isinstance(value, datetime | timedelta) or name == "worker":
            found[name] = value is not None
    return found


@pytest.mark.parametrize(
    ("function", "args"),
    [
        ("report", (4,)),
        ("cron:report", ()),
        ("add", (1, 2)),
        ("fail", ()),
        ("fail", ("x" * 20_000,)),
        ("again", (3,)),
        ("again", (4,)),
        ("wait", ()),
        ("give", ("lambda",)),
        ("give", ("unprintable",)),
        ("halt", ()),
        ("cancel_itself", ()),
        ("nobody_knows_it", (1, 2)),
        ("secret", ("sesame",)),
        ("untracked", ()),
        ("untracked", ("quietly",)),
        ("thrifty", ()),
        ("thrifty_fail", ()),
        ("thrifty_wait", ()),
    ],
)
async def test_the_same_record_as_in_production(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst, function: str, args: tuple[Any, ...]
) -> None:
    """A job leaves the same record and the same result as with a worker and Redis."""
    job = await enqueued(pool, function, *args, _job_id="job")
    await run_burst(Settings)
    record = comparable(await client.job("job"))
    result = await outcome_of(job)
    async with inline(Settings) as inline_pool:
        with suppress(Exception):
            await inline_pool.enqueue_job(function, *args, _job_id="job")
        assert comparable(await arq_status.job("job")) == record
        assert await outcome_of(Job("job", inline_pool)) == result
    assert comparable(await client.job("job")) == record


async def outcome_of(job: Job) -> tuple[str, str]:
    """What ``Job.result`` does."""
    try:
        return "returned", repr(await job.result(timeout=1))
    except (Exception, asyncio.CancelledError) as error:
        return type(error).__name__, "" if isinstance(error, ResultNotFound) else str(error)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (("fail",), ValueError, "no vino"),
        (("thrifty_fail",), ValueError, "no vino"),
        (("untracked", "quietly"), ValueError, "quietly"),
        (("halt",), JobStopped, "enough"),
        (("wait",), TimeoutError, "^$"),
        (("thrifty_wait",), TimeoutError, "^$"),
        (("again", 4), JobExecutionFailed, "max 3 retries exceeded"),
        (("nobody_knows_it",), JobExecutionFailed, "function 'nobody_knows_it' not found"),
        (("give", "lambda"), SerializationError, "unable to serialize result"),
        (("give", "unprintable"), RuntimeError, "no repr"),
        (("report", lambda: None), SerializationError, 'unable to serialize job "report"'),
        (("add", 1), TypeError, "missing 1 required positional argument"),
    ],
)
async def test_what_the_job_raises_is_raised(
    inline_pool: ArqRedis, call: tuple[Any, ...], error: type[Exception], words: str
) -> None:
    """``enqueue_job`` raises what the job raised, or what arq makes of it."""
    with pytest.raises(error, match=words):
        await inline_pool.enqueue_job(*call)


async def test_an_exception_is_the_jobs_own(inline_pool: ArqRedis) -> None:
    """What is raised is the very exception, also where no pickle can hold it."""
    raised: list[Exception] = []

    class Unpicklable(Exception):  # noqa: N818 - it is about nothing else
        def __init__(self, first: object, second: object) -> None:
            super().__init__(first)

    async def job(ctx: Context, kind: str) -> None:
        raised.append(Unpicklable(lambda: None, 0) if kind == "cannot" else LoadsNot(1, 2))
        raise raised[-1]

    async with inline({"functions": [func(job, name="job")]}) as pool:
        for kind in ("cannot", "loads not"):
            with pytest.raises((Unpicklable, LoadsNot)) as caught:
                await pool.enqueue_job("job", kind)
            assert caught.value is raised[-1]


class LoadsNot(Exception):  # noqa: N818 - as above
    """Pickles, and cannot be read again."""

    def __init__(self, first: object, second: object) -> None:
        super().__init__(first)


class Spoiled:
    """Pickles, and cannot be read again."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (int, ("no number",))


async def test_a_result_that_cannot_be_read() -> None:
    """What is returned and cannot be read again fails as ``Job.result`` would."""

    async def job(ctx: Context) -> object:
        return Spoiled()

    async with inline({"functions": [func(job, name="job")]}) as pool:
        with pytest.raises(SerializationError, match="unable to deserialize job result"):
            await pool.enqueue_job("job")


async def test_retry_runs_again_at_once(inline_pool: ArqRedis) -> None:
    """Tries are counted, whatever ``Retry`` defers them by, and ``_job_try`` begins further on."""
    tries: list[tuple[int, int]] = []

    async def job(ctx: Context) -> int:
        tries.append((ctx["job_try"], ctx["score"]))
        if ctx["job_try"] < 3:
            raise Retry(defer=3600) if ctx["job_try"] == 1 else RetryJob
        return int(ctx["job_try"])

    async with inline({"functions": [func(job, name="job")]}) as pool:
        found = await enqueued(pool, "job")
        assert await found.result() == 3
        assert [job_try for job_try, _ in tries] == [1, 2, 3]
        assert tries[1][1] - tries[0][1] >= 3_600_000
        await pool.enqueue_job("job", _job_try=3)
        assert tries[-1][0] == 3


async def test_hooks_and_their_ctx() -> None:
    """All hooks run, in arq's order, with the ctx that they get from arq."""
    seen: list[str] = []

    def hook(name: str) -> Any:
        async def note(ctx: Context) -> None:
            seen.append(name)
            assert "redis" in ctx
            if name.endswith(("start", "end")):
                assert ctx["status"].job_id == ctx["job_id"] == "job"
                # arq rounds to the nearest millisecond
                assert ctx["enqueue_time"] <= datetime.now(UTC) + timedelta(milliseconds=1)
            if name == "on_startup":
                ctx["mine"] = "yours"

        return note

    async def job(ctx: Context) -> None:
        seen.append(f"job {ctx['mine']} {ctx['given']}")

    names = ("on_startup", "on_shutdown", "on_job_start", "on_job_end", "after_job_end")
    ctx = {"given": "too"}
    settings = {"functions": [func(job, name="job")], "ctx": ctx} | {it: hook(it) for it in names}
    async with inline(track_status(settings)) as pool:
        await pool.enqueue_job("job", _job_id="job")
    assert seen == [
        "on_startup", "on_job_start", "job yours too", "on_job_end", "after_job_end", "on_shutdown",
    ]  # fmt: skip
    assert ctx == {"given": "too"}


async def test_what_a_hook_raises_is_raised() -> None:
    """A hook that raises ends arq's worker; here the test gets to see it."""

    async def broken(ctx: Context) -> None:
        raise LookupError("no such thing")

    closed = []

    async def close(ctx: Context) -> None:
        closed.append(True)

    async with inline({"functions": [wait], "on_job_start": broken}) as pool:
        with pytest.raises(LookupError, match="no such thing"):
            await pool.enqueue_job("wait")
    settings = {"functions": [wait], "on_startup": broken, "on_shutdown": close}
    with pytest.raises(LookupError, match="no such thing"):
        async with inline(settings):
            raise AssertionError("it began")
    assert closed == [True]


async def test_jobs_that_jobs_enqueue(inline_pool: ArqRedis) -> None:
    """They run too; each has its own record and tracker."""
    await inline_pool.enqueue_job("enqueue", "enqueue", "report", 7, _job_id="top")
    assert (await known("below top")).function == "enqueue"
    assert (await known("below below top")).at == 7
    results = await inline_pool.all_job_results()
    assert {it.job_id for it in results} == {"top", "below top", "below below top"}

    async def outer(ctx: Context) -> None:
        await ctx["redis"].enqueue_job("inner", _job_id="inner")
        assert current_tracker() is ctx["status"]
        await current_tracker().at(1)

    async def inner(ctx: Context) -> None:
        assert current_tracker() is ctx["status"]
        await current_tracker().at(2)

    functions = [func(outer, name="outer"), func(inner, name="inner")]
    async with inline(track_status({"functions": functions})) as pool:
        await pool.enqueue_job("outer", _job_id="outer")
        assert [await arq_status.at(it) for it in ("outer", "inner")] == [1, 2]


async def test_a_job_does_not_fail_with_one_that_it_enqueued(inline_pool: ArqRedis) -> None:
    """As in production; but the test is told at the end."""
    with pytest.raises(ValueError, match="no vino"):
        await inline_pool.enqueue_job("enqueue", "fail", _job_id="top")
    assert await arq_status.is_complete("top")
    assert await arq_status.is_failed("below top")
    with pytest.raises(ValueError, match="no vino"):
        await inline_pool.enqueue_job("enqueue", "enqueue", "fail", _job_id="above")


async def test_a_job_that_asks_for_the_result_is_told() -> None:
    """What a job has heard of with ``result`` and dealt with is not raised again."""

    async def careful(ctx: Context) -> str:
        job = await ctx["redis"].enqueue_job("careless")
        try:
            await job.result()
        except ValueError as error:
            return str(error)
        raise AssertionError("it returned")

    async def careless(ctx: Context) -> None:
        raise ValueError("dealt with")

    functions = [func(careful, name="careful"), func(careless, name="careless")]
    async with inline({"functions": functions}) as pool:
        job = await enqueued(pool, "careful")
        assert await job.result() == "dealt with"


async def test_ids_are_used_once(inline_pool: ArqRedis) -> None:
    """An id of a job with a result gives ``None`` as arq does; without one it runs again."""
    assert await inline_pool.enqueue_job("report", _job_id="once") is not None
    assert await inline_pool.enqueue_job("report", _job_id="once") is None
    for rows in (1, 2):
        job = await enqueued(inline_pool, "thrifty", rows, _job_id="again")
        assert (await known("again")).at == rows
    with pytest.raises(ResultNotFound):
        await job.result()
    assert await job.status() is JobStatus.not_found
    assert await job.info() is None


async def test_an_id_is_free_when_its_result_has_expired() -> None:
    """Results live as long as ``keep_result`` says, and records as long as ``expires`` does."""

    async def job(ctx: Context) -> None:
        """Do nothing."""

    functions = [
        func(job, name="job", keep_result=1),
        func(job, name="ever", keep_result_forever=True),
    ]
    settings = track_status(expires=1)({"functions": functions})
    async with inline(settings) as pool:
        await pool.enqueue_job("ever", _job_id="ever")
        await pool.enqueue_job("job", _job_id="job")
        assert await pool.enqueue_job("job", _job_id="job") is None

        async def runs_again() -> bool:
            return await pool.enqueue_job("job", _job_id="job") is not None

        await until(runs_again)

        async def is_gone() -> bool:
            # arq's result is written, and expires, a little after the end that was recorded
            results = await pool.keys("arq:result:*")
            return await arq_status.status("job") is None and results == [b"arq:result:ever"]

        await until(is_gone)


async def test_a_deferred_job_runs_at_once(inline_pool: ArqRedis) -> None:
    """Nothing waits; only ctx tells when it would have been due."""
    due: list[int] = []

    async def job(ctx: Context) -> None:
        due.append(ctx["score"])

    async with inline({"functions": [func(job, name="job")]}) as pool:
        await pool.enqueue_job("job", _defer_by=timedelta(hours=1), _expires=10)
        moment = datetime.now(UTC) + timedelta(days=1)
        await pool.enqueue_job("job", _defer_until=moment)
        assert due[1] == round(moment.timestamp() * 1000)
        assert due[1] > due[0]
        with pytest.raises(RuntimeError, match="not both"):
            await pool.enqueue_job("job", _defer_by=1, _defer_until=moment)


async def test_jobs_for_another_queue_wait(inline_pool: ArqRedis) -> None:
    """The worker of these settings does not take them: they stay there to be looked at."""
    job = await enqueued(inline_pool, "report", 3, _queue_name="other", _job_id="waits")
    assert await arq_status.is_queued("waits")
    assert await job.status() is JobStatus.queued
    [definition] = await inline_pool.queued_jobs(queue_name="other")
    assert (definition.function, definition.args, definition.job_id) == ("report", (3,), "waits")
    assert await inline_pool.queued_jobs() == []
    info = await job.info()
    assert info is not None
    assert info.function == "report"
    with pytest.raises(TimeoutError):
        await job.result(timeout=0.01, poll_delay=0.001)
    with pytest.raises(TimeoutError):
        await arq_status.wait("waits", timeout=0.01)
    other = StatusClient(inline_pool, queues=["other"])
    assert await other.store("waits", owner="me")
    assert (await known("waits")).data == {"owner": "me"}

    later = await enqueued(
        inline_pool, "report", _queue_name="other", _job_id="later", _defer_by=60
    )
    assert await other.is_deferred("later")
    assert await later.status() is JobStatus.deferred

    assert await other.cancel("waits")
    assert await other.stop("later")
    assert not await other.unschedule("later")
    record = await known("waits")
    assert (record.status, record.error) == (Status.STOPPED, "cancelled before it ran")
    assert record.data == {"owner": "me"}
    record = await known("later")
    assert (record.status, record.function) == (Status.STOPPED, "report")
    # the worker of its own queue would run it
    assert await other.retry("waits")
    assert await other.is_queued("waits")


async def test_following_a_job(inline_pool: ArqRedis) -> None:
    """``watch`` tells each change of a job that another task has enqueued."""
    go = asyncio.Event()

    async def job(ctx: Context) -> None:
        for step in range(3):
            await ctx["status"].at(step, f"step {step}")
            go.clear()
            await go.wait()

    async with inline(track_status({"functions": [func(job, name="job")]})) as pool:
        running = asyncio.create_task(pool.enqueue_job("job", _job_id="job"))
        await until(lambda: arq_status.message("job"))
        waiting = asyncio.create_task(arq_status.wait("job"))
        messages = []
        async for record in arq_status.watch("job"):
            messages.append(record.message)
            go.set()
        assert messages == ["step 0", "step 1", "step 2", "step 2"]
        assert (record.status, record.eta) == (Status.COMPLETE, None)
        assert await waiting == record
        await running


async def test_stopping_a_job(inline_pool: ArqRedis) -> None:
    """``stop`` ends a job at its next call, with ``force`` at its next await."""

    async def cooperative(ctx: Context) -> None:
        while True:
            await asyncio.sleep(0)
            with suppress(ValueError):
                await ctx["status"].advance()

    settings = track_status({"functions": [func(cooperative, name="job"), wait, untracked]})
    async with inline(settings) as pool:
        for name, force in (("job", False), ("wait", True)):
            running = asyncio.create_task(pool.enqueue_job(name, _job_id=name))
            await started(StatusClient(pool), name)
            assert not await arq_status.cancel(name)
            assert await arq_status.stop(name, force=force)
            with pytest.raises(JobStopped):
                await running
            assert await arq_status.is_stopped(name)
            assert not await arq_status.stop(name)


async def test_a_job_that_cannot_be_stopped() -> None:
    """One that is not tracked runs on, and one that has just ended is none."""
    async with inline({"functions": [wait]}) as pool:
        running = asyncio.create_task(pool.enqueue_job("wait", _job_id="job"))
        await until(lambda: arq_status.is_working("job"))
        assert not await arq_status.stop("job")
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_aborting_a_job() -> None:
    """``Job.abort`` works where the settings allow it, kept results or not."""
    functions = [wait, func(wait, name="thrifty", keep_result=0)]
    settings = track_status({"functions": functions, "allow_abort_jobs": True})
    async with inline(settings) as pool:
        for name, aborted in (("wait", True), ("thrifty", False)):
            running = asyncio.create_task(pool.enqueue_job(name, _job_id=name))
            await started(StatusClient(pool), name)
            running_job = Job(name, pool)
            assert await running_job.status() is JobStatus.in_progress
            assert await running_job.abort(poll_delay=0.001) is aborted
            with pytest.raises(asyncio.CancelledError):
                await running
            assert await arq_status.is_stopped(name)
    async with inline({"functions": [untracked]}) as pool:
        ended_job = await enqueued(pool, "untracked")
        assert not await ended_job.abort()


async def test_a_test_that_gives_up_waiting() -> None:
    """A cancelled ``enqueue_job`` cuts the job off as a shutdown does, and it can be cancelled."""
    begun = asyncio.Event()

    async def job(ctx: Context) -> None:
        begun.set()
        await asyncio.sleep(3600)

    async with inline(track_status({"functions": [func(job, name="job")]})) as pool:
        running = asyncio.create_task(pool.enqueue_job("job", _job_id="job"))
        await begun.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        record = await known("job")
        assert (record.status, record.error) == (Status.INTERRUPTED, "cut off by a shutdown")
        assert record.ended_at is None
        assert await arq_status.cancel("job")
        assert (await known("job")).error == "cancelled before its next try"


async def test_what_still_runs_at_the_end_is_cut_off() -> None:
    """Leaving the ``async with`` ends the jobs of other tasks; they are not run again."""
    begun = asyncio.Event()
    cut = []

    async def job(ctx: Context) -> None:
        begun.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cut.append(ctx["job_try"])
            raise

    async with inline(track_status({"functions": [func(job, name="job")]})) as pool:
        running = asyncio.create_task(pool.enqueue_job("job", _job_id="job"))
        await begun.wait()
    found = await running
    assert found is not None
    assert await found.status() is JobStatus.queued
    assert cut == [1]


async def test_what_a_hook_enqueues() -> None:
    """Jobs of ``on_startup`` run when it is over, those of ``on_shutdown`` no more."""
    ran = []

    async def job(ctx: Context) -> None:
        ran.append((ctx["job_id"], "started" in ctx))

    async def on_startup(ctx: Context) -> None:
        await ctx["redis"].enqueue_job("job", _job_id="first")
        ctx["started"] = True

    async def on_shutdown(ctx: Context) -> None:
        await ctx["redis"].enqueue_job("job", _job_id="last")
        assert await arq_status.is_queued("last")

    hooks = {"on_startup": on_startup, "on_shutdown": on_shutdown}
    async with inline({"functions": [func(job, name="job")], **hooks}):
        assert await arq_status.is_complete("first")
    assert ran == [("first", True)]


async def test_running_a_job_again(inline_pool: ArqRedis) -> None:
    """``retry`` runs a failed job again, to its end; what it raises stands in its record."""
    fails = [True, True, False]

    async def job(ctx: Context, rows: int) -> int:
        assert await ctx["status"].retrieve("rows") is None
        await ctx["status"].store(rows=rows)
        if fails.pop(0):
            raise ValueError("not yet")
        return rows

    settings = track_status({"functions": [func(job, name="job")]})
    async with inline(settings) as pool:
        with pytest.raises(ValueError, match="not yet"):
            await pool.enqueue_job("job", 7, _job_id="job")
        assert await arq_status.retry("job")
        assert (await known("job")).error == "ValueError: not yet"
        assert await arq_status.retry("job")
        record = await known("job")
        assert (record.status, record.args, record.data) == (Status.COMPLETE, "7", {"rows": 7})
        assert not await arq_status.retry("job")
        assert not await arq_status.retry("unknown")


async def test_a_large_payload_is_not_kept(inline_pool: ArqRedis) -> None:
    """What is larger than 1 MiB cannot be run again, as in production."""
    with pytest.raises(ValueError, match="x"):
        await inline_pool.enqueue_job("fail", "x" * 1_100_000, _job_id="job")
    assert not await arq_status.retry("job")


async def test_deleting(inline_pool: ArqRedis) -> None:
    """A deleted job is unknown, whatever arq keeps of it; a late write does not bring it back."""
    trackers: list[JobTracker] = []

    async def job(ctx: Context) -> None:
        trackers.append(ctx["status"])
        await ctx["status"].store(vino="veritas")
        if ctx["job_id"] == "live":
            assert await arq_status.delete("live") == 1
            assert await arq_status.get_all("live") != {}
            await ctx["status"].store(vino="nova")

    async with inline(track_status({"functions": [func(job, name="job")]})) as pool:
        await pool.enqueue_job("job", _job_id="job")
        assert await arq_status.delete("job") == 1
        assert await arq_status.delete("job") == 0
        await trackers[0].store(late="news")
        await trackers[0].flush()
        assert await arq_status.get_all("job") == {}
        assert not await arq_status.store("job", late="news")
        await pool.enqueue_job("job", _job_id="live")
        assert (await known("live")).data == {"vino": "nova"}
        await trackers[1].store(late="news")
        await trackers[1].flush()
        assert (await known("live")).data == {"vino": "nova", "late": "news"}


async def test_deleting_a_job_without_a_record(inline_pool: ArqRedis) -> None:
    """What is known from arq's result alone goes as well; and the id serves again."""
    await inline_pool.enqueue_job("untracked", _job_id="job", _queue_name="arq:queue")
    assert await arq_status.is_complete("job")
    assert not await arq_status.store("job", owner="me")
    assert await arq_status.delete("job") == 1
    assert await arq_status.status("job") is None


async def test_lists_and_counts(inline_pool: ArqRedis) -> None:
    """They cover the jobs of the client's queues, with the filters and orders of production."""
    client = StatusClient(inline_pool, queues=["arq:queue", "other"])
    for number in range(4):
        await inline_pool.enqueue_job("report", number, _job_id=f"rows {number}")
    await inline_pool.enqueue_job("secret", "sesame", _queue_name="other", _job_id="secret")
    with pytest.raises(ValueError, match="no vino"):
        await inline_pool.enqueue_job("fail", _job_id="failed")

    counts = await client.counts()
    assert {status: number for status, number in counts.items() if number} == {
        Status.COMPLETE: 4,
        Status.FAILED: 1,
        Status.QUEUED: 1,
    }
    assert await arq_status.counts() == counts | {Status.QUEUED: 0}
    assert list(counts) == list(Status)
    page = await arq_status.list_jobs(function="report", sort="args", page=2, per_page=3)
    assert ([record.job_id for record in page.items], page.total) == (["rows 0"], 4)
    assert not page.truncated
    [hidden] = (await client.list_jobs(search="sec")).items
    assert (hidden.function, hidden.args) == ("secret", "")
    with pytest.raises(ValueError, match="per_page"):
        await arq_status.list_jobs(per_page=0)


async def test_progress_from_threads(inline_pool: ArqRedis) -> None:
    """``tracker.sync`` works in threads of the job, and who watches hears of it."""

    def count(status: JobTracker) -> None:
        for _ in status.sync.track(range(3), "Counting"):
            status.sync.store(seen=True)
        status.sync.flush()
        assert status.sync.retrieve("seen") is True
        assert current_tracker() is status

    async def job(ctx: Context) -> None:
        await asyncio.to_thread(count, ctx["status"])
        assert await ctx["status"].retrieve("seen") is True

    async with inline(track_status({"functions": [func(job, name="job")]})) as pool:
        await pool.enqueue_job("job", _job_id="job")
        record = await known("job")
        assert (record.at, record.total, record.message) == (3, 3, "Counting")


async def test_other_tasks_go_on_asking_redis(client: StatusClient, pool: ArqRedis) -> None:
    """Memory is what code in the ``async with`` asks, and what it starts; nobody else."""
    await pool.enqueue_job("report", _job_id="in redis")
    inside, outside = asyncio.Event(), asyncio.Event()

    async def other() -> list[Status | None]:
        await inside.wait()
        found = [await arq_status.status(it) for it in ("in redis", "in memory")]
        outside.set()
        return found

    task = asyncio.create_task(other())
    async with inline(Settings) as inline_pool:
        await inline_pool.enqueue_job("report", _job_id="in memory")
        inside.set()
        await outside.wait()
        assert await arq_status.status("in redis") is None
        assert await asyncio.create_task(arq_status.status("in memory")) is Status.COMPLETE
        async with inline(Settings):
            assert await arq_status.status("in memory") is None
        assert await arq_status.is_complete("in memory")
        # a client of one's own asks what it is given
        async with StatusClient(inline_pool) as own:
            assert await own.is_complete("in memory")
        assert await client.is_queued("in redis")
    assert await task == [Status.QUEUED, None]
    assert await arq_status.is_queued("in redis")


async def test_a_redis_of_its_own(pool: ArqRedis) -> None:
    """Commands go to a Redis in this process, new with each ``inline``, and to no server."""
    async with inline(Settings) as first, inline(Settings) as second:
        await first.set("key", "value")
        assert await first.get("key") == b"value"
        assert await second.get("key") is None
        assert await pool.get("key") is None


async def test_custom_serializers() -> None:
    """Arguments and results go through the serializer of the settings, and are read with it."""

    def serialize(data: dict[str, Any]) -> bytes:
        return json.dumps(data).encode()

    async def job(ctx: Context, rows: Any) -> Any:
        return rows if rows != [0] else {0}

    settings = {
        "functions": [func(job, name="job")],
        "job_serializer": serialize,
        "job_deserializer": json.loads,
    }
    for tracked in (settings, track_status(settings)):
        async with inline(tracked) as pool:
            found = await enqueued(pool, "job", (1, 2), _job_id="job")
            assert await found.result() == [1, 2]
            assert (await known("job")).args == "[1, 2]"
            await enqueued(pool, "job", 3, _queue_name="other", _job_id="waits")
            assert (await known("waits")).args == "3"
            with pytest.raises(SerializationError, match="unable to serialize job"):
                await pool.enqueue_job("job", {1})
            with pytest.raises(SerializationError, match="unable to serialize result"):
                await pool.enqueue_job("job", [0])


async def test_a_serializer_that_takes_nothing() -> None:
    """Arq keeps no result then; what the job raised is raised all the same."""

    def serialize(data: dict[str, Any]) -> bytes:
        if "r" in data:
            raise ValueError("no results")
        return json.dumps(data).encode()

    async def job(ctx: Context, words: str | None) -> None:
        if words is not None:
            raise ValueError(words)

    settings = {
        "functions": [func(job, name="job")],
        "job_serializer": serialize,
        "job_deserializer": json.loads,
    }
    async with inline(settings) as pool:
        with pytest.raises(ValueError, match="mine"):
            await pool.enqueue_job("job", "mine")
        found = await enqueued(pool, "job", None)
        with pytest.raises(ResultNotFound):
            await found.result()


async def test_settings_that_are_not_tracked() -> None:
    """They run as in production: without ``ctx["status"]``, and known from arq's keys alone."""

    class Plain:
        functions = [report, untracked]

    async with inline(Plain) as pool:
        with pytest.raises(KeyError, match="status"):
            await pool.enqueue_job("report", _job_id="job")
        record = await known("job")
        assert (record.status, record.error) == (Status.FAILED, "KeyError: 'status'")
        assert not await arq_status.retry("job")


async def test_jobs_at_the_same_time(inline_pool: ArqRedis) -> None:
    """Several tasks enqueue at once; each gets its own job and what that raised."""
    found = await asyncio.gather(
        *(inline_pool.enqueue_job("report", rows, _job_id=f"{rows}") for rows in range(5)),
        inline_pool.enqueue_job("fail"),
        inline_pool.enqueue_job("report", 0, _job_id="0"),
        return_exceptions=True,
    )
    jobs = [it for it in found if isinstance(it, Job)]
    assert [await job.result() for job in jobs] == [0, 1, 2, 3, 4]
    assert isinstance(found[5], ValueError)
    assert found[6] is None


def test_nothing_but_the_base_install() -> None:
    """Importing it needs no pytest, and the package itself does not import it."""
    code = (
        "import sys, arq_status\n"
        "assert 'arq_status.testing' not in sys.modules\n"
        "import arq_status.testing\n"
        "assert 'pytest' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_a_tracker_of_ones_own() -> None:
    """A job function is called directly, and what it reported is read from its tracker."""
    status = tracker()
    assert await report({"status": status}, 4) == 4
    record = status.record
    assert (record.job_id, record.job_try, record.status) == ("job", 1, Status.WORKING)
    assert (record.at, record.total, record.message) == (4, 4, "Importing")
    assert (record.pct_complete, record.data) == (100, {"vino": "veritas"})
    assert status.record.data == {"vino": "veritas"}
    assert await status.retrieve("vino") == "veritas"
    await status.flush()
    with pytest.raises(ValueError, match="must be finite"):
        await status.at(-1)


async def test_the_dashboard_of_inline_jobs() -> None:
    """It shows them, and counts them, as it does those in Redis."""
    async with inline(track_status({"functions": [func(report, name="report")]})) as pool:
        await pool.enqueue_job("report", _job_id="job")
        async with page_of(create_app(pool)) as page:
            answer = await page.get("/statuses", headers={"Accept": "application/json"})
            assert [it["job_id"] for it in answer.json()["items"]] == ["job"]
            assert answer.json()["counts"]["complete"] == 1
            assert "report" in (await page.get("/statuses")).text


async def test_a_tracker_that_stops_the_job() -> None:
    """``stop`` is what a stop from outside is to the job."""
    status = tracker(job_id="mine", job_try=2)
    assert (status.job_id, status.job_try) == ("mine", 2)
    await status.checkpoint()
    status.stop()
    with pytest.raises(JobStopped):
        await report({"status": status})


def test_a_tracker_without_an_event_loop() -> None:
    """Code for threads is called with ``sync``, and ``with`` makes it the current one."""
    with tracker() as status:
        assert current_tracker() is status
        with tracker("inner") as inner:
            assert current_tracker() is inner
        current_tracker().sync.store(vino="veritas")
        assert current_tracker().sync.retrieve("vino") == "veritas"
    with pytest.raises(LookupError):
        current_tracker()
    assert status.record.data == {"vino": "veritas"}


async def test_a_job_that_always_enqueues_the_next() -> None:
    """It would never end: the hundredth is refused, with a sentence."""
    runs = 0

    async def poll(ctx: Context) -> None:
        nonlocal runs
        runs += 1
        await ctx["redis"].enqueue_job("poll", _defer_by=3600)

    async with inline(track_status({"functions": [func(poll, name="poll")]})) as pool:
        with pytest.raises(RuntimeError, match="nested 100 deep"):
            await pool.enqueue_job("poll", _job_id="first")
        assert await arq_status.is_complete("first")
    assert runs == 100
