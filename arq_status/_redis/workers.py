"""Descriptions of workers, and the last jobs of their cron jobs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from arq.cron import CronJob
from redis.asyncio import Redis

from arq_status._arq.schedule import schedule_of
from arq_status._model.record import LAST_MS
from arq_status._model.text import clean
from arq_status._redis import keys
from arq_status._redis.commands import command, pipeline
from arq_status._redis.replies import pairs, scored, text

#: Maximum number of workers to return, the most recently seen, and of jobs of each.
_MOST_WORKERS, _MOST_JOBS = 1_000, 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnouncedCron:
    """A cron job as announced by a worker."""

    name: str
    function: str
    schedule: str
    #: when it will be enqueued next, according to its worker's clock
    next_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnouncedWorker:
    """A worker as announced by itself; unknown values are ``None``."""

    name: str
    #: its last heartbeat; 0 once it has shut down
    beat: int
    queue: str | None
    started_ms: int | None
    max_jobs: int | None
    functions: Sequence[str]
    cron_jobs: Sequence[AnnouncedCron]
    #: by how many ms the clock of its host is ahead of Redis' clock
    clock_ahead_ms: int | None
    #: jobs that it runs, or ran when it died
    running: Sequence[str]


def encode_details(
    *, started_ms: int, max_jobs: int, functions: Sequence[str], cron_jobs: Sequence[CronJob]
) -> str:
    """Encode the part of a worker's description that rarely changes as JSON."""
    return json.dumps(
        {
            "started": started_ms,
            "max_jobs": max_jobs,
            "functions": functions,
            "crons": [
                {
                    "name": it.name,
                    "function": getattr(it.coroutine, "__qualname__", it.name),
                    "schedule": schedule_of(it),
                    "next": _ms(it.next_run),
                }
                for it in cron_jobs
            ],
        }
    )


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1000)


async def read_workers(redis: Redis) -> tuple[int, list[AnnouncedWorker]]:
    """Return Redis' time in ms and the known workers, alive or dead."""
    last = str(_MOST_WORKERS - 1)
    time, found = await pipeline(
        redis, [("TIME",), ("ZREVRANGE", keys.WORKERS, "0", last, "WITHSCORES")]
    )
    beats = scored(found or [])
    names = [name for name, _ in beats]
    descriptions = await pipeline(
        redis,
        [("GET", prefix + name) for prefix in (keys.WORKER, keys.WORKER_DETAILS) for name in names],
    )
    jobs = await pipeline(
        redis, [("ZRANGE", keys.RUNNING + it, "0", str(_MOST_JOBS - 1)) for it in names]
    )
    described, details = descriptions[: len(names)], descriptions[len(names) :]
    workers = [
        _worker(name, beat, _fields(first), _fields(second), ids or [])
        for (name, beat), first, second, ids in zip(beats, described, details, jobs, strict=True)
    ]
    return int(time[0]) * 1000 + int(time[1]) // 1000, workers


def _worker(
    name: str,
    beat: int,
    described: Mapping[str, Any],
    details: Mapping[str, Any],
    job_ids: Sequence[bytes],
) -> AnnouncedWorker:
    wall_ms = _integer(described.get("wall_ms"))
    return AnnouncedWorker(
        name=name,
        beat=beat,
        queue=_text(described.get("queue")),
        started_ms=_integer(details.get("started")),
        max_jobs=_integer(details.get("max_jobs")),
        functions=[clean(it) for it in _list(details.get("functions")) if isinstance(it, str)],
        cron_jobs=[_cron(it) for it in _list(details.get("crons")) if isinstance(it, dict)],
        clock_ahead_ms=None if wall_ms is None or not beat else wall_ms - beat,
        running=[text(it) for it in job_ids],
    )


def _cron(fields: Mapping[str, Any]) -> AnnouncedCron:
    return AnnouncedCron(
        name=_text(fields.get("name")) or "",
        function=_text(fields.get("function")) or "",
        schedule=_text(fields.get("schedule")) or "",
        next_ms=_integer(fields.get("next")),
    )


@dataclass(frozen=True, slots=True)
class LastJob:
    """The last job of a cron job, as recorded by its worker."""

    job_id: str
    state: str
    ended_ms: int | None
    elapsed_ms: int | None


async def read_last_jobs(redis: Redis) -> dict[str, LastJob]:
    """Return the last job of each cron job, by queue and name."""
    found = pairs(await command(redis, "HGETALL", keys.LAST_CRON_JOBS))
    return {text(name): job for name, raw in found.items() if (job := _last_job(raw))}


def _last_job(raw: bytes) -> LastJob | None:
    try:
        job_id, state, ended_ms, elapsed_ms = json.loads(raw)
    except (ValueError, TypeError, RecursionError):
        return None
    return LastJob(clean(str(job_id)), str(state), _integer(ended_ms), _integer(elapsed_ms))


def _fields(raw: bytes | None) -> Mapping[str, Any]:
    try:
        fields = json.loads(raw or b"")
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _integer(value: object) -> int | None:
    return value if type(value) is int and abs(value) < LAST_MS else None


def _text(value: object) -> str | None:
    return clean(value) if isinstance(value, str) else None


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
