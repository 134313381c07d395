"""Workers that are killed, shut down or blocked, each in a separate process."""

import asyncio
import signal
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix, retry_key_prefix

from arq_status import Status, StatusClient, track_status
from arq_status._redis import dead_workers, keys, scripts
from tests import jobs
from tests.conftest import StartWorker, ended, until
from tests.verdicts import assert_agreement, verdict
from tests.worker_process import worker_process

#: Seconds until the jobs of a killed worker are interrupted.
DEADLINE = 15


async def wait_for_status(
    client: StatusClient, job_id: str, status: Status | None, seconds: float = DEADLINE
) -> float:
    """Wait until the job has this status; return how long that took."""
    began = monotonic()

    async def has_status() -> bool:
        return await client.status(job_id) is status

    await until(has_status, seconds)
    return monotonic() - began


async def wait_for_verdict(
    pool: ArqRedis, job_id: str, expected: str, queue: str = "arq:queue"
) -> None:
    """Wait until arq itself says ``expected`` about the job."""
    said = ""

    async def is_expected() -> bool:
        nonlocal said
        said = await verdict(pool, job_id, queue)
        return said == expected

    try:
        await until(is_expected)
    except AssertionError:
        pytest.fail(f"arq says {said!r} of {job_id!r}, not {expected!r}")


async def let_keys_expire(pool: ArqRedis, *job_ids: str) -> None:
    """Delete arq's in-progress keys, as if they had expired."""
    assert await pool.delete(*(in_progress_key_prefix + it for it in job_ids)) == len(job_ids)


# killed


@dataclass(frozen=True, kw_only=True)
class Death:
    """A job during which its worker dies."""

    name: str
    function: str
    #: seconds after the start of the job to kill the worker; ``None``: it kills itself
    killed_after: float | None = 0.5
    #: number of other jobs in the queue
    others: int = 0


DEATHS = [
    Death(name="waits", function="wait_once"),
    Death(name="blocks", function="block_once", killed_after=1),
    Death(name="spins", function="spin_once", killed_after=1),
    Death(name="out of memory", function="die_once", killed_after=None),
    Death(name="waits, busy worker", function="wait_once", others=500),
    Death(name="blocks, busy worker", function="block_once", killed_after=1, others=500),
    Death(name="spins, busy worker", function="spin_once", killed_after=1, others=500),
    Death(name="out of memory, busy worker", function="die_once", killed_after=None, others=500),
]


async def die(
    pool: ArqRedis, client: StatusClient, dsn: str, folder: Path, death: Death
) -> str | None:
    """Let the worker of a separate queue die; return what was wrong afterwards, if anything."""
    queue, job_id = f"queue of {death.name}", death.name
    async with worker_process(dsn, folder, queue_name=queue, max_jobs=20) as worker:
        for number in range(death.others):
            # in the middle, so that there are others before and after it
            if number == death.others // 2:
                await pool.enqueue_job(death.function, _job_id=job_id, _queue_name=queue)
            await pool.enqueue_job("add", number, 1, _queue_name=queue)
        await pool.enqueue_job(death.function, _job_id=job_id, _queue_name=queue)
        await until(lambda: pool.exists(in_progress_key_prefix + job_id), 20)
        if death.killed_after is not None:
            await asyncio.sleep(death.killed_after)
            if await client.status(job_id) is not Status.WORKING:
                return f"{death.name}: {await client.status(job_id)} before the worker died"
            worker.send(signal.SIGKILL)
        await worker.gone()
        died = monotonic()
        try:
            await wait_for_status(client, job_id, Status.INTERRUPTED)
        except AssertionError:
            return f"{death.name}: {await client.status(job_id)} after {monotonic() - died:.1f} s"
        record = await client.job(job_id)
        if record is None or not (record.error or "").endswith(f":{worker.pid} stopped responding"):
            return f"{death.name}: {record}"
        return None


