"""What may be said of a function, or of all functions of a worker."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from arq.cron import CronJob
from arq.worker import Function

from arq_status._model.record import DEFAULT_EXPIRES_MS

#: Seconds, or a ``timedelta``.
Expires = int | float | timedelta

F = TypeVar("F", bound=Callable[..., Any] | Function | CronJob)

_ATTRIBUTE = "__arq_status_options__"
#: A thousand years: Redis takes no more than 2**63 ms, and nobody means it.
_LONGEST_MS = 31_536_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionOptions:
    """The options of a function, as a worker announces them."""

    #: how long an ended job is shown, in ms
    expires: int = DEFAULT_EXPIRES_MS
    #: whether jobs of it are tracked
    track: bool = True
    #: whether their arguments may be recorded and shown
    record_args: bool = True

    def encode(self) -> str:
        """The JSON text that readers get."""
        return json.dumps({"expires": self.expires, "track": self.track, "args": self.record_args})

    @classmethod
    def decode(cls, raw: bytes) -> "FunctionOptions":
        """Read what a worker announced; what is damaged there shows no arguments."""
        try:
            fields = json.loads(raw)
            return cls(
                expires=expires_ms(fields["expires"] / 1000),
                track=bool(fields["track"]),
                record_args=bool(fields["args"]),
            )
        except (ValueError, TypeError, LookupError, RecursionError, OverflowError):
            return cls(record_args=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenOptions:
    """What ``status_options`` says; ``None`` leaves it to ``track_status``."""

    expires: int | None = None
    track: bool | None = None
    record_args: bool | None = None

    def over(self, default: FunctionOptions) -> FunctionOptions:
        """These options where they are given, else the default's."""
        return FunctionOptions(
            expires=default.expires if self.expires is None else self.expires,
            track=default.track if self.track is None else self.track,
            record_args=default.record_args if self.record_args is None else self.record_args,
        )


def status_options(
    *,
    expires: Expires | None = None,
    track: bool | None = None,
    record_args: bool | None = None,
) -> Callable[[F], F]:
    """Say how the jobs of one function are tracked.

        @status_options(expires=timedelta(days=30), record_args=False)
        async def import_rows(ctx, path):
            ...

        functions = [import_rows, status_options(track=False)(func(resize, keep_result=0))]

    Decorates the function that arq runs, or takes what ``func(...)`` or ``cron(...)`` made of it.
    It gives back the same one. What is not given here is as ``track_status`` says.

    Args:
        expires: how long an ended job is shown: seconds or a ``timedelta``.
        track: ``False`` leaves its jobs untracked; ``True`` tracks them where
            ``track_status(track=False)`` tracks no others.
        record_args: ``False`` keeps the arguments out of every record, page and log.

    Raises:
        ValueError: ``expires`` is not positive.
        TypeError: ``expires`` is no time.
    """
    given = GivenOptions(
        expires=None if expires is None else expires_ms(expires),
        track=track,
        record_args=record_args,
    )

    def decorate(function: F) -> F:
        setattr(function, _ATTRIBUTE, given)
        return function

    return decorate


def given_options(*decorated: Any) -> GivenOptions:
    """What ``status_options`` said of the first of these that it decorated."""
    for it in decorated:
        given = getattr(it, _ATTRIBUTE, None)
        if isinstance(given, GivenOptions):
            return given
        if isinstance(it, partial):
            return given_options(it.func)
    return GivenOptions()


def expires_ms(expires: Expires) -> int:
    """An expiry in whole milliseconds, at least one.

    Raises:
        TypeError: it is neither a number nor a ``timedelta``.
        ValueError: it is not positive, or not finite.
    """
    seconds = expires.total_seconds() if isinstance(expires, timedelta) else expires
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"expires must be seconds or a timedelta, not {type(expires).__name__}")
    if not seconds > 0 or seconds == math.inf:
        raise ValueError(f"expires must be positive and finite, not {expires!r}")
    return max(1, round(min(seconds, _LONGEST_MS // 1000) * 1000))
