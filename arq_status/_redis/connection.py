"""Creates Redis clients, from what users pass or from an existing client."""

import asyncio
import re
from collections.abc import Mapping
from copy import copy
from typing import Any, cast
from urllib.parse import urlsplit

from arq.connections import RedisSettings, create_pool
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import NoPermissionError, RedisError

#: Exceptions that mean that Redis does not answer, or with an error.
CONNECTION_ERRORS = (RedisError, OSError, asyncio.TimeoutError)

#: A client, arq's settings or a DSN.
RedisLike = Redis | RedisSettings | str

#: Seconds after which background writes give up on a server that does not answer.
_SOCKET_TIMEOUT = 5
#: Redis' error messages if the ACL denies a command, directly or in a script.
_REFUSED_COMMAND = re.compile(r"run the '([\w|]+)' command")
_REFUSED_SCRIPT = re.compile(r"ACL failure in script|The user executing the script can't")
#: Connection options that Sentinel's pool adds itself.
_ADDED_BY_POOL = ("connection_pool",)


async def connect(target: "RedisSettings | str | None") -> Redis:
    """Create a client.

    Raises:
        redis.RedisError, OSError: Redis cannot be reached.
        ValueError: the DSN is malformed.
    """
    if isinstance(target, str):
        return from_dsn(target)
    settings = target or RedisSettings()
    # arq would retry for seconds before raising, but a query should raise at once
    pool: Any = await create_pool(settings, retry=settings.conn_retries)
    return cast("Redis", pool)


def from_dsn(dsn: str, **options: Any) -> Redis:
    """Create a client from a DSN, without connecting.

    Raises:
        ValueError: the DSN is malformed.
    """
    address = urlsplit(dsn)
    # redis-py would silently use database 0
    database = address.path.strip("/")
    if address.scheme in ("redis", "rediss") and database and not database.isdecimal():
        raise ValueError(f"the database in a DSN must be a number, not {database!r}")
    client: Redis = Redis.from_url(dsn, **options)
    pool = client.connection_pool
    try:
        pool.connection_class(**pool.connection_kwargs)
    except TypeError as error:
        raise ValueError(f"the DSN has an option that redis-py does not support: {error}") from None
    return client


async def close(redis: Redis) -> None:
    """Close a client and, with Sentinel, the clients of its Sentinels."""
    await redis.aclose()
    pool = redis.connection_pool
    if isinstance(pool, SentinelConnectionPool):
        for sentinel in pool.sentinel_manager.sentinels:
            await sentinel.aclose()


def separate_client(redis: Redis, **changes: Any) -> Redis:
    """Create a client for the same server and database, with connections of its own.

    ``changes`` override its connection options.
    """
    pool = redis.connection_pool
    kwargs = {k: v for k, v in pool.connection_kwargs.items() if k not in _ADDED_BY_POOL} | changes
    if isinstance(pool, SentinelConnectionPool):
        # the manager's clients are bound to an event loop, too
        manager = copy(pool.sentinel_manager)
        manager.sentinels = [separate_client(sentinel) for sentinel in manager.sentinels]
        sentinels: ConnectionPool = SentinelConnectionPool(  # type: ignore[no-untyped-call]
            pool.service_name,
            manager,
            is_master=pool.is_master,
            check_connection=pool.check_connection,
            connection_class=pool.connection_class,
            **kwargs,
        )
        return Redis.from_pool(sentinels)
    return Redis.from_pool(ConnectionPool(connection_class=pool.connection_class, **kwargs))


def background_client(redis: Redis) -> Redis:
    """Create a client for background writes, with connections of its own and a socket timeout."""
    changes: Mapping[str, Any] = {"socket_timeout": _SOCKET_TIMEOUT, "decode_responses": False}
    return separate_client(redis, **changes)


def missing_permission(error: BaseException) -> str | None:
    """Return the ACL rule that is missing, such as ``+evalsha``.

    ``None`` if the error has another cause.
    """
    text = str(error)
    if not isinstance(error, NoPermissionError) and not _REFUSED_SCRIPT.search(text):
        return None
    if command := _REFUSED_COMMAND.search(text):
        return f"+{command[1].lower()}"
    if "channel" in text:
        return "&arqstatus:*"
    return "~arqstatus*, or ~ the name of a queue" if "key" in text else "+@all -@dangerous"
