"""The client of an app, in whatever form its ``redis`` option was given."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from weakref import WeakKeyDictionary

from arq_status._client.client import StatusClient
from arq_status._redis.connection import RedisLike

#: Seconds to wait for Redis while a request is answered.
TIMEOUT = 10.0
#: What ``create_app`` accepts.
RedisOption = RedisLike | StatusClient | None


class OwnClient(StatusClient):
    """A client that was created for the app, which therefore closes it."""


class ClientProvider:
    """Provides the client of an app, and closes what was opened for it.

    The lifespan of a mounted app never runs: a client connects with the first request and is
    closed with the event loop.
    """

    def __init__(self, redis: RedisOption | Callable[[], RedisOption]) -> None:
        self._factory = redis if callable(redis) else None
        self._redis: RedisOption = None
        self._client: StatusClient | None = None
        if not callable(redis):
            self._use(redis)
        self._closers: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncGenerator[None]] = (
            WeakKeyDictionary()
        )

    async def client(self) -> StatusClient:
        """Return the client, for use in the running event loop."""
        if self._factory is not None:
            redis = self._factory()
            if self._client is None or redis != self._redis:
                # pools that are created in a lifespan change with every lifespan
                await self.aclose()
                self._use(redis)
        client = self._client
        assert client is not None
        loop = asyncio.get_running_loop()
        is_ours = client is not self._redis or isinstance(client, OwnClient)
        if is_ours and loop not in self._closers:
            self._closers[loop] = closer = _close_with_the_loop(client)
            await anext(closer)
        return client

    async def aclose(self) -> None:
        """Close what was opened in the running event loop."""
        closer = self._closers.pop(asyncio.get_running_loop(), None)
        if closer is not None:
            await closer.aclose()

    def _use(self, redis: RedisOption) -> None:
        self._redis = redis
        self._client = redis if isinstance(redis, StatusClient) else StatusClient(redis)


async def _close_with_the_loop(client: StatusClient) -> AsyncGenerator[None]:
    """Close the client with the event loop, which closes all async generators at its end."""
    try:
        yield
    finally:
        await client.aclose()
