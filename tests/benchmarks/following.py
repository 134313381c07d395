"""P7: the cost of many watchers."""

import asyncio
import os
import sys
from time import monotonic, time
from typing import Any

from arq.connections import ArqRedis

from arq_status import Status, StatusClient
from tests.benchmarks.measuring import Result
from tests.conftest import until

JOBS, WATCHERS = 100, 1_000
SECONDS = 5


async def measure(pool: ArqRedis) -> list[Result]:
    """Measure with a thousand watchers of a hundred jobs in another process, and with none."""
    await pool.flushdb()
    ids = [f"job {number}" for number in range(JOBS)]
    for job_id in ids:
        await pool.enqueue_job("report", 2 * SECONDS + 10, 10, _job_id=job_id)
    worker = await _start_worker(pool)
    try:
        async with StatusClient(pool) as client:
            await until(lambda: _all_work(client), 30)
            alone = await _published(pool)
            return await _watch(pool, client, ids, alone)
    finally:
        worker.terminate()
        await worker.wait()


async def _start_worker(pool: ArqRedis) -> asyncio.subprocess.Process:
    port = pool.connection_pool.connection_kwargs["port"]
    environment = {**os.environ, "REDIS_URL": f"redis://127.0.0.1:{port}"}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "arq", "tests.benchmarks.jobs.Settings", env=environment,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip


async def _all_work(client: StatusClient) -> bool:
    return (await client.counts())[Status.WORKING] == JOBS


async def _published(pool: ArqRedis) -> float:
    """Return how often per second the worker writes; nobody else publishes anything."""
    await pool.config_resetstat()
    began = monotonic()
    await asyncio.sleep(SECONDS)
    stats: Any = await pool.info("commandstats")
    return float(stats["cmdstat_publish"]["calls"] / (monotonic() - began))


async def _watch(
    pool: ArqRedis, client: StatusClient, ids: list[str], alone: float
) -> list[Result]:
    lags: list[float] = []

    async def watch(job_id: str) -> None:
        message = None
        async for record in client.watch(job_id):
            if record.message is not None and record.message != message:
                message = record.message
                lags.append(time() - float(message))

    watching = [asyncio.create_task(watch(ids[number % JOBS])) for number in range(WATCHERS)]
    await asyncio.sleep(1)
    lags.clear()
    watched = await _published(pool)
    [(_, connections)] = await pool.pubsub_numsub("arqstatus:1:changes:0")
    late = sorted(lags)[int(len(lags) * 0.99)] * 1000
    for task in watching:
        task.cancel()
    await asyncio.wait(watching)
    return [
        Result(
            "P7", "1,000 watchers of 100 jobs, connections", connections, None, "1",
            connections == 1,
        ),
        Result(
            "P7", "from a change to its receipt, 99 of 100, ms", late, None, "< 250", late < 250,
            f"{len(lags) / SECONDS:.0f} receipts a second",
        ),
        Result(
            "P7", "writes of the worker, watched / not", watched / alone, None, "<= 1.05",
            watched / alone <= 1.05, f"{watched:.1f} and {alone:.1f} a second",
        ),
    ]  # fmt: skip
