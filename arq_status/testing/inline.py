"""Arq's pool without Redis: a job runs while it is enqueued."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, NoReturn
from uuid import uuid4

from arq.connections import ArqRedis
from arq.jobs import (
    Job,
    JobDef,
    JobResult,
    JobStatus,
    ResultNotFound,
    SerializationError,
    deserialize_job,
    deserialize_result,
    serialize_job,
)
from arq.utils import timestamp_ms, to_ms, to_unix_ms
from redis.asyncio import ConnectionPool

from arq_status._model.options import FunctionOptions
from arq_status._tracking.attempts import Attempts
from arq_status._tracking.outbox import Outbox
from arq_status._tracking.settings import given_deserializer
from arq_status._tracking.stand_in import StandIn
from arq_status.testing.entry import Entry
from arq_status.testing.inline_worker import InlineWorker, untold_var
from arq_status.testing.memory import Memory
from arq_status.testing.memory_uplink import MemoryUplink


class _NoRedis(ConnectionPool):
    """Has no connections."""

    async def get_connection(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError(
            "jobs run inline, without Redis, and this pool takes no Redis commands: test code that"
            " sends them with a Redis and a worker"
        )


class InlinePool(StandIn, ArqRedis):  # type: ignore[misc] # redis-py's own bases contradict
    """Arq's pool, for code that enqueues jobs and asks for their results: each runs at once.

    Redis commands raise ``RuntimeError``.
    """

    def __init__(self, settings: Any) -> None:
        super().__init__(_NoRedis())
        self.source = self.memory = Memory(given_deserializer(settings))
        self.worker = InlineWorker(settings, self, self.memory)
        self.memory.run = self.worker.run_to_end
        self.default_queue_name = self.worker.queue_name
        self.job_serializer = self.worker.job_serializer
        self.job_deserializer = self.worker.job_deserializer

    def uplink(
        self, options: Mapping[str, FunctionOptions], outbox: Outbox, attempts: Attempts
    ) -> MemoryUplink:
        """What the jobs of the worker report through."""
        return MemoryUplink(self.memory, options, outbox, attempts)

    async def enqueue_job(
        self,
        function: str,
        *args: Any,
        _job_id: str | None = None,
        _queue_name: str | None = None,
        _defer_until: datetime | None = None,
        _defer_by: int | float | timedelta | None = None,
        _expires: int | float | timedelta | None = None,
        _job_try: int | None = None,
        **kwargs: Any,
    ) -> Job | None:
        """Enqueue a job and run it to its end, deferred or not; arq's arguments.

        Returns:
            arq's ``Job``, or ``None`` where the id is that of a live job or one with a result.

        Raises:
            Exception: what the job raised, or arq made of it.
            arq.jobs.SerializationError: the arguments or the returned value cannot be serialized.
        """
        if _defer_until and _defer_by:
            raise RuntimeError("use either 'defer_until' or 'defer_by' or neither, not both")
        self.memory.pull()
        job_id = _job_id or uuid4().hex
        entry = self.memory.entry(job_id)
        if entry.payload is not None or entry.result is not None:
            return None
        now = timestamp_ms()
        due = now + (to_ms(_defer_by) or 0) if _defer_until is None else to_unix_ms(_defer_until)
        payload = serialize_job(
            function, args, kwargs, _job_try, now, serializer=self.job_serializer
        )
        entry.payload, entry.due, entry.tries = payload, due, 0
        entry.queue = _queue_name or self.default_queue_name
        self.memory.feed.hear([job_id])
        await self.worker.run_and_raise(job_id)
        return InlineJob(job_id, self, entry.queue, self.job_deserializer)

    async def all_job_results(self) -> list[JobResult]:
        """The results that are kept."""
        results = [self.result_of(entry) for entry in self.memory.entries()]
        return sorted((it for it in results if it is not None), key=attrgetter("enqueue_time"))

    async def queued_jobs(self, *, queue_name: str | None = None) -> list[JobDef]:
        """The jobs in a queue, those that run included."""
        queue = queue_name or self.default_queue_name
        found = [
            replace(definition, job_id=entry.job_id)
            for entry in self.memory.entries()
            if entry.queue == queue and (definition := self.definition_of(entry)) is not None
        ]
        return sorted(found, key=attrgetter("score"))

    def result_of(self, entry: Entry) -> JobResult | None:
        """What arq keeps of a job that has ended."""
        if entry.result is None:
            return None
        return deserialize_result(entry.result, deserializer=self.job_deserializer)

    def definition_of(self, entry: Entry) -> JobDef | None:
        """What a live job was enqueued with."""
        if entry.payload is None:
            return None
        definition = deserialize_job(entry.payload, deserializer=self.job_deserializer)
        return replace(definition, score=entry.due)


class InlineJob(Job):
    """Arq's ``Job`` without Redis."""

    __slots__ = ()
    _redis: InlinePool

    @property
    def _entry(self) -> Entry:
        return self._redis.memory.entry(self.job_id)

    async def result(
        self,
        timeout: float | None = None,
        *,
        poll_delay: float = 0.5,
        pole_delay: float | None = None,
    ) -> Any:
        """What the job returned; what it raised is raised."""
        async with asyncio.timeout(timeout):
            while (found := await self.result_info()) is None:
                if not self._entry.live:
                    raise ResultNotFound("the job keeps no result, or is not known")
                await asyncio.sleep(poll_delay if pole_delay is None else pole_delay)
        (untold_var.get() or {}).pop(self.job_id, None)
        if found.success:
            return found.result
        if isinstance(found.result, Exception | asyncio.CancelledError):
            raise found.result
        raise SerializationError(found.result)

    async def info(self) -> JobDef | None:
        """All information on the job, with its result if there is one."""
        return await self.result_info() or self._redis.definition_of(self._entry)

    async def result_info(self) -> JobResult | None:
        """The same, for a job that has a result."""
        return self._redis.result_of(self._entry)

    async def status(self) -> JobStatus:
        """What arq says the job is doing."""
        entry = self._entry
        if entry.result is not None:
            return JobStatus.complete
        if entry.ongoing:
            return JobStatus.in_progress
        if entry.live:
            return JobStatus.deferred if entry.due > timestamp_ms() else JobStatus.queued
        return JobStatus.not_found

    async def abort(self, *, timeout: float | None = None, poll_delay: float = 0.5) -> bool:
        """Abort the job where the settings allow it; whether that is what ended it."""
        self._redis.worker.abort(self.job_id)
        try:
            await self.result(timeout, poll_delay=poll_delay)
        except asyncio.CancelledError:
            return True
        except ResultNotFound:
            return False
        return False
