"""What ``doctor`` reads: the server, workers, queues, and some of the keys."""

import json
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from arq.constants import default_queue_name, health_check_key_suffix
from redis.asyncio import Redis

from arq_status._model.facts import DEAD_AFTER_MS
from arq_status._model.options import FunctionOptions
from arq_status._redis import keys
from arq_status._redis.announcements import announced_in
from arq_status.cli.doctor.sample import Sample, take_sample
from arq_status.cli.raw import command, pipeline, scored, some_keys, text

#: Workers that are looked at, the latest.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """All of it."""

    workers: list[Worker]
    queues: list[Queue]
    #: what tracked workers announced
    functions: Mapping[str, FunctionOptions]
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
    announced = [text(it) for it in await command(redis, "SMEMBERS", keys.QUEUES)]
    names = list(dict.fromkeys(queues or [default_queue_name, *sorted(announced)]))
    functions = await command(redis, "HGETALL", keys.FUNCTIONS)
    return Examination(
        workers=await _workers(redis, now),
        queues=await _queues(redis, names, now),
        functions=announced_in(functions).functions,
        sample=await take_sample(redis, names),
    )


async def queue_of(redis: Redis, job_id: str) -> str | None:
    """The queue that holds a job, wherever that is; not all keys may be looked at."""
    async with aclosing(some_keys(redis, "zset")) as rounds:
        async for found, _ in rounds:
            names = [key for key in found if not key.startswith(keys.PREFIX)]
            scores = await pipeline(redis, [("ZSCORE", name, job_id) for name in names])
            for name, score in zip(names, scores, strict=True):
                if score is not None:
                    return name
    return None


async def _workers(redis: Redis, now: int) -> list[Worker]:
    found = await command(redis, "ZREVRANGE", keys.WORKERS, "0", str(_WORKERS - 1), "WITHSCORES")
    beats = [(text(name), float(beat)) for name, beat in scored(found)]
    described = await pipeline(redis, [("GET", keys.WORKER + name) for name, _ in beats])
    running = await pipeline(redis, [("ZCARD", keys.RUNNING + name) for name, _ in beats])
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
        jobs, due, oldest, health = await pipeline(
            redis,
            [
                ("ZCARD", name),
                ("ZCOUNT", name, "-inf", str(now)),
                ("ZRANGE", name, "0", "0", "WITHSCORES"),
                ("EXISTS", name + health_check_key_suffix),
            ],
        )
        waits = max((0.0, *((now - float(due_at)) / 1000 for _, due_at in scored(oldest or []))))
        found.append(
            Queue(name=name, jobs=jobs or 0, due=due or 0, oldest=waits, served=bool(health))
        )
    return found


async def _now(redis: Redis) -> int:
    seconds, microseconds = await command(redis, "TIME")
    return int(seconds) * 1000 + int(microseconds) // 1000
