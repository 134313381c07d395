"""``JobTracker``: reports the progress of a job from inside it."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterable, Coroutine, Iterable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from time import monotonic
from typing import Any, TypeVar

from arq_status._model.snapshot import JobRecord
from arq_status._model.text import clean
from arq_status._redis.connection import CONNECTION_ERRORS
from arq_status._tracking.attempt import Attempt
from arq_status._tracking.attempt_record import record_of
from arq_status._tracking.pace import SLICE, Pace
from arq_status._tracking.sync_tracker import SyncTracker, run_in_worker_loop
from arq_status._tracking.uplink import Uplink

T = TypeVar("T")

#: The most seconds that ``retrieve`` waits: in all, and for the first write of a try.
_RETRIEVE_TIMEOUT = 5.0
_FIRST_WRITE_TIMEOUT = 2.0

#: The tracker of the job that this task runs; before it starts, arq's payload of the job.
job_var: ContextVar["JobTracker | Mapping[str, Any]"] = ContextVar("arq_status_job")


def current_tracker() -> "JobTracker":
    """Return the running job's tracker; works in its tasks and ``asyncio.to_thread`` calls too.

        async def insert(row):
            await current_tracker().advance()

    Not available in other threads: pass ``status.sync`` to them.

    Raises:
        LookupError: no tracked job is running here.
    """
    tracker = job_var.get(None)
    if not isinstance(tracker, JobTracker):
        raise LookupError(
            "no arq job is running here, or its worker is not tracked: call this in a job, or in"
            " a task or asyncio.to_thread call that the job started; pass status.sync to other"
            " threads"
        )
    return tracker


def attempt_here(job_id: str) -> Attempt | None:
    """Return the attempt that this task works on, if it belongs to this job."""
    tracker = job_var.get(None)
    if isinstance(tracker, JobTracker) and tracker._attempt.job_id == job_id:
        return tracker._attempt
    return None


class JobTracker:
    """Reports the progress of a job: ``ctx["status"]`` in the job and its hooks.

        async def import_rows(ctx, rows):
            status: JobTracker = ctx["status"]
            await status.total(len(rows))
            for number, row in enumerate(rows):
                await status.at(number, f"Row {row}")
            await status.store(vino="veritas")

    Calls only change memory; batches are sent to Redis several times a second, and the last values
    are there when the job has ended. Calls never raise because of Redis. In hooks and after the end
    of the job they raise nothing at all, because an exception in a hook ends arq's worker.

    Each try has its own tracker, which ``current_tracker()`` returns as well. For tests create one
    with ``arq_status.testing.tracker``.
    """

    def __init__(
        self, attempt: Attempt, uplink: Uplink | None = None, pace: Pace | None = None
    ) -> None:
        self._attempt = attempt
        self._uplink = uplink
        self._pace = pace or Pace()
        self._sync: SyncTracker | None = None

    @property
    def job_id(self) -> str:
        """The id of the job in arq."""
        return self._attempt.job_id

    @property
    def job_try(self) -> int:
        """The number of this try, counted from 1."""
        return self._attempt.record.job_try

    @property
    def record(self) -> JobRecord:
        """A snapshot of the job as its worker knows it; from ``on_job_end`` on with the outcome.

            async def on_job_end(ctx):
                if ctx["status"].record.status is Status.FAILED:
                    await alert(ctx["job_id"], ctx["status"].exception)

        Its ``data`` contains only what this try stored.
        """
        return record_of(self._attempt)

    @property
    def exception(self) -> BaseException | None:
        """What this try raised; ``None`` if it returned or has not ended."""
        return self._attempt.raised

    @property
    def sync(self) -> "SyncTracker":
        """The same calls without await, for code that runs in a thread.

            await asyncio.to_thread(crunch, status.sync)

        ``retrieve`` and ``flush`` wait for the worker's event loop.
        """
        if self._sync is None:
            self._sync = SyncTracker(self._attempt, self._pace.loop, self.retrieve, self.flush)
        return self._sync

    async def total(self, total: float) -> None:
        """Set the total that ``at`` counts up to: 100 by default, 0 if unknown.

        Raises:
            JobStopped: the job was asked to stop.
            TypeError: it is not a number.
            ValueError: it is negative or not finite.
        """
        self._attempt.total(total)
        await self._check_and_yield()

    async def at(self, at: float, message: str | None = None) -> None:
        """Set the progress, in the unit of the total; without a message, the last one is kept.

        Raises:
            JobStopped: the job was asked to stop.
            TypeError: ``at`` is not a number, or the message is not a string.
            ValueError: ``at`` is negative or not finite.
        """
        self._attempt.at(at, message)
        if self._attempt.stopping or monotonic() - self._pace.last_yield > SLICE:
            await self._check_and_yield()

    async def advance(self, step: float = 1, message: str | None = None) -> None:
        """Add ``step`` to the progress; without a message, the last one is kept.

        Raises:
            JobStopped, TypeError, ValueError: as ``at``.
        """
        self._attempt.advance(step, message)
        if self._attempt.stopping or monotonic() - self._pace.last_yield > SLICE:
            await self._check_and_yield()

    async def store(self, /, **fields: Any) -> None:
        """Set fields of the job's data, each to a JSON value of up to 64 KiB.

        A job that was asked to stop may still store what it has done so far.

        Raises:
            TypeError: a value cannot be encoded as JSON.
            ValueError: a name is that of a ``JobRecord`` field or longer than 1,000 characters, a
                value is larger than 64 KiB, or everything this try stored is larger than 1 MiB.
        """
        self._attempt.store(fields)
        await self._pace.yield_if_due()

    async def retrieve(self, name: str, default: Any = None) -> Any:
        """Return the field ``name`` of the job's data, no matter who stored it, or ``default``.

        If Redis does not answer within 5 s, only what this try itself stored is found.
        """
        attempt, name = self._attempt, clean(name)
        data = attempt.data
        raw: str | bytes | None = data.fields.get(name) if data is not None else None
        is_unsent = data is not None and name in data.unsent
        if not is_unsent and self._uplink is not None:
            with suppress(*CONNECTION_ERRORS):
                raw = await self._in_worker_loop(self._stored(self._uplink, name))
        try:
            return default if raw is None else json.loads(raw)
        except (ValueError, RecursionError):
            return default

    async def track(
        self,
        iterable: Iterable[T] | AsyncIterable[T],
        message: str | None = None,
        *,
        total: float | None = None,
    ) -> AsyncGenerator[T]:
        """Iterate, adding 1 to the progress each time the loop body has finished with an item.

            async for row in status.track(rows, "Importing"):
                await insert(row)

        Progress starts again from 0, with the message if there is one. ``total`` defaults to the
        length of the iterable; if it has none, to the total that the job has set, or else 0.

        Raises:
            JobStopped, TypeError, ValueError: as ``at``.
        """
        self._attempt.start_over(iterable, message, total)
        if isinstance(iterable, AsyncIterable):
            async for item in iterable:
                yield item
                await self.advance()
        else:
            for item in iterable:
                yield item
                await self.advance()

    async def tag(self, tag: str) -> None:
        """Give the job a tag, by which lists can be filtered: 1 to 100 characters, up to 20 tags.

        Raises:
            TypeError: it is not a string.
            ValueError: it is empty or too long, or the job already has 20 others.
        """
        self._attempt.tag(tag)
        await self._pace.yield_if_due()

    async def log(self, message: str, level: str = "info") -> None:
        """Append a line to the job's log.

            await status.log("Row 7 has no name", level="warning")

        A line is cut to 2,000 characters; a job keeps its newest 1,000 lines, up to 256 KiB.

        Args:
            message: the line; it may contain line breaks.
            level: ``debug``, ``info``, ``warning``, ``error`` or ``critical``.

        Raises:
            JobStopped: the job was asked to stop.
            TypeError: the message is not a string.
            ValueError: there is no such level.
        """
        self._attempt.log_line(message, level)
        if self._attempt.stopping or monotonic() - self._pace.last_yield > SLICE:
            await self._check_and_yield()

    async def checkpoint(self) -> None:
        """Yield to the event loop and raise if the job was asked to stop.

        Raises:
            JobStopped: the job was asked to stop.
        """
        await self._check_and_yield()

    async def flush(self) -> None:
        """Wait until everything reported so far is in Redis; at most 5 s if Redis is away."""
        if self._uplink is not None:
            with suppress(TimeoutError):
                await self._in_worker_loop(self._uplink.flush(self._attempt))

    async def _stored(self, uplink: Uplink, name: str) -> bytes | None:
        attempt = self._attempt
        async with asyncio.timeout(_RETRIEVE_TIMEOUT):
            if not attempt.first_row_written:
                # until its first row Redis may have an earlier run's data
                await uplink.flush(attempt, _FIRST_WRITE_TIMEOUT)
            if not attempt.first_row_written:
                raise TimeoutError
            return await uplink.field(attempt.job_id, name)

    async def _in_worker_loop(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Await a coroutine in the worker's event loop, also from another loop."""
        worker_loop = self._pace.loop
        if worker_loop is None or worker_loop is asyncio.get_running_loop():
            return await coroutine
        return await asyncio.to_thread(run_in_worker_loop, coroutine, worker_loop)

    async def _check_and_yield(self) -> None:
        self._attempt.raise_if_stopping()
        await self._pace.yield_if_due()
        self._attempt.raise_if_stopping()
