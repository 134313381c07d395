"""The connections of a client: one for each event loop in which it is used."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from arq_status._client.feed import Feed
from arq_status._redis.connection import RedisLike, close, connect, separate_client
from arq_status._redis.recovery import recover_orphans
from arq_status._redis.store import Store

#: Seconds between sweeps of the indexes by a client that lists or counts.
SWEEP_INTERVAL = 20.0


class Connection(Store):
    """A client's connection in one event loop: the store, and the feed of its changes."""

    def __init__(self, redis: Redis, *, owned: bool, **options: Any) -> None:
        super().__init__(redis, **options)
        self.feed: Feed = Feed(self)
        self._owned = owned
        self._swept = 0.0

    async def sweep_if_due(self) -> None:
        """End lost jobs and drop expired index entries, unless this was done recently."""
        if monotonic() - self._swept > SWEEP_INTERVAL:
            self._swept = monotonic()
            # a replica accepts no writes, and queries skip expired entries anyway
            with suppress(ResponseError):
                await recover_orphans(self)
                await self.sweep()

    async def aclose(self) -> None:
        """Close the feed, and the Redis client unless it was passed in by the user."""
        await self.feed.aclose()
        if self._owned:
            await close(self.redis)


class Connections:
    """The connections of a client, opened on first use."""

    def __init__(
        self,
        redis: RedisLike | None,
        *,
        queues: Sequence[str] | None,
        expires: int,
        deserializer: Callable[[bytes], Any] | None,
    ) -> None:
        self._redis = redis
        self._options = {"queues": queues, "expires": expires, "deserializer": deserializer}
        self._open: WeakKeyDictionary[asyncio.AbstractEventLoop, Connection] = WeakKeyDictionary()
        #: the event loop in which the user's own Redis client is used
        self._given_loop: object = None

    @property
    def is_configured(self) -> bool:
        """True if the user said which Redis to use."""
        return self._redis is not None

    def opened(self) -> Connection | None:
        """Return the connection of the running event loop, if it is open."""
        return self._open.get(asyncio.get_running_loop())

    async def open(self) -> Connection:
        """Return the connection of the running event loop, opening it first if necessary."""
        return self.opened() or await self._connect(asyncio.get_running_loop())

    async def aclose(self) -> None:
        """Close the connection of the running event loop."""
        connection = self._open.pop(asyncio.get_running_loop(), None)
        if connection is not None:
            await connection.aclose()

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> Connection:
        for closed in [it for it in self._open if it.is_closed()]:
            # its connections can no longer be closed properly
            del self._open[closed]
        redis = await self._client_for(loop)
        fresh = Connection(redis, owned=redis is not self._redis, **self._options)
        # another task may have been first while this one connected
        connection = self._open.setdefault(loop, fresh)
        if connection is not fresh:
            await fresh.aclose()
        return connection

    async def _client_for(self, loop: asyncio.AbstractEventLoop) -> Redis:
        if not isinstance(self._redis, Redis):
            return await connect(self._redis)
        if self._given_loop is None:
            self._given_loop = loop
        return self._redis if self._given_loop is loop else separate_client(self._redis)
