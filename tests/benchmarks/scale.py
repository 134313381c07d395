"""``python -m tests.benchmarks.scale [NAME...]``: checks the behaviour with very many jobs.

Unlike the other benchmarks this takes long, and each part passes or fails. Many of the jobs have
tags, are in a group and have a log; their functions are counted.
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import mean
from time import monotonic

import httpx
from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.jobs import serialize_job
from arq.utils import timestamp_ms

from arq_status import Status, StatusClient
from arq_status._model.record import State, StoredRecord
from arq_status._redis import keys
from arq_status._redis.batch import AnyRow, CompletedRow, Row
from arq_status._redis.history import encode_line
from arq_status._redis.store import Store
from tests.benchmarks.jobs import enqueue
from tests.conftest import until
from tests.server import Server

ENDED, QUEUED, EXPIRING = 1_000_000, 100_000, 100_000
#: The most microseconds that a command may block Redis.
SLOW = 10_000
SOAKED = 360_000
WORKERS, SHARED = 20, 20_000
#: Rows in a batch, also jobs enqueued at a time; and how many of these are in a group.
BATCH, IN_GROUP = 250, 25
TAGS, GROUPED = 100, 1_000


async def expiry(pool: ArqRedis, port: int) -> None:
    """Let a hundred thousand records expire within a minute, next to a million others."""
    await _load(pool)
    await pool.config_set("slowlog-log-slower-than", SLOW)
    await pool.slowlog_reset()
    soon = 20_000
    began = monotonic()
    for start in range(0, EXPIRING, BATCH):
        await Store(pool).write([_ended("soon", start + it, soon) for it in range(BATCH)])
    index = f"{keys.ENDED}complete:{soon}"
    assert await pool.zcard(index) == EXPIRING
    async with StatusClient(pool) as client, _worker(port, "idle"):
        assert (await client.counts())[Status.QUEUED] == QUEUED
        assert (await client.list_jobs(tag="soon:2")).total == EXPIRING // TAGS
        while await pool.exists(index):
            assert monotonic() - began < 150, "not swept"
            await client.list_jobs()
            await asyncio.sleep(1)
        took = monotonic() - began - soon / 1000
        counts = await client.counts()
    print(f"expiry: {EXPIRING:,} index entries gone {took:.0f} s after the records' end")
    assert (counts[Status.COMPLETE], counts[Status.QUEUED]) == (ENDED, QUEUED)
    # before the scan for leftover keys, which is slow itself
    slow = [it for it in await pool.slowlog_get(50) if b"CONFIG" not in it["command"]]
    # no records, logs, tags or groups are left
    assert not [key async for key in pool.scan_iter("arqstatus*soon*", count=10_000)]
    print(f"expiry: {len(slow)} commands over {SLOW // 1000} ms", *slow)
    assert not slow


async def soak(pool: ArqRedis, port: int) -> None:
    """Run hundreds of thousands of jobs and check that no memory use grows."""
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(_worker(port, "soak")) for _ in range(2)]
        page = await stack.enter_async_context(_dashboard(port))
        processes = {"worker": workers[0].pid, "dashboard": page[0].pid}
        sizes: dict[str, list[float]] = {name: [] for name in (*processes, "redis")}
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=page[1]))
        for number in range(0, SOAKED, BATCH):
            await _enqueue(pool, number)
            if number % 10_000 == 0:
                assert (await client.get("/statuses")).status_code == 200
                for name, process in processes.items():
                    sizes[name].append(_resident(process))
                sizes["redis"].append((await pool.info("memory"))["used_memory"] / 2**20)
        await until(lambda: _is_drained(pool), 120)
    for name, taken in sizes.items():
        early, late = mean(taken[8:14]), mean(taken[-6:])
        print(f"soak: {name} {early:.1f} MiB after 100,000 jobs, {late:.1f} after {SOAKED:,}")
        assert late < early * 1.1 + 2, taken


async def crowd(pool: ArqRedis, port: int) -> None:
    """Let twenty worker processes share a queue."""
    ids = [f"job {number}" for number in range(SHARED)]
    for start in range(0, SHARED, BATCH):
        await _enqueue(pool, start)
    began = monotonic()
    async with AsyncExitStack() as stack:
        starting = [stack.enter_async_context(_worker(port, "noop")) for _ in range(WORKERS)]
        for it in starting:
            await it
        async with StatusClient(pool) as client:
            await until(lambda: _all_complete(client), 200)
            took = monotonic() - began
            records = await client.jobs(ids)
            groups = [await client.group_status(f"group-{it}") for it in range(0, SHARED, BATCH)]
            logged = [len(await client.logs(job_id)) for job_id in ids[::100]]
    shares = {record.worker for record in records if record}
    print(f"crowd: {SHARED:,} jobs complete, {took:.0f} s, by {len(shares)} of {WORKERS} workers")
    assert all(record and record.status is Status.COMPLETE for record in records)
    assert len(shares) == WORKERS
    assert all(it and it.pct_complete == 100 and it.total == IN_GROUP for it in groups)
    assert set(logged) == {1}


async def _load(pool: ArqRedis) -> None:
    store, now = Store(pool), timestamp_ms()
    for start in range(0, ENDED, BATCH):
        await store.write([_ended("ended", start + it, 86_400_000) for it in range(BATCH)])
    payload = serialize_job("noop", (), {}, None, now)
    for start in range(0, QUEUED, BATCH):
        async with pool.pipeline(transaction=False) as pipe:
            for it in range(start, start + BATCH):
                pipe.psetex(f"arq:job:queued {it}", 86_400_000, payload)
                pipe.zadd("arq:queue", {f"queued {it}": now})
            await pipe.execute()


def _ended(name: str, number: int, expires: int) -> AnyRow:
    """Return an ended job; every other one has a tag and a group, every tenth a log."""
    now, job_id = timestamp_ms(), f"{name} {number}"
    record = StoredRecord(
        enqueued_ms=now, job_try=1, state=State.COMPLETE, function="noop", started=now, updated=now,
        ended=now, expires_after_ms=expires,
    )  # fmt: skip
    if number % 2:
        return CompletedRow(job_id, record.encode(), now, expires)
    record.tags, record.group = (f"{name}:{number % TAGS}",), f"{name}-{number // GROUPED}"
    lines = () if number % 10 else (encode_line(1, now, "info", "begun", 1, None),)
    return Row(job_id, True, record.encode(), {}, lines=lines, log_id="a")


async def _enqueue(pool: ArqRedis, start: int) -> None:
    """Enqueue a batch of jobs once there is room for them; some are in a group."""
    await until(lambda: _has_room(pool), 120)
    first = start + IN_GROUP
    async with StatusClient(pool).group(f"group-{start}") as group:
        jobs = (
            group.enqueue_job(pool, "chatty", _job_id=f"job {number}", _tags=["grouped"])
            for number in range(start, first)
        )
        await asyncio.gather(*jobs)
    await enqueue(pool, "chatty", range(first, start + BATCH))


async def _has_room(pool: ArqRedis) -> bool:
    return bool(await pool.zcard("arq:queue") < SHARED + BATCH)


async def _is_drained(pool: ArqRedis) -> bool:
    return not await pool.zcard("arq:queue")


async def _all_complete(client: StatusClient) -> bool:
    return (await client.counts())[Status.COMPLETE] == SHARED


@asynccontextmanager
async def _process(port: int, *command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {**os.environ, "REDIS_URL": f"redis://127.0.0.1:{port}"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, env=environment,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        await process.wait()


def _worker(port: int, kind: str) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
    return _process(port, "-m", "arq", f"tests.benchmarks.scale_workers.{kind.title()}")


@asynccontextmanager
async def _dashboard(port: int) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    code = f"from arq_status.web import serve; serve('redis://127.0.0.1:{port}', port={port + 1})"
    url = f"http://127.0.0.1:{port + 1}"
    async with _process(port, "-c", code) as process, httpx.AsyncClient() as client:

        async def answers() -> bool:
            try:
                return (await client.get(f"{url}/statuses")).is_success
            except httpx.TransportError:
                return False

        await until(answers, 30)
        yield process, url


def _resident(process: int) -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


PARTS: Mapping[str, Callable[[ArqRedis, int], Awaitable[None]]] = {
    "expiry": expiry,
    "soak": soak,
    "crowd": crowd,
}


async def main(names: list[str]) -> None:
    """Run the named parts, or all of them."""
    for name in names or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            server = Server(Path(folder))
            server.start()
            try:
                pool = await create_pool(RedisSettings(port=server.port))
                await PARTS[name](pool, server.port)
                await pool.aclose()
            finally:
                server.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
