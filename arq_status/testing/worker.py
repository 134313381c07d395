"""Arq's worker, run one job at a time."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from dataclasses import replace
from functools import wraps
from typing import Any

from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix
from arq.cron import CronJob
from arq.jobs import DeserializationError, SerializationError, deserialize_result
from arq.worker import Function, Worker, get_kwargs

from arq_status._model.errors import JobStopped
from arq_status._tracking.session import current_session

#: Seconds between checks for jobs to abort, while one runs.
_ABORT_INTERVAL = 0.02


class InlineWorker(Worker):
    """Arq's own worker without its main loop: it neither polls nor calls ``INFO``."""

    def __init__(self, settings: Any, pool: ArqRedis) -> None:
        given: Any = get_kwargs(settings)
        changes: dict[str, Any] = {
            "redis_pool": pool,
            "handle_signals": False,
            # a new dict for each worker, because many tests may share the settings
            "ctx": {**(given.get("ctx") or {}), "redis": pool},
        }
        super().__init__(**{**given, **changes})
        self.functions: dict[str, Function | CronJob] = {
            name: replace(function, coroutine=self._noting_exceptions(function.coroutine))
            for name, function in self.functions.items()
        }
        #: True once it has started, until it shuts down
        self.ready: bool = False
        #: the jobs that it is running, from the first try to the last
        self.running: set[str] = set()
        #: the context of ``on_startup``, with what that has set: each job gets a copy
        self._context = copy_context()
        #: what the functions of jobs raised
        self._raised: dict[str, BaseException] = {}
        #: what the jobs failed with; ``None`` if they did not
        self._failures: dict[str, BaseException | None] = {}

    async def open(self) -> None:
        """Start as arq's worker does."""
        self._context = copy_context()
        await self.loop.create_task(self._call(self.on_startup), context=self._context)
        self.ready = True

    async def shut_down(self) -> None:
        """End as arq's worker does: cancel running jobs, then call ``on_shutdown``."""
        self.ready = False
        running = list(self.tasks.values())
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        await self.loop.create_task(self._call(self.on_shutdown), context=self._context)

    async def queued(self) -> list[str]:
        """Return the jobs of the queue that are not running, in the order in which they are due."""
        found = [job_id.decode() for job_id in await self.pool.zrange(self.queue_name, 0, -1)]
        return [job_id for job_id in found if job_id not in self.running]

    async def run_to_end(
        self, job_id: str, prepare: Callable[[Context], None]
    ) -> BaseException | None:
        """Run a job of the queue, due or not, until it has ended; return what it failed with.

        Args:
            job_id: arq's id of the job.
            prepare: called with the context of each try before it begins.

        Raises:
            Exception: raised by a hook; it would end arq's worker.
        """
        if job_id in self.running:
            return None
        self.running.add(job_id)
        try:
            while self.ready:
                score = await self.pool.zscore(self.queue_name, job_id)
                if score is None:
                    break
                self._raised.pop(job_id, None)
                context = self._context.copy()
                prepare(context)
                await self._try(job_id, int(score), context)
        finally:
            self.running.discard(job_id)
        return self._failures.pop(job_id, None)

    async def _try(self, job_id: str, score: int, context: Context) -> None:
        in_progress_ms = int(self.in_progress_timeout_s * 1000)
        await self.pool.set(in_progress_key_prefix + job_id, b"1", px=in_progress_ms)
        attempt = self.loop.create_task(self.run_job(job_id, score), context=context)
        self.tasks[job_id] = attempt
        try:
            await self._end_of(attempt)
        except asyncio.CancelledError:
            # like a shutdown, which arq's worker does not report
            attempt.cancel()
            await asyncio.wait((attempt,))
            raise
        finally:
            del self.tasks[job_id]
        attempt.result()
        if (session := current_session(self)) is not None:
            await session.drain()

    async def _end_of(self, attempt: "asyncio.Task[None]") -> None:
        if not self.allow_abort_jobs:
            await asyncio.wait((attempt,))
        while not attempt.done():
            await asyncio.wait((attempt,), timeout=_ABORT_INTERVAL)
            await self._cancel_aborted_jobs()

    async def finish_job(
        self, job_id: str, finish: bool, result_data: bytes | None, *args: Any, **kwargs: Any
    ) -> None:
        """Note what a job failed with when its last try has ended."""
        await super().finish_job(job_id, finish, result_data, *args, **kwargs)
        if finish:
            self._failures[job_id] = self._failure_of(job_id, result_data)

    async def finish_failed_job(self, job_id: str, result_data: bytes | None) -> None:
        """Note what a job failed with if arq gave up on it before calling its function."""
        await super().finish_failed_job(job_id, result_data)
        self._failures[job_id] = self._failure_of(job_id, result_data)

    async def _call(self, hook: Any) -> None:
        # a method, so that tracking finds the worker on the stack of the task that calls hooks
        if hook is not None:
            await hook(self.ctx)

    def _noting_exceptions(self, coroutine: Callable[..., Coroutine[Any, Any, Any]]) -> Any:
        @wraps(coroutine)  # keeps the attribute that marks it as tracked
        async def noted(ctx: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
            job_id = ctx["job_id"]
            try:
                return await coroutine(ctx, *args, **kwargs)
            except asyncio.CancelledError as error:
                if isinstance(error.__cause__, JobStopped):
                    # the job raised this, but arq must see a cancellation
                    self._raised[job_id] = error.__cause__
                    raise
                task = asyncio.current_task()
                cancelled = task is not None and task.cancelling()
                # without an abort, only a timeout cancels a job for good
                timed_out = cancelled and job_id not in self.aborting_tasks
                self._raised[job_id] = TimeoutError() if timed_out else error
                raise
            except Exception as error:
                self._raised[job_id] = error
                raise

        return noted

    def _failure_of(self, job_id: str, result: bytes | None) -> BaseException | None:
        raised = self._raised.pop(job_id, None)
        if result is None:
            return raised
        try:
            stored_result = deserialize_result(result, deserializer=self.job_deserializer)
        except DeserializationError as error:
            return raised or error
        if stored_result.success:
            return None
        if isinstance(raised, Exception):
            return raised
        failure = stored_result.result
        return failure if isinstance(failure, BaseException) else SerializationError(failure)
