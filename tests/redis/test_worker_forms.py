"""Tracked settings as people use them: taken apart, changed, run in their own ways."""

import asyncio
import functools
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from arq import cron, func
from arq.connections import ArqRedis, RedisSettings
from arq.worker import Worker, create_worker
from redis import Redis as SyncRedis

from arq_status import Status, StatusClient, status_options, track_status
from tests.conftest import RunBurst, StartWorker, end_loop, ended, started, stop_worker, until
from tests.worker_process import worker_process

Context = dict[str, Any]
Make = Callable[[type[Any]], tuple[Any, dict[str, Any]]]


async def report(ctx: Context, at: int) -> None:
    """A job that needs its tracker."""
    await ctx["status"].at(at, "at work")


async def refuse(ctx: Context) -> None:
    """A job that fails."""
    raise ValueError("no")


async def own_hook(ctx: Context) -> None:
    """A hook of the user's own."""


def settings_class() -> Any:
    """Tracked settings, new for every test."""

    @track_status
    class Settings:
        functions = [func(report, name="report"), func(refuse, name="refuse")]

    return Settings


def _hooks_only(settings: Any) -> tuple[Any, dict[str, Any]]:
    hooks = {name: getattr(settings, name) for name in ("on_startup", "on_job_start", "on_job_end")}
    plain = [func(report, name="report"), func(refuse, name="refuse")]
    return {"functions": plain, **hooks}, {}


def _job_hooks_only(settings: Any) -> tuple[Any, dict[str, Any]]:
    made, overrides = _hooks_only(settings)
    del made["on_startup"]
    return made, overrides


def _hook_set_later(settings: Any) -> tuple[Any, dict[str, Any]]:
    settings.on_startup = own_hook
    return settings, {}


def _calling_hook_set_later(settings: Any) -> tuple[Any, dict[str, Any]]:
    hooks = {name: getattr(settings, name) for name in ("on_startup", "on_job_start", "on_job_end")}

    def calling(hook: Any) -> Any:
        async def later(ctx: Context) -> None:
            await hook(ctx)

        return later

    for name, hook in hooks.items():
        setattr(settings, name, calling(hook))
    return settings, {}


def _subclass(settings: Any) -> tuple[Any, dict[str, Any]]:
    return type("Below", (settings,), {"functions": settings.functions}), {}


#: How the settings reach the worker, and whether only its first job makes it known.
FORMS: dict[str, tuple[Make, bool]] = {
    "functions in a list": (lambda it: ({"functions": [*it.functions]}, {}), True),
    "functions as an argument": (lambda it: ({"functions": it.functions}, {}), True),
    "functions and startup": (
        lambda it: ({"functions": it.functions, "on_startup": it.on_startup}, {}),
        False,
    ),
    "a hook as an argument": (lambda it: (it, {"on_startup": own_hook}), True),
    "job hooks as arguments": (
        lambda it: (it, {"on_job_start": own_hook, "on_job_end": own_hook}),
        False,
    ),
    "functions replaced": (
        lambda it: (it, {"functions": [func(report, name="report"), func(refuse, name="refuse")]}),
        False,
    ),
    "hooks only": (_hooks_only, False),
    "job hooks only": (_job_hooks_only, True),
    "a hook set later": (_hook_set_later, True),
    "hooks that call ours": (_calling_hook_set_later, False),
    "a subclass": (_subclass, True),
}


@pytest.mark.parametrize("keep_result", [0, 60])
@pytest.mark.parametrize("form", FORMS)
async def test_whatever_reaches_the_worker(
    pool: ArqRedis,
    client: StatusClient,
    start_worker: StartWorker,
    caplog: pytest.LogCaptureFixture,
    form: str,
    keep_result: int,
) -> None:
    """Every job is tracked in full from the first one on; what was lost is logged once."""
    make, late = FORMS[form]
    settings, overrides = make(settings_class())
    for job_id in ("one", "two"):
        await pool.enqueue_job("report", 7, _job_id=job_id)
    await pool.enqueue_job("refuse", _job_id="bad")
    await start_worker(settings, keep_result=keep_result, **overrides)
    for job_id in ("one", "two"):
        record = await ended(client, job_id)
        assert (record.status, record.at, record.message) == (Status.COMPLETE, 7, "at work")
        assert (record.function, record.args, record.error) == ("report", "7", None)
        assert record.enqueued_at is not None
        assert record.started_at is not None
    failed = await ended(client, "bad")
    assert (failed.status, failed.error) == (Status.FAILED, "ValueError: no")
    await pool.enqueue_job("report", 8, _job_id="later")
    assert (await ended(client, "later")).at == 8
    warnings = [it.getMessage() for it in caplog.records if it.name == "arq_status"]
    warnings = [it for it in warnings if "is tracked only from its first job on" in it]
    assert len(warnings) == late