@pytest.mark.long(18)
async def test_jobs_of_killed_workers_are_interrupted(
    pool: ArqRedis, client: StatusClient, dsn: str, tmp_path: Path
) -> None:
    """Jobs are interrupted within 15 s however their worker died, and run again in the next one."""
    wrong = await asyncio.gather(*(die(pool, client, dsn, tmp_path, it) for it in DEATHS))
    assert [it for it in wrong if it] == []
    left = [key.decode() for key in await pool.keys(in_progress_key_prefix + "*")]
    interrupted = {key.removeprefix(in_progress_key_prefix) for key in left}
    assert interrupted >= {it.name for it in DEATHS}
    page = await client.list_jobs(status=Status.INTERRUPTED, per_page=500)
    assert {record.job_id for record in page.items} == interrupted
    assert (await client.counts())[Status.INTERRUPTED] == len(interrupted)
    assert (await client.counts())[Status.WORKING] == 0

    async with AsyncExitStack() as stack:
        for death in DEATHS:
            queue = f"queue of {death.name}"
            await let_keys_expire(pool, death.name)
            await stack.enter_async_context(worker_process(dsn, tmp_path, queue_name=queue))
        for death in DEATHS:
            record = await ended(client, death.name)
            actual = (record.job_id, record.status, record.job_try)
            assert actual == (death.name, Status.COMPLETE, 2), record
            # a try that blocked or died before its first write may leave no trace
            *lost, last = await client.tries(death.name)
            assert last.status is Status.COMPLETE
            assert all(it.status is Status.INTERRUPTED for it in lost)
            assert all("stopped responding" in str(it.error) for it in lost)


