"""A Redis in this process: fakeredis, with support for Lua scripts."""

from importlib import import_module
from typing import Any

from redis.asyncio import ConnectionPool


def connections() -> ConnectionPool:
    """Return a connection pool for a new, empty server.

    Raises:
        ModuleNotFoundError: the extra ``testing`` is not installed.
    """
    try:
        # without it fakeredis treats scripts as unknown commands
        import_module("lupa")
        from fakeredis import FakeAsyncRedis, FakeServer  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"arq_status.testing.inline needs {error.name}: pip install 'arq-status[testing]'",
            name=error.name,
        ) from error
    pool = FakeAsyncRedis(server=FakeServer(version=(7,))).connection_pool
    base: Any = pool.connection_class

    class Connection(base):  # type: ignore[misc] # its name depends on the fakeredis version
        """A connection that knows at once whether there is a reply."""

        async def can_read_destructive(self) -> bool:
            # redis-py would read with a timeout, and wait for the whole of it
            return bool(await self.can_read(0))

    return ConnectionPool(connection_class=Connection, **pool.connection_kwargs)
