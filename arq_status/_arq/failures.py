"""Error messages of failed jobs, as shown to users."""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable, Sequence
from typing import Any

from arq_status._arq.inert import Opaque
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


#: Limits for exception groups: members shown, levels of nesting, and characters of each member. A
#: small pickle can nest groups endlessly.
_MOST_MEMBERS, _DEEPEST, _MEMBER_LIMIT = 10, 2, 1_000


def failure_text(error: BaseException, seconds: float | None) -> str:
    """Return the error message of a failed job; ``seconds`` is how long it ran."""
    try:
        text = _failure_text(error, seconds, _DEEPEST)
    except Exception:  # exceptions can run any code
        text = error_text(error)
    return shorten(text, ERROR_LIMIT)


def is_unknown_function(failure: str) -> bool:
    """Return True if a job failed because its worker has no function of that name."""
    return _NOT_FOUND.fullmatch(failure) is not None


def arguments_of(error: BaseException) -> tuple[Any, ...]:
    """Return the ``args`` of an exception.

    ``()`` if its class overrides them with something else.
    """
    try:
        args = error.args
    except Exception:
        return ()
    return args if isinstance(args, tuple) else ()


def _failure_text(error: BaseException, seconds: float | None, depth: int) -> str:
    kind = type(error)
    special = _special_text(kind.__name__, kind.__module__, arguments_of(error), seconds)
    if special is not None:
        return special
    if isinstance(error, BaseExceptionGroup) and depth:
        return _group_text(
            kind.__name__,
            str(error.message),
            error.exceptions,
            lambda it: _failure_text(it, None, depth - 1),
        )
    return error_text(error)


def pickled_failure_text(
    type_name: str, module: str, args: Sequence[Any], seconds: float | None, depth: int = _DEEPEST
) -> str:
    """Return the error message for an exception that was read from a pickle but not unpickled.

    ``seconds`` is how long the job ran.
    """
    text = _special_text(type_name, module, args, seconds)
    if text is None and depth and _is_group(type_name, args):
        message, members = args
        text = _group_text(
            type_name,
            message,
            members,
            lambda it: pickled_failure_text(
                it.name.rpartition(".")[2], it.module, it.args or (), None, depth - 1
            ),
        )
    if text is None:
        details = _details(type_name if module == "builtins" else "", args)
        text = f"{type_name}: {details}" if details else type_name
    return shorten(text, ERROR_LIMIT)


def _is_group(type_name: str, args: Sequence[Any]) -> bool:
    return (
        type_name.endswith("Group")
        and len(args) == 2
        and isinstance(args[0], str)
        and isinstance(args[1], list | tuple)
        and all(isinstance(member, Opaque) for member in args[1][:_MOST_MEMBERS])
    )


def _group_text(
    type_name: str, message: str, members: Sequence[Any], text_of: Callable[[Any], str]
) -> str:
    """Render a group with the messages of its members, where Python would only count them."""
    texts = [shorten(text_of(member), _MEMBER_LIMIT) for member in members[:_MOST_MEMBERS]]
    if len(members) > _MOST_MEMBERS:
        texts.append(f"{len(members) - _MOST_MEMBERS} more")
    return f"{type_name}: {message} ({'; '.join(texts)})"


def is_cancellation(type_name: str, module: str) -> bool:
    """Return True if an exception of this type means that the job was stopped."""
    if type_name == "CancelledError":
        return module in _CANCELLED_MODULES
    return type_name == "JobStopped" and module.partition(".")[0] == "arq_status"


def _special_text(
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
        # "unable to serialize" is raised by the job itself, when it enqueues an unpicklable object
        return None if message.startswith("unable to serialize") else "payload cannot be read"
    return None


def _details(builtin: str, args: Sequence[Any]) -> str:
    """Render the arguments; some builtin exceptions have their own format."""
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
