"""A Redis in this process: fakeredis, which runs Lua scripts."""

from importlib import import_module

from redis.asyncio import ConnectionPool


def connections() -> ConnectionPool:
    """Return connections to an empty server of their own.

    Raises:
        ModuleNotFoundError: the extra ``testing`` is not installed.
    """
    try:
        # without it fakeredis takes scripts for unknown commands
        import_module("lupa")
        from fakeredis import FakeAsyncRedis, FakeServer  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"inline needs {error.name}: pip install 'arq-status[testing]'", name=error.name
        ) from error
    pool: ConnectionPool = FakeAsyncRedis(server=FakeServer(version=(7,))).connection_pool
    return pool
