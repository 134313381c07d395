"""The history of a job: its tries and its log."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from arq_status._model.record import StoredRecord
from arq_status._model.status import Status

#: The names of the levels of a log line, and the numbers that `logging` has for them.
LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
#: Characters of a line, and of the name of its logger, that are kept.
LINE_LIMIT, LOGGER_LIMIT = 2_000, 300
#: Lines and bytes of a job's log that are kept, the newest.
LOG_LINES, LOG_BYTES = 1_000, 262_144
#: Tries of a job that are kept: the first, and so many of the last.
LAST_TRIES = 24
#: Bytes of a traceback that are kept.
TRACEBACK_LIMIT = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """A try of a job, running or ended. Times are aware UTC datetimes.

    Attributes:
        job_try: its number, counted from 1 in each run.
        status: ``working retrying complete failed stopped`` or ``interrupted``.
        started_at: when it began; ``None`` if it never did.
        ended_at: when it ended; ``None`` while it runs, or if that is unknown.
        elapsed: how long it has been running or ran.
        error: why it is not complete; after ``Retry``, the exception that this was raised from, if
            any.
        traceback: the formatted traceback, starting at the job's own code, at most 16 KiB; ``None``
            if it raised nothing or asked for a retry without a reason.
        worker: HOST:PID of its worker.
        run: the run that it belongs to: 1, and one more after each ``retry``.
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
    """A try that is kept beside the stored record."""

    generation: int
    record: StoredRecord
    traceback: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A line of a job's log.

    Attributes:
        number: its number in the log, counted from 1; a gap shows that lines were dropped.
        time: when it was logged, an aware UTC datetime.
        level: ``debug info warning error`` or ``critical``.
        message: the text, cut to 2,000 characters.
        job_try: the try that logged it.
        logger: the name of the logger it came from; ``None`` for ``status.log``.
    """

    number: int
    time: datetime
    level: str
    message: str
    job_try: int
    logger: str | None = None


def level_name(number: int) -> str:
    """Return the name of the level that a number of `logging` belongs to."""
    found = "debug"
    for name, least in LEVELS.items():
        if number >= least:
            found = name
    return found


def level_number(level: int | str) -> int:
    """Return the number of a level that is given by name or number.

    Raises:
        TypeError: it is neither a number nor a text.
        ValueError: there is no level of that name.
    """
    if isinstance(level, int) and not isinstance(level, bool):
        return level
    if not isinstance(level, str):
        raise TypeError(f"a log level is a name or a number, not {type(level).__name__}")
    number = LEVELS.get(level.lower())
    if number is None:
        raise ValueError(f"unknown log level {level!r}: one of {', '.join(LEVELS)}")
    return number
