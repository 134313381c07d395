"""Tracebacks of jobs as Python prints them, without the frames of arq and this package."""

from collections.abc import Iterator
from pathlib import Path
from traceback import StackSummary, TracebackException
from types import TracebackType

import arq
from arq.worker import Retry, RetryJob

from arq_status._model.errors import JobStopped
from arq_status._model.history import TRACEBACK_LIMIT
from arq_status._model.text import clean

_OURS = tuple(f"{path}/" for path in (Path(arq.__file__).parent, Path(__file__).parents[1]))


def traceback_of(raised: BaseException, since: TracebackType | None) -> str | None:
    """Return the formatted traceback of an exception that a job raised.

    ``None`` for ``Retry`` or ``JobStopped`` without a cause. ``since`` is the traceback that starts
    at the job's own first frame.
    """
    if isinstance(raised, Retry | RetryJob | JobStopped) and reason_for(raised) is None:
        return None
    return format_traceback(raised, since)


def reason_for(error: BaseException) -> BaseException | None:
    """Return the cause of an exception, or else its context."""
    try:
        if error.__cause__ is not None or error.__suppress_context__:
            return error.__cause__
        return error.__context__
    except Exception:  # attributes of an exception may be anything
        return None


def format_traceback(error: BaseException, since: TracebackType | None = None) -> str | None:
    """Return the traceback of an exception as Python prints it, from the job's own first frame on.

    Causes, contexts, groups and notes are included. If it is longer than 16 KiB it is cut in the
    middle. ``None`` if it cannot be formatted.
    """
    try:
        formatted = TracebackException(type(error), error, since or error.__traceback__)
        for it in _chain(formatted):
            it.stack = StackSummary.from_list(
                [frame for frame in it.stack if not frame.filename.startswith(_OURS)]
            )
        text = "".join(formatted.format())
    except Exception:  # attributes of an exception may be anything
        return None
    return cut_in_the_middle(clean(text.rstrip("\n")), TRACEBACK_LIMIT)


def cut_in_the_middle(text: str, limit: int) -> str:
    """Cut a string to ``limit`` bytes of UTF-8, keeping its beginning and its end."""
    raw = text.encode()
    if len(raw) <= limit:
        return text
    mark = f"\n... {len(raw) - limit:,} bytes or more left out ...\n"
    half = (limit - len(mark)) // 2
    return raw[:half].decode(errors="ignore") + mark + raw[-half:].decode(errors="ignore")


def _chain(formatted: TracebackException) -> Iterator[TracebackException]:
    """Yield an exception, its causes and contexts, and the members of groups."""
    waiting: list[TracebackException | None] = [formatted]
    while waiting:
        it = waiting.pop()
        if it is not None:
            yield it
            waiting += [it.__cause__, it.__context__, *(it.exceptions or ())]
