"""What the commands have in common: the client, the console, and how they complain."""

import argparse
import os
import shutil
import sys
from enum import IntEnum
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis
from rich.console import Console, RenderableType

from arq_status._client.client import StatusClient
from arq_status._model.json import encode
from arq_status.cli.plain import plain

#: Columns of what goes to a file or another program.
_WIDE = 160
#: Seconds to wait for a server that does not answer.
_CONNECT_TIMEOUT = 5


class Exit(IntEnum):
    """What the process exits with."""

    FINE = 0
    NOT_DONE = 1
    USAGE = 2
    AWAY = 3
    INTERRUPTED = 130


class Tool:
    """The command as it runs.

    Raises:
        ValueError: the DSN cannot be read.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.json: bool = arguments.json
        self.redis: Redis = Redis.from_url(arguments.redis, socket_connect_timeout=_CONNECT_TIMEOUT)
        self.client = StatusClient(self.redis, queues=arguments.queues)
        self.console = Console(
            highlight=False, markup=False, emoji=False, width=_width(), soft_wrap=False
        )

    async def aclose(self) -> None:
        """Close what is open."""
        await self.client.aclose()
        await self.redis.aclose()

    def answer(self, view: RenderableType, value: Any) -> None:
        """Print a view for people, or a value for machines."""
        if self.json:
            self.print_json(value)
        elif self.console.is_terminal:
            self.console.print(view)
        else:
            with self.console.capture() as captured:
                self.console.print(view)
            # nobody wants what only fills lines up
            print("\n".join(line.rstrip() for line in captured.get().splitlines()))

    def print_json(self, value: Any) -> None:
        """Print a value on one line, at once."""
        print(encode(value).decode(), flush=True)

    def complain(self, sentence: str, code: Exit) -> Exit:
        """Say why it is not done; the code to exit with."""
        complain(sentence)
        if self.json:
            self.print_json({"error": sentence})
        return code

    def unknown(self, job_id: str) -> Exit:
        """Say that there is no such job."""
        return self.complain(f"no job {job_id!r} is known; doctor may tell why", Exit.NOT_DONE)


def complain(sentence: str) -> None:
    """Say on one line what is wrong."""
    print(f"arq-status: {plain(sentence)}", file=sys.stderr)


def shown_dsn(dsn: str) -> str:
    """The DSN without its password."""
    parts = urlsplit(dsn)
    user, _, host = parts.netloc.rpartition("@")
    name = f"{user.partition(':')[0]}@" if user.partition(":")[0] else ""
    return f"{parts.scheme}://{name}{host}{parts.path}"


def _width() -> int | None:
    """A terminal's own; elsewhere lines are long, for nobody sees where they would wrap."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit():
        return shutil.get_terminal_size().columns
    return _WIDE
