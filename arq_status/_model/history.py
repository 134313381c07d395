"""The history of a job: its tries and its log."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from arq_status._model.record import StoredRecord
from arq_status._model.status import Status

#: The level names of log lines, and their numbers in `logging`.
LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
#: Maximum characters of a log line and of its logger's name; the rest is cut off.
LINE_LIMIT, LOGGER_LIMIT = 2_000, 300
#: Maximum lines and bytes of a job's log; the newest lines are kept.
LOG_LINES, LOG_BYTES = 1_000, 262_144
#: How many of the last tries of a job are kept, in addition to the first.
LAST_TRIES = 24
#: Maximum bytes of a traceback.
TRACEBACK_LIMIT = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """A try of a job, running or ended. Times are aware UTC datetimes.

    Attributes:
        job_try: its number, starting at 1 in each run.
        status: ``working retrying complete failed stopped`` or ``interrupted``.
        started_at: when it started; ``None`` if it never did.
        ended_at: when it ended; ``None`` while it runs or if unknown.
        elapsed: how long it has been running or ran.
        error: why it is not complete; for ``Retry``, the exception that it was raised from, if any.
        traceback: the formatted traceback, starting at the job's own code, at most 16 KiB; ``None``
            if nothing was raised, or only ``Retry`` without a cause.
        worker: HOST:PID of its worker.
        run: the number of its run: 1, and one more after each ``retry``.
    """

    job_try: int
    status: Status
    started_at: datetime | None = None
    ended_at: datetime | None = None
    elapsed: timedelta | None = None
    error: str | None = None
    traceback: str | None = None
    worker: str | None = None
    run: int = 1


class KeptTry(NamedTuple):
    """A try that is stored separately from the record."""

    generation: int
    record: StoredRecord
    traceback: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A line of a job's log.

    Attributes:
        number: its number in the log, starting at 1; a gap means that lines were dropped.
        time: when it was logged, an aware UTC datetime.
        level: ``debug info warning error`` or ``critical``.
        message: the text, cut to 2,000 characters.
        job_try: the number of the try that logged it.
        logger: the name of its logger; ``None`` for ``status.log``.
    """

    number: int
    time: datetime
    level: str
    message: str
    job_try: int
    logger: str | None = None


def level_name(number: int) -> str:
    """Return the level name for a level number of `logging`."""
    found = "debug"
    for name, least in LEVELS.items():
        if number >= least:
            found = name
    return found


def level_number(level: int | str) -> int:
    """Return the number of a level given by name or number.

    Raises:
        TypeError: it is neither an int nor a string.
        ValueError: there is no level of that name.
    """
    if isinstance(level, int) and not isinstance(level, bool):
        return level
    if not isinstance(level, str):
        raise TypeError(f"a log level is a name or a number, not {type(level).__name__}")
    number = LEVELS.get(level.lower())
    if number is None:
        raise ValueError(f"unknown log level {level!r}, must be one of {', '.join(LEVELS)}")
    return number
