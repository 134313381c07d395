"""Arq's pool on a Redis in this process; runs jobs as they are enqueued."""

import asyncio
from asyncio import AbstractEventLoop
from datetime import datetime, timedelta
from typing import Any
from weakref import WeakKeyDictionary

from arq.jobs import Job
from redis.asyncio import ConnectionPool

from arq_status._redis import scripts
from arq_status._redis.enqueueing import JoinablePool
from arq_status.testing.runner import Runner

#: The position of the job id in a command that runs the script ``retry``.
_RETRIED = 4


class InlinePool(JoinablePool):
    """Arq's pool, as returned by ``inline``."""

    def __init__(self, connections: ConnectionPool, runner: Runner, **options: Any) -> None:
        self._connections: WeakKeyDictionary[AbstractEventLoop, ConnectionPool] = (
            WeakKeyDictionary()
        )
        super().__init__(connections, **options)
        self.runner = runner

    @property
    def connection_pool(self) -> ConnectionPool:
        """The connections of the running event loop, which other loops cannot use."""
        loop = asyncio.get_running_loop()
        if loop not in self._connections:
            kwargs = self._template.connection_kwargs
            self._connections[loop] = ConnectionPool(self._template.connection_class, **kwargs)
        return self._connections[loop]

    @connection_pool.setter
    def connection_pool(self, connections: ConnectionPool) -> None:
        self._template = connections
        self._connections[asyncio.get_running_loop()] = connections

    def __repr__(self) -> str:
        return f"<InlinePool of queue {self.default_queue_name!r}>"

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
        """Enqueue a job and, unless ``run=False``, run it to its end, deferred or not.

        Takes what arq's ``enqueue_job`` takes.

        Returns:
            arq's ``Job``, or ``None`` if there is a live job or a result with this id.

        Raises:
            Exception: what the job raised, or arq turned it into, unless ``raises=False``.
            arq.jobs.SerializationError: the arguments or the returned value cannot be serialized.
            RuntimeError: ``inline`` was entered in another event loop.
        """
        if self.runner.at_once:
            self.runner.require_own_loop()
        depth = self.runner.next_depth()
        queue = _queue_name or self.default_queue_name
        job = await super().enqueue_job(
            function,
            *args,
            _job_id=_job_id,
            _queue_name=queue,
            _defer_until=_defer_until,
            _defer_by=_defer_by,
            _expires=_expires,
            _job_try=_job_try,
            **kwargs,
        )
        if job is None:
            return None
        self.runner.note_enqueued(job.job_id, depth)
        if self.runner.at_once:
            await self.runner.run(job.job_id, queue)
        return InlineJob(job.job_id, self, queue, self.job_deserializer)

    async def run_jobs(self) -> int:
        """Run all queued and deferred jobs, and the jobs that they enqueue, to their end.

            async with inline(WorkerSettings, run=False) as pool:
                await pool.enqueue_job("import_rows", "rows.csv", _job_id="rows")
                assert await arq_status.is_queued("rows")
                await pool.run_jobs()

        Each worker runs up to ``max_jobs`` concurrently, in the order in which they are due.

        Returns:
            The number of jobs that ran.

        Raises:
            Exception: what a job raised, once all have run, unless ``raises=False``.
            RuntimeError: ``inline`` was entered in another event loop.
        """
        return await self.runner.run_queued()

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command; if it is ``retry``, run the job that it has queued at once.

        Args:
            args: the command and its arguments.
            options: redis-py's options of the command.
        """
        answer = await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        if answer and self.runner.at_once and scripts.retry.is_run_by(args):
            await self.runner.run_again(str(args[_RETRIED]))
        return answer


class InlineJob(Job):
    """Arq's ``Job``; remembers that its result was awaited."""

    __slots__ = ()
    _redis: InlinePool

    async def result(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the job returned, or raise what it raised."""
        self._redis.runner.note_awaited(self.job_id)
        return await super().result(*args, **kwargs)
