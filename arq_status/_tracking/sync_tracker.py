"""``JobTracker.sync``: the same calls for code that runs in a thread."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Generator, Iterable
from contextlib import suppress
from inspect import CORO_CREATED, getcoroutinestate
from typing import Any, TypeVar

from arq_status._tracking.attempt import Attempt

T = TypeVar("T")

#: Seconds between checks that the worker's event loop still runs.
_CHECK_INTERVAL = 0.2
_advancing = threading.Lock()


class SyncTracker:
    """``JobTracker`` for code that runs in a thread: the same calls without await."""

    def __init__(
        self,
        attempt: Attempt,
        worker_loop: asyncio.AbstractEventLoop | None,
        retrieve: Callable[[str, Any], Coroutine[Any, Any, Any]],
        flush: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        self._attempt = attempt
        self._worker_loop = worker_loop
        self._retrieve = retrieve
        self._flush = flush

    @property
    def job_id(self) -> str:
        """The id of the job in arq."""
        return self._attempt.job_id

    @property
    def job_try(self) -> int:
        """The number of this try, counted from 1."""
        return self._attempt.record.job_try

    def total(self, total: float) -> None:
        """Set the total, as ``JobTracker.total``."""
        self._attempt.total(total)
        self._attempt.raise_if_stopping()

    def at(self, at: float, message: str | None = None) -> None:
        """Set the progress, as ``JobTracker.at``."""
        self._attempt.at(at, message)
        self._attempt.raise_if_stopping()

    def advance(self, step: float = 1, message: str | None = None) -> None:
        """Add to the progress, as ``JobTracker.advance``."""
        with _advancing:  # also in several threads at once
            self._attempt.advance(step, message)
        self._attempt.raise_if_stopping()

    def store(self, /, **fields: Any) -> None:
        """Set fields of the job's data, as ``JobTracker.store``."""
        self._attempt.store(fields)

    def tag(self, tag: str) -> None:
        """Give the job a tag, as ``JobTracker.tag``."""
        self._attempt.tag(tag)

    def log(self, message: str, level: str = "info") -> None:
        """Append a line to the job's log, as ``JobTracker.log``."""
        self._attempt.log_line(message, level)
        self._attempt.raise_if_stopping()

    def retrieve(self, name: str, default: Any = None) -> Any:
        """Return a field of the job's data, as ``JobTracker.retrieve``.

        Raises:
            RuntimeError: an event loop is running in this thread.
        """
        try:
            return self._wait_for(self._retrieve(name, default))
        except TimeoutError:
            # the worker's event loop has ended: return what this try stored itself
            return asyncio.run(self._retrieve(name, default))

    def track(
        self, iterable: Iterable[T], message: str | None = None, *, total: float | None = None
    ) -> Generator[T]:
        """Iterate and count, as ``JobTracker.track``, over a sync iterable."""
        self._attempt.start_over(iterable, message, total)
        for item in iterable:
            yield item
            self.advance()

    def checkpoint(self) -> None:
        """Raise if the job was asked to stop, as ``JobTracker.checkpoint``."""
        self._attempt.raise_if_stopping()

    def flush(self) -> None:
        """Wait until everything is in Redis, as ``JobTracker.flush``.

        Raises:
            RuntimeError: an event loop is running in this thread.
        """
        with suppress(TimeoutError):
            self._wait_for(self._flush())

    def _wait_for(self, coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            if self._worker_loop is None:
                return asyncio.run(coroutine)
            return run_in_worker_loop(coroutine, self._worker_loop)
        coroutine.close()
        raise RuntimeError(
            "an event loop is running in this thread: await the call instead of using sync"
        )


def run_in_worker_loop(
    coroutine: Coroutine[Any, Any, T], worker_loop: asyncio.AbstractEventLoop
) -> T:
    """Run a coroutine in the worker's event loop and wait for it in this thread.

    Raises:
        TimeoutError: that loop has ended, or ends before the coroutine does.
    """
    try:
        future = asyncio.run_coroutine_threadsafe(coroutine, worker_loop)
    except RuntimeError:
        coroutine.close()
        raise TimeoutError from None
    ended = False
    while True:
        try:
            return future.result(_CHECK_INTERVAL)
        except TimeoutError:
            # arq's worker runs its loop twice: for the jobs, and to close the worker
            ended, ended_before = not worker_loop.is_running(), ended
            if future.done():
                return future.result()
            if ended and ended_before:
                future.cancel()
                if getcoroutinestate(coroutine) == CORO_CREATED:
                    coroutine.close()
                raise
