"""What connects the jobs of a worker to Redis."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from redis.asyncio import Redis

from arq_status._arq.worker import ArqWorker
from arq_status._model.options import FunctionOptions
from arq_status._model.record import StoredRecord
from arq_status._redis.connection import CONNECTION_ERRORS, background_client, close
from arq_status._redis.store import Store
from arq_status._tracking.attempt import Attempt
from arq_status._tracking.attempts import Attempts
from arq_status._tracking.counters import Counters
from arq_status._tracking.heartbeat import Heartbeat
from arq_status._tracking.outbox import Outbox
from arq_status._tracking.permissions import PermissionLog
from arq_status._tracking.writer import FLUSH_TIMEOUT, Writer

#: The most seconds that a worker's start waits for Redis.
_OPEN_TIMEOUT = 1.0


class Uplink:
    """A writer and a heartbeat with their own connections: they use none of the jobs' pool."""

    def __init__(
        self,
        redis: Redis,
        name: str,
        worker: ArqWorker,
        options: Mapping[str, FunctionOptions],
        outbox: Outbox,
        attempts: Attempts,
        counters: Counters,
    ) -> None:
        self._queue = worker.queue
        self._redis = background_client(redis)
        self._store = Store(self._redis, clock=outbox.clock)
        permissions = PermissionLog()
        self._writer = Writer(self._store, outbox, permissions)
        self._heartbeat = Heartbeat(
            redis,
            name,
            worker,
            options,
            self._writer.delivery.give_back_unanswered,
            outbox,
            attempts,
            counters,
            permissions,
        )

    @property
    def lost(self) -> bool:
        """True if the worker was deregistered because its event loop had ended."""
        return self._heartbeat.lost

    async def open(self) -> None:
        """Announce the worker, and connect to Redis already, so that no job waits for that."""
        self._heartbeat.start()
        await asyncio.gather(self._connect(), self._heartbeat.wait_announced(_OPEN_TIMEOUT))

    async def _connect(self) -> None:
        with suppress(*CONNECTION_ERRORS):
            async with asyncio.timeout(_OPEN_TIMEOUT):
                await self._redis.ping()

    async def close(self) -> None:
        """Write what is pending and deregister the worker."""
        await self._writer.close()
        await self._heartbeat.stop()
        await close(self._redis)

    async def flush(self, attempt: Attempt, timeout: float = FLUSH_TIMEOUT) -> None:
        """Write an attempt now and wait for it, for at most ``timeout`` s."""
        await self._writer.flush(attempt, timeout)

    async def drain(self) -> None:
        """Write everything urgent now and wait for it, for a limited time."""
        await self._writer.drain()

    async def stored_record(self, job_id: str) -> StoredRecord | None:
        """Return the stored record of a job."""
        return await self._store.stored_record(job_id)

    async def field(self, job_id: str, name: str) -> bytes | None:
        """Return a stored field of a job, encoded."""
        return await self._store.field(job_id, name)

    async def options(self, function: str) -> FunctionOptions | None:
        """Return the options of a function that a worker of the same queue has announced."""
        return await self._store.options(self._queue, function)
