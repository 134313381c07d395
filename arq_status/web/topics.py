"""What several viewers look at, worked out once for all of them."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Hashable
from contextlib import aclosing, suppress
from typing import Generic, TypeVar

T = TypeVar("T")

#: Seconds after which a viewer hears that there is nothing new.
IDLE = 1.0

Source = Callable[[], AsyncGenerator[T]]


class Topic(Generic[T]):
    """The newest of a source, kept by a task for as long as somebody follows it."""

    def __init__(self, source: Source[T]) -> None:
        self.followers = 0
        self.version = 0
        self.latest: T | None = None
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._run(source), name="arq-status topic")
        # those who followed may all have left before it failed
        self._task.add_done_callback(lambda task: task.cancelled() or task.exception())

    @property
    def is_over(self) -> bool:
        """Whether nothing follows any more."""
        return self._task.done()

    def close(self) -> None:
        """End the source."""
        self._task.cancel()

    def raise_failure(self) -> None:
        """Raise what the source raised."""
        self._task.result()

    async def wait(self) -> None:
        """Wait until something has changed, or for some time."""
        changed = self._changed
        with suppress(TimeoutError):
            async with asyncio.timeout(IDLE):
                await changed.wait()

    async def _run(self, source: Source[T]) -> None:
        try:
            async with aclosing(source()) as values:
                async for value in values:
                    self.version += 1
                    self.latest = value
                    self._tell()
        finally:
            self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Topics(Generic[T]):
    """Topics by what they are about."""

    def __init__(self) -> None:
        self._topics: dict[Hashable, Topic[T]] = {}

    async def follow(self, key: Hashable, source: Source[T]) -> AsyncGenerator[T | None]:
        """The newest value, and each time there is a newer one that; ``None`` where there is not.

        Values that come faster than they are taken are left out. What the source raises is raised
        here.
        """
        # tasks and events belong to their event loop
        key = (asyncio.get_running_loop(), key)
        topic = self._topics.get(key)
        if topic is None or topic.is_over:
            topic = self._topics[key] = Topic(source)
        topic.followers += 1
        seen = 0
        try:
            while True:
                # asked first: what was told last is taken before the end
                is_over = topic.is_over
                if topic.version == seen and not is_over:
                    await topic.wait()
                is_new = topic.version > seen
                if is_over and not is_new:
                    break
                seen = topic.version
                yield topic.latest if is_new else None
            topic.raise_failure()
        finally:
            self._leave(key, topic)

    def _leave(self, key: Hashable, topic: Topic[T]) -> None:
        topic.followers -= 1
        if not topic.followers:
            topic.close()
            # another may have taken the place of one that was over
            if self._topics[key] is topic:
                del self._topics[key]
