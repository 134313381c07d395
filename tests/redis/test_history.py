"""The history of a job: tries, tracebacks, log, result."""

import asyncio
import json
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import pytest
from arq import Retry, func
from arq.connections import ArqRedis

import arq_status
from arq_status import JobTracker, LogLine, Status, StatusClient, Try, status_options, track_status
from arq_status._model.history import LOG_LINES
from arq_status._model.record import State
from arq_status._redis import keys
from arq_status._redis.store import Store
from tests.conftest import RunBurst, RunJob, StartWorker, ended, started, stop_worker, until
from tests.records import own_keys, put_result, write_end, write_record

Context = dict[str, Any]


def outline(found: list[Try]) -> list[tuple[int, int, str, str | None]]:
    """Return what distinguishes tries."""
    return [(it.run, it.job_try, it.status.value, it.error) for it in found]


async def read(client: StatusClient, job_id: str = "job") -> list[str]:
    """Return the messages of a job's log."""
    return [line.message for line in await client.logs(job_id)]


# tries


async def ask(ctx: Context, until_try: int = 3) -> str:
    """A job that fails to get an answer in its first tries."""
    if ctx["job_try"] < until_try:
        try:
            raise ConnectionError("no answer")
        except ConnectionError as error:
            raise Retry from error
    return "sunny"


async def test_each_try_is_told(client: StatusClient, run_job: RunJob) -> None:
    """When it began and ended, how, why, where; the last one as in the record."""
    record = await run_job(ask)
    found = await arq_status.tries("job")
    assert outline(found) == [
        (1, 1, "retrying", "ConnectionError: no answer"),
        (1, 2, "retrying", "ConnectionError: no answer"),
        (1, 3, "complete", None),
    ]
    first, second, last = found
    times = [first.started_at, first.ended_at, second.started_at]
    assert times == sorted(filter(None, times))
    assert first.started_at is not None
    assert first.ended_at is not None
    assert first.elapsed == first.ended_at - first.started_at
    assert first.worker == last.worker == record.worker
    assert (last.started_at, last.ended_at) == (record.started_at, record.ended_at)
    assert first.traceback is not None
    assert first.traceback.count("in ask") == 2
    assert "ConnectionError: no answer" in first.traceback
    assert last.traceback is None


async def test_a_retry_without_a_reason(client: StatusClient, run_job: RunJob) -> None:
    """It has no error and no traceback."""

    async def again(ctx: Context) -> None:
        if ctx["job_try"] == 1:
            raise Retry

    await run_job(again)
    assert outline(await client.tries("job")) == [
        (1, 1, "retrying", None), (1, 2, "complete", None),
    ]  # fmt: skip
    assert [it.traceback for it in await client.tries("job")] == [None, None]


async def test_a_job_that_completes_at_once_keeps_nothing_more(
    pool: ArqRedis, client: StatusClient, run_job: RunJob
) -> None:
    """It has a single key; its try is built from its record."""

    async def work(ctx: Context) -> int:
        return 5

    record = await run_job(work)
    assert await own_keys(pool) == {"job:job", "ended", "ended:complete:1800000"}
    [only] = await client.tries("job")
    assert (only.job_try, only.status, only.elapsed) == (1, Status.COMPLETE, record.elapsed)
    assert await client.logs("job") == []


async def test_unknown_jobs_and_jobs_that_have_not_begun(
    pool: ArqRedis, client: StatusClient
) -> None:
    """They have no tries and no log."""
    await pool.enqueue_job("job", _job_id="queued")
    await pool.enqueue_job("job", _job_id="stored")
    await client.store("stored", vino=1)
    for job_id in ("none", "", "queued", "stored"):
        assert await client.tries(job_id) == []
        assert await client.logs(job_id) == []


async def test_a_job_that_arq_alone_knows(pool: ArqRedis, client: StatusClient) -> None:
    """Its only try is that of arq's result."""
    await put_result(pool, "job", ValueError("no vino"), success=False)
    assert outline(await client.tries("job")) == [(1, 1, "failed", "ValueError: no vino")]


