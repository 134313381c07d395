"""Arq workers in separate processes, which a test may kill."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from arq.connections import RedisSettings

from tests.conftest import until

ROOT = Path(__file__).parents[1]


class WorkerProcess:
    """A process that runs ``arq`` or another program, in its own process group."""

    def __init__(
        self,
        redis: RedisSettings,
        log: Path,
        *,
        tracked: bool = True,
        program: str | None = None,
        **settings: Any,
    ) -> None:
        self._redis = redis
        self._log = log
        arq = ["arq", f"tests.jobs.{'Settings' if tracked else 'Plain'}"]
        self._program = arq if program is None else [program]
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process; it takes a moment until it accepts jobs."""
        environment = {
            **os.environ,
            "WORKER_REDIS": json.dumps(asdict(self._redis)),
            "WORKER_SETTINGS": json.dumps(self._settings),
        }
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *self._program],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def runs(self) -> bool:
        """True until it has ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """The exit code, once it has ended."""
        return None if self._process is None else self._process.returncode

    @property
    def log(self) -> str:
        """Everything it has printed."""
        return self._log.read_text()

    def has_printed(self, text: str) -> bool:
        """Return whether it has printed ``text``."""
        return text in self.log

    async def started(self) -> None:
        """Wait until it accepts jobs."""

        def listens() -> bool:
            assert self.runs, self.log
            return "Starting worker" in self.log

        await until(listens, 20)

    def send(self, sign: signal.Signals) -> None:
        """Send a signal to its process group."""
        if self.runs:
            os.killpg(self.pid, sign)

    async def gone(self, seconds: float = 20) -> None:
        """Wait until it has ended."""
        await until(lambda: not self.runs, seconds)

    async def kill(self, sign: signal.Signals = signal.SIGKILL) -> None:
        """End it with a signal and wait until it has ended."""
        self.send(sign)
        await self.gone()


@asynccontextmanager
async def worker_process(
    redis: str | RedisSettings, folder: Path, **settings: Any
) -> AsyncIterator[WorkerProcess]:
    """Run a ``WorkerProcess``; it is killed in the end if it still runs."""
    log = folder / f"worker-{len(list(folder.iterdir()))}.log"
    if isinstance(redis, str):
        redis = RedisSettings.from_dsn(redis)
    worker = WorkerProcess(redis, log, **settings)
    worker.start()
    try:
        await worker.started()
        yield worker
    finally:
        await worker.kill()
