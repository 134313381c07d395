"""``StatusClient``: queries jobs and controls them."""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from arq.connections import RedisSettings
from redis.asyncio import Redis

from arq_status._client.actions import JobActions
from arq_status._client.activity import ActivityQueries
from arq_status._client.connections import Connections
from arq_status._client.feed import Feed
from arq_status._client.fields import FieldQueries
from arq_status._client.groups import GroupQueries
from arq_status._client.metrics import metrics
from arq_status._client.watching import WatchQueries
from arq_status._client.workers import WorkerQueries
from arq_status._model.options import Expires, expires_ms
from arq_status._redis.connection import RedisLike, from_dsn


class StatusClient(
    FieldQueries, WatchQueries, JobActions, GroupQueries, ActivityQueries, WorkerQueries
):
    """Queries and controls arq's jobs in Redis.

        async with StatusClient("redis://localhost/1", queues=["imports"]) as client:
            print(await client.status(job_id))

    Jobs are identified by arq's ids; an unknown id is not an error. A client may be used in several
    event loops, one after the other. If Redis cannot be reached, redis-py's exceptions are raised.

    Args:
        redis: an ``ArqRedis`` or ``redis.asyncio.Redis``, arq's ``RedisSettings`` or a DSN; by
            default a Redis on localhost. ``aclose`` closes only connections that the client opened
            itself.
        queues: the queues to look for live jobs in; by default arq's default queue and all queues
            that a tracked worker has announced.
        expires: how long a job that completed without a record is shown: seconds or a
            ``timedelta``; 1800, half an hour, by default. Failed ones are shown for a day, or for
            ``expires`` if that is longer.
        job_deserializer: the workers' deserializer, if it is not arq's default. It is called with
            payloads and results from Redis; without it nothing is unpickled or called.

    Raises:
        ValueError: ``expires`` is not positive, or the DSN is malformed.
        TypeError: ``redis`` is none of these, ``queues`` is not a list of names, or ``expires`` is
            not a duration.
    """

    def __init__(
        self,
        redis: RedisLike | None = None,
        *,
        queues: Sequence[str] | None = None,
        expires: Expires = 1800,
        job_deserializer: Callable[[bytes], Any] | None = None,
    ) -> None:
        if not isinstance(redis, Redis | RedisSettings | str | None):
            raise TypeError(
                "redis must be an ArqRedis or redis.asyncio.Redis, RedisSettings or a DSN,"
                f" not {type(redis).__module__}.{type(redis).__qualname__}"
            )
        if isinstance(queues, str):
            raise TypeError(f"queues must be a list of names, not a single name: [{queues!r}]")
        names = None if queues is None else list(queues)
        if names is not None and not all(isinstance(name, str) for name in names):
            raise TypeError(f"queues must be a list of names, not {names!r}")
        if isinstance(redis, str):
            from_dsn(redis)  # raise now if it is malformed
        self._connections = Connections(
            redis,
            queues=names,
            expires=expires_ms(expires),
            deserializer=job_deserializer,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections that this client opened in the running event loop.

        ``async with`` does so on exit. A Redis client that was passed in stays open.
        """
        await self._connections.aclose()

    async def _feed(self) -> Feed:
        """Return the feed of changes in the running event loop."""
        return (await self._connections.open()).feed

    async def _metrics(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return await metrics(await self._connections.open())