async def test_a_try_that_runs(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """It has no end yet."""

    async def wait(ctx: Context) -> None:
        await asyncio.sleep(3600)

    await start_worker(track_status({"functions": [func(wait, name="wait")]}))
    await pool.enqueue_job("wait", _job_id="job")
    await started(client, "job")
    [only] = await client.tries("job")
    assert (only.status, only.ended_at, only.error) == (Status.WORKING, None, None)
    assert only.elapsed is not None


async def test_no_tries_left(client: StatusClient, run_job: RunJob) -> None:
    """It is not a try of its own: the last one keeps its times, and shows the reason."""
    record = await run_job(ask, 9, max_tries=2)
    assert (record.job_try, record.error) == (
        2, "max 2 tries exceeded; last: ConnectionError: no answer",
    )  # fmt: skip
    first, last = await client.tries("job")
    assert (last.job_try, last.status, last.error) == (2, Status.FAILED, record.error)
    assert (last.started_at, last.elapsed) == (record.started_at, record.elapsed)
    assert record.started_at is not None
    assert first.started_at is not None
    assert first.started_at < record.started_at
    assert "no answer" in str(last.traceback)


async def test_a_retry_begins_another_run(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """The tries of the earlier run stay listed, before those of the new one."""

    async def fail(ctx: Context) -> None:
        await ctx["status"].log(f"try {ctx['job_try']}")
        raise ValueError("no vino")

    settings = track_status({"functions": [func(fail, name="fail")]})
    await pool.enqueue_job("fail", _job_id="job")
    await run_burst(settings)
    for run in (2, 3):
        assert await client.retry("job")
        assert len(await client.tries("job")) == run - 1
        await run_burst(settings)
    found = await client.tries("job")
    assert [(it.run, it.job_try, it.status) for it in found] == [
        (1, 1, Status.FAILED), (2, 1, Status.FAILED), (3, 1, Status.FAILED),
    ]  # fmt: skip
    assert all("ValueError: no vino" in str(it.traceback) for it in found)
    assert [(it.number, it.message) for it in await client.logs("job")] == [
        (1, "try 1"), (2, "try 1"), (3, "try 1"),
    ]  # fmt: skip


async def test_a_new_enqueue_starts_without_history(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """It has no tries or log of another run with the id."""
    settings = track_status({"functions": [ask], "keep_result": 0})
    for _ in range(2):
        await pool.enqueue_job("ask", 2, _job_id="job")
        await run_burst(settings)
        assert [it.job_try for it in await client.tries("job")] == [1, 2]


async def test_of_many_tries_the_first_and_the_last_are_kept(
    client: StatusClient, run_job: RunJob
) -> None:
    """The first and the last 24, including that of the record."""
    await run_job(ask, 40, max_tries=99)
    numbers = [it.job_try for it in await client.tries("job")]
    assert numbers == [1, *range(17, 41)]


@pytest.mark.parametrize("state", [State.WORKING, State.RETRYING, State.INTERRUPTED])
async def test_a_try_whose_worker_died_is_kept_by_the_next(
    pool: ArqRedis, client: StatusClient, state: State
) -> None:
    """The first report of the next try keeps the earlier record."""
    first = await write_record(pool, "job", state, worker="host:7:dead", error=None)
    await write_end(pool, "job", run=first.enqueued_ms, job_try=2, worker="host:8")
    lost = state is State.WORKING
    assert outline(await client.tries("job")) == [
        (
            1, 1, "interrupted" if lost else state.value,
            "worker host:7 stopped responding" if lost else None,
        ),
        (1, 2, "complete", None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "entry", ["", "x", "1", "1 {}", "1 []", "x {}", '1 {"s":"failed","c":5}', "1 \udcff", "9" * 99]
)
async def test_damaged_history(pool: ArqRedis, client: StatusClient, entry: str) -> None:
    """It is read as far as possible."""
    await write_end(pool, "job", State.FAILED, error="no vino")
    raw = entry.encode("utf-8", "surrogateescape")
    for key in (keys.TRIES, keys.LOGS):
        await cast("Any", pool).rpush(key + "job", raw)
    assert (await client.tries("job"))[-1].error == "no vino"
    assert await client.logs("job") == []


# tracebacks


async def fail_deep(ctx: Context) -> None:
    try:
        ctx["vino"]
    except KeyError as error:
        raise ValueError("no vino") from error
    raise AssertionError


async def test_a_failed_job_has_its_traceback(client: StatusClient, run_job: RunJob) -> None:
    """From the job's first frame on, with the cause; not in lists."""
    await run_job(fail_deep)
    [only] = await client.tries("job")
    lines = str(only.traceback).splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert "in fail_deep" in lines[1]
    assert lines[-1] == "ValueError: no vino"
    assert "KeyError: 'vino'" in lines
    assert "arq/worker.py" not in str(only.traceback)


async def test_of_a_timeout_it_tells_where_the_job_was(
    client: StatusClient, run_job: RunJob
) -> None:
    """It shows the line at which the job waited."""

    async def wait(ctx: Context) -> None:
        await asyncio.sleep(3600)

    record = await run_job(wait, job_timeout=0.05)
    assert str(record.error).startswith("timed out after")
    [only] = await client.tries("job")
    assert "await asyncio.sleep(3600)" in str(only.traceback)


# the log


async def test_what_a_job_logs(client: StatusClient, run_job: RunJob) -> None:
    """Number, time, level, message and try, in order."""

    async def work(ctx: Context) -> None:
        status: JobTracker = ctx["status"]
        await status.log("Row 7 has no name", level="warning")
        await asyncio.to_thread(status.sync.log, "in a thread")
        await status.log("x" * 5_000, level="debug")

    record = await run_job(work)
    first, second, third = await arq_status.logs("job")
    assert isinstance(first, LogLine)
    assert (first.number, first.level, first.message, first.job_try, first.logger) == (
        1, "warning", "Row 7 has no name", 1, None,
    )  # fmt: skip
    assert (second.number, second.level, second.message) == (2, "info", "in a thread")
    assert (third.level, len(third.message)) == ("debug", 2_000)
    assert record.started_at is not None
    assert record.ended_at is not None
    assert record.started_at <= first.time <= second.time <= record.ended_at


async def test_lines_go_on_counting_in_the_next_try(client: StatusClient, run_job: RunJob) -> None:
    """In the same worker and in another one."""

    async def work(ctx: Context) -> None:
        await ctx["status"].log(f"a{ctx['job_try']}")
        await ctx["status"].flush()
        await ctx["status"].log(f"b{ctx['job_try']}")
        if ctx["job_try"] < 3:
            raise Retry

    await run_job(work)
    found = [(it.number, it.message, it.job_try) for it in await client.logs("job")]
    assert found == [
        (1, "a1", 1), (2, "b1", 1), (3, "a2", 2), (4, "b2", 2), (5, "a3", 3), (6, "b3", 3),
    ]  # fmt: skip


async def test_the_newest_lines_are_kept(client: StatusClient, run_job: RunJob) -> None:
    """A thousand of them; their numbers show that there were more."""

    async def work(ctx: Context) -> None:
        for number in range(1, 5_001):
            await ctx["status"].log(str(number))

    await run_job(work)
    found = await client.logs("job")
    assert [it.number for it in found] == list(range(5_001 - LOG_LINES, 5_001))
    assert all(it.message == str(it.number) for it in found)


async def test_so_many_bytes_are_kept(
    pool: ArqRedis, client: StatusClient, run_job: RunJob
) -> None:
    """256 KiB, from one try or several."""

    async def work(ctx: Context) -> None:
        for number in range(120):
            await ctx["status"].log(f"{number} " + "ü" * 1_990)
        if ctx["job_try"] < 2:
            raise Retry

    await run_job(work)
    found = await client.logs("job")
    assert found[-1].number == 240
    assert 60 < len(found) < 70
    kept = await cast("Any", pool).lrange(keys.LOGS + "job", 0, -1)
    assert sum(len(it) for it in kept) < 270_000


async def test_lines_that_are_sent_twice_stand_once(
    client: StatusClient, pool: ArqRedis, run_job: RunJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch whose reply is lost is sent again."""
    write, lost = Store.write, [True]

    async def lose(self: Store, rows: Any) -> set[str]:
        found = await write(self, rows)
        if lost and any(getattr(row, "lines", ()) for row in rows):
            lost.clear()
            raise ConnectionError("the answer is lost")
        return found

    monkeypatch.setattr(Store, "write", lose)

    async def work(ctx: Context) -> None:
        await ctx["status"].log("a")
        await ctx["status"].flush()
        await ctx["status"].log("b")

    await run_job(work)
    assert not lost
    assert [(it.number, it.message) for it in await client.logs("job")] == [(1, "a"), (2, "b")]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [((5,), TypeError), ((None,), TypeError), (("x", "loud"), ValueError), (("x", 10), ValueError)],
)
async def test_what_is_no_line(
    client: StatusClient, run_job: RunJob, arguments: tuple[Any, ...], error: type[Exception]
) -> None:
    """It raises in the job, and is not written."""

    async def work(ctx: Context) -> None:
        with pytest.raises(error):
            await ctx["status"].log(*arguments)

    assert (await run_job(work)).status is Status.COMPLETE
    assert await client.logs("job") == []


async def test_a_stopped_job_stops_at_a_line(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """As at any progress call, also in a thread."""

    async def work(ctx: Context, thread: bool) -> None:
        while True:
            if thread:
                await asyncio.to_thread(ctx["status"].sync.log, "x")
            else:
                await ctx["status"].log("x")
            await asyncio.sleep(0.01)

    await start_worker(track_status({"functions": [func(work, name="work")]}))
    for thread in (True, False):
        await pool.enqueue_job("work", thread, _job_id=f"job-{thread}")
        await started(client, f"job-{thread}")
        assert await client.stop(f"job-{thread}")
        assert (await ended(client, f"job-{thread}")).status is Status.STOPPED


async def test_lines_after_the_end(client: StatusClient, pool: ArqRedis, run_job: RunJob) -> None:
    """What ``after_job_end`` logs is kept as well, and raises nothing."""

    async def after_job_end(ctx: Context) -> None:
        await ctx["status"].log("booked")
        await ctx["status"].log(5)

    async def work(ctx: Context) -> None:
        await ctx["status"].log("done")

    await run_job(work, after_job_end=after_job_end)
    await until(lambda: _has(client, ["done", "booked"]))


async def _has(client: StatusClient, messages: list[str]) -> bool:
    return await read(client) == messages


async def test_keys_of_the_wrong_type(
    pool: ArqRedis, client: StatusClient, run_job: RunJob
) -> None:
    """If the tries and the log are not lists, the job is shown without them."""
    await run_job(ask)
    await pool.set(keys.TRIES + "job", "x")
    await pool.set(keys.LOGS + "job", "x")
    assert outline(await client.tries("job")) == [(1, 3, "complete", None)]
    assert await client.logs("job") == []
    await pool.set(keys.FUNCTIONS, "x")
    assert [it.function for it in await client.functions()] == ["job"]


# record_logs


logger = logging.getLogger("shop.orders")


async def work_and_log(ctx: Context) -> None:
    """A job that logs in every way."""
    logger.debug("debug")
    logger.info("order %d", 7)
    await asyncio.to_thread(logger.warning, "in a thread")
    try:
        raise ValueError("no vino")
    except ValueError:
        logger.exception("failed")
    logging.getLogger("arq.worker").warning("arq's own")
    logging.getLogger("arq_status").warning("ours")
    logger.info("wrong %d", "argument")


@pytest.fixture
def low_level() -> Any:
    """Make the job's logger log at all levels, without output on the terminal."""
    logger.setLevel(logging.DEBUG)
    raising, logging.raiseExceptions = logging.raiseExceptions, False
    yield
    logging.raiseExceptions = raising
    logger.setLevel(logging.NOTSET)


@pytest.mark.parametrize(
    ("level", "first"), [("INFO", "order 7"), (logging.WARNING, "in a thread"), ("debug", "debug")]
)
@pytest.mark.parametrize("by", ["worker", "function"])
async def test_what_jobs_log_with_logging(
    pool: ArqRedis,
    client: StatusClient,
    run_job: RunJob,
    run_burst: RunBurst,
    low_level: None,
    level: Any,
    first: str,
    by: str,
) -> None:
    """From the level on, with the traceback of ``exception``; without arq's lines and ours."""
    before = list(logging.root.handlers)
    if by == "function":
        await run_job(status_options(record_logs=level)(_copy(work_and_log)))
    else:
        await pool.enqueue_job("job", _job_id="job")
        functions = [func(work_and_log, name="job")]
        await run_burst(track_status(record_logs=level)({"functions": functions}))
    found = await client.logs("job")
    assert found[0].message == first
    assert {it.logger for it in found} == {"shop.orders"}
    messages = [it.message for it in found]
    assert not [it for it in messages if "own" in it or it == "ours"]
    [failed] = [it for it in found if it.message.startswith("failed\n")]
    assert failed.level == "error"
    assert failed.message.endswith("ValueError: no vino")
    assert ("wrong %d" in messages) is (level != logging.WARNING)
    assert logging.root.handlers == before


def _copy(function: Callable[..., Any]) -> Callable[..., Any]:
    async def copied(ctx: Context) -> None:
        await function(ctx)

    return copied


class _Unprintable:
    """An object that cannot be converted to a string."""

    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


async def test_what_is_logged_never_fails_the_job(
    client: StatusClient, run_job: RunJob, low_level: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unprintable messages and odd logger names do not; the log shows both."""
    # lone surrogates cannot be passed between pytest's processes
    monkeypatch.setattr(logging.root, "handlers", [])

    @status_options(record_logs="INFO")
    async def work(ctx: Context) -> None:
        # pytest prints and sends captured logs, which fails for lone surrogates
        logging.root.handlers[:] = [it for it in logging.root.handlers if "JobLog" in repr(it)]
        logger.info(_Unprintable())
        logger.info("%s", _Unprintable())
        logging.getLogger("shop.\udcff").warning("half a surrogate")
        logging.getLogger("shop." + "x" * 300_000).warning("long")
        logger.handle(logging.makeLogRecord({"msg": "of no logger", "levelno": 20, "name": None}))

    before = list(logging.root.handlers)
    try:
        record = await run_job(work)
    finally:
        logging.root.handlers[:] = before
    assert (record.status, record.error) == (Status.COMPLETE, None)
    found = await client.logs("job")
    assert [it.message for it in found] == [
        "<_Unprintable>",
        "%s",
        "half a surrogate",
        "long",
        "of no logger",
    ]
    names = [it.logger or "" for it in found]
    assert names[2] == "shop.?"
    assert len(names[3]) == 300
    assert names[4] == "None"


async def test_other_handlers_format_tracebacks_in_their_own_way(
    client: StatusClient, run_job: RunJob, low_level: None
) -> None:
    """A later handler does not get the text that was formatted for the log."""

    class Brief(logging.Formatter):
        def formatException(self, ei: Any) -> str:  # noqa: N802 - of logging
            return "brief"

    lines: list[str] = []
    handler = logging.Handler()
    handler.setFormatter(Brief())
    handler.emit = lambda record: lines.append(handler.format(record))  # type: ignore[method-assign]

    @status_options(record_logs="INFO")
    async def work(ctx: Context) -> None:
        # pytest's handlers would format the text first
        logging.root.handlers[:] = [
            *(it for it in logging.root.handlers if "JobLog" in repr(it)),
            handler,
        ]
        try:
            raise ValueError("no vino")
        except ValueError:
            logger.exception("failed")

    before = list(logging.root.handlers)
    try:
        await run_job(work)
    finally:
        logging.root.handlers[:] = before
    assert "failed\nbrief" in lines
    [line] = await client.logs("job")
    assert line.message.endswith("ValueError: no vino")


async def test_without_record_logs_nothing_is_captured(
    client: StatusClient, run_job: RunJob, low_level: None
) -> None:
    """Only ``status.log`` is recorded; no handler is added."""
    handlers: list[Any] = []

    async def work(ctx: Context) -> None:
        handlers.extend(logging.root.handlers)
        logger.error("not for the log")

    before = list(logging.root.handlers)
    await run_job(work)
    assert handlers == before
    assert await client.logs("job") == []


async def test_a_configuration_of_logging_takes_nothing_away(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst, low_level: None
) -> None:
    """If logging is configured after the start, the next job is captured again."""

    async def configure(ctx: Context) -> None:
        logging.root.handlers[:] = [it for it in logging.root.handlers if "JobLog" not in repr(it)]

    async def say(ctx: Context) -> None:
        logger.info("said")

    settings = track_status(record_logs="INFO")(
        {"functions": [func(configure, name="configure"), func(say, name="say")]}
    )
    await pool.enqueue_job("configure", _job_id="first")
    await run_burst(settings)
    await pool.enqueue_job("say", _job_id="job")
    await run_burst(settings)
    assert await read(client) == ["said"]


async def test_lines_outside_jobs_are_no_jobs_own(
    client: StatusClient, run_job: RunJob, low_level: None
) -> None:
    """What is logged outside jobs is in no job's log."""
    begun, logged = asyncio.Event(), asyncio.Event()

    async def work(ctx: Context) -> None:
        logger.info("inside")
        begun.set()
        await logged.wait()

    async def log_beside() -> None:
        await begun.wait()
        logger.info("outside")
        logged.set()

    task = asyncio.create_task(log_beside())
    await run_job(status_options(record_logs="INFO")(work))
    await task
    assert await read(client) == ["inside"]


async def test_workers_that_capture_logs_together(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker, run_burst: RunBurst
) -> None:
    """The one that ends first does not disturb the other."""
    go_on = asyncio.Event()

    async def work(ctx: Context) -> None:
        await go_on.wait()
        logger.warning("still here")

    async def say(ctx: Context) -> None:
        logger.warning("said")

    track = track_status(record_logs="INFO")
    await start_worker(track({"functions": [func(work, name="work")]}))
    await pool.enqueue_job("work", _job_id="job")
    await started(client, "job")
    await pool.enqueue_job("say", _job_id="other", _queue_name="second")
    await run_burst(track({"functions": [func(say, name="say")], "queue_name": "second"}))
    go_on.set()
    await ended(client, "job")
    assert await read(client) == ["still here"]
    assert await read(client, "other") == ["said"]


# expiry, delete


async def test_history_goes_with_the_record(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """It expires with it, and ``delete`` removes it."""

    async def work(ctx: Context) -> None:
        await ctx["status"].log("x")
        raise ValueError("no vino")

    settings = track_status(expires_failed=100)({"functions": [func(work, name="work")]})
    await pool.enqueue_job("work", _job_id="job")
    await run_burst(settings)
    names = [keys.RECORD + "job", keys.TRIES + "job", keys.LOGS + "job"]
    left = [await pool.pttl(name) for name in names]
    assert all(90_000 < it <= 100_000 for it in left)
    assert max(left) - min(left) < 1_000
    await client.delete("job")
    assert await pool.exists(keys.TRIES + "job", keys.LOGS + "job") == 0
    assert await client.tries("job") == []


# what a job returned


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (7, "7"),
        ({"rows": [1, 2]}, "{'rows': [1, 2]}"),
        ("x" * 100_000, "'" + "x" * 998 + "…"),
    ],
)
async def test_what_it_returned(
    pool: ArqRedis, client: StatusClient, run_job: RunJob, value: Any, text: str
) -> None:
    """A string of up to 1,000 characters, from ``job`` and ``jobs``; never in a list."""

    async def work(ctx: Context) -> Any:
        return value

    record = await run_job(work)
    assert record.returned == text
    assert len(text) <= 1_000
    assert (await client.jobs(["job"]))[0] == record
    assert (await client.list_jobs()).items[0].returned is None
    # even without a record
    await pool.delete(keys.RECORD + "job")
    found = await client.job("job")
    assert found is not None
    assert found.returned == text


async def test_what_is_not_shown(pool: ArqRedis, client: StatusClient, run_job: RunJob) -> None:
    """Nothing with ``record_result=False``, without a kept result, or for a failed job."""

    async def work(ctx: Context) -> str:
        return "secret"

    record = await run_job(status_options(record_result=False)(work))
    assert record.returned is None
    await pool.delete(keys.RECORD + "job")
    found = await client.job("job")
    assert found is not None
    assert found.returned is None


async def test_arq_keeps_no_result(run_job: RunJob) -> None:
    """It is unknown then."""

    async def work(ctx: Context) -> str:
        return "forgotten"

    assert (await run_job(work, keep_result=0)).returned is None


async def test_a_failed_job_returned_nothing(run_job: RunJob) -> None:
    """Its exception is not a return value."""
    assert (await run_job(fail_deep)).returned is None


# hooks


@pytest.mark.parametrize("hook", ["on_job_end", "after_job_end"])
async def test_hooks_know_the_outcome(run_job: RunJob, hook: str) -> None:
    """Status, error, duration, data and the exception of each try."""
    seen: list[tuple[Any, ...]] = []

    async def tell(ctx: Context) -> None:
        record, error = ctx["status"].record, ctx["status"].exception
        seen.append((record.status, record.job_try, record.error, type(error).__name__))
        assert record.elapsed is not None
        assert record.data == {"vino": ctx["job_try"]}
        assert (record.ended_at is None) is (record.status is Status.RETRYING)

    async def work(ctx: Context) -> None:
        assert ctx["status"].record.status is Status.WORKING
        assert ctx["status"].exception is None
        await ctx["status"].store(vino=ctx["job_try"])
        if ctx["job_try"] == 1:
            raise Retry
        if ctx["job_try"] == 2:
            raise Retry from OSError("away")
        raise ValueError("no vino")

    await run_job(work, **{hook: tell})
    assert seen == [
        (Status.RETRYING, 1, None, "Retry"),
        (Status.RETRYING, 2, "OSError: away", "Retry"),
        (Status.FAILED, 3, "ValueError: no vino", "ValueError"),
    ]


async def test_hooks_of_a_job_that_is_complete(run_job: RunJob) -> None:
    """There is no exception."""
    seen: list[Any] = []

    async def tell(ctx: Context) -> None:
        seen.append((ctx["status"].record.status, ctx["status"].exception))

    async def work(ctx: Context) -> None:
        with suppress(ValueError):
            raise ValueError

    await run_job(work, on_job_end=tell, after_job_end=tell)
    assert seen == [(Status.COMPLETE, None)] * 2


# forced ends


async def wait(ctx: Context) -> None:
    """A job that waits at the line to which its traceback is to point."""
    await ctx["status"].log("waiting")
    await asyncio.sleep(3600)


async def test_a_shutdown_is_a_try_of_its_own(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """It is interrupted where it waited, and another worker runs it again."""
    settings = track_status({"functions": [func(wait, name="wait")]})
    await pool.enqueue_job("wait", _job_id="job")
    first = await start_worker(settings)
    await until(lambda: client.logs("job"))
    assert first.main_task is not None
    await stop_worker(first, first.main_task)
    [lost] = await client.tries("job")
    assert (lost.status, lost.error) == (Status.INTERRUPTED, "cut off by a shutdown")
    assert "await asyncio.sleep(3600)" in str(lost.traceback)
    await start_worker(settings)
    await until(lambda: _tries(client, 2))
    assert [(it.job_try, it.status) for it in await client.tries("job")] == [
        (1, Status.INTERRUPTED), (2, Status.WORKING),
    ]  # fmt: skip
    assert (await client.logs("job"))[0].job_try == 1


async def _tries(client: StatusClient, number: int) -> bool:
    return len(await client.tries("job")) == number


async def test_a_forced_stop_tells_where(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """It shows the line at which the job waited."""
    await start_worker(track_status({"functions": [func(wait, name="wait")]}))
    await pool.enqueue_job("wait", _job_id="job")
    await until(lambda: client.logs("job"))
    assert await client.stop("job", force=True)
    await ended(client, "job")
    [only] = await client.tries("job")
    assert (only.status, only.error) == (Status.STOPPED, "stopped")
    assert "await asyncio.sleep(3600)" in str(only.traceback)


async def test_a_cooperative_stop_has_no_traceback(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """Nothing went wrong."""

    async def report(ctx: Context) -> None:
        while True:
            await ctx["status"].checkpoint()
            await asyncio.sleep(0.01)

    await start_worker(track_status({"functions": [func(report, name="report")]}))
    await pool.enqueue_job("report", _job_id="job")
    await started(client, "job")
    assert await client.stop("job")
    await ended(client, "job")
    [only] = await client.tries("job")
    assert (only.status, only.traceback) == (Status.STOPPED, None)


class HostileError(Exception):
    """An exception that cannot be printed."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


async def test_an_exception_that_cannot_be_printed(
    run_job: RunJob, client: StatusClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Its type is shown, and where it was raised."""
    # arq logs the exception, which pytest's handler cannot format
    caplog.set_level(logging.CRITICAL, "arq.worker")

    async def fail(ctx: Context) -> None:
        raise HostileError

    assert (await run_job(fail)).status is Status.FAILED
    [only] = await client.tries("job")
    assert "HostileError" in str(only.error)
    assert "raise HostileError" in str(only.traceback)


async def test_a_result_that_cannot_be_stored(run_job: RunJob, client: StatusClient) -> None:
    """The job returned but failed in arq: there is no traceback to show."""

    async def give(ctx: Context) -> Any:
        return {"lambda": lambda: None}

    record = await run_job(give)
    [only] = await client.tries("job")
    assert (only.status, only.error, only.traceback) == (Status.FAILED, record.error, None)
    assert record.returned is None


async def test_a_cancelled_job_keeps_the_tries_that_it_had(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """Cancelled between two tries, its last try has the job's final status."""

    async def again(ctx: Context) -> None:
        raise Retry(defer=3600) from ValueError("no vino")

    await pool.enqueue_job("again", _job_id="job")
    await start_worker(track_status({"functions": [func(again, name="again")]}))
    await until(lambda: client.is_retrying("job"))
    assert await client.cancel("job")
    [only] = await client.tries("job")
    assert (only.status, only.job_try) == (Status.STOPPED, 1)
    assert "no vino" in str(only.traceback)


async def test_lines_that_come_while_a_log_is_followed(
    pool: Any, client: StatusClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is left out, however many come between two reads."""

    async def log(*numbers: int) -> None:
        texts = [json.dumps([0, "info", f"line {it}", 1, None]) for it in numbers]
        lines = [f"{it} 9 try {it} {text}" for it, text in zip(numbers, texts, strict=True)]
        await pool.rpush(keys.LOGS + "job", *lines)

    read_list = Store._list

    async def grow(store: Store, key: str, start: int) -> list[bytes]:
        found = await read_list(store, key, start)
        if (size := await pool.llen(key)) < 9:
            await log(size + 1, size + 2)
        return found

    await write_end(pool, "job")
    await log(1, 2, 3)
    monkeypatch.setattr(Store, "_list", grow)
    assert [it.number for it in await client._logs_after("job", 1)] == list(range(2, 10))
    assert await client._logs_after("job", 9) == []


async def test_what_is_wrong_in_a_hook_raises_nothing(
    run_job: RunJob, client: StatusClient
) -> None:
    """Neither an invalid tag nor an invalid line ends the worker."""

    async def hook(ctx: Context) -> None:
        await ctx["status"].tag(5)
        await ctx["status"].log(5)
        await ctx["status"].tag("billing")

    async def work(ctx: Context) -> None:
        await ctx["status"].log("x")

    assert (await run_job(work, on_job_end=hook)).status is Status.COMPLETE
    assert await read(client) == ["x"]


async def test_a_shutdown_hook_that_is_called_twice(
    client: StatusClient, run_burst: RunBurst
) -> None:
    """The second call has nothing to do."""

    async def work(ctx: Context) -> None:
        pass

    worker = await run_burst(track_status({"functions": [func(work, name="work")]}))
    assert worker.on_shutdown is not None
    await worker.on_shutdown(worker.ctx)
    assert await client.workers() == []
