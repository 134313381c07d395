"""What all commands share: arguments, client, console and output functions."""

import argparse
import os
import shutil
from enum import IntEnum
from typing import IO, Any, cast
from urllib.parse import urlsplit

from redis.asyncio import Redis
from rich.console import Console, RenderableType

from arq_status._client.client import StatusClient
from arq_status._model.serialization import encode
from arq_status._redis.connection import from_dsn
from arq_status.cli.output import Output, report_error

#: Does not quote the error, which may contain part of the password.
NOT_A_DSN = "--redis or REDIS_URL is not a Redis DSN such as redis://localhost:6379/0"
#: The width of output that goes to a file or another program.
_WIDE = 160
#: Seconds to wait for a server that does not answer.
_CONNECT_TIMEOUT = 5


class Exit(IntEnum):
    """The exit codes."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    INTERRUPTED = 130


class Context:
    """One run of the command.

    Raises:
        ValueError: the DSN is malformed.
    """

    def __init__(self, arguments: argparse.Namespace, output: Output) -> None:
        self.arguments = arguments
        self.json: bool = arguments.json
        self.redis: Redis = from_dsn(arguments.redis, socket_connect_timeout=_CONNECT_TIMEOUT)
        # list may filter by a queue that no worker has announced
        queue = getattr(arguments, "queue", None)
        queues = arguments.queues or ([queue] if queue else None)
        self.client: StatusClient = StatusClient(self.redis, queues=queues)
        self._output = output
        self.console: Console = Console(
            file=cast("IO[str]", output),
            highlight=False,
            markup=False,
            emoji=False,
            width=_width(output),
            soft_wrap=False,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self.client.aclose()
        await self.redis.aclose()

    def print_result(self, view: RenderableType, value: Any) -> None:
        """Print a view for people or, with ``--json``, a value."""
        if self.json:
            self.print_json(value)
        elif self.console.is_terminal:
            self.console.print(view)
        else:
            with self.console.capture() as captured:
                self.console.print(view)
            # without the trailing spaces that pad the columns
            for line in captured.get().splitlines():
                self.print_line(line.rstrip())

    def print_json(self, value: Any) -> None:
        """Print a value on one line, and flush."""
        self.print_line(encode(value).decode(), flush=True)

    def print_line(self, line: str, *, flush: bool = False) -> None:
        """Print a line unchanged."""
        print(line, file=self._output, flush=flush)

    def fail(self, sentence: str, code: Exit) -> Exit:
        """Report an error, with ``--json`` also on standard output; return the exit code."""
        report_error(sentence)
        if self.json:
            self.print_json({"error": sentence})
        return code

    def fail_unknown(self, job_id: str) -> Exit:
        """Report that the job is not known; return the exit code."""
        return self.fail(
            f"no job {job_id!r} is known; 'arq-status doctor ID' may say why", Exit.FAILED
        )


def shown_dsn(dsn: str) -> str:
    """Return the DSN without its password."""
    parts = urlsplit(dsn)
    user, _, host = parts.netloc.rpartition("@")
    name = f"{user.partition(':')[0]}@" if user.partition(":")[0] else ""
    return f"{parts.scheme}://{name}{host}{parts.path}"


def _width(output: Output) -> int:
    if output.isatty() or os.environ.get("COLUMNS", "").isdigit():
        return shutil.get_terminal_size().columns
    return _WIDE
