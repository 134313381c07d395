"""A Redis in this process: fakeredis, which runs Lua scripts."""

from importlib import import_module
from typing import Any

from redis.asyncio import ConnectionPool


def connections() -> ConnectionPool:
    """Return connections to a new, empty server.

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

    class Connection(base):  # type: ignore[misc] # its name depends on fakeredis' version
        """A connection that tells at once whether there is an answer."""

        async def can_read_destructive(self) -> bool:
            # redis-py would read from a socket, with a timeout that it has to wait for
            return bool(await self.can_read(0))

    return ConnectionPool(connection_class=Connection, **pool.connection_kwargs)
