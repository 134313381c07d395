"""What arq itself says about a job, and whether all our queries agree with each other."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import pairwise
from time import monotonic
from typing import Any

from arq.connections import ArqRedis
from arq.constants import default_queue_name, in_progress_key_prefix
from arq.jobs import Job

from arq_status import Status, StatusClient

#: Statuses that every list shows at once; others may lag 0.2 s behind.
PROMPT = {Status.FAILED, Status.STOPPED, Status.INTERRUPTED}
#: What may follow a status unless the id is reused. Readers may miss short-lived statuses.
FOLLOWERS: Mapping[Status | None, set[Status | None]] = {
    None: {*Status},
    Status.DEFERRED: {*Status} - {Status.DEFERRED},
    Status.QUEUED: {*Status} - {Status.DEFERRED},
    Status.WORKING: {*Status} - {Status.DEFERRED, Status.QUEUED},
    Status.RETRYING: {*Status} - {Status.DEFERRED, Status.QUEUED},
    Status.INTERRUPTED: {*Status} - {Status.DEFERRED, Status.QUEUED},
    Status.COMPLETE: set(),
    Status.FAILED: set(),
    Status.STOPPED: set(),
}


async def verdict(
    pool: ArqRedis,
    job_id: str,
    queue: str = default_queue_name,
    deserializer: Callable[[bytes], Any] | None = None,
) -> str:
    """Return how a job ended according to arq; without a result, arq's own status."""
    job = Job(job_id, pool, queue, deserializer)
    result = await job.result_info()
    if result is None:
        status = (await job.status()).value
        kept = 0 < await pool.pttl(in_progress_key_prefix + job_id) <= 60_000
        return f"{status}, key kept" if kept else status
    if result.success:
        return "success"
    if isinstance(result.result, asyncio.CancelledError):
        return "cancelled"
    return f"failure: {result.result!r}"


async def disagreements(client: StatusClient, statuses: Mapping[str, Status]) -> list[str]:
    """Return where status, job, list and counts differ from the expected statuses."""
    wrong = []
    for job_id, status in statuses.items():
        record = await client.job(job_id)
        answers = {
            "status": await client.status(job_id),
            "job": record and record.status,
            "predicates": await predicates(client, job_id),
        }
        expected = {"status": status, "job": status, "predicates": [status]}
        wrong += [
            f"{name} of {job_id}: {answer}, not {status}"
            for name, answer in answers.items()
            if answer != expected[name]
        ]
    listed = await client.list_jobs(per_page=500)
    found = {record.job_id: record.status for record in listed.items}
    if found != dict(statuses) or listed.total != len(statuses):
        wrong.append(f"list: {found}, total {listed.total}")
    for status in Status:
        page = await client.list_jobs(status=status, per_page=500)
        ids = sorted(record.job_id for record in page.items)
        if ids != sorted(it for it in statuses if statuses[it] is status):
            wrong.append(f"list of {status}: {ids}, total {page.total}")
    counts = {status: number for status, number in (await client.counts()).items() if number}
    if counts != Counter(statuses.values()):
        wrong.append(f"counts: {counts}")
    return wrong


async def predicates(client: StatusClient, job_id: str) -> list[Status]:
    """Return the statuses whose predicate is true."""
    return [it for it in Status if await getattr(client, f"is_{it}")(job_id)]


async def assert_agreement(
    client: StatusClient, statuses: Mapping[str, Status], *, lags: bool = False
) -> None:
    """Check that every query shows these statuses, after the lag that it may have."""
    lags = lags or not set(statuses.values()) <= PROMPT
    deadline = monotonic() + (2 if lags else 0)
    while wrong := await disagreements(client, statuses):
        assert monotonic() < deadline, "\n".join(wrong)
        await asyncio.sleep(0.01)


@asynccontextmanager
async def watched(
    client: StatusClient, job_id: str, *, recorded: bool = True
) -> AsyncIterator[list[Status | None]]:
    """Collect the statuses of a job meanwhile, and check that only allowed ones follow each other.

    Not checked without a record: such a job is queued again after a try, and unknown after its end.
    """
    seen: list[Status | None] = [await client.status(job_id)]

    async def look() -> None:
        while True:
            status = await client.status(job_id)
            if status is not seen[-1]:
                seen.append(status)
            await asyncio.sleep(0.002)

    looking = asyncio.create_task(look())
    try:
        yield seen
    finally:
        looking.cancel()
        await asyncio.wait((looking,))
    if recorded:
        assert all(after in FOLLOWERS[before] for before, after in pairwise(seen)), seen
