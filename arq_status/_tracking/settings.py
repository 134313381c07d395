"""``track_status``: adds tracking to the settings of an arq worker."""

import logging
import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol, TypeVar, overload

from arq.cron import CronJob
from arq.version import VERSION
from arq.worker import func

from arq_status._arq.worker import calling_worker, is_untested, running_job
from arq_status._model.options import Expires, Given, check_options, expires_ms
from arq_status._tracking.functions import AnyFunction, OptionsTable, tracked
from arq_status._tracking.lists import TrackedList
from arq_status._tracking.session import HOOKS, HookOwner, Session, given_hook, join, open_session
from arq_status._tracking.tracker import attempt_here

C = TypeVar("C")

logger = logging.getLogger("arq_status")


class _Decorator(Protocol):
    """``track_status`` with its options applied."""

    @overload
    def __call__(self, settings: type[C], /) -> type[C]: ...

    @overload
    def __call__(self, settings: dict[str, Any], /) -> dict[str, Any]: ...


@overload
def track_status(settings: type[C], /) -> type[C]: ...


@overload
def track_status(settings: dict[str, Any], /) -> dict[str, Any]: ...


@overload
def track_status(
    *,
    expires: Expires = ...,
    expires_failed: Expires | None = ...,
    track: bool = ...,
    record_args: bool | int = ...,
    record_result: bool = ...,
    record_logs: int | str | None = ...,
) -> _Decorator: ...


def track_status(
    settings: Any = None,
    /,
    *,
    expires: Expires = 1800,
    expires_failed: Expires | None = None,
    track: bool = True,
    record_args: bool | int = True,
    record_result: bool = True,
    record_logs: int | str | None = None,
) -> Any:
    """Track the jobs of a worker. Decorates a settings class or takes the settings as a dict.

        @track_status(expires=timedelta(days=1))
        class WorkerSettings:
            functions = [import_rows]

        worker = Worker(**track_status({"functions": [import_rows]}))

    A class is modified and returned; of a dict a modified copy is returned. Hooks, functions, cron
    jobs and serializers work as before.

    Args:
        settings: a class as for the command ``arq``, or a dict of arguments of arq's ``Worker``.
        expires: how long a complete job is shown: seconds or a ``timedelta``; 1800 (half an hour)
            by default.
        expires_failed: how long a failed, stopped or interrupted job is shown; by default a day,
            or ``expires`` if that is longer.
        track: ``False`` tracks only functions with ``status_options(track=True)``.
        record_args: how many characters of a job's arguments are kept: 80 by default, at most
            2,000. ``False`` keeps the arguments out of all records, pages and logs of this package;
            such jobs cannot be run again with ``retry``.
        record_result: ``False`` never shows what jobs return.
        record_logs: the lowest level, as a name or number, of `logging` messages that go into the
            logs of jobs; by default these only get what is logged with ``status.log``.

    Raises:
        ValueError: an expiry is not positive and finite, ``record_args`` is negative or over 2,000,
            or the level of ``record_logs`` is unknown.
        TypeError: the settings are tracked already, or are neither a class nor a dict; or an option
            has the wrong type.

    Warns:
        RuntimeWarning: arq-status was not tested with this version of arq.
    """
    # `expires=None` must be refused, because it would look like "for ever"
    default = {"expires": expires_ms(expires)} | check_options(
        expires_failed=expires_failed,
        track=track,
        record_args=record_args,
        record_result=record_result,
        record_logs=record_logs,
    )
    return partial(_apply, default) if settings is None else _apply(default, settings)


def _apply(default: Given, settings: Any) -> Any:
    if not isinstance(settings, type | dict):
        raise TypeError(
            f"track_status takes a settings class or a dict, not {type(settings).__name__}"
        )
    _warn_of_untested_arq(VERSION)
    # arq reads the class itself, but not its bases
    given: Mapping[str, Any] = settings if isinstance(settings, dict) else vars(settings)
    # tracked functions alone may come from another worker's settings
    are_tracked = any(given_hook(given.get(name)) is not given.get(name) for name in HOOKS)
    if are_tracked and isinstance(given.get("functions"), TrackedList):
        raise TypeError("these settings are tracked already: apply track_status once")
    parts = TrackedSettings(given, default).parts()
    if isinstance(settings, dict):
        return {**settings, **parts}
    for name, value in parts.items():
        setattr(settings, name, value)
    return settings


def _warn_of_untested_arq(version: str) -> None:
    if is_untested(version):
        warnings.warn(f"arq-status was not tested with arq {version}", RuntimeWarning, stacklevel=4)


class TrackedSettings(HookOwner):
    """The replacements for the functions, cron jobs and hooks of a worker's settings.

    Whichever of them is called first finds the running worker and opens its session.
    """

    def __init__(self, given: Mapping[str, Any], default: Given) -> None:
        super().__init__({name: given_hook(given.get(name)) for name in HOOKS})
        self._options = OptionsTable(default)
        self._functions = given.get("functions") or ()
        self._cron_jobs = given.get("cron_jobs") or ()

    def parts(self) -> dict[str, Any]:
        """Return the settings to replace."""
        hooks = {name: getattr(self, name) for name in HOOKS}
        return {
            "functions": TrackedList(self._functions, self._tracked),
            "cron_jobs": TrackedList(self._cron_jobs, self._tracked),
            **hooks,
        }

    async def on_startup(self, ctx: dict[str, Any]) -> None:
        """Track the starting worker, then call the user's hook."""
        await self._reach_worker(late=False)
        await self._run_given("on_startup", ctx)

    async def on_shutdown(self, ctx: dict[str, Any]) -> None:
        """Call the user's hook; a tracked worker calls its session's hook instead."""
        await self._run_given("on_shutdown", ctx)

    async def on_job_start(self, ctx: dict[str, Any]) -> None:
        """Track the worker from this job on if it is not tracked, then call the user's hook."""
        session = await self._reach_worker(late=True)
        if session is not None and attempt_here(ctx["job_id"]) is None:
            found = running_job(ctx)
            await session.begin(ctx, found.payload if found is not None else {})
        await self._run_given("on_job_start", ctx)

    async def on_job_end(self, ctx: dict[str, Any]) -> None:
        """Track the worker from here on if it is not tracked, then call the user's hook."""
        await self._reach_worker(late=True)
        await self._run_given("on_job_end", ctx)

    async def _reach_worker(self, *, late: bool) -> Session | None:
        worker = calling_worker()
        if worker is None:
            logger.warning(
                "a hook of track_status was called by something other than arq's worker: nothing is"
                " tracked"
            )
            return None
        return await open_session(worker, self._options, late=late)

    async def _run_given(self, name: str, ctx: dict[str, Any]) -> None:
        hook = self.given[name]
        if hook is not None:
            await hook(ctx)

    def _tracked(self, given: Any) -> AnyFunction:
        function = given if isinstance(given, CronJob) else func(given)
        return tracked(function, self._options, partial(join, self._options))
