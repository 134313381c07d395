"""Writes jobs directly into Redis, for tests that need no worker."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from arq.constants import default_queue_name
from arq.jobs import serialize_job, serialize_result
from arq.utils import timestamp_ms
from redis.asyncio import Redis

from arq_status._model.options import FunctionOptions
from arq_status._model.record import State, StoredRecord
from arq_status._model.tally import Tally
from arq_status._redis import keys
from arq_status._redis.batch import Row
from arq_status._redis.scripts import assembled
from arq_status._redis.store import Store
from arq_status._redis.tallies import encode_tally

#: Our keys that stay when no job is left: what workers announce about themselves.
ANNOUNCED = ("workers", "functions", "functions:seen", "announced", "queues", "counted", "crons")
#: Prefixes of our keys about workers and functions, not jobs.
NOT_OF_JOBS = ("worker:", "about:", "batch:", "minutes:", "hours:", "totals:")
HOUR = 3_600_000


async def write_record(
    redis: Redis,
    job_id: str,
    state: State = State.WORKING,
    *,
    first: bool = True,
    fields: Mapping[str, Any] | None = None,
    **values: Any,
) -> StoredRecord:
    """Write a record as a worker would; by default of a job that started now."""
    run = values.pop("run", None) or values.get("ended") or timestamp_ms()
    values.setdefault("started", run)
    values.setdefault("updated", values.get("ended") or run)
    track = StoredRecord(
        enqueued_ms=run, state=state, **{"job_try": 1, "version": 1, "function": "f", **values}
    )
    if track.worker is not None:
        # a worker without a heartbeat
        await redis.zadd(keys.WORKERS, {track.worker: 0}, nx=True)
    encoded = {name: json.dumps(value) for name, value in (fields or {}).items()}
    await Store(redis).write([Row(job_id, first, track.encode(), encoded)])
    return track


async def write_end(
    redis: Redis, job_id: str, state: State = State.COMPLETE, **values: Any
) -> StoredRecord:
    """Write the record of an ended job; by default it ended now."""
    return await write_record(redis, job_id, state, **{"ended": timestamp_ms(), **values})


async def put_job(
    redis: Redis,
    job_id: str,
    *args: Any,
    function: str = "f",
    enqueued: int | None = None,
    due: int | None = None,
    queue: str = default_queue_name,
) -> int:
    """Put a job into its queue as arq does; return its enqueue time."""
    enqueued = enqueued or timestamp_ms()
    await redis.psetex(
        f"arq:job:{job_id}", 24 * HOUR, serialize_job(function, args, {}, None, enqueued)
    )
    await redis.zadd(queue, {job_id: due or enqueued})
    return enqueued


async def put_result(
    redis: Redis,
    job_id: str,
    outcome: Any = None,
    *,
    success: bool = True,
    enqueued: int | None = None,
    finished: int | None = None,
    function: str = "f",
    keep_ms: int = HOUR,
) -> int:
    """Store a result as arq does; return the enqueue time of its job."""
    finished = finished or timestamp_ms()
    enqueued = enqueued or finished
    raw = serialize_result(
        function,
        (1,),
        {},
        1,
        enqueued,
        success,
        outcome,
        enqueued,
        finished,
        "",
        "arq:queue",
        job_id,
    )
    assert raw is not None
    await redis.psetex(f"arq:result:{job_id}", keep_ms, raw)
    return enqueued


async def begin(redis: Redis, job_id: str) -> None:
    """Do what arq does when it starts a try."""
    await redis.psetex(f"arq:in-progress:{job_id}", HOUR, b"1")
    await redis.incr(f"arq:retry:{job_id}")


async def beat(
    redis: Redis, worker: str, functions: Mapping[str, FunctionOptions] | None = None
) -> None:
    """Send a heartbeat of a worker."""
    await Store(redis).beat(worker, default_queue_name, HOUR, functions or {})


async def write_running(redis: Redis, job_id: str, **values: Any) -> None:
    """Write what arq and a live worker write for a running job."""
    run = await put_job(redis, job_id)
    await begin(redis, job_id)
    await beat(redis, "host:7:x")
    await write_record(redis, job_id, run=run, worker="host:7:x", **values)


async def count_at(redis: Any, now: int, name: str, tally: Tally) -> None:
    """Add to the counts of a function at the time ``now``."""
    batch = json.dumps([encode_tally(name, tally, None)])
    assert await redis.eval(_count_at_source(), 0, "worker", now, batch, now) == now


@cache
def _count_at_source() -> str:
    return assembled("count").replace("local now = now_ms()", "local now = tonumber(ARGV[4])")


async def own_keys(redis: Redis) -> set[str]:
    """Return our keys, without their prefix and without what workers announce."""
    keys = [key.decode() for key in await redis.keys("arqstatus:*")]
    names = {key.replace("arqstatus:1/", "job:").removeprefix("arqstatus:1:") for key in keys}
    return {it for it in names if it not in ANNOUNCED and not it.startswith(NOT_OF_JOBS)}


def own_key(name: str) -> str:
    """Return the Redis key for a name in ``own_keys``."""
    if name.startswith("job:"):
        return name.replace("job:", "arqstatus:1/", 1)
    return f"arqstatus:1:{name}"


async def calls(redis: Redis) -> dict[str, int]:
    """Return how often each command was called since ``CONFIG RESETSTAT``."""
    stats = await redis.info("commandstats")
    return {name.removeprefix("cmdstat_"): value["calls"] for name, value in stats.items()}


async def put_sample_jobs(redis: Redis) -> None:
    """Write jobs of several kinds: three ended and three waiting ones."""
    now = timestamp_ms()
    await write_end(
        redis, "done", at=40, total=50, message="Importing", run=now - 9_000, started=now - 8_000,
        ended=now, args="'rows.csv'", fields={"vino": "veritas"}, function="import_rows",
    )  # fmt: skip
    await write_end(redis, "broken", State.FAILED, at=34, error="ValueError: no vino\nnone at all")
    await write_end(redis, "halted", State.STOPPED, error="stopped")
    await put_job(redis, "soon", "x", function="resize")
    await put_job(redis, "later", function="resize", due=now + 5 * HOUR)
    run = await put_job(redis, "retried", function="again", due=now + HOUR)
    await write_record(redis, "retried", State.RETRYING, run=run, message="so far")
