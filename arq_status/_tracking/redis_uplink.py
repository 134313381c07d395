"""The way from a worker's jobs to Redis."""

from collections.abc import Mapping
from functools import partial

from redis.asyncio import Redis

from arq_status._arq.worker import ArqWorker
from arq_status._model.options import FunctionOptions
from arq_status._redis.connection import close, for_background
from arq_status._redis.store import Store
from arq_status._tracking.attempts import Attempts
from arq_status._tracking.heartbeat import Heartbeat
from arq_status._tracking.outbox import Outbox
from arq_status._tracking.writer import Writer

#: Seconds that a worker's start waits for Redis at most.
_START_PATIENCE = 1.0


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
        self.drain = self._writer.drain
        self.record = store.record
        self.field = store.field
        self.options = partial(store.options, worker.queue)

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
