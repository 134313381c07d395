"""Tests as authors of jobs write them."""

from typing import Any, assert_type

from arq.connections import ArqRedis
from arq.jobs import Job

from arq_status import JobRecord, JobTracker, StatusClient, current_tracker, track_status
from arq_status.testing import InlinePool, StandaloneTracker, inline, tracker
from tests.typing.worker import WorkerSettings, import_rows, resize


async def run_inline() -> None:
    """A job runs as soon as it is enqueued in arq's pool."""
    async with inline(WorkerSettings) as pool:
        assert_type(pool, InlinePool)
        redis: ArqRedis = pool
        job = await pool.enqueue_job("import_rows", "rows.csv", _job_id="rows")
        assert_type(job, Job | None)
        complete = await StatusClient(redis).is_complete("rows")
        assert_type(complete, bool)
        assert complete
        await pool.enqueue_job("tests.typing.worker.signatures")
    async with inline(track_status({"functions": [resize]})) as pool:
        await pool.enqueue_job("resize", "a.png")
    other = {"functions": [resize], "max_tries": 1, "queue_name": "images"}
    async with inline(WorkerSettings, other, raises=False, run=False) as pool:
        assert_type(await pool.run_jobs(), int)


async def call_directly() -> None:
    """A job function takes a standalone tracker like that of a worker."""
    status = tracker()
    assert_type(status, StandaloneTracker)
    assert_type(await import_rows({"status": status}, "rows.csv"), int)
    assert_type(status.record, JobRecord)
    assert_type(status.record.data["vino"], Any)
    assert_type(status.stop(), None)
    for_hooks: JobTracker = tracker("rows", job_try=2)
    assert for_hooks.job_try == 2
    with tracker(job_id="rows") as status:
        assert_type(status, StandaloneTracker)
        assert current_tracker() is status
