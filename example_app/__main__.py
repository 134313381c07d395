"""``python -m example_app``: an embedded Redis, a worker and a page, all in one process."""

import argparse
import asyncio
import signal
import socket
import sqlite3
import sys
import sysconfig
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from arq.connections import ArqRedis

from arq_status import Status, StatusClient
from example_app import embedded
from example_app.errors import DemoError
from example_app.indexing import Index
from example_app.services import connected, listening, redis_settings, serving, working
from example_app.terminal import follow
from example_app.web import create_app
from example_app.worker import QUEUE


def main() -> int:
    """Run the demo; the result is the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a file may have any name
    options = _parse()
    try:
        with _paths(options) as (directory, database, uploads):
            return asyncio.run(_run(options, directory, database, uploads))
    except (asyncio.CancelledError, KeyboardInterrupt):
        return 1 if options.once else 0
    except DemoError as problem:
        print(problem, file=sys.stderr)
        return 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m example_app",
        description="A worker and a page of arq-status in one process, on an embedded Valkey or on"
        " the Redis that REDIS_URL names.",
    )
    add = parser.add_argument
    add("--once", action="store_true", help="index without the page, then end")
    add("--directory", type=Path, default=Path(sysconfig.get_path("stdlib")), help="Python source")
    add("--database", type=Path, help="the SQLite file of the index (default: a temporary one)")
    add("--host", default="127.0.0.1", help="where the page is (default: %(default)s)")
    add("--port", type=_port, default=8000, help="(default: %(default)s; 0: any free one)")
    return parser.parse_args()


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError("a port is between 0 and 65535")
    return port


@contextmanager
def _paths(options: argparse.Namespace) -> Generator[tuple[Path, Path, Path]]:
    """Give the directory, the database and a place for uploads.

    The event loop's threads end before they go.
    """
    if not options.directory.is_dir():
        raise DemoError(f"There is no directory {options.directory}")
    with tempfile.TemporaryDirectory(prefix="example-app-") as folder:
        database = (options.database or Path(folder, "index.sqlite")).resolve()
        try:
            Index(database).close()
        except sqlite3.Error as error:
            raise DemoError(f"{database} cannot be the database: {error}.") from error
        yield options.directory.resolve(), database, Path(folder)


async def _run(options: argparse.Namespace, directory: Path, database: Path, uploads: Path) -> int:
    asyncio.get_running_loop().set_exception_handler(_tell_of_errors)
    _cancel_on_signals()
    if options.once:
        return await _index(directory, database)
    with listening(options.host, options.port) as listener:
        await _serve(listener, directory, database, uploads)
    return 0


async def _index(directory: Path, database: Path) -> int:
    """Index once, and show it in the terminal."""
    async with _services() as (pool, client):
        job = await pool.enqueue_job("index_source", str(directory), str(database))
        assert job is not None  # its id is new
        record = await follow(client, job.job_id, sys.stdout)
    return 0 if record.status is Status.COMPLETE else 1


async def _serve(listener: socket.socket, directory: Path, database: Path, uploads: Path) -> None:
    """Serve the page until a signal cancels it."""
    async with _services() as (pool, client):
        host, port = listener.getsockname()[:2]
        app = create_app(
            pool, client, host=host, directory=directory, database=database, uploads=uploads
        )
        async with serving(app, listener) as server:
            host = f"[{host}]" if ":" in host else host
            url = f"http://{host}:{port}/"
            print(
                f"The page is at {url} and the dashboard at {url}admin (Ctrl-C ends both)",
                flush=True,
            )
            await asyncio.wait({server})


@asynccontextmanager
async def _services() -> AsyncGenerator[tuple[ArqRedis, StatusClient]]:
    async with embedded.server() as dsn:
        settings = redis_settings(dsn)
        async with (
            connected(settings) as pool,
            StatusClient(pool, queues=[QUEUE]) as client,
            working(settings),
        ):
            yield pool, client


def _tell_of_errors(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Tell of errors in the background, but for a connection that arq leaves open.

    It does where it is cancelled in the middle of a command, and there it ends with the process.
    """
    if "client" not in context:
        loop.default_exception_handler(context)


def _cancel_on_signals() -> None:
    """Have Ctrl-C and SIGTERM cancel this task, once: it cleans up undisturbed."""
    task = asyncio.current_task()
    assert task is not None

    def cancel() -> None:
        if not task.cancelling():
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, cancel)


if __name__ == "__main__":
    sys.exit(main())
