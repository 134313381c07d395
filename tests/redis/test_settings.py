"""``track_status``: what it takes, what it gives back, and what of the settings goes on working."""

import asyncio
import json
import re
import sys
import warnings
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from arq import create_pool, cron, func
from arq.connections import ArqRedis, RedisSettings
from arq.jobs import Job
from arq.worker import Worker, create_worker, run_worker

from arq_status import JobTracker, Status, StatusClient, status_options, track_status
from arq_status._model.query import Query
from arq_status._redis.store import Store
from arq_status._tracking.settings import _warn_of_untested_arq
from tests.conftest import RunBurst, StartWorker, ended, until

Context = dict[str, Any]


async def work(ctx: Context, amount: int = 1) -> int:
    """A job that says how far it is."""
    status: JobTracker = ctx["status"]
    await status.at(amount, "at work")
    return amount


async def rest(ctx: Context) -> None:
    """A job that says nothing."""


async def forbidden(ctx: Context) -> None:
    """A job that always fails."""
    raise ValueError("no")


@pytest.fixture
def jobs_module() -> Iterator[SimpleNamespace]:
    """A module that import strings can name."""
    module = SimpleNamespace(work=work, rest=rest)
    sys.modules["imported_jobs"] = module  # type: ignore[assignment]
    yield module
    del sys.modules["imported_jobs"]


def test_a_class_is_returned_itself() -> None:
    """The decorated class is the same class, bare and with arguments."""

    class Settings:
        functions = [work]

    class Other:
        functions = [work]

    assert track_status(Settings) is Settings
    assert track_status(expires=60)(Other) is Other
    assert Settings.__name__ == "Settings"
    assert len(Other.functions) == 1


def test_a_dict_is_left_as_it_is() -> None:
    """Of a dict a new one is made; what is in the given one does not change."""
    functions = [work]
    given = {"functions": functions, "max_jobs": 3}
    for tracked in (track_status(given), track_status(expires=timedelta(minutes=1))(given)):
        assert tracked is not given
        assert tracked["max_jobs"] == 3
        assert tracked["functions"] is not functions
    assert given == {"functions": [work], "max_jobs": 3}
    assert functions == [work]


def test_functions_can_still_be_sliced() -> None:
    """A list of functions may be taken apart for another worker's settings."""
    tracked = track_status({"functions": [work, rest]})
    first, second = tracked["functions"][0], tracked["functions"][0:2][1]
    assert (first.name, second.name) == ("work", "rest")


@pytest.mark.parametrize("tracked", [{"functions": [work]}, type("S", (), {"functions": [work]})])
def test_settings_are_tracked_once(tracked: Any) -> None:
    """Settings that are tracked already are refused."""
    once = track_status(tracked)
    with pytest.raises(TypeError, match="already"):
        track_status(once)


@pytest.mark.parametrize("settings", [5, "module.Settings", [work], work])
def test_other_settings_are_refused(settings: Any) -> None:
    """What is neither a class nor a dict is refused."""
    with pytest.raises(TypeError, match="class or a dict"):
        track_status(settings)


@pytest.mark.parametrize("expires", [0, -1, -0.5, timedelta(0), timedelta(-1), float("nan")])
def test_expires_must_be_positive(expires: Any) -> None:
    """An expiry that is not positive is refused, for all functions and for one."""
    with pytest.raises(ValueError, match="positive"):
        track_status(expires=expires)
    with pytest.raises(ValueError, match="positive"):
        status_options(expires=expires)


@pytest.mark.parametrize("expires", ["60", True, None])
def test_expires_must_be_a_time(expires: Any) -> None:
    """An expiry that is no time is refused."""
    with pytest.raises(TypeError, match="expires"):
        track_status(expires=expires)


@pytest.mark.parametrize("version", ["0.29.0", "1.0", "0.29.0b1"])
def test_a_newer_arq_gets_a_warning(version: str) -> None:
    """A version of arq that was not tested is told, and not refused."""
    with pytest.warns(RuntimeWarning, match="not tested with arq"):
        _warn_of_untested_arq(version)