@pytest.fixture
def early_death(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers count as dead after 6 s without a heartbeat instead of 10."""
    for module in (keys, dead_workers):
        monkeypatch.setattr(module, "DEAD_AFTER_MS", 6_000)
    for script in (scripts.facts, scripts.list_jobs, scripts.sweep):
        # assembled again, because it contains the number
        monkeypatch.setattr(script, "_source", "")
        monkeypatch.setattr(script, "_digest", b"")


@pytest.mark.long(10)
@pytest.mark.usefixtures("early_death")
async def test_another_worker_takes_the_job_over(
    pool: ArqRedis, client: StatusClient, dsn: str, tmp_path: Path
) -> None:
    """The job is interrupted until it may run again, then working in a tracked or plain worker."""
    async with AsyncExitStack() as stack:
        for queue, tracked in [("both", True), ("one", False)]:
            await pool.enqueue_job("wait", _job_id=queue, _queue_name=queue)
            first = await stack.enter_async_context(worker_process(dsn, tmp_path, queue_name=queue))
            await wait_for_verdict(pool, queue, "in_progress", queue)
            await wait_for_status(client, queue, Status.WORKING)
            await stack.enter_async_context(
                worker_process(dsn, tmp_path, tracked=tracked, queue_name=queue)
            )
            await first.kill()
        for queue in ("both", "one"):
            await wait_for_status(client, queue, Status.INTERRUPTED)
        await assert_agreement(client, dict.fromkeys(("both", "one"), Status.INTERRUPTED))

        await let_keys_expire(pool, "both", "one")
        for queue in ("both", "one"):
            await wait_for_status(client, queue, Status.WORKING)
        record = await client.job("both")
        assert record
        assert record.error is None


@pytest.mark.long(10)
@pytest.mark.usefixtures("early_death")
async def test_a_job_without_a_record_and_a_dead_worker(
    pool: ArqRedis, client: StatusClient, dsn: str, tmp_path: Path, start_worker: StartWorker
) -> None:
    """An untracked job that another worker runs is working, although a worker died."""
    async with worker_process(dsn, tmp_path, max_jobs=1) as worker:
        await pool.enqueue_job("wait", _job_id="lost")
        await wait_for_status(client, "lost", Status.WORKING)
        await start_worker(track_status({"functions": jobs.FUNCTIONS}))
        await pool.enqueue_job("untracked", 1, 60, _job_id="untracked")
        await wait_for_verdict(pool, "untracked", "in_progress")
        await worker.kill()
    await wait_for_status(client, "lost", Status.INTERRUPTED)
    assert await client.status("untracked") is Status.WORKING


@pytest.mark.long(10)
@pytest.mark.usefixtures("early_death")
async def test_jobs_behind_one_that_blocks(
    pool: ArqRedis, client: StatusClient, dsn: str, tmp_path: Path
) -> None:
    """Jobs that the worker took but never started are interrupted as well, in every query."""
    async with worker_process(dsn, tmp_path) as worker:
        await pool.enqueue_job("add", 1, jobs.Pause(), _job_id="blocks")
        await until(lambda: pool.exists(retry_key_prefix + "blocks"))
        # as if the worker had taken the job just before it was blocked, without noticing
        await pool.enqueue_job("add", 1, 2, _job_id="taken")
        await pool.psetex(in_progress_key_prefix + "taken", 310_000, b"1")
        # until a heartbeat so late that they cannot have started around it
        blocked = monotonic()
        await until(lambda: monotonic() - blocked > 4)
        for job_id in ("blocks", "taken"):
            assert await client.status(job_id) is Status.WORKING
        await worker.kill()
    for job_id in ("blocks", "taken"):
        await wait_for_status(client, job_id, Status.INTERRUPTED)
    await assert_agreement(client, dict.fromkeys(("blocks", "taken"), Status.INTERRUPTED))


@pytest.mark.usefixtures("early_death")
async def test_a_job_that_arq_lost_is_ended_by_the_next_list(
    pool: ArqRedis, client: StatusClient, dsn: str, tmp_path: Path
) -> None:
    """If arq's keys are gone along with the worker, the job is interrupted for good."""
    async with worker_process(dsn, tmp_path) as worker:
        await pool.enqueue_job("wait", _job_id="job")
        await wait_for_status(client, "job", Status.WORKING)
        await until(lambda: pool.exists("arqstatus:1/job"))
        await worker.kill()
    await pool.delete("arq:job:job", "arq:in-progress:job", "arq:retry:job", "arq:queue")
    await wait_for_status(client, "job", Status.INTERRUPTED)
    await assert_agreement(client, {"job": Status.INTERRUPTED})
    record = await client.job("job")
    assert record
    assert (record.ended_at is None, record.expires_at is None) == (False, False)


# blocked


@pytest.mark.parametrize(
    ("function", "seconds"),
    [
        pytest.param("block_once", 60, marks=pytest.mark.long(60)),
        pytest.param("spin_once", 17, marks=pytest.mark.long(17)),
    ],
)
async def test_a_blocked_worker_is_not_dead(
    pool: ArqRedis, client: StatusClient, dsn: str, tmp_path: Path, function: str, seconds: float
) -> None:
    """A job that blocks the event loop for a minute and a waiting one next to it are working."""
    async with worker_process(dsn, tmp_path):
        await pool.enqueue_job("wait_once", 10, _job_id="waits")
        await wait_for_status(client, "waits", Status.WORKING)
        await pool.enqueue_job(function, seconds, _job_id="blocks")
        await wait_for_status(client, "blocks", Status.WORKING)
        both = dict.fromkeys(("waits", "blocks"), Status.WORKING)
        began = monotonic()
        while await client.status("blocks") is Status.WORKING:
            if monotonic() - began < seconds - 5:
                await assert_agreement(client, both)
            await asyncio.sleep(0.1)
        assert monotonic() - began > seconds - 5
        for job_id in both:
            assert (await ended(client, job_id)).status is Status.COMPLETE


# shut down


@dataclass(frozen=True, kw_only=True)
class Shutdown:
    """A worker that is shut down, and what happens to its job."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    #: how long the job runs
    seconds: float = 3600
    arq: str
    status: Status
    error: str | None = None
    #: True if arq runs it again
    again: bool = False


SHUTDOWNS = [
    Shutdown(
        name="at once", arq="queued", status=Status.INTERRUPTED,
        error="cut off by a shutdown", again=True,
    ),
    Shutdown(
        name="at once, nothing kept", settings={"keep_result": 0}, arq="queued",
        status=Status.INTERRUPTED, error="cut off by a shutdown", again=True,
    ),
    Shutdown(
        name="after the job", settings={"job_completion_wait": 10}, seconds=4, arq="success",
        status=Status.COMPLETE,
    ),
    Shutdown(
        name="after the wait", settings={"job_completion_wait": 1}, arq="queued",
        status=Status.INTERRUPTED, error="cut off by a shutdown", again=True,
    ),
    Shutdown(
        name="for good", settings={"retry_jobs": False}, arq="cancelled",
        status=Status.INTERRUPTED, error="cut off by a shutdown",
    ),
    Shutdown(
        name="for good, nothing kept", settings={"retry_jobs": False, "keep_result": 0},
        arq="not_found", status=Status.INTERRUPTED, error="cut off by a shutdown",
    ),
]  # fmt: skip


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT], ids=lambda sign: sign.name)
@pytest.mark.long(7)
async def test_jobs_of_workers_that_are_shut_down(
    pool: ArqRedis, client: StatusClient, dsn: str, tmp_path: Path, sign: signal.Signals
) -> None:
    """Jobs cut off by a shutdown are interrupted at once, and complete in the next worker."""
    async with AsyncExitStack() as stack:
        workers = {}
        for it in SHUTDOWNS:
            workers[it.name] = await stack.enter_async_context(
                worker_process(dsn, tmp_path, queue_name=it.name, **it.settings)
            )
        for it in SHUTDOWNS:
            await pool.enqueue_job("wait_once", it.seconds, _job_id=it.name, _queue_name=it.name)
            # if it is shut down before it runs a job's hooks, arq leaves its key behind
            await until(partial(pool.exists, f"arqstatus:1/{it.name}"))
            assert await client.status(it.name) is Status.WORKING
        for worker in workers.values():
            worker.send(sign)
        for it in SHUTDOWNS:
            await wait_for_verdict(pool, it.name, it.arq, it.name)
            assert (it.name, await client.status(it.name)) == (it.name, it.status)
        for worker in workers.values():
            await worker.gone()
        await assert_agreement(client, {it.name: it.status for it in SHUTDOWNS})
        for it in SHUTDOWNS:
            record = await client.job(it.name)
            assert record
            actual = (it.name, record.error, record.ended_at is None)
            assert actual == (it.name, it.error, it.again)

        again = [it.name for it in SHUTDOWNS if it.again]
        for name in again:
            await stack.enter_async_context(worker_process(dsn, tmp_path, queue_name=name))
        for name in again:
            record = await ended(client, name)
            assert (record.status, record.job_try, record.error) == (Status.COMPLETE, 2, None)
        now_complete = dict.fromkeys(again, Status.COMPLETE)
        await assert_agreement(client, {it.name: it.status for it in SHUTDOWNS} | now_complete)


@pytest.mark.usefixtures("early_death")
async def test_a_shutdown_while_jobs_begin(
    pool: ArqRedis, client: StatusClient, dsn: str, tmp_path: Path
) -> None:
    """Arq leaves keys of some of them behind, but all that it took are interrupted."""
    ids = [f"job {number}" for number in range(30)]
    async with worker_process(dsn, tmp_path, max_jobs=50) as worker:
        for job_id in ids:
            await pool.enqueue_job("wait_once", _job_id=job_id, _defer_by=1)
        await until(lambda: pool.exists(in_progress_key_prefix + ids[-1]))
        worker.send(signal.SIGTERM)
        await worker.gone()
    in_progress = [it for it in ids if await pool.exists(in_progress_key_prefix + it)]
    recorded = [it for it in ids if await pool.exists(f"arqstatus:1/{it}")]
    taken = {*in_progress, *recorded}
    for job_id in taken:
        await wait_for_status(client, job_id, Status.INTERRUPTED)
    queued = dict.fromkeys(set(ids) - taken, Status.QUEUED)
    await assert_agreement(client, dict.fromkeys(taken, Status.INTERRUPTED) | queued)


async def test_a_job_that_waits_is_not_touched_by_a_shutdown(
    pool: ArqRedis, client: StatusClient, dsn: str, tmp_path: Path
) -> None:
    """Jobs that had not started stay queued, deferred or retrying."""
    async with worker_process(dsn, tmp_path, max_jobs=1) as worker:
        await pool.enqueue_job("retry", 2, 60, _job_id="retrying")
        await wait_for_status(client, "retrying", Status.RETRYING)
        await pool.enqueue_job("wait", _job_id="running")
        await wait_for_status(client, "running", Status.WORKING)
        await pool.enqueue_job("add", 1, 2, _job_id="queued")
        await pool.enqueue_job("add", 1, 2, _job_id="deferred", _defer_by=60)
        statuses = {
            "retrying": Status.RETRYING,
            "running": Status.WORKING,
            "queued": Status.QUEUED,
            "deferred": Status.DEFERRED,
        }
        await assert_agreement(client, statuses)
        await worker.kill(signal.SIGTERM)
    await assert_agreement(client, statuses | {"running": Status.INTERRUPTED})
