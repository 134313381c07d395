"""P5 and P14: the cost of a page of the dashboard, with few and with many jobs."""

import asyncio
from contextlib import AsyncExitStack
from statistics import median
from time import monotonic, time
from typing import Any

import httpx
from arq import func
from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.utils import timestamp_ms
from arq.worker import create_worker

from arq_status import JobTracker, track_status
from arq_status._model.record import State, StoredRecord
from arq_status._redis.batch import Row
from arq_status._redis.store import Store
from arq_status.web import create_app
from tests.benchmarks.measuring import Result, compare, repeated
from tests.conftest import until
from tests.web import page_of, serving, stream

FEW, MANY = 1_000, 1_000_000
BATCH = 1_000
ROUNDS, PAGES = 20, 5
DAY = 86_400_000
LARGE, REPORTING, SECONDS = 100, 3, 5
#: The most milliseconds of server time that a page may take.
AIM = 15


async def measure(pool: ArqRedis) -> list[Result]:
    """Measure first page, last page and page of one status: a million jobs / a thousand."""
    port = pool.connection_pool.connection_kwargs["port"]
    many = await create_pool(RedisSettings(port=port, database=1))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(many.aclose)
        stack.push_async_callback(many.flushdb)
        for redis, jobs in ((pool, FEW), (many, MANY)):
            await _fill(redis, jobs)
        ours = await stack.enter_async_context(page_of(create_app(many)))
        theirs = await stack.enter_async_context(page_of(create_app(pool)))
        deepest = (f"?page={MANY // 25}", f"?page={FEW // 25}")
        failed = ("?status=failed", "?status=failed")
        results = [
            await _compare(ours, theirs, "first page", "", ""),
            await _compare(ours, theirs, "deepest page", *deepest),
            await _compare(ours, theirs, "page of one status", *failed),
        ]
    return [*results, await _open_list(pool)]


async def _compare(
    ours: httpx.AsyncClient, theirs: httpx.AsyncClient, what: str, deep: str, shallow: str
) -> Result:
    found = await compare(
        repeated(lambda: _get(ours, deep), PAGES),
        repeated(lambda: _get(theirs, shallow), PAGES),
        ROUNDS,
    )
    took = median(found.ours) * 1000
    detail = f"{took:.1f} ms, {median(found.theirs) * 1000:.1f} ms; aim: under {AIM} ms"
    met = found.ratio <= 1.5 and took < AIM
    what = f"`GET /statuses`, {what}, 1 M jobs / 1 k"
    return Result("P5", what, found.ratio, found.quartiles, "<= 1.5", met, detail)


async def _get(page: httpx.AsyncClient, query: str) -> None:
    response = await page.get(f"/statuses{query}")
    assert response.status_code == 200
    assert response.text.count('<tr role="row" data-id="job') == 25


async def _open_list(pool: ArqRedis) -> Result:
    """Measure what Redis sends for an open list of jobs with much data."""
    await pool.flushdb()
    ids = [f"job {number}" for number in range(LARGE)]
    for job_id in ids:
        await pool.enqueue_job("job", _job_id=job_id)
    ended = asyncio.Event()

    async def job(ctx: dict[str, Any]) -> None:
        status: JobTracker = ctx["status"]
        await status.store(**{f"part_{number}": "x" * 50_000 for number in range(4)})
        while not ended.is_set():
            if ctx["job_id"] in ids[:REPORTING]:
                await status.advance(1, f"at {time()}")
            await asyncio.sleep(0.05)

    worker = create_worker(
        track_status({"functions": [func(job, name="job", timeout=600)]}),
        redis_pool=pool, burst=True, poll_delay=0.1, max_jobs=LARGE, handle_signals=False,
    )  # fmt: skip
    task = asyncio.create_task(worker.async_run())
    await until(lambda: len(worker.tasks) == LARGE, 60)
    await asyncio.sleep(2)
    async with serving(create_app(pool)) as url, stream(f"{url}/statuses") as events:
        await anext(events)
        before, began, events_seen = await _sent(pool), monotonic(), 0
        while monotonic() - began < SECONDS:
            await anext(events)
            events_seen += 1
        taken = (await _sent(pool) - before) / 1e6
    ended.set()
    await task
    return Result(
        "P14", f"from Redis in {SECONDS} s of an open list, {LARGE} jobs of 200 KB, MB", taken,
        None, "<= 1", taken <= 1, f"{REPORTING} of them report; {events_seen} events",
    )  # fmt: skip


async def _sent(pool: ArqRedis) -> int:
    return int((await pool.info("stats"))["total_net_output_bytes"])


async def _fill(redis: ArqRedis, jobs: int) -> None:
    await redis.flushdb()
    store, now = Store(redis), timestamp_ms()
    for start in range(0, jobs, BATCH):
        await store.write([_row(number, now) for number in range(start, start + BATCH)])


def _row(number: int, now: int) -> Row:
    began = now - number
    track = StoredRecord(
        enqueued_ms=began, job_try=1, version=1,
        state=State.COMPLETE if number % 10 else State.FAILED,
        function="send_invoice", args=str(number), started=began, updated=began, ended=began,
        expires_after_ms=DAY,
    )  # fmt: skip
    return Row(f"job {number}", True, track.encode(), {})
