"""Standard output, with errors that are distinct from those of the Redis connection."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from arq_status.cli.escaping import escape


class OutputError(Exception):
    """Writing to standard output failed."""


class Output:
    """Standard output as a file object, for ``print`` and rich.

    Raises ``OutputError``, because an ``OSError`` may also come from the connection to Redis.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        if stream is not None and hasattr(stream, "reconfigure"):
            # escape characters that the terminal cannot encode
            stream.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        """Write a string."""
        if self._stream is None:
            raise OutputError("it is closed")
        try:
            return self._stream.write(text)
        except OSError as error:
            raise OutputError(error.strerror or error) from error

    def flush(self) -> None:
        """Flush the stream."""
        try:
            if self._stream is not None:
                self._stream.flush()
        except OSError as error:
            raise OutputError(error.strerror or error) from error

    def isatty(self) -> bool:
        """Return True if standard output is a terminal."""
        return self._stream is not None and self._stream.isatty()

    def discard(self) -> None:
        """Discard what could not be written."""
        if self._stream is not None:
            _discard(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def report_error(sentence: str) -> None:
    """Print a sentence on standard error, on one line."""
    if sys.stderr is not None:
        try:
            print(f"arq-status: {escape(sentence)}", file=sys.stderr, flush=True)
        except OSError:
            # there is nowhere else to report it
            _discard(sys.stderr)


def _discard(stream: TextIO) -> None:
    # Python would try to flush it again at exit; a stream without a file descriptor raises here
    with suppress(OSError), Path(os.devnull).open("w") as null:
        os.dup2(null.fileno(), stream.fileno())
