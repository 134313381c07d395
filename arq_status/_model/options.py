"""Tracking options of a function, or of all functions of a worker."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

from arq.cron import CronJob
from arq.worker import Function

from arq_status._model.history import level_number
from arq_status._model.labels import checked_tags
from arq_status._model.record import DEFAULT_EXPIRES_MS, State
from arq_status._model.validation import require_flag

#: Seconds, or a ``timedelta``.
Expires = int | float | timedelta

#: Tags, or a function that returns them for a job.
Tags = Sequence[str] | Callable[..., Iterable[str]]

#: Validated options by name, without those that were not given.
Given = Mapping[str, Any]

F = TypeVar("F", bound=Callable[..., Any] | Function | CronJob)
P = ParamSpec("P")
T = TypeVar("T")

_ATTRIBUTE = "__arq_status_options__"
#: A thousand years in ms: the cap for every expiry, because Redis accepts no more than 2**63 ms.
_LONGEST_MS = 31_536_000_000_000
_DAY_MS = 86_400_000

#: Characters of the arguments to record: by default, and at most.
DEFAULT_ARGS_LIMIT, LARGEST_ARGS_LIMIT = 80, 2_000


def default_expires_failed(expires: int) -> int:
    """Return how many ms failures are shown: a day, or ``expires`` if that is longer.

    A failure during the night can then still be seen in the morning.
    """
    return max(_DAY_MS, expires)


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionOptions:
    """The options of a function, as announced by a worker."""

    #: how long a complete job is shown, in ms
    expires: int = DEFAULT_EXPIRES_MS
    #: how long a failed, stopped or interrupted job is shown, in ms
    expires_failed: int = default_expires_failed(DEFAULT_EXPIRES_MS)
    #: True if its jobs are tracked
    track: bool = True
    #: how many characters of the arguments may be recorded and shown; 0: none
    record_args: int = DEFAULT_ARGS_LIMIT
    #: True if return values may be shown
    record_result: bool = True
    #: the lowest level of recorded `logging` messages; ``None``: none are recorded
    record_logs: int | None = None
    #: how long arq keeps its results, in ms; ``None``: forever, or unknown
    keep_result: int | None = None
    #: how many tries arq gives its jobs; ``None``: unknown
    max_tries: int | None = None

    #: the tags of its jobs, or a function that returns them; not announced
    tags: Tags | None = None

    @property
    def leaves_nothing(self) -> bool:
        """True if its jobs leave neither a record nor a result."""
        return not self.track and self.keep_result == 0

    def expires_after(self, state: State) -> int:
        """Return how many ms a job that ended in this state is shown."""
        return self.expires if state is State.COMPLETE else self.expires_failed

    @classmethod
    def merged(cls, *given: Given) -> "FunctionOptions":
        """Return the defaults overridden by each of ``given``, later ones winning."""
        options = {name: value for layer in given for name, value in layer.items()}
        expires = options.get("expires", DEFAULT_EXPIRES_MS)
        return cls(**{"expires_failed": default_expires_failed(expires)} | options)

    def encode(self) -> str:
        """Encode as JSON, for the announcement."""
        return json.dumps(
            {
                "expires": self.expires,
                "failed": self.expires_failed,
                "track": self.track,
                "args": self.record_args,
                "result": self.record_result,
                "keep": self.keep_result,
                "tries": self.max_tries,
            }
        )

    @classmethod
    def decode(cls, raw: bytes) -> "FunctionOptions":
        """Decode announced options; damaged ones hide arguments and results."""
        try:
            fields = json.loads(raw)
            given = {
                "expires": expires_ms(fields["expires"] / 1000),
                "track": bool(fields["track"]),
                "record_args": args_limit(fields["args"]),
                # older workers do not announce the following
                "record_result": bool(fields.get("result", True)),
            }
            for name, key in (("keep_result", "keep"), ("max_tries", "tries")):
                if type(fields.get(key)) is int:
                    given[name] = fields[key]
            if "failed" in fields:
                given["expires_failed"] = expires_ms(fields["failed"] / 1000)
            return cls.merged(given)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError):
            return cls(record_args=0, record_result=False)


def _by_keyword(function: Callable[P, T]) -> Callable[P, T]:
    """Make a bare ``@status_options`` raise an error that explains its use."""

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        if args:
            raise TypeError(
                "status_options takes keyword arguments only, as in @status_options(track=False)"
            )
        return function(*args, **kwargs)

    return checked


@_by_keyword
def status_options(
    *,
    expires: Expires | None = None,
    expires_failed: Expires | None = None,
    track: bool | None = None,
    record_args: bool | int | None = None,
    record_result: bool | None = None,
    record_logs: int | str | None = None,
    tags: Tags | None = None,
) -> Callable[[F], F]:
    """Set how the jobs of one function are tracked.

        @status_options(expires=timedelta(days=30), record_args=False)
        async def import_rows(ctx, path):
            ...

        functions = [import_rows, status_options(track=False)(func(resize, keep_result=0))]

    Decorates a job function, or the result of ``func(...)`` or ``cron(...)``, and returns the same
    object. Options that are not given are taken from ``track_status``.

    Args:
        expires: how long a complete job is shown: seconds or a ``timedelta``.
        expires_failed: how long a failed, stopped or interrupted job is shown; by default a day, or
            ``expires`` if that is longer.
        track: ``False``: do not track its jobs; ``True``: track them even with
            ``track_status(track=False)``.
        record_args: how many characters of the arguments are recorded, 80 by default and at most
            2,000. ``False`` keeps the arguments out of every record, page and log of this package;
            such a job cannot be run again with ``retry``.
        record_result: ``False``: never show return values of its jobs.
        tags: the tags of its jobs, up to 20 strings of 1 to 100 characters; or a function that
            returns them, called with the job's arguments when a job starts. An exception in it does
            not fail the job.
        record_logs: the lowest level, by name or number, of the `logging` messages to record in the
            logs of its jobs; by default only ``status.log`` is recorded.

    Raises:
        ValueError: an expiry is not positive and finite, ``record_args`` is negative or over 2,000,
            the level is unknown, a tag is empty or too long, or there are more than 20 tags.
        TypeError: an expiry is neither a number nor a ``timedelta``, ``record_args`` is not an int,
            or a tag is not a string.
    """
    given = check_options(
        tags=tags,
        expires=expires,
        expires_failed=expires_failed,
        track=track,
        record_args=record_args,
        record_result=record_result,
        record_logs=record_logs,
    )

    def decorate(function: F) -> F:
        if isinstance(function, type) or not (callable(function) or hasattr(function, "coroutine")):
            raise TypeError(
                "status_options decorates a job function or the result of func(...) or cron(...),"
                f" not {function!r}"
            )
        setattr(function, _ATTRIBUTE, given)
        return function

    return decorate


def given_options(*decorated: Any) -> Given:
    """Return the options that ``status_options`` set on the first of these that has any."""
    for it in decorated:
        given = getattr(it, _ATTRIBUTE, None)
        if isinstance(given, dict):
            return given
        if isinstance(it, partial):
            return given_options(it.func)
    return {}


def check_options(**options: Any) -> dict[str, Any]:
    """Validate options as given by users, leaving out those that are ``None``.

    Raises:
        ValueError, TypeError: as ``status_options``.
    """
    given = {name: value for name, value in options.items() if value is not None}
    for name in given.keys() & {"expires", "expires_failed"}:
        given[name] = expires_ms(given[name], name)
    for name in given.keys() & {"track", "record_result"}:
        require_flag(given[name], name)
    if "record_args" in given:
        given["record_args"] = args_limit(given["record_args"])
    if "record_logs" in given:
        given["record_logs"] = level_number(given["record_logs"])
    if "tags" in given and not callable(given["tags"]):
        given["tags"] = checked_tags(given["tags"])
    return given


def args_limit(record_args: bool | int) -> int:
    """Return how many characters of the arguments ``record_args`` allows.

    Raises:
        TypeError: it is not an int.
        ValueError: it is negative or over 2,000.
    """
    if isinstance(record_args, bool):
        return DEFAULT_ARGS_LIMIT if record_args else 0
    if not isinstance(record_args, int):
        raise TypeError(f"record_args must be a bool or an int, not {type(record_args).__name__}")
    if not 0 <= record_args <= LARGEST_ARGS_LIMIT:
        raise ValueError(f"record_args must be 0 to {LARGEST_ARGS_LIMIT}, not {record_args!r}")
    return record_args


def expires_ms(expires: Expires, name: str = "expires") -> int:
    """Convert an expiry to whole milliseconds, at least 1.

    Raises:
        TypeError: it is neither a number nor a ``timedelta``.
        ValueError: it is not positive, or not finite.
    """
    seconds = expires.total_seconds() if isinstance(expires, timedelta) else expires
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"{name} must be seconds or a timedelta, not {type(expires).__name__}")
    if not seconds > 0 or seconds == math.inf:
        raise ValueError(f"{name} must be positive and finite, not {expires!r}")
    return max(1, round(min(seconds, _LONGEST_MS // 1000) * 1000))
