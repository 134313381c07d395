"""What a job holds to say how far it is."""

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, AsyncIterable, Coroutine, Generator, Iterable
from contextlib import suppress
from contextvars import ContextVar
from time import monotonic
from typing import Any, TypeVar

from arq_status._model.text import clean
from arq_status._redis.connection import CONNECTION_ERRORS
from arq_status._tracking.attempt import Attempt
from arq_status._tracking.pace import SLICE, Pace
from arq_status._tracking.uplink import Uplink

T = TypeVar("T")

#: Seconds for which ``retrieve`` waits for the first write of a try at most.
_PATIENCE = 2.0
_advancing = threading.Lock()

current: ContextVar["JobTracker"] = ContextVar("arq_status_tracker")


def current_tracker() -> "JobTracker":
    """The tracker of the running job, in it and in the tasks and ``asyncio.to_thread`` calls below.

        async def insert(row):
            await current_tracker().advance()

    Threads that are started otherwise do not have it: pass ``status.sync`` on.

    Raises:
        LookupError: no job is running here.
    """
    try:
        return current.get()
    except LookupError:
        raise LookupError(
            "there is no running arq job here, or its worker is not tracked: call this in a job, or"
            " in a task or asyncio.to_thread call below it; elsewhere pass status.sync on"
        ) from None


