"""Where the app has its client from."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from weakref import WeakKeyDictionary

from arq_status._client.client import StatusClient
from arq_status._redis.connection import RedisLike

#: What ``create_app`` may be given.
Given = RedisLike | StatusClient | None


class OwnClient(StatusClient):
    """A client that is the app's own, so that the app closes it."""


class ClientSource:
    """Gives the client of the app, and closes what was opened for it.

    The lifespan of a mounted app never runs, so that a client connects with the first request and
    is closed with the event loop.
    """

    def __init__(self, given: Given | Callable[[], Given]) -> None:
        self._give = given if callable(given) else None
        self._given: Given = None
        self._client: StatusClient | None = None
        if not callable(given):
            self._take(given)
        self._closers: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncGenerator[None]] = (
            WeakKeyDictionary()
        )

    async def client(self) -> StatusClient:
        """The client, for use in the running event loop."""
        if self._give is not None:
            given = self._give()
            if self._client is None or given != self._given:
                # a pool that is made in a lifespan is another one in the next
                await self.aclose()
                self._take(given)
        client = self._client
        assert client is not None
        loop = asyncio.get_running_loop()
        ours = client is not self._given or isinstance(client, OwnClient)
        if ours and loop not in self._closers:
            self._closers[loop] = closer = _close_with_the_loop(client)
            await anext(closer)
        return client

    async def aclose(self) -> None:
        """Close what was opened in the running event loop."""
        closer = self._closers.pop(asyncio.get_running_loop(), None)
        if closer is not None:
            await closer.aclose()

    def _take(self, given: Given) -> None:
        self._given = given
        self._client = given if isinstance(given, StatusClient) else StatusClient(given)


async def _close_with_the_loop(client: StatusClient) -> AsyncGenerator[None]:
    """Wait to be closed, as loops do with all asynchronous generators at their end."""
    try:
        yield
    finally:
        await client.aclose()
