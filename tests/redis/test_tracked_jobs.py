"""A job from its worker's side: what it says, tries and was told to keep for itself."""

import asyncio
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from arq import Retry, func
from arq.connections import ArqRedis, RedisSettings
from arq.utils import timestamp_ms
from arq.worker import Worker
from redis.asyncio import Redis

from arq_status import JobTracker, Status, StatusClient, status_options, track_status
from tests.conftest import RunBurst, RunJob, StartWorker, end_loop, ended, until
from tests.records import own_keys, put_job, write_record

Context = dict[str, Any]


async def import_rows(ctx: Context, rows: int) -> int:
    status: JobTracker = ctx["status"]
    await status.total(rows)
    async for _ in status.track(range(rows), "Importing"):
        pass
    await status.store(vino="veritas")
    assert await status.retrieve("vino") == "veritas"
    return rows


async def report(ctx: Context, *args: Any) -> None:
    """A job that says a little."""
    await ctx["status"].at(1, "here")


def fresh(function: Any) -> Any:
    """The same function again, without the options of others."""
    return partial(function)


async def test_what_a_job_said_stands_in_its_record(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """Progress, message, data and times of a complete job are in its record."""
    await start_worker(track_status({"functions": [import_rows]}))
    await pool.enqueue_job("import_rows", 40, _job_id="rows")
    record = await ended(client, "rows")
    assert record.status is Status.COMPLETE
    assert (record.at, record.total, record.message) == (40, 40, "Importing")
    assert record.data == {"vino": "veritas"}
    assert (record.function, record.args, record.job_try) == ("import_rows", "40", 1)
    assert record.enqueued_at is not None
    assert record.started_at is not None
    assert record.ended_at is not None
    assert record.enqueued_at <= record.started_at <= record.ended_at == record.updated_at
    assert record.elapsed == record.ended_at - record.started_at


# expiry


@pytest.mark.parametrize(
    ("function", "settings", "seconds"),
    [
        (report, {}, 1800),
        (report, {"expires": 60}, 60),
        (report, {"expires": 60.5}, 60.5),
        (status_options(expires=timedelta(days=30))(fresh(report)), {"expires": 60}, 2_592_000),
        (fresh(status_options(expires=90)(fresh(report))), {}, 90),
    ],
    ids=["default", "of the worker", "a fraction", "of the function", "below a partial"],
)
async def test_expiry(
    pool: ArqRedis,
    client: StatusClient,
    run_burst: RunBurst,
    function: Any,
    settings: dict[str, Any],
    seconds: float,
) -> None:
    """The record of an ended job goes away when it was told to, by default in half an hour."""
    functions = [func(function, name="job")]
    await pool.enqueue_job("job", _job_id="job")
    await run_burst(track_status(**settings)({"functions": functions}))
    record = await client.job("job")
    assert record is not None
    assert record.ended_at is not None
    assert record.expires_at == record.ended_at + timedelta(seconds=seconds)
    assert 0 < await pool.pttl("arqstatus:1/job") <= seconds * 1000


async def test_nothing_expires_while_the_job_runs_and_all_does_afterwards(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """An ended job is gone when its time is over, though arq keeps its result longer."""
    go_on = asyncio.Event()

    @status_options(expires=2)
    async def brief(ctx: Context) -> None:
        await ctx["status"].store(vino="veritas")
        await ctx["status"].flush()
        await go_on.wait()

    await start_worker(track_status({"functions": [func(brief, name="brief")]}))
    await pool.enqueue_job("brief", _job_id="brief")
    await until(lambda: client.get("brief", "vino"))
    assert await pool.pttl("arqstatus:1/brief") == -1
    assert await pool.pttl("arqstatus:1:data:brief") == -1
    go_on.set()
    assert (await ended(client, "brief")).status is Status.COMPLETE

    async def is_gone() -> bool:
        return await client.status("brief") is None

    await until(is_gone)
    assert await pool.exists("arq:result:brief")
    assert not {"job:brief", "data:brief"} & await own_keys(pool)


# tracked or not


async def test_an_untracked_job_writes_nothing(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """With ``track=False`` the tracker is there and silent; arq's own keys tell the status."""
    go_on, said = asyncio.Event(), asyncio.Event()

    @status_options(track=False)
    async def secret(ctx: Context) -> None:
        status: JobTracker = ctx["status"]
        await status.at(50, "unheard")
        await status.store(vino="veritas")
        await status.flush()
        assert await status.retrieve("vino") == "veritas"
        said.set()
        await go_on.wait()

    await start_worker(track_status({"functions": [func(secret, name="secret")]}))
    await pool.enqueue_job("secret", _job_id="secret")
    await said.wait()
    record = await client.job("secret")
    assert record is not None
    assert (record.status, record.at, record.data) == (Status.WORKING, 0, {})
    go_on.set()
    assert (await ended(client, "secret")).status is Status.COMPLETE
    assert await own_keys(pool) == set()


async def test_tracking_may_be_opted_in_to(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """With ``track_status(track=False)`` only functions that ask for it are tracked."""
    chosen = status_options(track=True)(fresh(report))

    @track_status(track=False)
    class Settings:
        functions = [report, func(chosen, name="chosen")]

    await pool.enqueue_job("report", _job_id="others")
    await pool.enqueue_job("chosen", _job_id="chosen")
    await run_burst(Settings)
    others, own = await client.jobs(["others", "chosen"])
    assert others is not None
    assert (others.status, others.message) == (Status.COMPLETE, None)
    assert own is not None
    assert (own.status, own.message) == (Status.COMPLETE, "here")


@pytest.mark.parametrize(
    "make",
    [
        lambda: func(status_options(expires=60)(fresh(report)), name="job"),
        lambda: status_options(expires=60)(func(fresh(report), name="job")),
        lambda: status_options(expires=60)(
            func(status_options(expires=99)(fresh(report)), name="job")
        ),
    ],
    ids=["func of options", "options of func", "both"],
)
async def test_options_and_func_in_any_order(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst, make: Callable[[], Any]
) -> None:
    """``status_options`` counts inside ``func(...)`` and around it; the outer one wins."""
    await pool.enqueue_job("job", _job_id="job")
    await run_burst(track_status({"functions": [make()]}))
    record = await client.job("job")
    assert record is not None
    assert record.ended_at is not None
    assert record.expires_at == record.ended_at + timedelta(minutes=1)


# arguments

SECRET = "hunter2"


async def everything_of_ours(redis: Redis) -> str:
    """All keys of ours and what is in them, but for arq's own payloads, kept for ``retry``."""
    reads: dict[bytes, Any] = {
        b"string": redis.get,
        b"hash": redis.hgetall,
        b"set": redis.smembers,
        b"zset": lambda key: redis.zrange(key, 0, -1),
        b"list": lambda key: redis.lrange(key, 0, -1),
    }
    found = []
    for key in await redis.keys("arqstatus:*"):
        if key.startswith(b"arqstatus:1:payload:"):
            continue
        found += [key, await reads[await redis.type(key)](key)]
    return repr(found)


async def login(ctx: Context, password: str, fails: bool) -> None:
    """A job whose arguments are nobody's business."""
    await ctx["status"].at(1, "logging in")
    if fails:
        raise Retry


@pytest.mark.parametrize("by", ["function", "worker"])
async def test_arguments_that_are_not_recorded(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst, start_worker: StartWorker, by: str
) -> None:
    """With ``record_args=False`` nothing of ours shows arguments, not of waiting jobs either."""
    function = fresh(login)
    if by == "function":
        settings = track_status(
            {"functions": [func(status_options(record_args=False)(function), name="login")]}
        )
    else:
        settings = track_status(record_args=False)({"functions": [func(function, name="login")]})
    # a worker announces it when it starts
    await run_burst(settings)
    await pool.enqueue_job("login", SECRET, fails=False, _job_id="good")
    await pool.enqueue_job("login", SECRET, fails=True, _job_id="bad")
    await pool.enqueue_job("login", SECRET, fails=True, _job_id="later", _defer_by=60)
    ids = ["good", "bad", "later"]
    waiting = await client.jobs(ids)
    assert [it.status for it in waiting if it] == [Status.QUEUED, Status.QUEUED, Status.DEFERRED]
    assert await client.store("later", note="from outside")
    await start_worker(settings, max_tries=2)
    good, bad = await ended(client, "good"), await ended(client, "bad")
    assert (good.status, bad.status) == (Status.COMPLETE, Status.FAILED)
    later = await client.job("later")
    for record in [*waiting, good, bad, later, *(await client.list_jobs()).items]:
        assert record is not None
        assert (record.function or "login") == "login"
        assert record.args == ""
        assert SECRET not in repr(record)
    assert SECRET not in await everything_of_ours(pool)


async def test_out_of_tries_after_its_worker_died(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """The error tells of the worker as well, for that is why there are no tries left."""
    run = await put_job(pool, "job", function="report")
    await pool.set("arq:retry:job", 1)
    await write_record(pool, "job", run=run, function="report", worker="host:7:dead")
    await run_burst(track_status({"functions": [report], "max_tries": 1}))
    record = await ended(client, "job")
    assert record.status is Status.FAILED
    assert record.error == "max 1 tries exceeded; last: worker host:7 stopped responding"


async def test_a_function_name_that_is_no_text(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """Arq fails the job, and the worker goes on."""
    await pool.enqueue_job(7, _job_id="wrong")  # type: ignore[arg-type]
    await pool.enqueue_job("report", _job_id="job")
    await run_burst(track_status({"functions": [report]}))
    assert (await ended(client, "job")).status is Status.COMPLETE
    assert await client.status("wrong") is Status.FAILED


@pytest.mark.parametrize("announced", [True, False])
async def test_arguments_of_a_function_that_only_another_worker_knows(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst, announced: bool
) -> None:
    """One that fails for it heeds what the other has announced."""
    if announced:
        known = func(status_options(record_args=False)(fresh(login)), name="login")
        await run_burst(track_status({"functions": [known]}))
    await pool.enqueue_job("login", SECRET, fails=False, _job_id="job")
    await run_burst(track_status({"functions": [report]}))
    record = await ended(client, "job")
    assert (record.status, record.error) == (Status.FAILED, "function 'login' not found")
    assert (SECRET in record.args) is not announced


async def test_a_function_that_nobody_knows_beside_damaged_options(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """Its failure is recorded though nothing can be learned of it."""
    await start_worker(track_status({"functions": [report]}))
    await until(lambda: pool.exists("arqstatus:1:functions"))
    await pool.delete("arqstatus:1:functions")
    await pool.set("arqstatus:1:functions", "damaged")
    await pool.enqueue_job("nobody", _job_id="job")
    assert (await ended(client, "job")).status is Status.FAILED


@pytest.mark.parametrize("limit", [1, 20, 500, 2000])
async def test_how_much_of_the_arguments_is_kept(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst, limit: int
) -> None:
    """So many characters, of a job that waits, of one that ran and of arq's result alone."""

    async def login(ctx: dict[str, Any], *words: str) -> None: ...

    settings = track_status(record_args=limit)({"functions": [func(login, name="login")]})
    await run_burst(settings)
    words = ["x" * 9] * 1_000
    whole = ", ".join(map(repr, words))
    await pool.enqueue_job("login", *words, _job_id="job")
    assert await client.get("job", "args") == whole[: limit - 1] + "…"
    await run_burst(settings)
    assert await client.get("job", "args") == whole[: limit - 1] + "…"
    await client.delete("job")
    await pool.enqueue_job("login", *words, _job_id="alone")
    await run_burst({"functions": [func(login, name="login")]})
    assert await client.get("alone", "args") == whole[: limit - 1] + "…"


async def test_arguments_are_recorded_where_a_function_allows_it(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """``status_options(record_args=True)`` wins over the worker's ``record_args=False``."""
    allowed = status_options(record_args=True)(fresh(report))
    settings = track_status(record_args=False)(
        {"functions": [report, func(allowed, name="allowed")]}
    )
    await pool.enqueue_job("report", 1, _job_id="hidden")
    await pool.enqueue_job("allowed", 2, "b", _job_id="shown")
    await run_burst(settings)
    records = await client.jobs(["hidden", "shown"])
    assert [it.args for it in records if it] == ["", "2, 'b'"]


# tries and runs


async def test_a_new_try_keeps_message_and_data(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """After ``Retry`` the message, the total and the data are still there, and ``at`` is 0."""
    go_on = asyncio.Event()

    async def patient(ctx: Context) -> None:
        status: JobTracker = ctx["status"]
        assert status.job_try == ctx["job_try"]
        if ctx["job_try"] == 1:
            await status.total(20)
            await status.at(7, "first")
            await status.store(vino="veritas")
            raise Retry
        assert await status.retrieve("vino") == "veritas"
        await go_on.wait()
        await status.advance(2)

    await start_worker(track_status({"functions": [func(patient, name="patient")]}))
    await pool.enqueue_job("patient", _job_id="job")

    async def second_try() -> Any:
        record = await client.job("job")
        return record if record and record.job_try == 2 else None

    record = await until(second_try)
    assert (record.status, record.at, record.total) == (Status.WORKING, 0, 20)
    assert (record.message, record.data) == ("first", {"vino": "veritas"})
    go_on.set()
    record = await ended(client, "job")
    assert (record.status, record.at, record.message) == (Status.COMPLETE, 2, "first")
    assert record.data == {"vino": "veritas"}


@pytest.mark.parametrize("fails", [False, True])
async def test_a_new_run_starts_empty(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker, fails: bool
) -> None:
    """Nothing of an earlier run shows when its id is enqueued again, waiting or running."""
    go_on, begun = asyncio.Event(), asyncio.Event()

    async def twice(ctx: Context, first: bool) -> None:
        status: JobTracker = ctx["status"]
        if first:
            await status.total(9)
            await status.at(9, "the first run")
            await status.store(run=1)
            if fails:
                raise ValueError("the first run")
            return
        assert await status.retrieve("run") is None
        begun.set()
        await go_on.wait()

    settings = track_status({"functions": [func(twice, name="twice", keep_result=0)]})
    await start_worker(settings)
    await pool.enqueue_job("twice", True, _job_id="job")
    assert (await ended(client, "job")).data == {"run": 1}
    await pool.enqueue_job("twice", False, _job_id="job", _defer_by=2)
    waiting = await client.job("job")
    await begun.wait()
    running = await client.job("job")
    go_on.set()

    async def complete() -> bool:
        return await client.is_complete("job")

    await until(complete)
    last = await client.job("job")
    for record, status in (
        (waiting, Status.DEFERRED),
        (running, Status.WORKING),
        (last, Status.COMPLETE),
    ):
        assert record is not None
        assert record.status is status
        assert (record.at, record.total, record.message, record.error) == (0, 100, None, None)
        assert record.data == {}


async def test_unusual_arguments_and_names(run_job: RunJob) -> None:
    """Arguments that have no repr, are endless or no UTF-8 leave the job tracked."""
    nested: list[Any] = []
    nested.append(nested)
    record = await run_job(report, nested, "\ud800", "x" * 10_000)
    assert record.status is Status.COMPLETE
    assert record.args.startswith("[[...]], ")
    assert len(record.args) <= 80
    assert record.message == "here"


async def test_a_payload_that_is_not_arqs(
    pool: ArqRedis,
    client: StatusClient,
    start_worker: StartWorker,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What cannot be tracked runs or fails as arq has it, and the worker goes on."""
    import pickle

    await start_worker(track_status({"functions": [report]}))
    odd: dict[str, Any] = {"t": None, "f": "report", "a": 5, "k": {}, "et": 1}
    await pool.set("arq:job:odd", pickle.dumps(odd))
    await pool.zadd("arq:queue", {"odd": 1})
    assert (await ended(client, "odd")).status is Status.FAILED
    assert "job odd is not tracked" in caplog.text
    await pool.enqueue_job("report", _job_id="next")
    assert (await ended(client, "next")).status is Status.COMPLETE


async def test_the_record_of_the_last_try_is_lost(run_job: RunJob, pool: ArqRedis) -> None:
    """A new try begins afresh where the record of the last one is gone or no record."""

    async def job(ctx: Context) -> None:
        if ctx["job_try"] == 1:
            await ctx["status"].at(5, "first")
            raise Retry
        if ctx["job_try"] == 2:
            await ctx["status"].at(6)
            raise Retry
        await ctx["status"].at(7)

    async def lose(ctx: Context) -> None:
        if ctx["job_try"] < 3:
            await pool.delete("arqstatus:1/job")
        if ctx["job_try"] == 2:
            await pool.zadd("arqstatus:1/job", {"no record": 1})

    record = await run_job(job)
    assert (record.at, record.message) == (7, "first")
    await pool.delete("arq:result:job")
    record = await run_job(job, after_job_end=lose)
    assert record.status is Status.COMPLETE
    assert record.message is None


async def test_a_job_that_waits_for_another(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """A job may enqueue another and read its result; both are tracked."""

    async def outer(ctx: Context) -> Any:
        inner = await ctx["redis"].enqueue_job("import_rows", 3, _job_id="inner")
        return await inner.result(timeout=5, poll_delay=0.01)

    await start_worker(track_status({"functions": [func(outer, name="outer"), import_rows]}))
    job = await pool.enqueue_job("outer", _job_id="outer")
    assert job is not None
    assert await job.result(timeout=5, poll_delay=0.01) == 3
    records = [await ended(client, job_id) for job_id in ("outer", "inner")]
    assert [(it.status, it.function, it.at) for it in records] == [
        (Status.COMPLETE, "outer", 0),
        (Status.COMPLETE, "import_rows", 3),
    ]


def _to_json(data: dict[str, Any]) -> bytes:
    return json.dumps(data).encode()


@pytest.mark.parametrize(
    ("job_id", "error"),
    [
        ("unknown", "function 'unknown' not found"),
        ("expired", "expired before it ran"),
        ("tried", "max 1 tries exceeded"),
        ("unserializable", "unable to serialize result"),
    ],
)
async def test_serializers_that_take_no_exceptions(
    pool: ArqRedis, run_burst: RunBurst, job_id: str, error: str
) -> None:
    """Arq's own result does not tell then why it gave a job up, but the record does."""

    async def give(ctx: dict[str, Any]) -> object:
        return object()

    codecs = {"job_serializer": _to_json, "job_deserializer": json.loads}
    now = timestamp_ms()
    function = "unknown" if job_id == "unknown" else "give"
    job: dict[str, Any] = {"t": None, "f": function, "a": [], "k": {}, "et": now}
    await pool.psetex(f"arq:job:{job_id}", 60_000, _to_json(job))
    # arq takes a job for expired that is due, but has no payload
    if job_id == "expired":
        await pool.delete(f"arq:job:{job_id}")
    if job_id == "tried":
        await pool.set(f"arq:retry:{job_id}", 1)
    await pool.zadd("arq:queue", {job_id: now})
    settings = track_status({"functions": [func(give, name="give")], **codecs})
    await run_burst(settings, max_tries=1)
    client = StatusClient(pool, job_deserializer=json.loads)
    record = await ended(client, job_id)
    assert (record.status, record.error) == (Status.FAILED, error)


async def test_a_job_that_ends_its_worker(
    pool: ArqRedis, client: StatusClient, redis_settings: RedisSettings
) -> None:
    """``SystemExit`` in a job ends the worker, and the record tells that it did."""

    async def leave(ctx: dict[str, Any]) -> None:
        await ctx["status"].at(5, "Leaving")
        sys.exit(3)

    settings = track_status(
        {"functions": [func(leave, name="leave")], "redis_settings": redis_settings}
    )

    stopped: list[tuple[asyncio.AbstractEventLoop, Worker]] = []

    def work() -> object:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        worker = Worker(**settings, handle_signals=False)
        try:
            worker.run()
        except SystemExit as error:
            return error.code
        finally:
            stopped.append((loop, worker))
        return None

    await pool.enqueue_job("leave", _job_id="job")
    assert await asyncio.to_thread(work) == 3
    # as if its last heartbeat were a while ago
    for worker in await pool.zrange("arqstatus:1:workers", 0, -1):
        await pool.zincrby("arqstatus:1:workers", -12_000, worker)
    record = await client.job("job")
    assert record is not None
    assert (record.status, record.error) == ("interrupted", "ended its worker with SystemExit: 3")
    assert (record.at, record.message) == (5, "Leaving")
    await asyncio.to_thread(end_loop, *stopped[0])


async def test_a_job_that_is_due_at_the_end_of_time(pool: ArqRedis, client: StatusClient) -> None:
    """It is deferred like any other."""
    await pool.enqueue_job("f", _job_id="job", _defer_until=datetime(9999, 12, 31, tzinfo=UTC))
    assert await client.is_deferred("job")
    assert (await client.counts())[Status.DEFERRED] == 1
    page = await client.list_jobs(status="deferred")
    assert [record.job_id for record in page.items] == ["job"]
    assert page.items[0].due_at == datetime(9999, 12, 31, tzinfo=UTC)


@pytest.mark.parametrize("at", [0.29, 0.57, 0.58])
async def test_hundredths(pool: ArqRedis, client: StatusClient, at: float) -> None:
    """A share that binary numbers cannot hold is rounded to what it means."""
    await write_record(pool, "job", at=at, total=1)
    assert await client.pct_complete("job") == round(at * 100)
