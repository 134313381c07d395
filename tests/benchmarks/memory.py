"""P6: the memory of an ended job in Redis."""

import asyncio
from typing import Any
from uuid import uuid4

from arq.connections import ArqRedis, RedisSettings
from arq.constants import job_key_prefix
from arq.utils import timestamp_ms
from arq.worker import create_worker

from arq_status import track_status
from arq_status._model.record import State, StoredRecord
from arq_status._redis import keys
from arq_status._redis.batch import Row
from arq_status._redis.store import Store
from tests.benchmarks.measuring import Result

JOBS, FAILED = 100_000, 5_000
BATCH = 250
#: Seconds in which Redis frees the memory that it needed for growing its tables.
SETTLING = 2


async def measure(pool: ArqRedis) -> list[Result]:
    """Measure a usual record, one with long message and arguments, and a failed job."""
    return [
        await _taken(pool, "an ended job", "1, 'abc'", None, 410),
        await _taken(
            pool, "with 100 characters of message and of arguments", "x" * 100, "m" * 100, 650
        ),
        await _failed(pool),
    ]


async def _taken(pool: ArqRedis, what: str, args: str, message: str | None, aim: int) -> Result:
    await pool.flushdb()
    before = await _used(pool)
    store, now = Store(pool), timestamp_ms()
    for _ in range(JOBS // BATCH):
        await store.write([_row(now, args, message) for _ in range(BATCH)])
    await asyncio.sleep(SETTLING)
    taken = (await _used(pool) - before) / JOBS
    index = await pool.memory_usage(f"{keys.ENDED}complete:1800000", samples=0) or 0
    await pool.flushdb()
    detail = f"of it {index / JOBS:.0f} in the index"
    return Result("P6", f"{what}, bytes", taken, None, f"<= {aim}", taken <= aim, detail)


async def _failed(pool: ArqRedis) -> Result:
    """Measure real failed jobs, with their tracebacks and copies of arq's payload."""
    await pool.flushdb()
    ids = [uuid4().hex for _ in range(FAILED)]
    for start in range(0, FAILED, BATCH):
        await asyncio.gather(
            *(pool.enqueue_job("fail", 1, "abc", _job_id=it) for it in ids[start : start + BATCH])
        )
    before = await _used(pool)
    payloads = sum([await pool.memory_usage(job_key_prefix + job_id) or 0 for job_id in ids])
    worker = create_worker(
        track_status({"functions": [fail]}),
        redis_settings=RedisSettings(port=pool.connection_pool.connection_kwargs["port"]),
        burst=True, keep_result=0, max_jobs=100, poll_delay=0.01, handle_signals=False,
    )  # fmt: skip
    await worker.async_run()
    await worker.close()
    await asyncio.sleep(SETTLING)
    taken = (await _used(pool) - before + payloads) / FAILED
    await pool.flushdb()
    what = "a failed job with its traceback and payload, bytes"
    return Result("P6", what, taken, None, "none", True, f"{payloads / FAILED:.0f} in the payload")


async def fail(ctx: dict[str, Any], number: int, text: str) -> None:
    """Fail like a typical job."""
    raise ValueError(f"row {number} has no name, but {text!r}")


def _row(now: int, args: str, message: str | None) -> Row:
    track = StoredRecord(
        enqueued_ms=now, job_try=1, version=2, state=State.COMPLETE, function="import_rows",
        args=args,
        started=now + 12, updated=now + 1_234, ended=now + 1_234, message=message,
        worker="worker-7:4711:kJ3d",
    )  # fmt: skip
    return Row(uuid4().hex, True, track.encode(), {})


async def _used(pool: ArqRedis) -> int:
    return int((await pool.info("memory"))["used_memory"])