async def test_cron_jobs_as_an_argument(client: StatusClient, start_worker: StartWorker) -> None:
    """Cron jobs that the settings do not know are tracked as their functions are."""

    async def nightly(ctx: Context) -> None:
        await ctx["status"].at(3)

    job = cron(nightly, name="nightly", run_at_startup=True, job_id="night", month=1)
    await start_worker(settings_class(), cron_jobs=[job], keep_result=0)
    record = await ended(client, "night")
    assert (record.status, record.at, record.error) == (Status.COMPLETE, 3, None)


async def test_functions_are_a_list() -> None:
    """They can be appended to, extended, added and searched; each is tracked when it is read."""
    settings = settings_class()
    first = settings.functions[0]
    settings.functions.append(func(own_hook, name="appended"))
    settings.functions += [own_hook]
    settings.functions.extend([func(own_hook, name="extended")])
    assert isinstance(settings.functions, list)
    assert [it.name for it in settings.functions] == [
        "report", "refuse", "appended", "own_hook", "extended",
    ]  # fmt: skip
    assert own_hook in settings.functions
    assert first in settings.functions
    assert settings.functions[0] is first
    assert report not in settings.functions
    assert settings.functions[3].coroutine.__wrapped__ is own_hook
    before = [func(refuse, name="before")]
    joined = before + settings.functions + [func(refuse, name="after")]
    assert [it.name for it in joined][::6] == ["before", "after"]
    assert all(hasattr(it.coroutine, "__wrapped__") for it in joined)
    assert [it.name for it in settings.functions.copy()] == [it.name for it in settings.functions]
    assert before[0].coroutine is refuse


