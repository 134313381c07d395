"""What carries the reports of a worker's jobs to where readers find them."""

from collections.abc import Mapping
from typing import Protocol

from redis.asyncio import Redis

from arq_status._arq_worker import ArqWorker
from arq_status._attempts import Attempts
from arq_status._connection import close, for_background
from arq_status._heartbeat import Heartbeat
from arq_status._options import FunctionOptions
from arq_status._run import Outbox, Run
from arq_status._store import Store
from arq_status._track import Track
from arq_status._writer import PATIENCE, Writer

#: Seconds that a worker's start waits for Redis at most.
_START_PATIENCE = 1.0


class Uplink(Protocol):
    """What a session and its trackers report through."""

    @property
    def idle(self) -> bool:
        """Whether a write would go out at once, and not with a later batch."""

    async def open(self) -> None:
        """Announce the worker, without waiting long for it."""

    async def close(self) -> None:
        """Write what is pending and take leave."""

    async def flush(self, run: Run, patience: float = PATIENCE) -> None:
        """Have a run written now and wait for it, though not for ever."""

    async def track(self, job_id: str) -> Track | None:
        """The tracking record of a job."""

    async def field(self, job_id: str, name: str) -> bytes | None:
        """A stored field of a job, encoded."""

    async def options(self, function: str) -> FunctionOptions | None:
        """What a worker has announced of a function."""


class RedisUplink:
    """A writer, a heartbeat, and connections that they take from no job."""

    def __init__(
        self,
        redis: Redis,
        name: str,
        worker: ArqWorker,
        options: Mapping[str, FunctionOptions],
        outbox: Outbox,
        attempts: Attempts,
    ) -> None:
        self._redis = for_background(redis)
        store = Store(self._redis)
        self._writer = Writer(store, outbox)
        self._heartbeat = Heartbeat(
            redis,
            name,
            worker.queue,
            worker.in_progress_ms,
            options,
            self._writer,
            outbox,
            attempts,
        )
        self.flush = self._writer.flush
        self.track = store.track
        self.field = store.field
        self.options = store.options

    @property
    def idle(self) -> bool:
        """Whether a write would go out at once, and not with the next tick's batch."""
        return self._writer.idle

    async def open(self) -> None:
        """Announce the worker."""
        self._heartbeat.start()
        await self._heartbeat.wait_announced(_START_PATIENCE)

    async def close(self) -> None:
        """Write what is pending and take leave."""
        await self._writer.close()
        await self._heartbeat.stop()
        await close(self._redis)
