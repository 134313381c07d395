"""Controlling jobs: stop, cancel, retry."""

import asyncio
import json
import signal
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from arq import Retry, cron, func
from arq.connections import ArqRedis
from arq.constants import abort_jobs_ss, in_progress_key_prefix, job_key_prefix, result_key_prefix
from arq.jobs import Job
from arq.utils import timestamp_ms

from arq_status import (
    JobStopped,
    JobTracker,
    Status,
    StatusClient,
    current_tracker,
    status_options,
    track_status,
)
from arq_status._model.record import State
from arq_status._redis import keys
from tests.conftest import RunBurst, StartWorker, ended, started, until
from tests.jobs import add, fail, wait
from tests.records import beat, begin, put_job, write_end
from tests.verdicts import assert_agreement, verdict
from tests.worker_process import worker_process

Context = dict[str, Any]


async def run_one_that_waits(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """Run a job "job" that reports nothing and waits for a long time."""
    await start_worker(track_status({"functions": [wait]}))
    await pool.enqueue_job("wait", _job_id="job")
    await started(client, "job")


async def our_keys(pool: ArqRedis) -> set[str]:
    """Return our keys in Redis, except those about workers."""
    names = {key.decode() for key in await pool.keys("*")}
    of_workers = ("arqstatus:1:worker", "arqstatus:1:functions", "arqstatus:1:queues")
    return {it for it in names if not it.startswith((*of_workers, "arq:queue:health-check"))}


async def leave_stop(pool: ArqRedis, job_id: str, asked: str) -> None:
    """Store a stop request in Redis."""
    redis: Any = pool
    await redis.hset("arqstatus:1:stops", job_id, asked)


# stop


async def call_at(status: JobTracker) -> None:
    await status.at(1)


async def call_advance(status: JobTracker) -> None:
    await status.advance()


async def call_total(status: JobTracker) -> None:
    await status.total(5)


async def call_checkpoint(status: JobTracker) -> None:
    await status.checkpoint()


async def iterate(status: JobTracker) -> None:
    async for _ in status.track(range(2)):
        pass


async def call_in_thread(status: JobTracker) -> None:
    await asyncio.to_thread(status.sync.checkpoint)


async def iterate_in_thread(status: JobTracker) -> None:
    await asyncio.to_thread(lambda: list(status.sync.track(range(2))))


async def call_in_task(status: JobTracker) -> None:
    async def below() -> None:
        await current_tracker().at(1)

    await asyncio.create_task(below())


CALLS = [
    call_at, call_advance, call_total, call_checkpoint, iterate, call_in_thread, iterate_in_thread,
    call_in_task,
]  # fmt: skip


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
async def test_a_stopped_job_ends_at_its_next_call(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker, call: Any
) -> None:
    """Any call ends it, even one that writes nothing; it is stopped and not retried."""
    runs = 0

    async def job(ctx: Context) -> None:
        nonlocal runs
        runs += 1
        while True:
            await call(ctx["status"])
            await asyncio.sleep(0.005)

    worker = await start_worker(track_status({"functions": [func(job, name="job")]}))
    await pool.enqueue_job("job", _job_id="job")
    await started(client, "job")
    assert await client.stop("job") is True
    record = await ended(client, "job")
    assert (record.status, record.error, runs) == (Status.STOPPED, "stopped", 1)
    assert await verdict(pool, "job") == "cancelled"
    assert worker.jobs_retried == 0
    await assert_agreement(client, {"job": Status.STOPPED})
    assert not await pool.exists("arqstatus:1:stops")


async def test_a_job_that_catches_every_exception_is_stopped(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """The call after the one whose ``JobStopped`` was swallowed ends it."""
    swallowed = []

    async def job(ctx: Context) -> None:
        while True:
            try:
                await ctx["status"].advance()
                await asyncio.sleep(0.001)
            except Exception as error:
                swallowed.append(error)

    await start_worker(track_status({"functions": [func(job, name="job")]}))
    await pool.enqueue_job("job", _job_id="job")
    await started(client, "job")
    assert await client.stop("job")
    assert (await ended(client, "job")).status is Status.STOPPED
    assert [type(error) for error in swallowed] == [JobStopped]


@pytest.mark.parametrize("where", ["task", "thread"])
@pytest.mark.parametrize("error", [ValueError("no"), Retry(), asyncio.CancelledError()], ids=repr)
async def test_a_job_that_was_asked_to_stop_and_raises(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker, error: Exception, where: str
) -> None:
    """Whatever it raises, it is stopped, not retried, and keeps its last data."""
    runs = 0

    async def job(ctx: Context) -> None:
        nonlocal runs
        runs += 1
        status: JobTracker = ctx["status"]
        try:
            while True:
                if where == "task":
                    await status.checkpoint()
                else:
                    await asyncio.to_thread(status.sync.checkpoint)
                await asyncio.sleep(0.005)
        except JobStopped:
            await status.store(cleaned=True)
            status.sync.store(twice=True)
            raise error from None

    await start_worker(track_status({"functions": [func(job, name="job")]}))
    await pool.enqueue_job("job", _job_id="job")
    await started(client, "job")
    assert await client.stop("job")
    record = await ended(client, "job")
    assert (record.status, record.error, runs) == (Status.STOPPED, "stopped", 1)
    assert record.data == {"cleaned": True, "twice": True}
    assert await verdict(pool, "job") == "cancelled"


async def test_a_job_that_was_asked_to_stop_and_returns(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """It is complete, and no stop is left for the next job with its id."""
    asked = asyncio.Event()

    async def job(ctx: Context) -> str:
        await asked.wait()
        return "done"

    await start_worker(track_status({"functions": [func(job, name="job", keep_result=0)]}))
    for _ in range(2):
        await pool.enqueue_job("job", _job_id="job")
        await started(client, "job")
        assert await client.stop("job")
        asked.set()
        record = await ended(client, "job")
        assert (record.status, record.error) == (Status.COMPLETE, None)
        asked.clear()
    assert not await pool.exists("arqstatus:1:stops")


@pytest.mark.parametrize("keep_result", [0, 3600])
async def test_force_ends_a_job_that_only_waits(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker, keep_result: int
) -> None:
    """It ends within 2 s, after its cleanup, without ``allow_abort_jobs``."""
    cleaned = []

    async def job(ctx: Context) -> None:
        try:
            async with asyncio.timeout(1000), asyncio.TaskGroup() as tasks:
                tasks.create_task(asyncio.sleep(1000))
                await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            cleaned.append(ctx["job_id"])

    function = func(job, name="job", keep_result=keep_result)
    await start_worker(track_status({"functions": [function]}))
    await pool.enqueue_job("job", _job_id="job")
    await started(client, "job")
    began = monotonic()
    assert await client.stop("job", force=True)
    record = await ended(client, "job")
    assert monotonic() - began < 2
    assert (record.status, record.error, cleaned) == (Status.STOPPED, "stopped", ["job"])
    assert await verdict(pool, "job") == ("cancelled" if keep_result else "not_found")


async def test_force_of_a_job_that_catches_the_cancellation(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """It is cancelled only once, so it can clean up; its next call ends it."""
    cancelled = 0

    async def job(ctx: Context) -> None:
        nonlocal cancelled
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            cancelled += 1
        await asyncio.sleep(1)
        await ctx["status"].checkpoint()

    await start_worker(track_status({"functions": [func(job, name="job")]}))
    await pool.enqueue_job("job", _job_id="job")
    await started(client, "job")
    assert await client.stop("job", force=True)
    assert (await ended(client, "job")).status is Status.STOPPED
    assert cancelled == 1


async def test_a_stop_without_force_lets_a_job_wait(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """A stop may be followed by a forced one."""

    await run_one_that_waits(pool, client, start_worker)
    assert await client.stop("job")
    heeded = asyncio.get_running_loop().time() + 1
    await until(lambda: asyncio.get_running_loop().time() > heeded)
    assert await client.status("job") is Status.WORKING
    assert await client.stop("job", force=True)
    assert (await ended(client, "job")).status is Status.STOPPED


async def test_a_stop_in_code_that_blocks_the_event_loop(
    pool: ArqRedis, client: StatusClient, dsn: str, tmp_path: Path
) -> None:
    """It reaches a job whose calls never yield to the event loop."""
    async with worker_process(dsn, tmp_path):
        await pool.enqueue_job("block_and_report", 30, _job_id="job")
        await started(client, "job")
        assert await client.stop("job")
        assert (await ended(client, "job")).status is Status.STOPPED


async def test_a_stop_is_of_one_run(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """A stop of an earlier run with the id does not affect the next one."""

    async def job(ctx: Context, steps: int) -> None:
        for _ in range(steps):
            await ctx["status"].advance()
            await asyncio.sleep(0.02)

    function = func(job, name="job", keep_result=0)
    await start_worker(track_status({"functions": [function]}))
    await pool.enqueue_job("job", 1000, _job_id="job")
    await started(client, "job")
    first = await client.job("job")
    assert first is not None
    assert first.enqueued_at is not None
    assert await client.stop("job")
    await ended(client, "job")
    # as if it had been requested just when the job ended
    run = round(first.enqueued_at.timestamp() * 1000)
    await leave_stop(pool, "job", f"{run}!")
    await pool.enqueue_job("job", 50, _job_id="job")
    await started(client, "job")
    assert (await ended(client, "job")).status is Status.COMPLETE


async def test_silent_jobs_heed_only_their_own_stops(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """Of two jobs that report nothing only the one that was asked to stop ends."""
    release = asyncio.Event()

    async def job(ctx: Context) -> None:
        await release.wait()

    await start_worker(track_status({"functions": [func(job, name="job")]}))
    for job_id in ("one", "other"):
        await pool.enqueue_job("job", _job_id=job_id)
        await started(client, job_id)
    await leave_stop(pool, "elsewhere", "1")
    assert await client.stop("one", force=True)
    assert (await ended(client, "one")).status is Status.STOPPED
    assert await client.status("other") is Status.WORKING
    release.set()
    assert (await ended(client, "other")).status is Status.COMPLETE


async def test_jobs_that_report_take_no_look_for_stops(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """Replies to reports carry stops; only silent jobs are checked separately."""
    silent, release = asyncio.Event(), asyncio.Event()

    async def job(ctx: Context) -> None:
        while not silent.is_set():
            await ctx["status"].advance()
            await asyncio.sleep(0.01)
        await release.wait()

    async def looks() -> int:
        stats: Any = await pool.info("commandstats")
        return int(stats.get("cmdstat_hgetall", {"calls": 0})["calls"])

    await start_worker(track_status({"functions": [func(job, name="job")]}))
    await pool.enqueue_job("job", _job_id="job")
    await started(client, "job")
    await pool.config_resetstat()
    await asyncio.sleep(1.5)
    assert await looks() == 0
    silent.set()
    await until(looks)
    assert await client.stop("job", force=True)
    assert (await ended(client, "job")).status is Status.STOPPED


async def test_a_stop_outlives_the_worker(
    pool: ArqRedis, client: StatusClient, dsn: str, tmp_path: Path
) -> None:
    """A job whose worker shuts down before it stops ends when the next worker starts it."""
    async with worker_process(dsn, tmp_path) as worker:
        await pool.enqueue_job("wait_once", _job_id="job")
        await started(client, "job")
        assert await client.stop("job")
        await worker.kill(signal.SIGTERM)
    assert await client.status("job") is Status.INTERRUPTED
    async with worker_process(dsn, tmp_path):
        record = await ended(client, "job")
        assert (record.status, record.error) == (Status.STOPPED, "stopped")


async def test_a_stop_asked_in_an_earlier_try(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next try ends before the job's first line."""
    monkeypatch.setattr("arq_status._tracking.beginning._START_TIMEOUT", 10)
    begun: list[int] = []

    async def job(ctx: Context) -> None:
        begun.append(ctx["job_try"])

    enqueued = await put_job(pool, "job", function="job")
    await leave_stop(pool, "job", str(enqueued))
    await start_worker(track_status({"functions": [func(job, name="job")]}))
    assert (await ended(client, "job")).status is Status.STOPPED
    assert not begun


async def test_stop_of_what_does_not_run(pool: ArqRedis, client: StatusClient) -> None:
    """A waiting job is cancelled; for others it returns False and leaves nothing behind."""
    assert await client.stop("unknown") is False
    assert await our_keys(pool) == set()
    await pool.enqueue_job("job", _job_id="queued")
    await pool.enqueue_job("job", _job_id="deferred", _defer_by=60)
    assert await client.stop("queued") is True
    assert await client.stop("deferred", force=True) is True
    for job_id in ("queued", "deferred"):
        assert await client.status(job_id) is Status.STOPPED
        assert await client.stop(job_id) is False


async def test_stop_of_an_untracked_job(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """It returns False and the job keeps running."""
    go = asyncio.Event()

    @status_options(track=False)
    async def job(ctx: Context) -> None:
        await ctx["status"].checkpoint()
        await go.wait()

    await start_worker(track_status({"functions": [func(job, name="job")]}))
    await pool.enqueue_job("job", _job_id="job")
    await until(lambda: pool.exists(in_progress_key_prefix + "job"))
    assert await client.stop("job", force=True) is False
    go.set()
    await ended(client, "job")
    assert await verdict(pool, "job") == "success"
    assert not await pool.exists("arqstatus:1:stops")


async def test_a_stop_that_nobody_heeded_is_swept(pool: ArqRedis, client: StatusClient) -> None:
    """It is removed with the job."""
    await leave_stop(pool, "gone", "123")
    await client.counts()
    assert not await pool.exists("arqstatus:1:stops")


async def test_abort_of_a_job_that_is_to_stop(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """Arq's own abort still works next to a stop."""

    async def job(ctx: Context) -> None:
        await asyncio.sleep(1000)

    settings = {"functions": [func(job, name="job")], "allow_abort_jobs": True}
    worker = await start_worker(track_status(settings))
    await pool.enqueue_job("job", _job_id="job")
    await started(client, "job")
    assert await client.stop("job")
    assert await Job("job", pool).abort(timeout=5)
    record = await ended(client, "job")
    assert record.status is Status.STOPPED
    assert worker.aborting_tasks == set()


# cancel


@pytest.fixture
async def recorder(start_worker: StartWorker) -> list[str]:
    """A worker of the function "note" that records its runs."""
    ran: list[str] = []

    async def note(ctx: Context) -> None:
        ran.append(ctx["job_id"])

    await start_worker(track_status({"functions": [func(note, name="note")]}))
    return ran


async def test_cancel(pool: ArqRedis, client: StatusClient, run_burst: RunBurst) -> None:
    """A waiting job never runs; its record says so, and arq no longer knows it."""
    ran = []

    async def job(ctx: Context, number: int) -> None:
        ran.append(number)

    await pool.enqueue_job("job", 1, _job_id="queued")
    await pool.enqueue_job("job", 2, _job_id="deferred", _defer_by=60)
    await client.store("queued", vino="veritas")
    assert await client.cancel("queued") is True
    assert await client.unschedule("deferred") is True
    assert await client.cancel("queued") is False
    for job_id, args in (("queued", "1"), ("deferred", "2")):
        record = await client.job(job_id)
        assert record is not None
        told = (record.status, record.error, record.function, record.args, record.job_try)
        assert told == (Status.STOPPED, "cancelled before it ran", "job", args, None)
        assert (record.ended_at is not None, record.expires_at is not None) == (True, True)
        assert await verdict(pool, job_id) == "not_found"
    assert await client.get("queued", "vino") == "veritas"
    await run_burst(track_status({"functions": [func(job, name="job")]}))
    assert ran == []
    await assert_agreement(client, {"queued": Status.STOPPED, "deferred": Status.STOPPED})


async def test_cancel_of_others(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """A running, ended or unknown job is not cancelled."""
    go = asyncio.Event()

    async def job(ctx: Context) -> None:
        await go.wait()

    await start_worker(track_status({"functions": [func(job, name="job")]}))
    await pool.enqueue_job("job", _job_id="job")
    await started(client, "job")
    assert await client.cancel("job") is False
    go.set()
    assert (await ended(client, "job")).status is Status.COMPLETE
    assert await client.cancel("job") is False
    assert await client.cancel("unknown") is False


async def test_cancel_between_tries(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """A job that waits for its next try keeps what it reported in the last one."""

    async def job(ctx: Context) -> None:
        await ctx["status"].at(40, "so far")
        await ctx["status"].store(rows=40)
        raise Retry(defer=60)

    await pool.enqueue_job("job", _job_id="job")
    await run_burst(track_status({"functions": [func(job, name="job")]}), max_burst_jobs=1)
    assert await client.status("job") is Status.RETRYING
    assert await client.cancel("job")
    record = await client.job("job")
    assert record is not None
    assert (record.status, record.error) == (Status.STOPPED, "cancelled before its next try")
    assert [record.at, record.message, record.data, record.job_try] == [
        40,
        "so far",
        {"rows": 40},
        1,
    ]
    await assert_agreement(client, {"job": Status.STOPPED})


@pytest.mark.long(10)
async def test_cancel_of_an_interrupted_job(
    pool: ArqRedis, client: StatusClient, dsn: str, tmp_path: Path
) -> None:
    """It works despite a dead worker's in-progress key; the id can be reused at once."""
    async with worker_process(dsn, tmp_path) as worker:
        await pool.enqueue_job("wait_once", _job_id="job")
        await started(client, "job")
        await worker.kill()
    await until(lambda: client.is_interrupted("job"), 15)
    assert await pool.exists(in_progress_key_prefix + "job")
    assert await client.cancel("job")
    assert await client.status("job") is Status.STOPPED
    await pool.enqueue_job("add", 1, 2, _job_id="job")
    async with worker_process(dsn, tmp_path):
        assert (await ended(client, "job")).status is Status.COMPLETE


async def test_cancel_races_with_the_worker(
    pool: ArqRedis, client: StatusClient, recorder: list[str]
) -> None:
    """Either the job is cancelled and never runs, or it runs and False is returned."""
    cancelled = {}
    for number in range(300):
        job_id = f"job {number}"
        await pool.enqueue_job("note", _job_id=job_id)
        # from immediately until the worker has certainly taken it
        await asyncio.sleep(number % 30 / 1000)
        cancelled[job_id] = await client.cancel(job_id)
    for job_id, was_cancelled in cancelled.items():
        record = await ended(client, job_id)
        assert record.status is (Status.STOPPED if was_cancelled else Status.COMPLETE)
        assert await verdict(pool, job_id) == ("not_found" if was_cancelled else "success")
    assert sorted(recorder) == sorted(
        it for it, was_cancelled in cancelled.items() if not was_cancelled
    )
    assert 0 < len(recorder) < 300


async def test_cancel_while_something_is_stored(pool: ArqRedis, client: StatusClient) -> None:
    """A cancelled job has all data that was stored before."""
    for number in range(50):
        job_id = f"job {number}"
        await pool.enqueue_job("job", _job_id=job_id)
        stored, done = await asyncio.gather(client.store(job_id, a=1), client.cancel(job_id))
        assert (stored, done) == (True, True)
        record = await client.job(job_id)
        assert record is not None
        assert (record.status, record.data) == (Status.STOPPED, {"a": 1})


async def test_cancel_of_a_job_while_a_cron_key_stands(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """The key that keeps arq's workers from running a cron job twice stays."""

    async def nightly(ctx: Context) -> None:
        pass

    jobs = [cron(nightly, name="nightly", job_id="nightly", run_at_startup=True)]
    await start_worker(track_status({"cron_jobs": jobs}), queue_name="cron")
    await ended(client, "nightly")
    await pool.delete(result_key_prefix + "nightly")
    await pool.enqueue_job("nightly", _job_id="nightly", _queue_name="elsewhere")
    own = StatusClient(pool, queues=["elsewhere"])
    assert await own.status("nightly") is Status.QUEUED
    assert await own.cancel("nightly")
    assert 0 < await pool.pttl(in_progress_key_prefix + "nightly") <= 60_000
    assert await own.status("nightly") is Status.STOPPED


# retry


class Flaky:
    """A job function that misbehaves once as told, and then returns."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error
        self.calls: list[tuple[Any, ...]] = []

    async def run(self, ctx: Context, *args: Any, **kwargs: Any) -> str:
        self.calls.append((ctx["job_try"], args, kwargs))
        await ctx["status"].at(50, "half")
        await ctx["status"].store(seen=len(self.calls))
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return "done"


@pytest.mark.parametrize(
    "error", [ValueError("no"), JobStopped("stopped"), Retry()], ids=["failed", "stopped", "tries"]
)
@pytest.mark.parametrize("keep_result", [0, 3600])
async def test_retry(
    pool: ArqRedis,
    client: StatusClient,
    start_worker: StartWorker,
    error: Exception,
    keep_result: int,
) -> None:
    """The job runs once more with the same arguments and id, as a new run."""
    flaky = Flaky(error)
    options: Any = {"name": "job", "keep_result": keep_result, "max_tries": 1}
    await start_worker(track_status({"functions": [func(flaky.run, **options)]}))
    job = await pool.enqueue_job("job", 1, b="\u2713", _job_id="job")
    assert job is not None
    payload = await pool.get(job_key_prefix + "job")
    first = await ended(client, "job")
    assert first.status in (Status.FAILED, Status.STOPPED)
    assert await pool.get("arqstatus:1:payload:job") == payload
    assert await client.retry("job") is True
    assert await client.retry("job") is False
    # arq's result of the earlier run is gone: for those who await it, it is a new job
    record = await ended(client, "job")
    told = (record.status, record.job_try, record.data, record.message, record.error)
    assert told == (Status.COMPLETE, 1, {"seen": 2}, "half", None)
    assert flaky.calls == [(1, (1,), {"b": "\u2713"})] * 2
    if keep_result:
        assert await job.result(timeout=1) == "done"
    assert await client.retry("job") is False
    assert not await pool.exists("arqstatus:1:payload:job")
    await assert_agreement(client, {"job": Status.COMPLETE})


async def test_a_job_that_is_to_run_again(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """It is queued without anything of the earlier run; cancel and retry work again."""
    settings = track_status({"functions": [func(Flaky(ValueError("no")).run, name="job")]})
    await pool.enqueue_job("job", 7, _job_id="job")
    await run_burst(settings)
    assert await client.retry("job")
    for _ in range(2):
        record = await client.job("job")
        assert record is not None
        assert (record.status, record.args) == (Status.QUEUED, "7")
        assert [record.data, record.at, record.message, record.error] == [{}, 0, None, None]
        assert [record.job_try, record.started_at, record.ended_at] == [None, None, None]
        await assert_agreement(client, {"job": Status.QUEUED})
        assert await client.cancel("job")
        assert await client.status("job") is Status.STOPPED
        assert await client.retry("job")
    await run_burst(settings)
    assert (await ended(client, "job")).status is Status.COMPLETE


async def test_retries_of_jobs_that_take_several_tries(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """All tries are kept, however fast, and each end is counted and listed once."""

    async def flaky(ctx: Context) -> None:
        if ctx["job_try"] < 3:
            raise Retry(defer=0.01)
        raise ValueError("no vino")

    ids = [f"job {number}" for number in range(6)]
    for job_id in ids:
        await pool.enqueue_job("flaky", _job_id=job_id)
    for run in (1, 2, 3):
        await run_burst(track_status({"functions": [func(flaky, name="flaky")]}), poll_delay=0.005)
        for job_id in ids:
            assert [it.job_try for it in await client.tries(job_id)] == [1, 2, 3] * run
        assert (await client.counts())[Status.FAILED] == len(ids)
        assert (await client.list_jobs(status="failed")).total == len(ids)
        [stats] = await client.functions()
        assert (stats.failed, stats.retried) == (len(ids) * run, len(ids) * 2 * run)
        if run < 3:
            assert await client.retry_jobs(status="failed") == len(ids)


@pytest.mark.long(10)
async def test_two_retries_at_once(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """Only one of them runs the job, once."""
    for number in range(20):
        flaky = Flaky(ValueError("no"))
        settings = track_status({"functions": [func(flaky.run, name="job")]})
        job_id = f"job {number}"
        await pool.enqueue_job("job", _job_id=job_id)
        await run_burst(settings)
        done = await asyncio.gather(*(client.retry(job_id) for _ in range(4)))
        assert sorted(done) == [False, False, False, True]
        await run_burst(settings)
        assert len(flaky.calls) == 2


async def test_retry_while_something_is_stored(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """Data stored at the same time does not prevent the retry."""
    settings = track_status({"functions": [fail]})
    for number in range(20):
        job_id = f"job {number}"
        await pool.enqueue_job("fail", _job_id=job_id)
        await run_burst(settings)
        stored, again = await asyncio.gather(client.store(job_id, a=1), client.retry(job_id))
        assert (stored, again) == (True, True)


async def take(ctx: Context, payload: bytes) -> None:
    raise ValueError(len(payload))


async def test_retry_where_there_is_nothing_to_run(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """False for unknown, complete, waiting, deleted and too large jobs."""
    settings = track_status({"functions": [fail, take, add]})
    await pool.enqueue_job("take", b"x" * 1_048_577, _job_id="large")
    await run_burst(settings)
    assert await client.status("large") is Status.FAILED
    await pool.enqueue_job("fail", _job_id="deleted")
    await run_burst(settings)
    assert await client.delete("deleted") == 1
    await pool.enqueue_job("add", 1, 2, _job_id="complete")
    await run_burst(settings)
    await pool.enqueue_job("add", 1, 2, _job_id="queued")
    for job_id in ("unknown", "large", "deleted", "complete", "queued", ""):
        assert await client.retry(job_id) is False
    assert not [key for key in await our_keys(pool) if "payload" in key]


async def test_retry_of_a_job_whose_end_no_hook_saw(
    pool: ArqRedis, client: StatusClient, dsn: str, tmp_path: Path
) -> None:
    """A worker was killed, and arq forgot the job before another took it over."""
    async with worker_process(dsn, tmp_path) as worker:
        await pool.enqueue_job("wait_once", 3600, _job_id="job")
        await started(client, "job")
        await worker.kill()
    await pool.delete(job_key_prefix + "job", in_progress_key_prefix + "job")
    await pool.zrem("arq:queue", "job")
    record = await client.job("job")
    assert record is not None
    assert (record.status, record.ended_at is not None) == (Status.INTERRUPTED, True)
    assert await client.retry("job")
    await pool.set("arq:retry:job", 1)  # so that its second try returns
    async with worker_process(dsn, tmp_path):
        assert (await ended(client, "job")).status is Status.COMPLETE


async def test_hidden_arguments_are_not_kept(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """With ``record_args=False`` no payload is kept, so nothing can be run again."""

    async def login(ctx: dict[str, Any], password: str) -> None:
        raise ValueError("no luck")

    settings = track_status(record_args=False)({"functions": [func(login, name="login")]})
    await pool.enqueue_job("login", "hunter2", _job_id="failed")
    await run_burst(settings)
    await pool.enqueue_job("login", "hunter2", _job_id="cancelled", _defer_by=60)
    assert await client.cancel("cancelled")
    for job_id in ("failed", "cancelled"):
        assert not await client.retry(job_id)
        record = await client.job(job_id)
        assert record is not None
        assert record.args == ""
    assert await pool.keys("arqstatus:1:payload:*") == []


async def test_a_payload_expires_with_its_record(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """The payload kept for ``retry`` expires with the job, even if that was lost."""
    settings = track_status(expires_failed=60)({"functions": [fail]})
    await pool.enqueue_job("fail", _job_id="job")
    await run_burst(settings)
    await pool.enqueue_job("fail", _job_id="cancelled")
    await client.cancel("cancelled")
    for job_id in ("job", "cancelled"):
        left = await pool.pttl(f"arqstatus:1/{job_id}")
        assert 50_000 < left <= 60_000
        assert abs(left - await pool.pttl(f"arqstatus:1:payload:{job_id}")) < 1_000


async def test_an_abort_of_the_earlier_run_does_not_hit_a_retry(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """Requests for the earlier run are forgotten."""
    settings = track_status({"functions": [func(Flaky(ValueError("no")).run, name="job")]})
    await pool.enqueue_job("job", _job_id="job")
    await run_burst(settings)
    await pool.zadd(abort_jobs_ss, {"job": round(monotonic() * 1000)})
    assert await client.retry("job")
    await run_burst(settings, allow_abort_jobs=True)
    assert await client.status("job") is Status.COMPLETE


async def test_control_of_no_job(client: StatusClient) -> None:
    """An impossible id is unknown."""
    ids: list[Any] = ["", None, 5, "\ud800"]
    for job_id in ids:
        assert await client.stop(job_id) is False
        assert await client.cancel(job_id) is False
        assert await client.retry(job_id) is False
        assert await client.wait(job_id) is None
        assert [record async for record in client.watch(job_id)] == []


async def test_a_stop_after_a_forced_one(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """It does not withdraw the force."""

    await run_one_that_waits(pool, client, start_worker)
    assert await client.stop("job", force=True)
    assert await client.stop("job")
    assert (await ended(client, "job")).status is Status.STOPPED


async def test_cancel_by_a_client_of_other_queues(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """The job is stopped for all clients, and stays so when a worker finds its id."""
    await pool.enqueue_job("add", 1, 2, _job_id="announced")
    await pool.enqueue_job("add", 1, 2, _job_id="unknown", _queue_name="late")
    other = StatusClient(pool, queues=["other"])
    for job_id in ("announced", "unknown"):
        assert await other.cancel(job_id)
        assert await client.status(job_id) is Status.STOPPED
    assert await pool.zcard("arq:queue") == 0
    await pool.delete("arqstatus:1/unknown")
    await write_end(pool, "unknown", State.STOPPED, ended=timestamp_ms() - 60_000)
    worker = await start_worker(track_status({"functions": [add], "queue_name": "late"}))
    await until(lambda: worker.jobs_failed == 1)
    await until(lambda: not worker.tasks)
    assert await client.status("unknown") is Status.STOPPED


async def test_a_job_that_arq_is_about_to_book(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """Until arq stores the recorded end, it is working and cannot be controlled."""
    booking = asyncio.Event()

    async def job(ctx: Context) -> None:
        ctx["status"].sync.at(100)

    worker = await start_worker(track_status({"functions": [func(job, name="job")]}))
    finish_job: Any = worker.finish_job

    async def finish_slowly(*args: Any) -> None:
        await booking.wait()
        await finish_job(*args)

    worker.finish_job = finish_slowly  # type: ignore[method-assign, assignment]
    await pool.enqueue_job("job", _job_id="job")

    async def is_recorded() -> bool:
        return b'"e":' in (await pool.get("arqstatus:1/job") or b"")

    await until(is_recorded)
    assert await client.status("job") is Status.WORKING
    assert not await client.cancel("job")
    assert not await client.stop("job")
    booking.set()
    await until(lambda: pool.exists("arq:result:job"))
    assert (await ended(client, "job")).status is Status.COMPLETE


@pytest.mark.parametrize(
    ("started", "status"), [(-1, Status.WORKING), (1, Status.INTERRUPTED), (None, Status.WORKING)]
)
async def test_an_end_that_a_blocked_worker_does_not_book(
    pool: ArqRedis, client: StatusClient, started: int | None, status: Status
) -> None:
    """It is working while its worker lives, however long another job blocks it.

    A worker that started later with the same host and process id is another.
    """
    ended_at = timestamp_ms() - 60_000
    run = await put_job(pool, "job")
    await begin(pool, "job")
    await write_end(pool, "job", run=run, ended=ended_at, worker="host:1")
    for name in ("host:11:other", "host:1:random"):
        await beat(pool, name)
    if started is not None:
        about = json.dumps({"started": ended_at + started})
        await pool.set(f"{keys.WORKER_DETAILS}host:1:random", about)
    assert await client.status("job") is status
    assert {it: number for it, number in (await client.counts()).items() if number} == {status: 1}
    assert [it.status for it in (await client.list_jobs()).items] == [status]
    assert await client.cancel("job") is (status is Status.INTERRUPTED)


async def test_stop_requests_for_others(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """A request for an earlier run of an id, or for a job of another worker, stops nothing here."""
    await start_worker(track_status({"functions": [wait]}))
    for job_id in ("one", "two"):
        await pool.enqueue_job("wait", _job_id=job_id)
        await started(client, job_id)
    redis: Any = pool
    await redis.hset(keys.STOPS, mapping={"one": "5!", "elsewhere": "5!"})
    assert await client.stop("two", force=True)
    assert (await ended(client, "two")).status is Status.STOPPED
    assert await client.is_working("one")
