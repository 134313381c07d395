"""Real jobs: how arq stores their outcomes, and what queries return."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from arq import Retry, cron, func
from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.constants import (
    in_progress_key_prefix,
    job_key_prefix,
    result_key_prefix,
)
from arq.cron import CronJob
from arq.jobs import Job

from arq_status import JobStopped, Page, Status, StatusClient, track_status
from arq_status._model.record import StoredRecord
from arq_status._redis.batch import Row
from arq_status._redis.store import Store
from tests import jobs
from tests.conftest import StartWorker, ended, forgotten_by_arq, until
from tests.verdicts import assert_agreement, verdict, watched

Step = Callable[[ArqRedis, str], Awaitable[object]]

#: A month in which no cron job of these tests falls due.
NOT_NOW: dict[str, Any] = {"month": datetime.now(UTC).month % 12 + 1, "day": 15}


async def stop_itself(ctx: dict[str, Any]) -> None:
    raise JobStopped("enough")


async def nightly(ctx: dict[str, Any]) -> int:
    return 1


async def nightly_retry(ctx: dict[str, Any]) -> int:
    if ctx["job_try"] == 1:
        raise Retry
    return 1


async def nightly_fail(ctx: dict[str, Any]) -> int:
    raise ValueError("no vino")


def at_startup(function: Any, **options: Any) -> list[CronJob]:
    """Return a cron job that runs once, when the worker starts."""
    return [cron(function, run_at_startup=True, job_id="job", **NOT_NOW, **options)]


async def ask_to_abort(pool: ArqRedis, job_id: str) -> None:
    """Ask arq to abort a job that cannot end before we stop waiting."""
    with pytest.raises(TimeoutError):
        await Job(job_id, pool).abort(timeout=0, poll_delay=0.01)


async def abort_running(pool: ArqRedis, job_id: str) -> None:
    """Abort it as soon as it runs, and wait for its end."""

    async def runs() -> bool:
        return await verdict(pool, job_id) == "in_progress"

    await until(runs)
    await Job(job_id, pool).abort(timeout=10, poll_delay=0.01)


async def spoil_payload(pool: ArqRedis, job_id: str) -> None:
    """Replace the job's payload with something that is not a pickle."""
    await pool.set(job_key_prefix + job_id, b"no pickle")


