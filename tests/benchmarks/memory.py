"""P6: what an ended job takes in Redis."""

import asyncio
from uuid import uuid4

from arq.connections import ArqRedis
from arq.utils import timestamp_ms

from arq_status._model.record import State, StoredRecord
from arq_status._redis import keys
from arq_status._redis.batch import Row
from arq_status._redis.store import Store
from tests.benchmarks.measuring import Result

JOBS = 100_000
BATCH = 250
#: Seconds in which Redis gives back what it took while its tables grew.
SETTLING = 2


async def measure(pool: ArqRedis) -> list[Result]:
    """A usual record, and one with a long message and long arguments."""
    return [
        await _taken(pool, "an ended job", "1, 'abc'", None, 420),
        await _taken(
            pool, "with 100 characters of message and of arguments", "x" * 100, "m" * 100, 700
        ),
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