class JobTracker:
    """Says how far the job is: ``ctx["status"]`` in a job and its hooks.

        async def import_rows(ctx, rows):
            status: JobTracker = ctx["status"]
            await status.total(len(rows))
            for number, row in enumerate(rows):
                await status.at(number, f"Row {row}")
            await status.store(vino="veritas")

    Calls change memory only; batches go to Redis several times a second, and the last values are
    there when the job has ended. They never raise for want of Redis.

    Each try has one, which is also what ``current_tracker()`` gives. Tests make their own with
    ``arq_status.testing.tracker``.
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
        """Arq's id of the job."""
        return self._attempt.job_id

    @property
    def job_try(self) -> int:
        """Which try this is, counted from 1."""
        return self._attempt.record.job_try

    @property
    def sync(self) -> "SyncTracker":
        """The same calls without await, for code in a thread.

            await asyncio.to_thread(crunch, status.sync)

        ``retrieve`` and ``flush`` wait for the worker's event loop.
        """
        if self._sync is None:
            self._sync = SyncTracker(self, self._attempt, self._pace.loop)
        return self._sync

    async def total(self, total: float) -> None:
        """Set the total, how far the job has to go; 100 by default, 0 where nobody knows.

        Raises:
            JobStopped: the job was asked to stop.
            TypeError: it is not a number.
            ValueError: it is negative or not finite.
        """
        self._attempt.total(total)
        await self._rest()

    async def at(self, at: float, message: str | None = None) -> None:
        """Set how far the job is, of the total; without a message the last one stays.

        Raises:
            JobStopped: the job was asked to stop.
            TypeError: ``at`` is not a number, or the message not a text.
            ValueError: ``at`` is negative or not finite.
        """
        self._attempt.at(at, message)
        if self._attempt.stopping or monotonic() - self._pace.rested > SLICE:
            await self._rest()

    async def advance(self, step: float = 1, message: str | None = None) -> None:
        """Go a step further, or ``step`` of them; without a message the last one stays.

        Raises:
            JobStopped, TypeError, ValueError: as ``at``.
        """
        self._attempt.advance(step, message)
        if self._attempt.stopping or monotonic() - self._pace.rested > SLICE:
            await self._rest()

    async def store(self, /, **fields: Any) -> None:
        """Set fields of the job's data, each to any JSON value of up to 64 KiB.

        A job that was asked to stop may still say here how far it came.

        Raises:
            TypeError: JSON cannot hold a value.
            ValueError: a name is that of a built-in field, or a value is too large.
        """
        self._attempt.store(fields)
        await self._pace.rest()

    async def retrieve(self, name: str, default: Any = None) -> Any:
        """The field ``name`` of the job's data, whoever stored it; ``default`` where there is none.

        While Redis is away it is what this try stored itself.
        """
        attempt, name = self._attempt, clean(name)
        raw: str | bytes | None = attempt.fields.get(name)
        if name not in attempt.unsent and self._uplink is not None:
            with suppress(*CONNECTION_ERRORS):
                raw = await asyncio.wait_for(self._stored(self._uplink, name), 5)
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
        """Iterate, and count every item when it is done with.

            async for row in status.track(rows, "Importing"):
                await insert(row)

        Starts again from 0, with the message if there is one. Without ``total`` it is the length of
        the iterable, and 0 where that is not known and the job has not set one.

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

    async def checkpoint(self) -> None:
        """Let the event loop run, and end here if the job was asked to stop.

        Raises:
            JobStopped: the job was asked to stop.
        """
        await self._rest()

    async def flush(self) -> None:
        """Wait until everything said so far is in Redis, though not for ever if it is away."""
        if self._uplink is not None:
            await self._uplink.flush(self._attempt)

    async def _stored(self, uplink: Uplink, name: str) -> bytes | None:
        attempt = self._attempt
        if not attempt.begun:
            # until then what stands there is of an earlier run
            await uplink.flush(attempt, _PATIENCE)
        if not attempt.begun:
            raise TimeoutError
        return await uplink.field(attempt.job_id, name)

    async def _rest(self) -> None:
        self._attempt.raise_if_stopping()
        await self._pace.rest()
        self._attempt.raise_if_stopping()


class SyncTracker:
    """``JobTracker`` for code in a thread: the same calls without await."""

    def __init__(
        self, tracker: JobTracker, attempt: Attempt, loop: asyncio.AbstractEventLoop | None
    ) -> None:
        self._tracker = tracker
        self._attempt = attempt
        self._loop = loop

    @property
    def job_id(self) -> str:
        """Arq's id of the job."""
        return self._attempt.job_id

    @property
    def job_try(self) -> int:
        """Which try this is, counted from 1."""
        return self._attempt.record.job_try

    def total(self, total: float) -> None:
        """Set how far the job has to go, as ``JobTracker.total``."""
        self._attempt.total(total)
        self._attempt.raise_if_stopping()

    def at(self, at: float, message: str | None = None) -> None:
        """Set how far the job is, as ``JobTracker.at``."""
        self._attempt.at(at, message)
        self._attempt.raise_if_stopping()

    def advance(self, step: float = 1, message: str | None = None) -> None:
        """Go so much further, as ``JobTracker.advance``."""
        with _advancing:  # also in several threads at once
            self._attempt.advance(step, message)
        self._attempt.raise_if_stopping()

    def store(self, /, **fields: Any) -> None:
        """Set fields of the job's data, as ``JobTracker.store``."""
        self._attempt.store(fields)

    def retrieve(self, name: str, default: Any = None) -> Any:
        """A field of the job's data, as ``JobTracker.retrieve``.

        Raises:
            RuntimeError: an event loop runs in this thread.
        """
        return self._wait_for(self._tracker.retrieve(name, default))

    def track(
        self, iterable: Iterable[T], message: str | None = None, *, total: float | None = None
    ) -> Generator[T]:
        """Iterate and count, as ``JobTracker.track``, over a sync iterable."""
        self._attempt.start_over(iterable, message, total)
        for item in iterable:
            yield item
            self.advance()

    def checkpoint(self) -> None:
        """End here if the job was asked to stop, as ``JobTracker.checkpoint``."""
        self._attempt.raise_if_stopping()

    def flush(self) -> None:
        """Wait until all is in Redis, as ``JobTracker.flush``.

        Raises:
            RuntimeError: an event loop runs in this thread.
        """
        self._wait_for(self._tracker.flush())

    def _wait_for(self, coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            if self._loop is None:
                return asyncio.run(coroutine)
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
        coroutine.close()
        raise RuntimeError("where an event loop runs use await, not sync")