async def lose_payload(pool: ArqRedis, job_id: str) -> None:
    """Wait until Redis has dropped the job's payload."""

    async def gone() -> bool:
        return not await pool.exists(job_key_prefix + job_id)

    await until(gone)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A job, its final verdict by arq and its final status."""

    name: str
    #: the job; "" if cron enqueues it
    function: str = ""
    args: tuple[Any, ...] = ()
    enqueue: Mapping[str, Any] = field(default_factory=dict)
    functions: list[Any] = field(default_factory=lambda: jobs.FUNCTIONS)
    cron_jobs: Callable[[], list[CronJob]] = list
    settings: Mapping[str, Any] = field(default_factory=dict)
    #: what happens before and after the worker starts
    before: Step | None = None
    after: Step | None = None
    works: bool = True
    tracked: bool = True
    #: True if lists contain it: not if no tracked worker saw its end
    listed: bool = True
    #: arq forgets the job when it gives it up: nothing is known of it for the few ms until the
    #: record is written
    lags: bool = False
    arq: str
    status: Status | None
    error: str | None = None

    @property
    def recorded(self) -> bool:
        """Return True if the job is known at every moment."""
        return self.tracked and self.listed and self.function != "untracked" and not self.lags


NO_MORE = "failure: JobExecutionFailed('max {} retries exceeded')"
SHORT = {"max_tries": 2}
NOTHING_KEPT = {"keep_result": 0}
ABORTS = {"allow_abort_jobs": True}

SCENARIOS = [
    # jobs that end by themselves
    Scenario(
        name="success", function="add", args=(1, 2), arq="success", status=Status.COMPLETE
    ),
    Scenario(
        name="exception", function="fail", arq="failure: ValueError('no vino')",
        status=Status.FAILED, error="ValueError: no vino",
    ),
    Scenario(
        name="more memory than there is", function="devour", arq="failure: MemoryError()",
        status=Status.FAILED, error="MemoryError",
    ),
    Scenario(
        name="Retry, then success", function="retry", args=(3,), arq="success",
        status=Status.COMPLETE,
    ),
    Scenario(
        name="Retry that waits", function="retry", args=(2, 60), arq="deferred",
        status=Status.RETRYING,
    ),
    Scenario(
        name="Retry without end", function="retry", args=(9,), settings=SHORT,
        arq=NO_MORE.format(2), status=Status.FAILED, error="max 2 tries exceeded",
    ),
    Scenario(
        name="Retry without end, function keeps no result", function="retry", args=(9,),
        functions=[func(jobs.retry, keep_result=0, max_tries=1)],
        arq=NO_MORE.format(1), status=Status.FAILED, error="max 1 tries exceeded",
    ),
    Scenario(
        name="Retry without end, worker keeps no result", function="retry", args=(9,),
        settings={**SHORT, **NOTHING_KEPT}, arq="not_found", status=Status.FAILED,
        error="max 2 tries exceeded",
    ),
    Scenario(
        name="Retry, where the worker does not retry", function="retry", args=(2,),
        settings={"retry_jobs": False}, arq="failure: <Retry defer 0.00s>",
        status=Status.FAILED, error="Retry: <Retry defer 0.00s>",
    ),
    Scenario(
        name="timeout", function="wait", functions=[func(jobs.wait, timeout=0.1)],
        arq="failure: TimeoutError()", status=Status.FAILED, error="timed out after 0.1s",
    ),
    Scenario(
        name="timeout, nothing kept", function="wait",
        functions=[func(jobs.wait, timeout=0.1, keep_result=0)],
        arq="not_found", status=Status.FAILED, error="timed out after 0.1s",
    ),
    Scenario(
        name="timeout of the worker", function="wait", settings={"job_timeout": 1},
        arq="failure: TimeoutError()", status=Status.FAILED, error="timed out after 1s",
    ),
    Scenario(
        name="value that cannot be pickled", function="give", args=("lambda",),
        arq="failure: 'unable to serialize result'", status=Status.FAILED,
        error="unable to serialize result",
    ),
    Scenario(
        name="value that cannot be pickled, nothing kept", function="give", args=("lambda",),
        settings=NOTHING_KEPT, arq="not_found", status=Status.COMPLETE,
    ),
    Scenario(
        name="value without repr", function="give", args=("unprintable",),
        arq="failure: RuntimeError('no repr')", status=Status.FAILED,
        error="RuntimeError: no repr",
    ),
    Scenario(
        name="value without repr, nothing kept", function="give", args=("unprintable",),
        settings=NOTHING_KEPT, arq="not_found", status=Status.FAILED,
        error="RuntimeError: no repr",
    ),
    Scenario(
        name="value without repr, nothing logged or kept", function="give",
        args=("unprintable",), settings={**NOTHING_KEPT, "log_results": False},
        arq="not_found", status=Status.COMPLETE,
    ),
    Scenario(
        name="success, nothing kept", function="add", args=(1, 2), settings=NOTHING_KEPT,
        arq="not_found", status=Status.COMPLETE,
    ),
    Scenario(
        name="exception, nothing kept", function="fail", settings=NOTHING_KEPT,
        arq="not_found", status=Status.FAILED, error="ValueError: no vino",
    ),
    Scenario(
        name="result kept for ever", function="add", args=(1, 2),
        settings={"keep_result_forever": True}, arq="success", status=Status.COMPLETE,
    ),
    Scenario(
        name="CancelledError of its own, then success", function="cancel_itself", args=(2,),
        arq="success", status=Status.COMPLETE,
    ),
    Scenario(
        name="CancelledError of its own without end", function="cancel_itself", args=(9,),
        settings=SHORT, arq=NO_MORE.format(2), status=Status.FAILED,
        error="max 2 tries exceeded; last: cancelled itself",
    ),
    Scenario(
        name="CancelledError of its own, where the worker does not retry",
        function="cancel_itself", args=(9,), settings={"retry_jobs": False},
        arq="cancelled", status=Status.STOPPED, error="aborted",
    ),
    Scenario(
        name="JobStopped", function="stop_itself", functions=[stop_itself], arq="cancelled",
        status=Status.STOPPED, error="enough",
    ),
    # jobs that arq gives up without starting them
    Scenario(
        name="unknown function", function="nowhere",
        arq="failure: JobExecutionFailed(\"function 'nowhere' not found\")",
        status=Status.FAILED, error="function 'nowhere' not found",
    ),
    Scenario(
        name="unknown function, nothing kept", function="nowhere", settings=NOTHING_KEPT,
        arq="not_found", lags=True, status=Status.FAILED, error="function 'nowhere' not found",
    ),
    Scenario(
        name="expired in the queue", function="add", args=(1, 2), enqueue={"_expires": 0.05},
        before=lose_payload, arq="failure: JobExecutionFailed('job expired')",
        status=Status.FAILED, error="expired before it ran",
    ),
    Scenario(
        name="expired in the queue, nothing kept", function="add", args=(1, 2),
        enqueue={"_expires": 0.05}, before=lose_payload, settings=NOTHING_KEPT,
        arq="not_found", lags=True, status=Status.FAILED, error="expired before it ran",
    ),
    Scenario(
        name="deferred past its expiry, before it is due", function="add", args=(1, 2),
        enqueue={"_defer_by": 60, "_expires": 0.05}, before=lose_payload, arq="deferred",
        status=Status.DEFERRED,
    ),
    Scenario(
        name="deferred past its expiry", function="add", args=(1, 2),
        enqueue={"_defer_by": 0.3, "_expires": 0.05},
        arq="failure: JobExecutionFailed('job expired')",
        status=Status.FAILED, error="expired before it ran",
    ),
    Scenario(
        name="unreadable payload", function="add", before=spoil_payload,
        arq="failure: DeserializationError('unable to deserialize job')",
        status=Status.FAILED, error="payload cannot be read",
    ),
    Scenario(
        name="tries used up when enqueued", function="add", args=(1, 2),
        enqueue={"_job_try": 6}, arq=NO_MORE.format(5), status=Status.FAILED,
        error="max 5 tries exceeded",
    ),
    # jobs that wait or run
    Scenario(
        name="in the queue", function="add", works=False, arq="queued", status=Status.QUEUED
    ),
    Scenario(
        name="deferred", function="add", enqueue={"_defer_by": 60}, arq="deferred",
        status=Status.DEFERRED,
    ),
    Scenario(
        name="deferred, then due", function="add", args=(1, 2), enqueue={"_defer_by": 0.2},
        arq="success", status=Status.COMPLETE,
    ),
    Scenario(name="running", function="wait", arq="in_progress", status=Status.WORKING),
    # jobs that are aborted
    Scenario(
        name="aborted while it runs", function="wait", settings=ABORTS, after=abort_running,
        arq="cancelled", status=Status.STOPPED, error="aborted",
    ),
    Scenario(
        name="aborted while it runs, nothing kept", function="wait",
        settings={**ABORTS, **NOTHING_KEPT}, after=abort_running,
        arq="not_found", status=Status.STOPPED, error="aborted",
    ),
    Scenario(
        name="aborted in the queue", function="wait", settings=ABORTS,
        before=ask_to_abort, arq="cancelled", status=Status.STOPPED,
        error="aborted",
    ),
    Scenario(
        name="aborted while deferred", function="wait", enqueue={"_defer_by": 60},
        settings=ABORTS, before=ask_to_abort, arq="cancelled",
        status=Status.STOPPED, error="aborted",
    ),
    # cron
    Scenario(
        name="cron", cron_jobs=lambda: at_startup(nightly), arq="in_progress, key kept",
        status=Status.COMPLETE,
    ),
    Scenario(
        name="cron that fails", cron_jobs=lambda: at_startup(nightly_fail),
        arq="in_progress, key kept", status=Status.FAILED, error="ValueError: no vino",
    ),
    Scenario(
        name="cron, result kept", cron_jobs=lambda: at_startup(nightly, keep_result=60),
        arq="success", status=Status.COMPLETE,
    ),
    Scenario(
        name="cron with Retry", cron_jobs=lambda: at_startup(nightly_retry, max_tries=2),
        arq="in_progress, key kept", status=Status.RETRYING,
    ),
    # jobs without a record
    Scenario(
        name="untracked function", function="untracked", listed=False, arq="success",
        status=Status.COMPLETE,
    ),
    Scenario(
        name="untracked function with Retry", function="untracked", args=(2,), arq="deferred",
        status=Status.DEFERRED,
    ),
    Scenario(
        name="untracked function that runs", function="untracked", args=(1, 60), listed=False,
        arq="in_progress", status=Status.WORKING,
    ),
    Scenario(
        name="untracked function, tries used up", function="untracked",
        enqueue={"_job_try": 6}, listed=False, arq=NO_MORE.format(5), status=Status.FAILED,
        error="max 5 tries exceeded",
    ),
    Scenario(
        name="untracked function, nothing kept", function="untracked", settings=NOTHING_KEPT,
        listed=False, arq="not_found", status=None,
    ),
    Scenario(
        name="untracked worker", function="add", args=(1, 2), tracked=False, listed=False,
        arq="success", status=Status.COMPLETE,
    ),
    Scenario(
        name="untracked worker, exception", function="fail", tracked=False, listed=False,
        arq="failure: ValueError('no vino')", status=Status.FAILED, error="ValueError: no vino",
    ),
    Scenario(
        name="untracked worker, timeout", function="wait", tracked=False, listed=False,
        functions=[func(jobs.wait, timeout=0.1)], arq="failure: TimeoutError()",
        status=Status.FAILED, error="timed out after 0.1s",
    ),
    Scenario(
        name="untracked worker, abort", function="wait", tracked=False, listed=False,
        settings=ABORTS, after=abort_running, arq="cancelled", status=Status.STOPPED,
        error="aborted",
    ),
    Scenario(
        name="untracked worker, Retry without end", function="retry", args=(9,),
        tracked=False, listed=False, settings=SHORT, arq=NO_MORE.format(2),
        status=Status.FAILED, error="max 2 tries exceeded",
    ),
    Scenario(
        name="untracked worker, unreadable payload", function="add", before=spoil_payload,
        tracked=False, listed=False,
        arq="failure: DeserializationError('unable to deserialize job')",
        status=Status.FAILED, error="payload cannot be read",
    ),
]  # fmt: skip


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
async def test_statuses_agree_with_arqs_outcomes(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker, scenario: Scenario
) -> None:
    """As soon as arq has stored the outcome, every query returns the corresponding status."""
    settings = {
        "functions": scenario.functions,
        "cron_jobs": scenario.cron_jobs(),
        **scenario.settings,
    }

    async def booked() -> bool:
        return await verdict(pool, "job") == scenario.arq

    async def told() -> bool:
        return await client.status("job") is scenario.status

    async with watched(client, "job", recorded=scenario.recorded):
        if scenario.function:
            await pool.enqueue_job(
                scenario.function, *scenario.args, _job_id="job", **scenario.enqueue
            )
        if scenario.before:
            await scenario.before(pool, "job")
        if scenario.works:
            await start_worker(track_status(settings) if scenario.tracked else settings)
        if scenario.after:
            await scenario.after(pool, "job")
        await until(booked)
        assert await told() or scenario.lags
        await until(told, 2)
        if scenario.listed and scenario.status is not None:
            # nobody waits for the record of a job that arq gives up
            await assert_agreement(client, {"job": scenario.status}, lags=True)
        record = await client.job("job")
        assert (record and record.status) is scenario.status
        assert (record and record.error) == scenario.error


async def booked_as(pool: ArqRedis, job_id: str, expected: str, **where: Any) -> None:
    """Wait for this verdict by arq."""

    async def booked() -> bool:
        return await verdict(pool, job_id, **where) == expected

    await until(booked)


async def let_key_expire(pool: ArqRedis, job_id: str) -> None:
    """Expire arq's in-progress key without waiting for it."""
    assert await pool.delete(in_progress_key_prefix + job_id)


