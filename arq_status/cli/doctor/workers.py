"""The tracked workers."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import time

from redis.asyncio import Redis

from arq_status._model.builder import shown_worker
from arq_status._model.durations import format_duration
from arq_status._model.facts import DEAD_AFTER_MS
from arq_status._model.options import FunctionOptions
from arq_status._redis.commands import command
from arq_status._redis.workers import read_workers as announced_workers
from arq_status.cli.doctor.finding import Finding, Level, counted

#: A heartbeat is due every 2 s: a worker that has missed one may be dead.
_OVERDUE_MS = 3_000
_POLL = 0.2
#: A smaller difference between two clocks may be due to the round trip.
_CLOCK_TOLERANCE_MS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A tracked worker."""

    name: str
    #: ms since its last heartbeat; ``None``: it shut down
    silent_ms: int | None
    queue: str | None
    running: int
    #: by how many ms the clock of its host is ahead of Redis' clock
    clock_ahead_ms: int | None = None

    @property
    def alive(self) -> bool:
        """True while it sends heartbeats."""
        return self.silent_ms is not None and self.silent_ms < DEAD_AFTER_MS

    @property
    def shown(self) -> str:
        """Its HOST:PID."""
        return shown_worker(self.name) or self.name

    @property
    def host(self) -> str:
        """The host it runs on."""
        return self.shown.rpartition(":")[0]


async def read_workers(redis: Redis) -> list[Worker]:
    """Read the tracked workers, after waiting for overdue heartbeats.

    Without the wait, a worker that was killed seconds ago would be reported as alive.
    """
    while True:
        workers = await _read_workers(redis)
        if not any(it.alive and (it.silent_ms or 0) > _OVERDUE_MS for it in workers):
            return workers
        await asyncio.sleep(_POLL)


async def _read_workers(redis: Redis) -> list[Worker]:
    now, found = await announced_workers(redis)
    return [
        Worker(
            name=it.name,
            silent_ms=max(0, now - it.beat) if it.beat else None,
            queue=it.queue,
            running=len(it.running),
            clock_ahead_ms=it.clock_ahead_ms,
        )
        for it in found
    ]


async def redis_time(redis: Redis) -> int:
    """Return the time of Redis' clock in ms."""
    seconds, microseconds = await command(redis, "TIME")
    return int(seconds) * 1000 + int(microseconds) // 1000


def check_workers(workers: Sequence[Worker]) -> Iterator[Finding]:
    """Check that workers are alive, and report what dead ones left behind."""
    for worker in workers:
        if worker.alive:
            text = f"{worker.shown} on {worker.queue}, running {counted(worker.running, 'job')}"
            yield Finding(Level.OK, "workers", text)
    for worker in workers:
        if not worker.alive:
            yield _check_dead(worker, workers)
    if not any(worker.alive for worker in workers):
        advice = "decorate its settings with @track_status and start it: arq module.WorkerSettings"
        yield Finding(Level.PROBLEM, "workers", "no tracked worker is alive", advice)


def _check_dead(worker: Worker, workers: Sequence[Worker]) -> Finding:
    if worker.silent_ms is None:
        text = f"{worker.shown} shut down"
    else:
        text = f"{worker.shown} stopped responding {format_duration(worker.silent_ms // 1000)} ago"
    if not worker.running:
        return Finding(Level.NOTE, "workers", text)
    if alive_on(worker.queue, workers):
        advice = "arq runs them again when their in-progress keys expire"
    else:
        advice = f"start a worker for {worker.queue}, then arq runs them again"
    text += f" and left {counted(worker.running, 'job')} behind, now interrupted"
    return Finding(Level.WARNING, "workers", text, advice)


def check_functions(functions: Mapping[str, FunctionOptions]) -> Iterator[Finding]:
    """List the functions that workers announced."""
    for words, track in (("tracked", True), ("not tracked", False)):
        if names := sorted(name for name, it in functions.items() if it.track is track):
            yield Finding(Level.OK, "functions", f"{words}: {', '.join(names)}")


async def read_clock(redis: Redis) -> int:
    """Return by how many ms the clock of this host is ahead of Redis' clock."""
    before = time()
    now = await redis_time(redis)
    return round((before + time()) * 500) - now


def check_clocks(here_ms: int, workers: Sequence[Worker]) -> Iterator[Finding]:
    """Compare the clocks of this host and of the workers' hosts with Redis' clock."""
    ahead = {"this host": here_ms}
    for worker in workers:
        if worker.alive and worker.clock_ahead_ms is not None:
            ahead[f"host {worker.host}"] = worker.clock_ahead_ms
    wrong = {host: ms for host, ms in ahead.items() if abs(ms) > _CLOCK_TOLERANCE_MS}
    for host, ms in wrong.items():
        side = "ahead of" if ms > 0 else "behind"
        difference = format_duration(round(abs(ms) / 1000))
        text = f"the clock of {host} is {difference} {side} the clock of Redis"
        advice = "synchronize it: arq starts deferred jobs and cron jobs by its worker's clock"
        yield Finding(Level.WARNING, "clocks", text, advice)
    if not wrong:
        text = f"{counted(len(ahead), 'host')} and Redis agree"
        yield Finding(Level.OK, "clocks", text)


def alive_on(queue: str | None, workers: Sequence[Worker]) -> list[Worker]:
    """Return the live workers of a queue."""
    return [it for it in workers if it.alive and it.queue == queue]