@pytest.mark.parametrize("version", ["0.26.0", "0.28", "0.28.1"])
def test_a_tested_arq_gets_no_warning(version: str) -> None:
    """With a version that was tested nothing is said."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _warn_of_untested_arq(version)


def test_run_worker_runs_tracked_settings(redis_settings: RedisSettings) -> None:
    """``arq.run_worker`` takes the settings, as ``arq module.Settings`` does."""

    async def enqueue() -> None:
        pool = await create_pool(redis_settings)
        await pool.flushdb()
        await pool.enqueue_job("work", 7, _job_id="run")
        await pool.aclose()

    async def look() -> Any:
        async with StatusClient(redis_settings) as client:
            return await client.job("run")

    @track_status
    class Settings:
        functions = [work]
        burst = True
        poll_delay = 0.01
        handle_signals = False

    asyncio.run(enqueue())
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    worker = run_worker(Settings, redis_settings=redis_settings)  # type: ignore[arg-type]
    loop.close()
    asyncio.set_event_loop(None)
    assert worker.jobs_complete == 1
    record = asyncio.run(look())
    assert (record.status, record.at, record.message) == (Status.COMPLETE, 7, "at work")


async def test_worker_takes_tracked_keywords_and_a_pool(
    client: StatusClient, redis_settings: RedisSettings
) -> None:
    """``Worker(**track_status({...}), redis_pool=...)`` tracks as any other worker."""
    own = await create_pool(redis_settings)
    await own.enqueue_job("work", 4, _job_id="keywords")
    worker = Worker(
        **track_status({"functions": [work]}),
        redis_pool=own,
        burst=True,
        poll_delay=0.01,
        handle_signals=False,
    )
    await worker.main()
    await worker.close()
    record = await client.job("keywords")
    assert record is not None
    assert (record.status, record.at) == (Status.COMPLETE, 4)


async def test_a_pool_names_the_queue(client: StatusClient, redis_settings: RedisSettings) -> None:
    """A worker without a queue name of its own takes its pool's, and so does the record."""
    own = await create_pool(redis_settings, default_queue_name="pool-queue")
    await own.enqueue_job("work", _job_id="named")
    tracked = track_status({"functions": [work], "queue_name": None})
    worker = Worker(**tracked, redis_pool=own, burst=True, poll_delay=0.01, handle_signals=False)
    await worker.main()
    await worker.close()
    record = await client.job("named")
    assert record is not None
    assert (record.status, record.queue) == (Status.COMPLETE, "pool-queue")


async def test_a_worker_that_never_ran_can_be_closed(redis_settings: RedisSettings) -> None:
    """Closing a worker that did not start is no error, and runs the user's hook."""
    closed: list[bool] = []

    async def on_shutdown(ctx: Context) -> None:
        closed.append(True)

    tracked = track_status({"functions": [work], "on_shutdown": on_shutdown})
    worker = Worker(**tracked, redis_pool=await create_pool(redis_settings), handle_signals=False)
    await worker.close()
    assert closed == [True]


