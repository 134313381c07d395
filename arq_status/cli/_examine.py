"""What ``doctor`` reads: the server, workers, queues, and a sample of the keys."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from arq.constants import (
    default_queue_name,
    health_check_key_suffix,
    job_key_prefix,
    result_key_prefix,
)
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from arq_status import _keys
from arq_status._keys import DEAD_AFTER_MS
from arq_status._options import FunctionOptions
from arq_status._track import State, Track

#: Rounds of SCAN, keys in a round, and keys of a kind that are looked at closely.
_ROUNDS, _KEYS_A_ROUND, _SAMPLE = 50, 1_000, 200
_WORKERS = 100
#: The first versions that know all commands that we use.
_OLDEST = {"Redis": (6, 2), "Valkey": (7, 2)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The server."""

    name: str
    version: str
    clustered: bool
    replica: bool
    maxmemory: int
    policy: str
    #: the other databases that have keys
    databases: list[str]

    @property
    def suits(self) -> bool:
        """Whether it knows the commands that we use."""
        numbers = tuple(int(part) for part in self.version.split(".") if part.isdigit())
        return numbers >= _OLDEST[self.name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A tracked worker."""

    name: str
    alive: bool
    #: seconds since its last sign of life; ``None`` after a farewell
    silent: float | None
    queue: str | None
    running: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A queue that is looked into."""

    name: str
    jobs: int
    due: int
    #: seconds since the job that is due for longest became so
    oldest: float
    #: arq's own health check, which tells of any worker
    served: bool


@dataclass(slots=True)
class Sample:
    """What stood out among the keys that were looked at; ids of jobs."""

    jobs: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    records: list[str] = field(default_factory=list)
    #: all keys were looked at
    whole: bool = False
    #: in no queue that is known
    nowhere: list[str] = field(default_factory=list)
    #: arq's result, and no record
    unrecorded: list[str] = field(default_factory=list)
    #: a record without an end of a job that is not live
    over: list[str] = field(default_factory=list)
    #: an ended job's record that never expires, a live one's that does, and one nobody can read
    undying: list[str] = field(default_factory=list)
    dying: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """All of it."""

    workers: list[Worker]
    queues: list[Queue]
    #: what tracked workers announced
    functions: dict[str, FunctionOptions]
    sample: Sample

    def alive_on(self, queue: str | None) -> list[Worker]:
        """The living workers of a queue."""
        return [it for it in self.workers if it.alive and it.queue == queue]


async def examine_server(redis: Redis) -> Server:
    """Look at the server."""
    info: dict[str, Any] = await redis.info()
    valkey = info.get("valkey_version")
    database = redis.connection_pool.connection_kwargs.get("db") or 0
    return Server(
        name="Valkey" if valkey else "Redis",
        version=str(valkey or info.get("redis_version", "?")),
        clustered=info.get("redis_mode") == "cluster" or info.get("cluster_enabled") == 1,
        replica=info.get("role") == "slave",
        maxmemory=int(info.get("maxmemory", 0)),
        policy=str(info.get("maxmemory_policy", "noeviction")),
        databases=[  # INFO has "db0", "db1" ...
            name[2:]
            for name in info
            if name.startswith("db") and name[2:].isdigit() and name[2:] != str(database)
        ],
    )


async def examine(redis: Redis, queues: Sequence[str] | None) -> Examination:
    """Look at workers, queues and keys, at no more than a bounded number of them."""
    now = await _now(redis)
    announced = [_text(it) for it in await _command(redis, "SMEMBERS", _keys.QUEUES)]
    names = list(dict.fromkeys(queues or [default_queue_name, *sorted(announced)]))
    functions = await _command(redis, "HGETALL", _keys.FUNCTIONS)
    return Examination(
        workers=await _workers(redis, now),
        queues=await _queues(redis, names, now),
        functions={_text(it): FunctionOptions.decode(raw) for it, raw in functions.items()},
        sample=await _sample(redis, names),
    )


async def queue_of(redis: Redis, job_id: str) -> str | None:
    """The queue that holds a job, wherever that is; not all keys may be looked at."""
    cursor = 0
    for _ in range(_ROUNDS):
        cursor, keys = await redis.scan(cursor, count=_KEYS_A_ROUND, _type="zset")
        names = [name for it in keys if not (name := _text(it)).startswith(_keys.PREFIX)]
        scores = await _pipeline(redis, [("ZSCORE", name, job_id) for name in names])
        for name, score in zip(names, scores, strict=True):
            if score is not None:
                return name
        if cursor == 0:
            break
    return None


async def _workers(redis: Redis, now: int) -> list[Worker]:
    found = await _command(redis, "ZREVRANGE", _keys.WORKERS, "0", str(_WORKERS - 1), "WITHSCORES")
    beats = [(_text(name), float(beat)) for name, beat in _scored(found)]
    described = await _pipeline(redis, [("GET", _keys.WORKER + name) for name, _ in beats])
    running = await _pipeline(redis, [("ZCARD", _keys.RUNNING + name) for name, _ in beats])
    return [
        Worker(
            name=name,
            alive=now - beat < DEAD_AFTER_MS,
            silent=(now - beat) / 1000 if beat else None,
            queue=_queue_in(description),
            running=jobs or 0,
        )
        for (name, beat), description, jobs in zip(beats, described, running, strict=True)
    ]


def _queue_in(description: bytes | None) -> str | None:
    try:
        return str(json.loads(description or b"")["queue"])
    except (ValueError, LookupError, TypeError):
        return None


async def _queues(redis: Redis, names: Sequence[str], now: int) -> list[Queue]:
    found = []
    for name in names:
        jobs, due, oldest, health = await _pipeline(
            redis,
            [
                ("ZCARD", name),
                ("ZCOUNT", name, "-inf", str(now)),
                ("ZRANGE", name, "0", "0", "WITHSCORES"),
                ("EXISTS", name + health_check_key_suffix),
            ],
        )
        waits = max((0.0, *((now - float(due_at)) / 1000 for _, due_at in _scored(oldest or []))))
        found.append(
            Queue(name=name, jobs=jobs or 0, due=due or 0, oldest=waits, served=bool(health))
        )
    return found


async def _sample(redis: Redis, queues: Sequence[str]) -> Sample:
    sample = Sample()
    kinds = {
        job_key_prefix: sample.jobs,
        result_key_prefix: sample.results,
        _keys.TRACK: sample.records,
    }
    cursor = 0
    for _ in range(_ROUNDS):
        cursor, keys = await redis.scan(cursor, count=_KEYS_A_ROUND)
        for key in map(_text, keys):
            for prefix, ids in kinds.items():
                if key.startswith(prefix) and len(ids) < _SAMPLE:
                    ids.append(key.removeprefix(prefix))
        if cursor == 0:
            sample.whole = all(len(ids) < _SAMPLE for ids in kinds.values())
            break
    await _look_at_jobs(redis, sample, queues)
    await look_at_records(redis, sample, queues)
    return sample


async def _look_at_jobs(redis: Redis, sample: Sample, queues: Sequence[str]) -> None:
    queued = await _are_queued(redis, sample.jobs, queues)
    sample.nowhere = [it for it in sample.jobs if it not in queued]
    recorded = await _pipeline(redis, [("EXISTS", _keys.TRACK + it) for it in sample.results])
    sample.unrecorded = [
        it for it, there in zip(sample.results, recorded, strict=True) if not there
    ]


async def look_at_records(redis: Redis, sample: Sample, queues: Sequence[str]) -> None:
    """Find what stands out among the records of a sample."""
    records = sample.records
    tracks = await _pipeline(redis, [("GET", _keys.TRACK + it) for it in records])
    lives = await _pipeline(redis, [("PTTL", _keys.TRACK + it) for it in records])
    payloads = await _pipeline(redis, [("EXISTS", job_key_prefix + it) for it in records])
    queued = await _are_queued(redis, records, queues)
    for job_id, raw, left, payload in zip(records, tracks, lives, payloads, strict=True):
        track = Track.decode(raw) if raw else None
        if left == -2:
            continue  # gone since
        if track is None:
            sample.damaged.append(job_id)
        elif track.state is State.DELETED or track.ended is not None:
            sample.undying += [job_id] if left == -1 else []
        else:
            sample.dying += [job_id] if left >= 0 else []
            sample.over += [] if payload or job_id in queued else [job_id]


async def _are_queued(redis: Redis, job_ids: Sequence[str], queues: Sequence[str]) -> set[str]:
    pairs = [(queue, job_id) for job_id in job_ids for queue in queues]
    scores = await _pipeline(redis, [("ZSCORE", *pair) for pair in pairs])
    return {job_id for (_, job_id), score in zip(pairs, scores, strict=True) if score is not None}


async def _now(redis: Redis) -> int:
    seconds, microseconds = await _command(redis, "TIME")
    return int(seconds) * 1000 + int(microseconds) // 1000


async def _command(redis: Any, *parts: str) -> Any:
    return await redis.execute_command(*parts, NEVER_DECODE=True)


async def _pipeline(redis: Any, commands: Iterable[Sequence[str]]) -> list[Any]:
    async with redis.pipeline(transaction=False) as pipeline:
        for parts in commands:
            pipeline.execute_command(*parts, NEVER_DECODE=True)
        answers = await pipeline.execute(raise_on_error=False)
    # a key of the wrong type holds nothing
    return [None if isinstance(answer, ResponseError) else answer for answer in answers]


def _scored(answer: Sequence[Any]) -> list[tuple[bytes, bytes | float]]:
    """Members and scores; RESP3 has them in pairs."""
    if answer and isinstance(answer[0], list | tuple):
        return [(member, score) for member, score in answer]
    return list(zip(answer[::2], answer[1::2], strict=True))


def _text(raw: bytes | str) -> str:
    return raw if isinstance(raw, str) else raw.decode(errors="replace")
