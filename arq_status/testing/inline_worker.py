"""Arq's worker without Redis: it runs a job when it is told to."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import ContextVar, copy_context
from dataclasses import replace
from typing import Any, Self, cast

from arq.connections import ArqRedis
from arq.constants import job_key_prefix, retry_key_prefix
from arq.jobs import DeserializationError, SerializationError, deserialize_result
from arq.utils import timestamp_ms, to_ms
from arq.worker import Worker, get_kwargs

from arq_status._tracking.settings import session_var
from arq_status.testing.entry import Entry
from arq_status.testing.memory import Memory

#: What the jobs that the running job enqueued failed with, by their ids, unless it asked them.
untold_var: ContextVar[dict[str, BaseException] | None] = ContextVar(
    "arq_status_untold", default=None
)
#: How many jobs are around this code, each enqueued by the one before, and how many may be.
depth_var: ContextVar[int] = ContextVar("arq_status_depth", default=0)
_DEEPEST = 100


class InlineWorker(Worker):
    """Arq's own worker: its ``run_job`` runs the jobs, and finds them in memory."""

    def __init__(self, settings: Any, pool: ArqRedis, memory: Memory) -> None:
        given: Any = get_kwargs(settings)
        changes: dict[str, Any] = {
            "redis_pool": pool,
            "handle_signals": False,
            # each has its own, though the settings are those of many tests
            "ctx": {**(given.get("ctx") or {}), "redis": pool},
        }
        super().__init__(**{**given, **changes})
        self.functions = {
            name: replace(function, coroutine=self._noting(function.coroutine))
            for name, function in self.functions.items()
        }
        self._memory = memory
        self._ready = False
        #: what was there when it started, and what ``on_startup`` added: every job gets a copy
        self._context = copy_context()
        #: what the function of a job raised, and what the job failed with
        self._raised: dict[str, BaseException] = {}
        self._failures: dict[str, BaseException | None] = {}

    @property
    def pool(self) -> ArqRedis:
        """Where arq's worker looks for a job."""
        return cast("ArqRedis", _Opening(self._memory))

    async def open(self) -> None:
        """Start as arq's worker does, and run what ``on_startup`` enqueued."""
        self._context = copy_context()
        await self.loop.create_task(self._start_up(), context=self._context)
        self._ready = True
        for entry in self._memory.entries():
            await self.run_and_raise(entry.job_id)

    async def shut_down(self) -> None:
        """End as arq's worker does: cut off what runs, then ``on_shutdown``."""
        self._ready = False
        running = list(self.tasks.values())
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        await self.loop.create_task(self._end(), context=self._context)

    async def run_and_raise(self, job_id: str) -> None:
        """Run a job to its end and raise what it failed with, though not into another job."""
        if depth_var.get() == _DEEPEST:
            raise RuntimeError(
                f"{_DEEPEST} jobs were enqueued by one another; inline runs each at once, deferred"
                " or not, and a job that always enqueues the next would never end"
            )
        above = untold_var.get()
        below: dict[str, BaseException] = {}
        failure = await self._run(job_id, below)
        untold = below if failure is None else {job_id: failure, **below}
        if above is not None:
            above |= untold
        else:
            for error in untold.values():
                raise error

    async def run_to_end(self, job_id: str) -> None:
        """Run a job to its end."""
        await self._run(job_id, {})

    def abort(self, job_id: str) -> None:
        """Do what arq's worker does about a job that is to be aborted."""
        if self.allow_abort_jobs and job_id in self.job_tasks:
            self.aborting_tasks.add(job_id)
            self.job_tasks[job_id].cancel()

    async def finish_job(
        self,
        job_id: str,
        finish: bool,
        result_data: bytes | None,
        result_timeout_s: float | None,
        keep_result_forever: bool,
        incr_score: int | None,
        keep_in_progress: float | None,
    ) -> None:
        """Take in the end of a try."""
        del keep_in_progress
        if finish:
            seconds = None if keep_result_forever else result_timeout_s
            self._finish(job_id, result_data, seconds)
        else:
            self._memory.entry(job_id).due += incr_score or 0

    async def finish_failed_job(self, job_id: str, result_data: bytes | None) -> None:
        """Take in the end of a job that was not started."""
        self._finish(job_id, result_data, None if self.keep_result_forever else self.keep_result_s)

    async def _start_up(self) -> None:
        if self.on_startup:
            await self.on_startup(self.ctx)

    async def _end(self) -> None:
        if self.on_shutdown:
            await self.on_shutdown(self.ctx)

    async def _run(self, job_id: str, below: dict[str, BaseException]) -> BaseException | None:
        entry = self._memory.entry(job_id)
        while self._ready and entry.live and not entry.ongoing and entry.queue == self.queue_name:
            self._raised.pop(job_id, None)
            await self._try(entry, below)
        return self._failures.pop(job_id, None)

    async def _try(self, entry: Entry, below: dict[str, BaseException]) -> None:
        context = self._context.copy()
        context.run(untold_var.set, below)
        context.run(depth_var.set, depth_var.get() + 1)
        entry.ongoing = True
        trying = self.loop.create_task(self.run_job(entry.job_id, entry.due), context=context)
        self.tasks[entry.job_id] = trying
        try:
            await asyncio.wait((trying,))
        except asyncio.CancelledError:
            # as a shutdown would: arq's worker heeds it and says nothing
            trying.cancel()
            await asyncio.wait((trying,))
            raise
        finally:
            del self.tasks[entry.job_id]
            entry.ongoing = False
            self._memory.feed.hear([entry.job_id])
        trying.result()
        if (session := self._context.get(session_var)) is not None:
            await session.settle()

    def _noting(self, coroutine: Callable[..., Coroutine[Any, Any, Any]]) -> Any:
        async def noted(ctx: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
            job_id = ctx["job_id"]
            try:
                return await coroutine(ctx, *args, **kwargs)
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                cut = task is not None and task.cancelling() and job_id not in self.aborting_tasks
                # what cuts a job off for good is its timeout
                self._raised[job_id] = TimeoutError() if cut else error
                raise
            except Exception as error:
                self._raised[job_id] = error
                raise

        return noted

    def _finish(self, job_id: str, result: bytes | None, seconds: float | None) -> None:
        entry = self._memory.entry(job_id)
        entry.payload = None
        if result is not None and seconds != 0:
            entry.result = result
            entry.result_expires = None if seconds is None else timestamp_ms() + to_ms(seconds)
        self._failures[job_id] = self._failure_of(job_id, result)

    def _failure_of(self, job_id: str, result: bytes | None) -> BaseException | None:
        raised = self._raised.pop(job_id, None)
        if result is None:
            return raised
        try:
            booked = deserialize_result(result, deserializer=self.job_deserializer)
        except DeserializationError as error:
            return raised or error
        if booked.success:
            return None
        if isinstance(raised, Exception):
            return raised
        failure = booked.result
        return failure if isinstance(failure, BaseException) else SerializationError(failure)


class _Opening:
    """What arq's worker asks for when it begins a try: the job, and which try it is."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._answers: list[object] = []

    def pipeline(self, *, transaction: bool) -> Self:
        del transaction
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    def get(self, key: str) -> None:
        self._answers.append(self._memory.entry(key.removeprefix(job_key_prefix)).payload)

    def incr(self, key: str) -> None:
        entry = self._memory.entry(key.removeprefix(retry_key_prefix))
        entry.tries += 1
        self._answers.append(entry.tries)

    def expire(self, key: str, seconds: int) -> None:
        del key, seconds
        self._answers.append(True)

    def zrem(self, key: str, job_id: str) -> None:
        del key, job_id
        # nobody asks for an abort before the start
        self._answers.append(False)

    async def execute(self) -> list[object]:
        return self._answers

    async def setex(self, key: str, seconds: int, tries: str) -> None:
        del seconds
        self._memory.entry(key.removeprefix(retry_key_prefix)).tries = int(tries)