async def test_functions_with_settings_of_their_own(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """``func(...)`` keeps its name, timeout and ``keep_result``, and is tracked by that name."""

    async def endless(ctx: Context) -> None:
        await asyncio.Event().wait()

    tracked = track_status(
        {
            "functions": [
                func(work, name="resize", keep_result=0, max_tries=3),
                func(endless, name="endless", timeout=0.1),
            ]
        }
    )
    await pool.enqueue_job("resize", 3, _job_id="resized")
    await pool.enqueue_job("endless", _job_id="slow")
    worker = await run_burst(tracked)
    resized, slow = await client.jobs(["resized", "slow"])
    assert resized is not None
    assert (resized.status, resized.function, resized.at) == (Status.COMPLETE, "resize", 3)
    assert await Job("resized", pool).result_info() is None
    assert slow is not None
    assert (slow.status, slow.error) == (Status.FAILED, "timed out after 0.1s")
    assert worker.functions["resize"].max_tries == 3


async def test_import_strings(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst, jobs_module: SimpleNamespace
) -> None:
    """Import strings, also in ``func``, are tracked by the name that arq gives them."""
    tracked = track_status(
        {"functions": ["imported_jobs.work", func("imported_jobs.work", name="short")]}
    )
    await pool.enqueue_job("imported_jobs.work", 2, _job_id="long")
    await pool.enqueue_job("short", 3, _job_id="short")
    await run_burst(tracked)
    records = await client.jobs(["long", "short"])
    assert [(it.function, it.at) for it in records if it] == [
        ("imported_jobs.work", 2),
        ("short", 3),
    ]


async def test_import_strings_are_read_by_the_worker() -> None:
    """A string that names nothing fails when a worker reads it, not at decoration."""

    @track_status
    class Settings:
        functions = ["no_such_module_at_all.work"]

    with pytest.raises(ModuleNotFoundError):
        create_worker(Settings)  # type: ignore[arg-type]


async def test_cron_jobs(pool: ArqRedis, client: StatusClient, start_worker: StartWorker) -> None:
    """Cron jobs are tracked, those with an id of their own too, and may run again."""
    await start_worker(
        track_status(
            {
                "cron_jobs": [
                    cron(work, name="fixed", run_at_startup=True, job_id="nightly", month=1),
                    cron(rest, name="plain", run_at_startup=True, month=1),
                ]
            }
        )
    )
    nightly = await ended(client, "nightly")
    assert (nightly.status, nightly.function, nightly.at) == (Status.COMPLETE, "fixed", 1)

    async def plain() -> Any:
        page = await client.list_jobs(function="plain", status=Status.COMPLETE)
        return page.items

    [record] = await until(plain)
    assert record.job_id.startswith("plain:")


async def test_queues(pool: ArqRedis, client: StatusClient, start_worker: StartWorker) -> None:
    """Several workers of one class, each with its queue, run in one process."""

    @track_status
    class Settings:
        functions = [work]

    await start_worker(Settings, queue_name="fast")
    await start_worker(Settings, queue_name="slow")
    await start_worker(Settings)
    await pool.enqueue_job("work", 1, _job_id="one", _queue_name="fast")
    await pool.enqueue_job("work", 2, _job_id="two", _queue_name="slow")
    await pool.enqueue_job("work", 3, _job_id="three")
    records = [await ended(client, job_id) for job_id in ("one", "two", "three")]
    assert [it.queue for it in records] == ["fast", "slow", "arq:queue"]
    assert [it.at for it in records] == [1, 2, 3]


async def test_workers_that_share_a_ctx(
    pool: ArqRedis,
    client: StatusClient,
    start_worker: StartWorker,
    redis_settings: RedisSettings,
) -> None:
    """The end of one of two workers with the same ``ctx`` leaves the other one tracked."""
    settings = track_status({"functions": [work], "ctx": {"db": "shared"}})
    await start_worker(settings, queue_name="stays")
    leaving = create_worker(
        settings,
        redis_settings=redis_settings,
        queue_name="leaves",
        burst=True,
        poll_delay=0.01,
        handle_signals=False,
    )
    await leaving.async_run()
    await leaving.close()
    await pool.enqueue_job("work", 8, _job_id="after", _queue_name="stays")
    record = await ended(client, "after")
    assert (record.status, record.at) == (Status.COMPLETE, 8)


async def test_arguments_win_over_settings(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """Queue, job timeout and ``keep_result`` count as the worker got them."""

    class Unprintable:
        def __repr__(self) -> str:
            raise RuntimeError("no words")

    async def endless(ctx: Context) -> None:
        await asyncio.Event().wait()

    async def unprintable(ctx: Context) -> Unprintable:
        return Unprintable()

    tracked = track_status(
        {
            "functions": [endless, func(unprintable, name="unprintable")],
            "queue_name": "not-this",
            "job_timeout": 60,
            "keep_result": 60,
        }
    )
    endless_name = tracked["functions"][0].name
    await pool.enqueue_job(endless_name, _job_id="endless", _queue_name="this")
    await pool.enqueue_job("unprintable", _job_id="unprintable", _queue_name="this")
    worker = await run_burst(tracked, queue_name="this", job_timeout=0.15, keep_result=0)
    assert worker.jobs_failed == 2
    endless_record, other = await client.jobs(["endless", "unprintable"])
    assert endless_record is not None
    assert endless_record.queue == "this"
    assert endless_record.error == "timed out after 0.15s"
    assert other is not None
    assert (other.status, other.error) == (Status.FAILED, "RuntimeError: no words")


async def test_a_worker_behind_a_task_factory(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """Where tools wrap every task, the settings tell what arq's worker goes by."""

    def wrapping(loop: asyncio.AbstractEventLoop, coro: Any, **kwargs: Any) -> Any:
        async def wrapped() -> Any:
            return await coro

        return asyncio.Task(wrapped(), loop=loop, **kwargs)

    async def endless(ctx: Context) -> None:
        await asyncio.Event().wait()

    tracked = track_status(
        {
            "functions": [work, endless],
            "queue_name": "wrapped",
            "job_timeout": 0.15,
            "keep_result": 0,
        }
    )
    await pool.enqueue_job("work", 5, _job_id="work", _queue_name="wrapped")
    await pool.enqueue_job(tracked["functions"][1].name, _job_id="endless", _queue_name="wrapped")
    loop = asyncio.get_running_loop()
    loop.set_task_factory(wrapping)
    try:
        await run_burst(tracked)
    finally:
        loop.set_task_factory(None)
    done, timed_out = await client.jobs(["work", "endless"])
    assert done is not None
    assert (done.status, done.at, done.queue) == (Status.COMPLETE, 5, "wrapped")
    assert timed_out is not None
    assert (timed_out.status, timed_out.error) == (Status.FAILED, "timed out after 0.15s")


def as_json(data: Any) -> bytes:
    """A serializer that takes no exceptions."""
    return json.dumps(data).encode()


async def test_custom_serializers(redis_settings: RedisSettings, client: StatusClient) -> None:
    """Own serializers go on working, also where they take no exceptions."""
    own = await create_pool(redis_settings, job_serializer=as_json, job_deserializer=json.loads)
    await own.enqueue_job("work", 6, _job_id="json")
    await own.enqueue_job("forbidden", _job_id="raises")
    worker = create_worker(
        track_status(
            {
                "functions": [work, forbidden],
                "job_serializer": as_json,
                "job_deserializer": json.loads,
            }
        ),
        redis_settings=redis_settings,
        burst=True,
        poll_delay=0.01,
        handle_signals=False,
    )
    await worker.async_run()
    await worker.close()
    assert await Job("json", own, _deserializer=json.loads).result() == 6
    done, failed = await client.jobs(["json", "raises"])
    assert done is not None
    assert (done.status, done.function, done.args, done.at) == (Status.COMPLETE, "work", "6", 6)
    assert failed is not None
    assert (failed.status, failed.error) == (Status.FAILED, "ValueError: no")
    await own.aclose()


async def test_hooks(pool: ArqRedis, client: StatusClient, run_burst: RunBurst) -> None:
    """The user's hooks run in arq's order, with a tracker in those of jobs."""
    calls: list[str] = []

    def hook(name: str, *, of_job: bool) -> Any:
        async def run(ctx: Context) -> None:
            calls.append(name)
            if of_job:
                await ctx["status"].store(**{name: True})

        return run

    async def job(ctx: Context) -> None:
        calls.append("job")
        assert await ctx["status"].retrieve("on_job_start") is True

    @track_status
    class Settings:
        functions = [func(job, name="job")]
        on_startup = hook("on_startup", of_job=False)
        on_shutdown = hook("on_shutdown", of_job=False)
        on_job_start = hook("on_job_start", of_job=True)
        on_job_end = hook("on_job_end", of_job=True)
        after_job_end = hook("after_job_end", of_job=True)

    await pool.enqueue_job("job", _job_id="hooked")
    await run_burst(Settings)
    assert calls == [
        "on_startup",
        "on_job_start",
        "job",
        "on_job_end",
        "after_job_end",
        "on_shutdown",
    ]
    record = await client.job("hooked")
    assert record is not None
    assert record.status is Status.COMPLETE
    assert record.data == {"on_job_start": True, "on_job_end": True, "after_job_end": True}


async def test_data_stored_after_the_end_arrives_while_the_worker_runs(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """What ``after_job_end`` stores is there soon; progress it reports is none any more."""

    async def after_job_end(ctx: Context) -> None:
        status: JobTracker = ctx["status"]
        await status.at(99, "too late")
        await status.total(1000)
        await status.store(late=True)

    await start_worker(track_status({"functions": [work], "after_job_end": after_job_end}))
    await pool.enqueue_job("work", 5, _job_id="late")

    async def stored() -> Any:
        return await client.get("late", "late")

    assert await until(stored) is True
    record = await client.job("late")
    assert record is not None
    assert (record.status, record.at, record.total) == (Status.COMPLETE, 5, 100)
    assert record.message == "at work"


async def test_a_hook_that_raises_ends_the_worker_as_in_arq(
    client: StatusClient, run_burst: RunBurst
) -> None:
    """Errors of the user's hooks are arq's to deal with, and the worker still takes its leave."""

    async def on_startup(ctx: Context) -> None:
        raise RuntimeError("no database")

    with pytest.raises(RuntimeError, match="no database"):
        await run_burst(track_status({"functions": [work], "on_startup": on_startup}))


async def test_a_hook_given_as_an_argument_switches_tracking_off(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """Who replaces the worker's own startup hook gets jobs that run all the same."""

    async def on_startup(ctx: Context) -> None:
        ctx["db"] = "mine"

    await pool.enqueue_job("rest", _job_id="untracked")
    worker = await run_burst(track_status({"functions": [rest]}), on_startup=on_startup)
    assert worker.jobs_complete == 1
    assert await client.status("untracked") is Status.COMPLETE


async def test_inherited_settings_never_reach_the_worker(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """As in arq only the class's own settings count; those of its bases stay as they are."""
    called: list[str] = []

    async def inherited(ctx: Context) -> None:
        called.append("inherited")

    class Base:
        on_job_start = inherited
        queue_name = "base"
        functions: Any = [rest]

    @track_status
    class Settings(Base):
        functions: Any = [work]

    await pool.enqueue_job("work", _job_id="own")
    worker = await run_burst(Settings)
    assert (worker.queue_name, list(worker.functions)) == ("arq:queue", ["work"])
    assert called == []
    assert Base.functions == [rest]
    assert await client.status("own") is Status.COMPLETE


async def test_a_subclass_of_tracked_settings_is_tracked_anew(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """A class below tracked settings may have functions of its own, and both workers run."""

    @track_status
    class Base:
        functions: Any = [work]

    @track_status(expires=60)
    class Settings(Base):
        functions: Any = [rest, Base.functions[0]]

    await pool.enqueue_job("work", 2, _job_id="base")
    await run_burst(Base)
    await pool.enqueue_job("work", 3, _job_id="sub")
    await run_burst(Settings)
    records = await client.jobs(["base", "sub"])
    assert [it.at for it in records if it] == [2, 3]


async def test_arguments_are_hidden_in_each_queue_for_itself(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """Another worker that shows those of a function with the same name opens no other queue."""

    async def charge(ctx: dict[str, Any], card: str) -> None: ...

    settings = {"functions": [func(charge, name="charge")], "max_jobs": 0}
    hiding = track_status(record_args=False)(settings)
    await start_worker(hiding, queue_name="hiding")
    await start_worker(track_status(settings), queue_name="showing")

    async def announced() -> bool:
        # for each queue the function, and what holds for any other
        return len(await Store(pool).redis.hkeys("arqstatus:1:functions")) == 4

    await until(announced)
    for queue in ("hiding", "showing"):
        await pool.enqueue_job("charge", "4242", _job_id=queue, _queue_name=queue)
        await pool.enqueue_job("typo", "4242", _job_id=f"{queue}, typo", _queue_name=queue)
    ids = ["hiding", "showing", "hiding, typo", "showing, typo"]
    waiting = await client.jobs(ids)
    assert [record and record.args for record in waiting] == ["", "'4242'", "", "'4242'"]
    # where the queue is not known no worker's word is broken
    await pool.delete("hiding", "showing")
    lost = await client.jobs(ids)
    assert [record and record.args for record in lost] == [""] * 4
    _, _, known = await client._overview(Query())
    assert [*known.functions] == ["charge"]


async def test_jobs_of_functions_that_no_worker_knows_expire_as_others(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """By the worker's own expiry of failures, also when only arq's result is left of them."""
    await start_worker(track_status(expires_failed=1)({"functions": [func(_nothing, name="f")]}))
    await pool.enqueue_job("typo", _job_id="job")
    await until(lambda: client.is_failed("job"))

    async def forgotten() -> bool:
        return await client.status("job") is None

    await until(forgotten)
    assert await pool.exists("arq:result:job")


async def _nothing(ctx: dict[str, Any]) -> None: ...


async def test_what_a_worker_logs_when_it_starts(
    client: StatusClient, start_worker: StartWorker, caplog: pytest.LogCaptureFixture
) -> None:
    """One line: the version, what it tracks, and how long jobs are shown."""
    caplog.set_level("INFO", "arq_status")
    functions = [work, status_options(track=False)(func(rest, name="rest"))]
    settings = track_status(expires=3600)({"functions": functions})
    await start_worker(settings, queue_name="fast")
    [line] = [it.getMessage() for it in caplog.records if it.name == "arq_status"]
    assert re.fullmatch(
        r"arq-status [\d.]+\S* tracks 1 of 2 functions of the queue fast as worker \S+;"
        r" ended jobs are shown for 1 h, failed ones for 1 d",
        line,
    )
