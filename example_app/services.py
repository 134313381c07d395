"""What the demo runs, each as a context manager: on leaving it, nothing of it goes on."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import uvicorn
from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.worker import create_worker
from redis.exceptions import RedisError
from starlette.applications import Starlette

from example_app.errors import DemoError
from example_app.worker import QUEUE, WorkerSettings


def redis_settings(dsn: str) -> RedisSettings:
    """Read a DSN. Somebody waits at the terminal, so one failure to connect is enough."""
    try:
        settings = RedisSettings.from_dsn(dsn)
    except (ValueError, RuntimeError) as error:
        raise DemoError(f"REDIS_URL is no address of a Redis: {error}.") from error
    settings.conn_retries = 0
    return settings


@asynccontextmanager
async def connected(settings: RedisSettings) -> AsyncGenerator[ArqRedis]:
    """Give what jobs are enqueued with."""
    try:
        pool = await create_pool(settings, default_queue_name=QUEUE)
    except (OSError, RedisError) as error:
        raise DemoError(f"Redis cannot be reached: {error}") from error
    try:
        yield pool
    finally:
        await pool.aclose()


@asynccontextmanager
async def working(settings: RedisSettings) -> AsyncGenerator[None]:
    """Run an arq worker; should it fail, what is done meanwhile is cancelled."""
    # arq's type for such a class asks for every setting there is.
    kind: Any = WorkerSettings
    worker = create_worker(kind, redis_settings=settings, handle_signals=False)
    try:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(worker.async_run())
            try:
                yield
            finally:
                # Cancelled once: a second time would hit it giving its connections back.
                running.cancel()
                await asyncio.wait({running})
                # It passes on how its jobs ended: cut off, in the middle of something.
                with suppress(asyncio.CancelledError, RedisError, OSError):
                    await worker.close()
    except ExceptionGroup as group:
        if others := group.split(RedisError)[1]:
            raise others from None
        raise DemoError(f"Redis is gone: {group.exceptions[0]}") from group


@contextmanager
def listening(host: str, port: int) -> Generator[socket.socket]:
    """Take the port of the page, before anything is started for it."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address[:2], family=family)
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]
        raise DemoError(f"Cannot listen on {host} port {port}: {reason}.") from error
    with listener:
        yield listener


@asynccontextmanager
async def serving(app: Starlette, listener: socket.socket) -> AsyncGenerator["asyncio.Task[None]"]:
    """Serve the page."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,  # whoever reads an address with a token could use it
        lifespan="off",
        timeout_graceful_shutdown=3,  # streams end within a second
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield task
    finally:
        server.should_exit = True
        await task
