"""Why a job failed, in words that say what happened to it."""

from __future__ import annotations

import builtins
import re
from collections.abc import Sequence
from typing import Any

from arq_status._model.text import ERROR_LIMIT, error_text, render_message, render_value, shorten

_CANCELLED_MODULES = frozenset(
    {"asyncio", "asyncio.exceptions", "concurrent.futures", "concurrent.futures._base"}
)
_OS_ERRORS = frozenset(
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, OSError)
)
_TIMEOUT_MODULES = _CANCELLED_MODULES | {"builtins"}
_RETRIES = re.compile(r"max (-?\d+) retries exceeded")
_NOT_FOUND = re.compile(r"function .* not found", re.DOTALL)


def failure_of(error: BaseException, seconds: float | None) -> str:
    """Say why a job failed; `seconds` is how long it ran."""
    kind = type(error)
    try:
        args = error.args
    except Exception:
        args = ()  # a class of its own making
    words = _special_words(kind.__name__, kind.__module__, args, seconds)
    return error_text(error) if words is None else shorten(words, ERROR_LIMIT)


def failure_words(type_name: str, module: str, args: Sequence[Any], seconds: float | None) -> str:
    """Say why a job failed where the exception itself is not at hand, only what is in it."""
    words = _special_words(type_name, module, args, seconds)
    if words is None:
        details = _details(type_name if module == "builtins" else "", args)
        words = f"{type_name}: {details}" if details else type_name
    return shorten(words, ERROR_LIMIT)


def is_cancellation(type_name: str, module: str) -> bool:
    """Tell whether an exception of this type means that the job was stopped."""
    if type_name == "CancelledError":
        return module in _CANCELLED_MODULES
    return type_name == "JobStopped" and module.partition(".")[0] == "arq_status"


def _special_words(
    type_name: str, module: str, args: Sequence[Any], seconds: float | None
) -> str | None:
    if is_cancellation(type_name, module):
        return render_message(args) or "aborted"
    if type_name == "TimeoutError" and module in _TIMEOUT_MODULES and not args:
        return _timed_out(seconds)
    message = args[0] if len(args) == 1 and isinstance(args[0], str) else ""
    if (module, type_name) == ("arq.worker", "JobExecutionFailed"):
        return _given_up(message)
    if module == "arq.jobs" and type_name in {"SerializationError", "DeserializationError"}:
        # The job's own code gets this one when it enqueues what cannot be pickled.
        return None if message.startswith("unable to serialize") else "payload cannot be read"
    return None


def _details(builtin: str, args: Sequence[Any]) -> str:
    """Write the arguments, where Python writes those of a builtin exception its own way like it."""
    if builtin == "KeyError" and len(args) == 1:
        return render_value(args[0], ERROR_LIMIT)
    if builtin in _OS_ERRORS and len(args) in {2, 3}:
        text = f"[Errno {render_value(args[0], 20)}] {render_message(args[1:2])}"
        return text if len(args) == 2 else f"{text}: {render_value(args[2], ERROR_LIMIT)}"
    return render_message(args)


def _timed_out(seconds: float | None) -> str:
    if seconds is None or seconds < 0:
        return "timed out"
    return f"timed out after {f'{seconds:.1f}'.removesuffix('.0')}s"


def _given_up(message: str) -> str | None:
    if message == "job expired":
        return "expired before it ran"
    if tries := _RETRIES.fullmatch(message):
        return f"max {tries[1]} tries exceeded"
    return message if _NOT_FOUND.fullmatch(message) else None
