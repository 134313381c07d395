"""The queues."""

from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta

from arq.constants import health_check_key_suffix, in_progress_key_prefix
from redis.asyncio import Redis

from arq_status._client.client import StatusClient
from arq_status._model.durations import format_duration
from arq_status._model.insight import QueueRecord
from arq_status._redis import keys
from arq_status._redis.commands import command, pipeline, scan
from arq_status._redis.replies import scored, text
from arq_status.cli.doctor.finding import Finding, Level, counted
from arq_status.cli.doctor.workers import Worker, alive_on, redis_time

#: How many jobs at the front of a queue are checked.
_FRONT = 100
#: Seconds that a job may wait although workers are alive before that is worth a warning.
_UNUSUAL = 60
#: There is no warning either below this multiple of the 95th percentile of this period.
_UNUSUAL_FACTOR, _USUAL_PERIOD = 3, timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A queue."""

    name: str
    jobs: int
    due: int
    #: how many jobs at its front are running
    running: int
    #: for how many seconds the first job that is not running has been due; ``None``: none waits
    waiting: float | None
    #: the 95th percentile of the waits in the last 24 h, in seconds; 0 if it is not known
    wait_p95: float
    #: arq's health check key exists, of any worker; it outlives a killed one by up to an hour
    served: bool
    #: a tracked worker has announced it
    announced: bool


async def announced_queues(redis: Redis) -> list[str]:
    """Read the names of the queues that tracked workers have announced."""
    return [text(it) for it in await command(redis, "ZRANGE", keys.QUEUES, "0", "-1")]


async def read_queues(redis: Redis, client: StatusClient) -> list[Queue]:
    """Read the queues that the client covers."""
    announced = await announced_queues(redis)
    wait_p95: dict[str, float] = {}
    for it in await client.functions(_USUAL_PERIOD):
        if it.wait_p95 is not None:
            wait_p95[it.queue] = max(wait_p95.get(it.queue, 0), it.wait_p95.total_seconds())
    return [
        await _read_queue(redis, it, it.name in announced, wait_p95.get(it.name, 0))
        for it in await client.queues()
    ]


async def _read_queue(redis: Redis, record: QueueRecord, announced: bool, wait_p95: float) -> Queue:
    name = record.name
    now = await redis_time(redis)
    front = ("ZRANGEBYSCORE", name, "-inf", str(now), "WITHSCORES", "LIMIT", "0", str(_FRONT))
    counts = [("ZCARD", name), ("ZCOUNT", name, "-inf", str(now))]
    health = ("EXISTS", name + health_check_key_suffix)
    jobs, due, first, served = await pipeline(redis, [*counts, front, health])
    found = scored(first or [])
    running = await pipeline(
        redis, [("EXISTS", in_progress_key_prefix + job_id) for job_id, _ in found]
    )
    return Queue(
        name=name,
        jobs=jobs or 0,
        due=due or 0,
        running=sum(running),
        waiting=record.latency.total_seconds() if record.oldest_due_at is not None else None,
        wait_p95=wait_p95,
        served=bool(served),
        announced=announced,
    )


def check_queues(queues: Sequence[Queue], workers: Sequence[Worker]) -> Iterator[Finding]:
    """Check that workers take the jobs of each queue in time."""
    for queue in queues:
        words = f"{queue.name}: {counted(queue.jobs, 'job')}, {queue.due} due"
        level, more, advice = _judge(queue, workers)
        yield Finding(level, "queues", words + more, advice)


def _judge(queue: Queue, workers: Sequence[Worker]) -> tuple[Level, str, str | None]:
    alive = alive_on(queue.name, workers)
    if not alive:
        return _judge_without_workers(queue, workers)
    if queue.waiting is None or queue.waiting < max(_UNUSUAL, _UNUSUAL_FACTOR * queue.wait_p95):
        return Level.OK, "", None
    usually = (
        f"; the 95th percentile of the last 24 h is {format_duration(queue.wait_p95)}"
        if queue.wait_p95
        else ""
    )
    return (
        Level.WARNING,
        f", the first has waited for {_seconds(queue.waiting)} with"
        f" {counted(len(alive), 'worker')} alive{usually}",
        "its jobs take long or hang (see arq-status list --status working): start more workers, or"
        " raise max_jobs",
    )


def _judge_without_workers(
    queue: Queue, workers: Sequence[Worker]
) -> tuple[Level, str, str | None]:
    start = f"start a worker with queue_name={queue.name!r}"
    waiting = queue.waiting or 0
    dead = [it for it in workers if it.queue == queue.name and it.silent_ms is not None]
    if dead:
        last = min(dead, key=lambda it: it.silent_ms or 0)
        silent = _seconds((last.silent_ms or 0) / 1000)
        more = f"; its last tracked worker, {last.shown}, stopped responding {silent} ago"
        return Level.PROBLEM, more, start
    if queue.announced and queue.served:
        more = "; its tracked workers are gone, and the last one did not shut down cleanly"
        return Level.PROBLEM, more, start
    if queue.waiting is not None and (
        not queue.served or (waiting >= _UNUSUAL and not queue.running)
    ):
        more = f", the first for {_seconds(waiting)}, and no worker takes them"
        return Level.PROBLEM, more, start
    if queue.served:
        more = "; an untracked worker takes them, or did within the last hour"
        return Level.WARNING, more, "decorate its settings with @track_status"
    return Level.OK, "", None


def _seconds(seconds: float) -> str:
    return format_duration(int(seconds))


async def queue_of(redis: Redis, job_id: str) -> str | None:
    """Return the queue that holds a job, searching a limited number of keys."""
    async with aclosing(scan(redis, "TYPE", "zset")) as batches:
        async for found, _ in batches:
            names = [key for key in found if not key.startswith(keys.PREFIX)]
            scores = await pipeline(redis, [("ZSCORE", name, job_id) for name in names])
            for name, score in zip(names, scores, strict=True):
                if score is not None:
                    return name
    return None