async def test_functions_that_were_appended(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """What was appended after decorating is tracked like the others."""
    settings = settings_class()
    settings.functions.append(func(report, name="appended"))
    await start_worker(settings)
    await pool.enqueue_job("appended", 5, _job_id="job")
    assert (await ended(client, "job")).at == 5


@pytest.mark.parametrize("keep_result", [0, 60])
async def test_functions_that_were_replaced_while_the_worker_runs(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker, keep_result: int
) -> None:
    """A function that the running worker was given is tracked from its first job on."""
    worker = await start_worker(settings_class(), keep_result=keep_result)
    worker.functions["report"] = func(report, name="report")
    worker.functions["new"] = func(refuse, name="new")
    await pool.enqueue_job("report", 6, _job_id="replaced")
    await pool.enqueue_job("new", _job_id="new")
    record = await ended(client, "replaced")
    assert (record.status, record.at) == (Status.COMPLETE, 6)
    record = await ended(client, "new")
    assert (record.status, record.error) == (Status.FAILED, "ValueError: no")


async def test_functions_of_another_workers_settings(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """Settings that share tracked functions have their own options."""
    settings = track_status(expires=60)(
        {"functions": settings_class().functions, "queue_name": "other"}
    )
    await start_worker(settings)
    await pool.enqueue_job("report", 5, _job_id="job", _queue_name="other")
    record = await ended(client, "job")
    assert record.at == 5
    assert record.expires_at is not None
    assert record.ended_at is not None
    assert (record.expires_at - record.ended_at).total_seconds() == 60


async def test_options_of_functions_that_a_tool_has_wrapped(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """A wrapper that tells nothing of what it wraps hides no option: arguments stay hidden."""

    @status_options(record_args=False)
    async def login(ctx: Context, password: str) -> None:
        await ctx["status"].at(1)

    settings = track_status({"functions": [func(login, name="login")]})
    inner = settings["functions"][0]

    async def bare(ctx: Context, *args: Any) -> Any:
        return await inner.coroutine(ctx, *args)

    await start_worker({**settings, "functions": [func(bare, name="login")]})
    await pool.enqueue_job("login", "sesame", _job_id="job")
    record = await ended(client, "job")
    assert (record.status, record.at, record.args) == (Status.COMPLETE, 1, "")


async def test_a_job_that_calls_the_function_of_another(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """What that one raises is the first one's affair."""
    settings = settings_class()

    async def outer(ctx: Context) -> None:
        with pytest.raises(ValueError, match="no"):
            await settings.functions[1].coroutine(ctx)

    settings.functions.append(func(outer, name="outer"))
    await start_worker(settings, keep_result=0)
    await pool.enqueue_job("outer", _job_id="job")
    record = await ended(client, "job")
    assert (record.status, record.error) == (Status.COMPLETE, None)


async def test_a_function_that_is_called_without_a_worker(caplog: pytest.LogCaptureFixture) -> None:
    """It is the user's own then; a ``ctx`` of a job that nobody runs is told of."""
    settings = settings_class()
    called: list[Any] = []

    async def work(ctx: Any) -> None:
        called.append(ctx)

    settings.functions.append(func(work, name="work"))
    work_tracked = settings.functions[-1].coroutine
    for ctx in (None, {}, {"job_id": "nowhere"}):
        await work_tracked(ctx)
    assert called == [None, {}, {"job_id": "nowhere"}]
    assert "job nowhere is not tracked" in caplog.text


async def test_hooks_that_are_called_without_a_worker(caplog: pytest.LogCaptureFixture) -> None:
    """They do what the user's own do, and say so."""
    called: list[str] = []

    async def on_job_start(ctx: Context) -> None:
        called.append("start")

    settings = track_status({"functions": [report], "on_job_start": on_job_start})
    for name in ("on_startup", "on_job_start", "on_job_end", "on_shutdown"):
        await settings[name]({"job_id": "job"})
    assert called == ["start"]
    assert "was called by something other than arq" in caplog.text


def heartbeats() -> set[threading.Thread]:
    """Return the threads that send heartbeats."""
    return {it for it in threading.enumerate() if it.name == "arq-status heartbeat"}


@pytest.mark.parametrize("late", [False, True])
async def test_a_worker_that_runs_again(
    pool: ArqRedis,
    client: StatusClient,
    redis_settings: RedisSettings,
    caplog: pytest.LogCaptureFixture,
    late: bool,
) -> None:
    """It goes on with the session that it has, and gets another one after its end."""
    overrides: dict[str, Any] = {"on_startup": own_hook} if late else {}
    before = heartbeats()
    worker = create_worker(
        settings_class(), redis_settings=redis_settings, burst=True, poll_delay=0.01,
        handle_signals=False, **overrides,
    )  # fmt: skip
    for at in (1, 2):
        await pool.enqueue_job("report", at, _job_id=f"job{at}")
        await worker.async_run()
        assert len(heartbeats() - before) == 1
    await worker.close()
    assert not heartbeats() - before
    await pool.enqueue_job("report", 3, _job_id="job3")
    await worker.async_run()
    await worker.close()
    assert not heartbeats() - before
    records = await client.jobs(["job1", "job2", "job3"])
    assert [(it.status, it.at) for it in records if it] == [
        (Status.COMPLETE, 1), (Status.COMPLETE, 2), (Status.COMPLETE, 3),
    ]  # fmt: skip
    assert caplog.text.count("is tracked only from its first job on") == late


async def _alone(worker: Worker) -> None:
    await worker.main()


async def _in_anyio(worker: Worker) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(worker.main)


@pytest.mark.parametrize("run", [_alone, _in_anyio])
async def test_ways_to_run_a_worker(
    pool: ArqRedis, client: StatusClient, redis_settings: RedisSettings, run: Any
) -> None:
    """In each of them the worker is found: a job can be stopped by force."""

    async def wait(ctx: Context) -> None:
        await asyncio.Event().wait()

    settings = track_status({"functions": [func(wait, name="wait")]})
    worker = create_worker(
        settings, redis_settings=redis_settings, poll_delay=0.02, handle_signals=False
    )
    task = asyncio.create_task(run(worker))
    await pool.enqueue_job("wait", _job_id="job")
    await started(client, "job")
    assert await client.stop("job", force=True)
    record = await ended(client, "job")
    assert (record.status, record.error) == (Status.STOPPED, "stopped")
    await until(lambda: not worker.tasks)
    await stop_worker(worker, task)


async def test_a_heartbeat_without_a_thread(
    pool: ArqRedis,
    client: StatusClient,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Where no thread can be started the worker works on, and its heart beats in the event loop."""

    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("arq_status._tracking.heartbeat.threading.Thread.start", start)
    worker = await start_worker(settings_class())
    monkeypatch.undo()
    await pool.enqueue_job("report", 7, _job_id="job")
    assert (await ended(client, "job")).at == 7
    assert "can't start new thread" in caplog.text
    assert await pool.zcard("arqstatus:1:workers") == 1
    await stop_worker(worker, asyncio.create_task(asyncio.sleep(0)))
    assert await pool.zcard("arqstatus:1:workers") == 0


async def test_a_stop_is_no_error_to_sentry_or_in_arqs_log(
    pool: ArqRedis, client: StatusClient, dsn: str, tmp_path: Path
) -> None:
    """Under Sentry a job can be stopped by force too; Sentry records nothing, arq no traceback."""
    async with worker_process(dsn, tmp_path, program="tests.sentry_worker") as worker:
        for job_id, raises, force in (
            ("raises", True, False),
            ("raises, by force", True, True),
            ("returns", False, False),
            ("returns, by force", False, True),
        ):
            await pool.enqueue_job("until_stopped", raises, _job_id=job_id)
            await started(client, job_id)
            assert await client.stop(job_id, force=force)
            record = await ended(client, job_id)
            if raises:
                assert (record.status, record.error) == (Status.STOPPED, "stopped")
            await until(functools.partial(worker.has_printed, f"end of {job_id}\n"))
        assert "event:" not in worker.log
        assert "Traceback" not in worker.log
        await pool.enqueue_job("fail", _job_id="fails")
        await until(functools.partial(worker.has_printed, "event: ValueError"))


async def test_a_worker_whose_event_loop_has_ended(
    pool: ArqRedis,
    client: StatusClient,
    redis_settings: RedisSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It counts as dead though its process lives on, and what its jobs reported is there."""
    monkeypatch.setattr("arq_status._tracking.heartbeat._LOST_AFTER", 0.2)
    before = heartbeats()
    loop = asyncio.new_event_loop()

    async def job(ctx: Context) -> None:
        await ctx["status"].at(5)
        loop.stop()
        await ctx["status"].at(6, "last words")
        await asyncio.Event().wait()

    def work() -> Worker:
        asyncio.set_event_loop(loop)
        worker = create_worker(
            track_status({"functions": [func(job, name="job")]}),
            redis_settings=redis_settings, handle_signals=False,
        )  # fmt: skip
        with pytest.raises(RuntimeError, match="stopped before Future completed"):
            loop.run_until_complete(worker.async_run())
        return worker

    await pool.enqueue_job("job", _job_id="job")
    worker = await asyncio.to_thread(work)
    await until(lambda: not heartbeats() - before)
    record = await client.job("job")
    assert record is not None
    assert (record.status, record.at, record.message) == (Status.INTERRUPTED, 6, "last words")
    await asyncio.to_thread(end_loop, loop, worker)


async def test_a_worker_that_runs_in_another_event_loop(
    pool: ArqRedis, client: StatusClient, redis_settings: RedisSettings
) -> None:
    """It gets a session for that loop, with the user's own hooks and serializers."""
    calls: list[str] = []

    async def on_job_start(ctx: Context) -> None:
        calls.append(ctx["job_id"])

    settings = track_status(
        {"functions": [func(report, name="report")], "on_job_start": on_job_start}
    )
    workers: list[Any] = []

    async def run() -> None:
        if not workers:
            workers.append(
                create_worker(
                    settings,
                    redis_settings=redis_settings,
                    burst=True,
                    poll_delay=0.01,
                    handle_signals=False,
                )
            )
        worker = workers[0]
        worker.loop = asyncio.get_running_loop()
        worker.sem = asyncio.BoundedSemaphore(11)
        await worker.main()
        await worker.pool.aclose()
        worker._pool = None
        # nobody ends the session with its loop; its connections would be left open
        await worker._arq_status_session._uplink._redis.aclose()

    for at in (1, 2):
        await pool.enqueue_job("report", at, _job_id=f"job{at}")
        await asyncio.to_thread(lambda: asyncio.run(run()))
    records = await client.jobs(["job1", "job2"])
    assert [(it.status, it.at) for it in records if it] == [
        (Status.COMPLETE, 1), (Status.COMPLETE, 2),
    ]  # fmt: skip
    assert calls == ["job1", "job2"]


async def test_the_end_of_a_process_whose_worker_was_not_closed(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker, dsn: str
) -> None:
    """What is left is written and the worker deregistered, as ``atexit`` does it."""
    go_on = asyncio.Event()
    seen: list[Any] = []

    async def job(ctx: Context) -> None:
        await go_on.wait()
        await ctx["status"].at(5, "last words")
        heartbeat._stop_at_exit()
        with SyncRedis.from_url(dsn) as redis:
            seen.extend(
                [
                    redis.get("arqstatus:1/job"),
                    redis.zrange("arqstatus:1:workers", 0, -1, withscores=True),
                ]
            )

    worker: Any = await start_worker(track_status({"functions": [func(job, name="job")]}))
    heartbeat = worker._arq_status_session._uplink._heartbeat
    await pool.enqueue_job("job", _job_id="job")
    await started(client, "job")
    go_on.set()
    await until(lambda: seen)
    assert b"last words" in seen[0]
    # dead from now on, and known as long as its job is
    assert [score for _, score in seen[1]] == [0]
    assert not heartbeat._thread.is_alive()


async def test_a_start_that_cannot_be_recorded(
    pool: ArqRedis,
    client: StatusClient,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever it is, it is logged, and the job runs, reports and ends."""

    async def fails(work: Any, attempt: Any) -> None:
        work.close()
        raise RuntimeError("no vino")

    monkeypatch.setattr("arq_status._tracking.beginning.finish_despite_cancellation", fails)
    await start_worker(settings_class())
    await pool.enqueue_job("report", 7, _job_id="job")
    assert (await ended(client, "job")).at == 7
    assert "could not record the start of job job" in caplog.text


async def test_a_payload_that_is_no_mapping(pool: ArqRedis, run_burst: RunBurst) -> None:
    """A deserializer may return anything: arq gives the job up, tracked or not, and works on."""
    settings = {"functions": [func(report, name="report")], "job_deserializer": lambda raw: [raw]}
    booked = []
    for each in (settings, track_status(settings)):
        await pool.enqueue_job("report", 1, _job_id="job")
        worker = await run_burst(each)
        booked.append((worker.jobs_complete, worker.jobs_failed, worker.jobs_retried))
        await pool.flushdb()
    assert booked[0] == booked[1] == (0, 1, 0)


class _Payload:
    """What arq asks for a job's parts, though it is no mapping."""

    def __init__(self, parts: dict[str, Any]) -> None:
        self._parts = parts

    def __getitem__(self, name: str) -> Any:
        return self._parts[name]


async def test_a_payload_that_arq_can_read_though_it_is_no_mapping(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """Its job runs, is tracked and ends as any other."""
    settings = {
        "functions": [func(report, name="report")],
        "job_deserializer": lambda raw: _Payload(pickle.loads(raw)),
    }
    await pool.enqueue_job("report", 7, _job_id="job")
    await run_burst(track_status(settings))
    record = await ended(client, "job")
    assert (record.status, record.at, record.message) == (Status.COMPLETE, 7, "at work")


async def test_a_job_that_began_before_its_worker_was_tracked(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """The hook for its end is called as arq calls it, though it has no tracker."""
    begun, go_on = asyncio.Event(), asyncio.Event()
    ends: list[tuple[str, bool]] = []

    async def wait(ctx: Context) -> None:
        begun.set()
        await go_on.wait()

    async def track(ctx: Context) -> None:
        await begun.wait()
        go_on.set()

    async def on_job_end(ctx: Context) -> None:
        ends.append((ctx["job_id"], "status" in ctx))

    own = track_status({"functions": [func(track, name="track")]})
    function = own["functions"][0]
    await pool.enqueue_job("wait", _job_id="first")
    await pool.enqueue_job("track", _job_id="second")
    await run_burst({"functions": [func(wait, name="wait"), function], "on_job_end": on_job_end})
    assert sorted(ends) == [("first", False), ("second", True)]
    assert (await ended(client, "second")).status is Status.COMPLETE
