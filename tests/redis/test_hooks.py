"""Trackers in hooks, in threads and in other event loops."""

import asyncio
import threading
import time
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest
from arq import Retry, func
from arq.connections import ArqRedis
from redis import Redis as SyncRedis

from arq_status import JobStopped, JobTracker, Status, StatusClient, current_tracker, track_status
from arq_status._model.record import State, StoredRecord
from arq_status._tracking.attempt import Attempt
from arq_status._tracking.attempts import Attempts
from arq_status._tracking.outbox import Outbox
from arq_status._tracking.pace import Pace
from arq_status._tracking.sync_tracker import run_in_worker_loop
from tests.conftest import RunJob, StartWorker, ended, started, until

Context = dict[str, Any]


def tracked(function: Any, **others: Any) -> dict[str, Any]:
    """Tracked settings of one function, as "job"."""
    return track_status({"functions": [func(function, name="job")], **others})


@pytest.mark.parametrize("name", ["on_job_start", "on_job_end", "after_job_end"])
async def test_no_tracker_call_in_a_hook_raises(
    pool: ArqRedis,
    client: StatusClient,
    start_worker: StartWorker,
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    """Neither a stop nor misuse, for a hook that raises ends arq's worker."""
    called = asyncio.Event()

    async def hook(ctx: Context) -> None:
        status: JobTracker = ctx["status"]
        status._attempt.stopping = True
        for at in (100, "x", -1):
            await status.at(at)  # type: ignore[arg-type]
            await status.advance(at)  # type: ignore[arg-type]
            await status.total(at)  # type: ignore[arg-type]
        await status.at(1, 5)  # type: ignore[arg-type]
        await status.store(status=1)
        async for _ in status.track([1]):
            pass
        await status.checkpoint()
        await status.flush()
        assert await status.retrieve("status") is None
        status.sync.at(2)
        called.set()

    async def job(ctx: Context) -> None:
        await ctx["status"].total(10)

    worker = await start_worker(tracked(job, **{name: hook}))
    await pool.enqueue_job("job", _job_id="job")
    await asyncio.wait_for(called.wait(), 10)
    record = await ended(client, "job")
    stopped = name == "on_job_start"
    assert record.status is (Status.STOPPED if stopped else Status.COMPLETE)
    assert "job 'job' was not running: at must be a number, not str" in caplog.text
    assert worker.main_task is not None
    assert not worker.main_task.done()


class _CommandError(Exception):
    """Has ``args`` of its own, as a class that describes a command line may."""

    args: Any = None


class _LazyGroup(ExceptionGroup[Exception]):
    """A group whose members cannot be counted."""

    @property
    def exceptions(self) -> Any:
        return iter(())


class _OwnStop(JobStopped):
    """A stop with ``args`` of its own."""

    args: Any = 5


class _SilentError(Exception):
    """Says nothing of itself."""

    @property
    def args(self) -> Any:
        raise AttributeError("args")

    @args.setter
    def args(self, value: Any) -> None: ...


@pytest.mark.parametrize(
    ("make", "status", "error"),
    [
        (lambda: _CommandError("ls"), Status.FAILED, "_CommandError: ls"),
        (lambda: _SilentError("ls"), Status.FAILED, "_SilentError: ls"),
        (
            lambda: _LazyGroup("many", [ValueError(1)]),
            Status.FAILED,
            "_LazyGroup: many (1 sub-exception)",
        ),
        (lambda: _OwnStop("x"), Status.STOPPED, "stopped"),
    ],
    ids=["args", "no args", "group", "stop"],
)
@pytest.mark.parametrize("again", [False, True])
async def test_exceptions_of_their_own_making(
    run_job: RunJob, make: Callable[[], Exception], status: Status, error: str, again: bool
) -> None:
    """Whatever an exception's attributes are, the job ends as arq says, and its worker goes on."""
    seen: list[Status] = []

    async def hook(ctx: Context) -> None:
        seen.append(ctx["status"].record.status)

    async def job(ctx: Context) -> None:
        if again and ctx["job_try"] == 1:
            raise Retry from make()
        raise make()

    record = await run_job(job, on_job_end=hook)
    assert (record.status, record.error) == (status, error)
    assert seen == [Status.RETRYING, status] if again else [status]


async def test_a_stop_while_a_hook_reports(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """The job that was stopped ends as stopped, its hooks report on, the worker works on."""

    async def job(ctx: Context) -> None:
        while True:
            await ctx["status"].advance()
            await asyncio.sleep(0.01)

    async def report(ctx: Context) -> None:
        await ctx["status"].at(100)

    await start_worker(tracked(job, on_job_end=report, after_job_end=report))
    for job_id in ("one", "two"):
        await pool.enqueue_job("job", _job_id=job_id)
        await started(client, job_id)
        assert await client.stop(job_id)
        assert (await ended(client, job_id)).status is Status.STOPPED


async def test_what_outlives_its_job(run_job: RunJob) -> None:
    """A task that goes on after the job was stopped reports without a word."""
    kept: list[JobTracker] = []

    async def job(ctx: Context) -> None:
        kept.append(ctx["status"])
        kept[0]._attempt.stopping = True
        await kept[0].checkpoint()

    assert (await run_job(job)).status is Status.STOPPED
    await kept[0].at(5)
    await kept[0].checkpoint()


def _sync_calls(status: JobTracker) -> list[Any]:
    status.sync.store(vino="veritas")
    status.sync.flush()
    return [status.sync.retrieve("vino"), status.sync.retrieve("none", "default")]


def test_a_thread_outlives_the_workers_event_loop() -> None:
    """What it waits for is given up when that loop has stopped or was closed; nothing hangs."""

    class Uplink:
        async def flush(self, *args: Any) -> None: ...

        async def field(self, *args: Any) -> None: ...

    loop = asyncio.new_event_loop()
    attempt = Attempt("job", StoredRecord(enqueued_ms=1, job_try=1), None)
    status = JobTracker(attempt, Uplink(), Pace(loop))  # type: ignore[arg-type]
    began = monotonic()
    assert _sync_calls(status) == ["veritas", "default"]
    loop.close()
    assert _sync_calls(status) == ["veritas", "default"]
    assert monotonic() - began < 5


async def test_a_wait_in_a_thread_that_the_worker_gives_up(run_job: RunJob) -> None:
    """The time limit of what runs in the worker's event loop is that of the thread as well."""

    async def job(ctx: Context) -> None:
        async def slow() -> None:
            async with asyncio.timeout(0.3):
                await asyncio.Event().wait()

        with pytest.raises(TimeoutError):
            await asyncio.to_thread(run_in_worker_loop, slow(), asyncio.get_running_loop())

    assert (await run_job(job)).error is None


def test_the_workers_event_loop_stops_amid_a_wait_of_a_thread() -> None:
    """The thread gives up what that loop has begun and will not end."""
    loop = asyncio.new_event_loop()
    begun = threading.Event()

    async def begin() -> None:
        begun.set()
        await asyncio.Event().wait()

    home = threading.Thread(target=loop.run_forever)
    home.start()

    def stop() -> None:
        begun.wait(10)
        loop.call_soon_threadsafe(loop.stop)

    stopper = threading.Thread(target=stop)
    stopper.start()
    with pytest.raises(TimeoutError):
        run_in_worker_loop(begin(), loop)
    stopper.join()
    home.join()
    for task in asyncio.all_tasks(loop):
        task.cancel()
        loop.run_until_complete(asyncio.wait({task}))
    loop.close()


async def test_an_attempt_that_took_the_place_of_another() -> None:
    """Where an id was used again while its job ran, the end of the first leaves the second."""
    attempts = Attempts(Any)  # type: ignore[arg-type]
    first, second = (Attempt("job", StoredRecord(enqueued_ms=it, job_try=1), None) for it in (1, 2))
    attempts.running["job"] = first
    attempts.running["job"] = second
    attempts.remove(first)
    assert attempts.running == {"job": second}


async def test_other_event_loops(run_job: RunJob) -> None:
    """A tracker works in the event loop of a thread as in the worker's own."""

    async def in_thread() -> list[Any]:
        status = current_tracker()
        await status.store(vino="veritas")
        for at in range(2_000):
            await status.at(at)
        await status.flush()
        await asyncio.sleep(0.01)
        await status.checkpoint()
        return [await status.retrieve("vino"), await status.retrieve("none", "default")]

    async def job(ctx: Context) -> None:
        found = await asyncio.to_thread(lambda: asyncio.run(in_thread()))
        assert found == ["veritas", "default"]

    record = await run_job(job)
    assert (record.error, record.at, record.data) == (None, 1_999, {"vino": "veritas"})


# an event loop that is blocked


async def test_a_job_that_blocks_the_loop_between_its_reports(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker, dsn: str
) -> None:
    """Each report is seen within half a second, though a write takes several turns of the loop."""
    took: list[float] = []

    async def job(ctx: Context) -> None:
        with SyncRedis.from_url(dsn) as redis:
            for at in range(1, 5):
                await ctx["status"].at(at)
                began = monotonic()
                while monotonic() < began + 3:
                    time.sleep(0.02)
                    raw = redis.get("arqstatus:1/job")
                    if isinstance(raw, bytes) and f'"p":{at}'.encode() in raw:
                        took.append(monotonic() - began)
                        break
                time.sleep(0.1)

    await start_worker(tracked(job))
    await pool.enqueue_job("job", _job_id="job")
    assert (await ended(client, "job", 30)).error is None
    assert len(took) == 4
    assert sorted(took)[2] < 1


async def test_jobs_that_end_just_as_another_blocks_the_loop(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker, dsn: str
) -> None:
    """As long as arq has not stored their end they are working, whoever looks."""
    seen: list[Any] = []
    blocking = asyncio.Event()

    async def short(ctx: Context) -> None:
        await blocking.wait()

    async def block(ctx: Context) -> None:
        blocking.set()
        # the short one's function returns, and arq's own write is not sent
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with SyncRedis.from_url(dsn) as redis:
            time.sleep(1.5)
            seen.append(redis.get("arqstatus:1/short"))
            seen.append(redis.exists("arq:in-progress:short"))

    functions = [func(short, name="short"), func(block, name="block")]
    await start_worker(track_status({"functions": functions}))
    await pool.enqueue_job("short", _job_id="short")
    await started(client, "short")
    await pool.enqueue_job("block", _job_id="block")
    assert (await ended(client, "short")).status is Status.COMPLETE
    assert (await ended(client, "block")).error is None
    raw, in_progress = seen
    assert in_progress
    assert b'"s":"working"' in raw


# much data


async def test_much_data_arrives_whole_with_the_end(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """Data that no single command may carry is sent in parts; whoever sees the end sees it all."""
    fields = {f"field{number}": "é" * 16_000 for number in range(30)}

    async def job(ctx: Context) -> None:
        status: JobTracker = ctx["status"]
        await status.store(**fields)
        with pytest.raises(ValueError, match="more than 1048576"):
            await status.store(**{f"more{number}": "x" * 60_000 for number in range(3)})
        with pytest.raises(ValueError, match="name has 1001 characters"):
            await status.store(**{"x" * 1_001: 1})
        await status.store(field0="new")

    await pool.config_set("proto-max-bulk-len", "1mb")
    try:
        await start_worker(tracked(job))
        await pool.enqueue_job("job", _job_id="job")
        record = await ended(client, "job")
    finally:
        await pool.config_set("proto-max-bulk-len", "512mb")
    assert record.error is None
    assert record.data == fields | {"field0": "new"}


def test_rows_of_much_data() -> None:
    """The parts together have all of it, each is newer than the one before, the last one ends."""
    outbox = Outbox()
    attempt = Attempt("job", StoredRecord(enqueued_ms=1, job_try=1), outbox)
    attempt.store({f"field{number}": "x" * 60_000 for number in range(3)} | {"small": 1})
    attempt.record.state = State.COMPLETE
    attempt.close(final=True)
    attempt.queue_urgently()
    rows = [row for _, row in outbox.take(progress=True)]
    assert [list(row.fields) for row in rows] == [["field0"], ["field1"], ["field2", "small"]]
    records = [StoredRecord.decode(row.record.encode()) for row in rows]
    assert [it.state for it in records if it] == [State.WORKING, State.WORKING, State.COMPLETE]
    assert [it.ended is None for it in records if it] == [True, True, False]
    assert [it.version for it in records if it][:2] == [1, 2]
    assert not outbox


# mutants


async def test_attempts_that_ended_run_no_more(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """The worker forgets attempts, however they end, and asks for no stops when it has none."""

    async def job(ctx: Context, fails: bool) -> None:
        if fails:
            raise ValueError("no")

    worker: Any = await start_worker(tracked(job))
    attempts = worker._arq_status_session._attempts
    for job_id, fails in (("good", False), ("bad", True)):
        await pool.enqueue_job("job", fails, _job_id=job_id)
        await ended(client, job_id)
        await until(lambda: not worker.tasks)
        assert not attempts.running


async def test_progress_beside_urgent_writes(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """A job that makes progress is written ten times a second while others end all the time."""
    leave = asyncio.Event()
    versions: set[bytes] = set()

    async def job(ctx: Context, long: bool) -> None:
        status: JobTracker = ctx["status"]
        while long and not leave.is_set():
            await status.advance()
            await asyncio.sleep(0.005)
        await status.store(done=True)

    await start_worker(tracked(job))
    await pool.enqueue_job("job", True, _job_id="long")
    await started(client, "long")
    began = monotonic()
    number = 0
    while monotonic() - began < 2:
        number += 1
        await pool.enqueue_job("job", False, _job_id=f"short{number}")
        await ended(client, f"short{number}")
        versions.add(await pool.get("arqstatus:1/long") or b"")
    seconds = monotonic() - began
    leave.set()
    await ended(client, "long")
    assert number > 2
    assert 2 <= len(versions) <= 12 * seconds
