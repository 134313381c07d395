"""Live values that many viewers share: each is computed once for all of them."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Hashable
from contextlib import aclosing, suppress
from typing import Generic, TypeVar

T = TypeVar("T")

#: Seconds without a new value after which a viewer gets ``None``.
IDLE = 1.0

Source = Callable[[], AsyncGenerator[T]]


class Broadcast(Generic[T]):
    """The latest value of a source, which a task reads as long as anyone follows it."""

    def __init__(self, source: Source[T]) -> None:
        self.followers: int = 0
        self.version: int = 0
        self.latest: T | None = None
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._read(source), name="arq-status broadcast")
        # retrieves the exception: all followers may have left before it was raised
        self._task.add_done_callback(lambda task: task.cancelled() or task.exception())

    @property
    def is_over(self) -> bool:
        """True if no more values will come."""
        return self._task.done()

    def close(self) -> None:
        """Stop reading the source."""
        self._task.cancel()

    def raise_failure(self) -> None:
        """Raise what the source raised."""
        self._task.result()

    async def wait(self) -> None:
        """Wait for a new value, at most for ``IDLE`` seconds."""
        changed = self._changed
        with suppress(TimeoutError):
            async with asyncio.timeout(IDLE):
                await changed.wait()

    async def _read(self, source: Source[T]) -> None:
        try:
            async with aclosing(source()) as values:
                async for value in values:
                    self.version += 1
                    self.latest = value
                    self._wake_followers()
        finally:
            self._wake_followers()

    def _wake_followers(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Broadcasts(Generic[T]):
    """Broadcasts by their keys."""

    def __init__(self) -> None:
        self._broadcasts: dict[Hashable, Broadcast[T]] = {}

    async def follow(self, key: Hashable, source: Source[T]) -> AsyncGenerator[T | None]:
        """Yield the latest value and every newer one; ``None`` after ``IDLE`` seconds without one.

        A slow viewer skips values. Exceptions of the source are raised here.
        """
        # tasks and events belong to their event loop
        key = (asyncio.get_running_loop(), key)
        broadcast = self._broadcasts.get(key)
        if broadcast is None or broadcast.is_over:
            broadcast = self._broadcasts[key] = Broadcast(source)
        broadcast.followers += 1
        seen = 0
        try:
            while True:
                # read before the version, so that the last value is not missed
                is_over = broadcast.is_over
                if broadcast.version == seen and not is_over:
                    await broadcast.wait()
                is_new = broadcast.version > seen
                if is_over and not is_new:
                    break
                seen = broadcast.version
                yield broadcast.latest if is_new else None
            broadcast.raise_failure()
        finally:
            self._leave(key, broadcast)

    def _leave(self, key: Hashable, broadcast: Broadcast[T]) -> None:
        broadcast.followers -= 1
        if not broadcast.followers:
            broadcast.close()
            # a new one may have replaced a broadcast that was over
            if self._broadcasts[key] is broadcast:
                del self._broadcasts[key]
