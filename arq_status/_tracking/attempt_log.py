"""The log lines of an attempt that Redis does not have yet."""

import secrets
from collections import deque
from collections.abc import Sequence
from itertools import count
from time import monotonic

from arq_status._model.history import LINE_LIMIT, LOG_BYTES, LOG_LINES, LOGGER_LIMIT
from arq_status._model.text import shorten
from arq_status._redis.clock import RedisClock
from arq_status._redis.history import encode_line

#: Number within the try, monotonic time, level, message, logger.
_Line = tuple[int, float, str, str, str | None]


class AttemptLog:
    """The newest lines of an attempt. Any thread may append.

    Older ones are dropped as Redis would drop them; gaps in the numbers show that they existed.
    """

    def __init__(self) -> None:
        #: distinguishes the lines of this attempt from those of others
        self.log_id: str = secrets.token_urlsafe(6)
        self._lines: deque[_Line] = deque(maxlen=LOG_LINES)
        self._number = count(1)

    def __bool__(self) -> bool:
        return bool(self._lines)

    def append(self, message: str, level: str, logger: str | None) -> None:
        """Append a line; it is encoded only when it is sent."""
        if len(message) > LINE_LIMIT:
            message = message[: LINE_LIMIT + 1]
        self._lines.append((next(self._number), monotonic(), level, message, logger))

    def unsent(self, job_try: int, clock: RedisClock) -> list[str]:
        """Return the lines to send, encoded: the newest, as many as the log may hold."""
        encoded: list[str] = []
        room = LOG_BYTES
        for number, time, level, message, logger in reversed(self._lines.copy()):
            name = None if logger is None else shorten(logger, LOGGER_LIMIT)
            line = encode_line(
                number, clock.ms_at(time), level, shorten(message, LINE_LIMIT), job_try, name
            )
            room -= len(line.encode())
            if room < 0:
                break
            encoded.append(line)
        return encoded[::-1]

    def mark_sent(self, lines: Sequence[str]) -> None:
        """Note that these lines and all earlier ones are in Redis."""
        if lines:
            last = int(lines[-1].partition(" ")[0])
            while self._lines and self._lines[0][0] <= last:
                self._lines.popleft()