async def test_a_cron_job_with_retry_runs_again_when_its_key_is_gone(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """It is retrying for as long as arq keeps the key, then works and completes."""
    settings = {"cron_jobs": at_startup(nightly_retry, max_tries=2)}
    await start_worker(track_status(settings))
    await booked_as(pool, "job", "in_progress, key kept")
    assert await client.status("job") is Status.RETRYING
    await assert_agreement(client, {"job": Status.RETRYING})
    await let_key_expire(pool, "job")
    record = await ended(client, "job")
    assert (record.status, record.job_try) == (Status.COMPLETE, 2)
    await assert_agreement(client, {"job": Status.COMPLETE})


async def test_a_cron_job_with_an_id_by_arq(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """Its id contains its time, and lists contain the job."""
    job = cron(nightly, run_at_startup=True, **NOT_NOW)
    await start_worker(track_status({"cron_jobs": [job]}))
    [record] = (await until(partial(some_jobs, client))).items
    assert record.job_id.startswith("cron:nightly:")
    assert record.function == "cron:nightly"
    await booked_as(pool, record.job_id, "in_progress, key kept")
    await assert_agreement(client, {record.job_id: Status.COMPLETE})


async def some_jobs(client: StatusClient) -> Page | None:
    """Return the list once it is not empty."""
    page = await client.list_jobs()
    return page if page.items else None


async def test_reusing_the_id_of_a_cron_job_while_its_key_is_kept(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """The next run is queued or deferred, independent of the last one, and ends by itself."""
    worker = await start_worker(track_status({"cron_jobs": at_startup(nightly_fail)}))
    await booked_as(pool, "job", "in_progress, key kept")
    assert await client.status("job") is Status.FAILED
    first = await client.job("job")
    assert first

    await asyncio.sleep(0.002)  # a separate run has a different enqueue time
    await pool.enqueue_job("cron:nightly_fail", _job_id="job")
    assert await client.status("job") is Status.QUEUED
    await let_key_expire(pool, "job")
    await until(lambda: worker.jobs_failed == 2)
    await booked_as(pool, "job", "in_progress, key kept")
    second = await client.job("job")
    assert second
    assert (second.status, second.job_try) == (Status.FAILED, 1)
    assert second.enqueued_at != first.enqueued_at

    await pool.enqueue_job("cron:nightly_fail", _job_id="job", _defer_by=60)
    assert await client.status("job") is Status.DEFERRED


async def test_reusing_the_id_of_an_untracked_cron_job_while_its_key_is_kept(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """Even without a record, the key of the last run does not make the next one working."""
    worker = await start_worker({"cron_jobs": at_startup(nightly)})
    await booked_as(pool, "job", "in_progress, key kept")
    worker.allow_pick_jobs = False
    await pool.enqueue_job("cron:nightly", _job_id="job")
    assert await client.status("job") is Status.QUEUED
    await assert_agreement(client, {"job": Status.QUEUED})


async def report_then_fail(ctx: dict[str, Any], *, succeed: bool) -> None:
    """Report and store, and fail unless told otherwise."""
    if not succeed:
        await ctx["status"].at(50, "Half")
        await ctx["status"].store(vino="veritas")
        raise ValueError("no vino")


async def test_an_id_reused_while_the_old_record_exists(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """The new run starts without data, and the old record is ignored."""
    await start_worker(track_status({"functions": [func(report_then_fail, keep_result=0)]}))
    await pool.enqueue_job("report_then_fail", succeed=False, _job_id="job")
    await booked_as(pool, "job", "not_found")
    first = await client.job("job")
    assert first
    assert (first.status, first.at, first.data) == (Status.FAILED, 50, {"vino": "veritas"})

    await pool.enqueue_job("report_then_fail", succeed=True, _job_id="job", _defer_by=2)
    waiting = await client.job("job")
    assert waiting
    assert (waiting.status, waiting.error, waiting.ended_at) == (Status.DEFERRED, None, None)
    assert (waiting.at, waiting.message, waiting.data) == (0, None, {})
    await booked_as(pool, "job", "not_found")
    second = await client.job("job")
    assert second
    assert (second.status, second.error) == (Status.COMPLETE, None)
    assert (second.at, second.message, second.data) == (0, None, {})
    await assert_agreement(client, {"job": Status.COMPLETE})


@pytest.mark.parametrize(
    ("defer", "status"), [(None, Status.QUEUED), (60, Status.DEFERRED)], ids=["queued", "deferred"]
)
async def test_lists_contain_a_reused_id_once(
    pool: ArqRedis,
    client: StatusClient,
    start_worker: StartWorker,
    defer: float | None,
    status: Status,
) -> None:
    """While the old record exists and the new run waits, lists do not contain the old run."""
    await start_worker(track_status({"functions": [func(jobs.fail, keep_result=0)], "max_jobs": 1}))
    await pool.enqueue_job("fail", _job_id="job")
    await booked_as(pool, "job", "not_found")
    await pool.enqueue_job("fail", _job_id="job", _queue_name="arq:queue:other", _defer_by=defer)
    both = StatusClient(pool, queues=["arq:queue", "arq:queue:other"])
    await assert_agreement(both, {"job": status})


async def test_a_kept_result_and_an_old_record_of_another_run(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """If an untracked worker ran the id again, arq's result counts and not our old record."""
    await start_worker(track_status({"functions": [jobs.fail, jobs.add]}))
    await pool.enqueue_job("fail", _job_id="job")
    await booked_as(pool, "job", "failure: ValueError('no vino')")
    assert await client.status("job") is Status.FAILED
    await pool.delete(result_key_prefix + "job")
    await start_worker({"functions": [jobs.add], "queue_name": "plain"})
    await pool.enqueue_job("add", 1, 2, _job_id="job", _queue_name="plain")
    await booked_as(pool, "job", "success", queue="plain")
    assert await client.status("job") is Status.COMPLETE


@pytest.mark.parametrize("tries", [1, 2])
async def test_a_shutdown_while_the_start_of_a_job_is_recorded(
    pool: ArqRedis,
    client: StatusClient,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
    tries: int,
) -> None:
    """The worker ends cleanly, and the job will run again according to arq and to us."""
    worker = await start_worker(track_status({"functions": jobs.FUNCTIONS}))
    reached, write, track = asyncio.Event(), Store.write, Store.stored_record

    async def write_slowly(self: Store, rows: Sequence[Row]) -> set[str]:
        reached.set()
        await asyncio.sleep(0.05)
        return await write(self, rows)

    async def read_slowly(self: Store, job_id: str) -> StoredRecord | None:
        reached.set()
        await asyncio.sleep(0.05)
        return await track(self, job_id)

    monkeypatch.setattr(Store, "write", write_slowly)
    monkeypatch.setattr(Store, "stored_record", read_slowly)
    await pool.enqueue_job("wait", _job_id="job", _job_try=tries)
    await reached.wait()
    worker.max_jobs = 0
    running = worker.tasks["job"]
    running.cancel()
    await asyncio.wait((running,))
    assert running.exception() is None
    assert await verdict(pool, "job") == "queued"
    assert await client.status("job") is Status.INTERRUPTED
    record = await client.job("job")
    assert record
    assert (record.job_try, record.error) == (tries, "cut off by a shutdown")


async def test_jobs_enqueued_by_jobs(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """Jobs enqueued by a job are queued immediately, with function and arguments, and run."""
    await start_worker(track_status({"functions": jobs.FUNCTIONS}))
    await pool.enqueue_job("enqueue", "child", "enqueue", "grandchild", "fail", _job_id="parent")
    await booked_as(pool, "grandchild", "failure: ValueError('no vino')")
    await booked_as(pool, "child", "success")
    await booked_as(pool, "parent", "success")
    expected = {
        "parent": Status.COMPLETE,
        "child": Status.COMPLETE,
        "grandchild": Status.FAILED,
    }
    await assert_agreement(client, expected)
    child = await client.job("child")
    assert child
    assert (child.function, child.args) == ("enqueue", "'grandchild', 'fail'")


async def test_several_queues(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """A client without queues knows those of tracked workers; others use the given ones."""
    for queue in ("red", "white"):
        settings = {"functions": jobs.FUNCTIONS, "queue_name": queue, "max_jobs": 1}
        await start_worker(track_status(settings))
        await pool.enqueue_job("add", 1, 2, _job_id=f"{queue}-ended", _queue_name=queue)
        await booked_as(pool, f"{queue}-ended", "success", queue=queue)
        await pool.enqueue_job("wait", _job_id=f"{queue}-running", _queue_name=queue)
        await booked_as(pool, f"{queue}-running", "in_progress", queue=queue)
        await pool.enqueue_job("wait", _job_id=f"{queue}-queued", _queue_name=queue)
    ends = dict.fromkeys(("red-ended", "white-ended"), Status.COMPLETE)
    red = {"red-running": Status.WORKING, "red-queued": Status.QUEUED}
    white = {"white-running": Status.WORKING, "white-queued": Status.QUEUED}
    await assert_agreement(client, {**ends, **red, **white})
    await assert_agreement(StatusClient(pool, queues=["red"]), {**ends, **red})
    record = await client.job("white-ended")
    assert record
    assert record.queue == "white"


def to_json(data: Mapping[str, Any]) -> bytes:
    """A serializer that does not support exceptions."""
    return json.dumps(data, default=repr).encode()


async def test_a_custom_serializer(
    redis_settings: RedisSettings, pool: ArqRedis, start_worker: StartWorker
) -> None:
    """With its deserializer a client reads arq's payloads; without it statuses are the same."""
    settings = {"job_serializer": to_json, "job_deserializer": json.loads, **SHORT, **ABORTS}
    await start_worker(track_status({"functions": jobs.FUNCTIONS, **settings}))
    own = await create_pool(redis_settings, job_serializer=to_json, job_deserializer=json.loads)
    try:
        for job_id, function, args in [
            ("complete", "add", (1, 2)),
            ("failed", "fail", ()),
            ("given up", "retry", (9,)),
            ("unknown", "nowhere", ()),
            ("aborted", "wait", ()),
        ]:
            await own.enqueue_job(function, *args, _job_id=job_id)
        await own.enqueue_job("add", 1, 2, _job_id="deferred", _defer_by=60)
        failures = {
            "failed": "ValueError('no vino')",
            "given up": "JobExecutionFailed('max 2 retries exceeded')",
            "unknown": "JobExecutionFailed(\"function 'nowhere' not found\")",
        }
        for job_id, error in failures.items():
            await booked_as(own, job_id, f"failure: {error!r}", deserializer=json.loads)
        await booked_as(own, "complete", "success", deserializer=json.loads)
        await booked_as(own, "aborted", "in_progress", deserializer=json.loads)
        aborting = Job("aborted", own, _deserializer=json.loads)
        with pytest.raises(RuntimeError, match="CancelledError"):
            await aborting.abort(timeout=10, poll_delay=0.01)
    finally:
        await own.aclose()
    statuses = {
        "complete": Status.COMPLETE,
        "aborted": Status.STOPPED,
        "deferred": Status.DEFERRED,
        **dict.fromkeys(failures, Status.FAILED),
    }
    reader = StatusClient(pool, job_deserializer=json.loads)
    await assert_agreement(reader, statuses)
    await assert_agreement(StatusClient(pool), statuses)
    record = await reader.job("deferred")
    assert record
    assert (record.function, record.args) == ("add", "1, 2")
    errors = {job_id: (await reader.get_all(job_id))["error"] for job_id in failures}
    assert errors == {
        "failed": "ValueError: no vino",
        "given up": "max 2 tries exceeded",
        "unknown": "function 'nowhere' not found",
    }


async def test_all_at_once(pool: ArqRedis, client: StatusClient, start_worker: StartWorker) -> None:
    """Many jobs of every kind in one worker: all queries agree about each of them."""
    kinds: dict[str, tuple[str, tuple[Any, ...], dict[str, Any], str, Status]] = {
        "complete": ("add", (1, 2), {}, "success", Status.COMPLETE),
        "failed": ("fail", (), {}, "failure: ValueError('no vino')", Status.FAILED),
        "retried": ("retry", (2,), {}, "success", Status.COMPLETE),
        "retrying": ("retry", (2, 60), {}, "deferred", Status.RETRYING),
        "given up": ("retry", (9,), {}, NO_MORE.format(2), Status.FAILED),
        "deferred": ("add", (1, 2), {"_defer_by": 60}, "deferred", Status.DEFERRED),
        "running": ("wait", (), {}, "in_progress", Status.WORKING),
    }
    settings = {"functions": jobs.FUNCTIONS, "max_jobs": 100, **SHORT}
    await start_worker(track_status(settings))
    for number in range(20):
        for kind, (function, args, options, *_) in kinds.items():
            await pool.enqueue_job(function, *args, _job_id=f"{kind} {number}", **options)
    for number in range(20):
        for kind, (*_, outcome, _) in kinds.items():
            await booked_as(pool, f"{kind} {number}", outcome)
    await assert_agreement(
        client, {f"{kind} {n}": it[-1] for n in range(20) for kind, it in kinds.items()}
    )


class Unprintable:
    """An argument like a detached database row."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


@pytest.mark.parametrize("keep_result", [0, 3600])
async def test_jobs_that_arq_fails_before_their_first_line(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker, keep_result: int
) -> None:
    """They have failed according to arq and to us."""
    functions = [
        func(jobs.add, name="add", keep_result=keep_result),
        func(jobs.add, name="hurried", timeout=0, keep_result=keep_result),
    ]
    worker = await start_worker(track_status({"functions": functions}))
    await pool.enqueue_job("add", Unprintable(), 1, _job_id="unprintable")
    await pool.enqueue_job("hurried", 1, 2, _job_id="hurried")
    unprintable, hurried = await ended(client, "unprintable"), await ended(client, "hurried")
    assert (unprintable.status, unprintable.error) == (Status.FAILED, "RuntimeError: no repr")
    assert hurried.status is Status.FAILED
    assert hurried.error is not None
    assert "time" in hurried.error.lower()
    await until(lambda: worker.jobs_failed == 2)
    assert worker.jobs_complete == 0


async def test_a_job_that_is_aborted_before_its_first_line(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """It is stopped, although it never reported anything and arq keeps nothing of it."""
    worker: Any = None

    def abort() -> None:
        worker.aborting_tasks.add("job")
        worker.job_tasks["job"].cancel()

    async def on_job_start(ctx: dict[str, Any]) -> None:
        # after arq has created the job's task, and before that starts
        asyncio.get_running_loop().call_soon(abort)

    settings = {"functions": [func(jobs.add, name="add", keep_result=0)], **ABORTS}
    worker = await start_worker(track_status({**settings, "on_job_start": on_job_start}))
    await pool.enqueue_job("add", 1, 2, _job_id="job")
    record = await ended(client, "job")
    assert (record.status, record.error) == (Status.STOPPED, "aborted")
    await until(lambda: worker.jobs_failed)


async def test_an_id_reused_with_a_serializer_that_readers_do_not_know(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker, redis_settings: RedisSettings
) -> None:
    """If the run of the payload is unknown, the ended record still belongs to another run."""
    settings: dict[str, Any] = {
        "functions": [func(report_then_fail, keep_result=0)],
        "job_serializer": lambda data: json.dumps(data, default=repr).encode(),
        "job_deserializer": json.loads,
    }
    await start_worker(track_status(settings))
    own = await create_pool(
        redis_settings, job_serializer=settings["job_serializer"], job_deserializer=json.loads
    )
    try:
        await own.enqueue_job("report_then_fail", succeed=False, _job_id="job")
        assert (await ended(client, "job")).data == {"vino": "veritas"}
        await forgotten_by_arq(own, "job")
        await own.enqueue_job("report_then_fail", succeed=True, _job_id="job", _defer_by=2)
        assert await client.store("job", early=1)
        record = await client.job("job")
        assert record is not None
        assert (record.status, record.message, record.at, record.data) == (
            Status.DEFERRED, None, 0, {"early": 1},
        )  # fmt: skip
        assert (await ended(client, "job")).data == {"early": 1}
    finally:
        await own.aclose()
