"""``track_status``: puts the tracking into the settings of an arq worker."""

import asyncio
import pickle
import warnings
from collections.abc import Callable, Coroutine, Mapping
from contextvars import ContextVar
from dataclasses import replace
from functools import partial, wraps
from typing import Any, Protocol, TypeVar, overload

from arq.cron import CronJob
from arq.version import VERSION
from arq.worker import Function, func

from arq_status._arq.worker import is_untested
from arq_status._model.errors import JobStopped
from arq_status._model.options import (
    Expires,
    FunctionOptions,
    Given,
    check_options,
    expires_ms,
    given_options,
)
from arq_status._tracking.lists import TrackedList
from arq_status._tracking.session import Session, attempt_var, payload_var

C = TypeVar("C")
T = TypeVar("T")
Hook = Callable[[dict[str, Any]], Coroutine[Any, Any, Any]]

#: The running worker, in every task that arq starts for it.
session_var: ContextVar[Session | None] = ContextVar("arq_status_session", default=None)


class _Decorator(Protocol):
    """``track_status`` with its options given."""

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
) -> Any:
    """Track the jobs of a worker. Decorates its settings class, or takes its settings as a dict.

        @track_status(expires=timedelta(days=1))
        class WorkerSettings:
            functions = [import_rows]

        worker = Worker(**track_status({"functions": [import_rows]}))

    A class is changed and returned, of a dict a new one is made. Hooks, functions, cron jobs and
    serializers in it go on working.

    Args:
        settings: what arq's ``Worker`` is made of.
        expires: how long a complete job is shown: seconds or a ``timedelta``; 1800, half an hour,
            by default.
        expires_failed: how long a job that failed, was stopped or interrupted is shown; by default
            a day, or ``expires`` if that is longer.
        track: ``False`` tracks only functions with ``status_options(track=True)``.
        record_args: how many characters of a job's arguments are kept, 80 by default and at most
            2,000. ``False`` keeps the arguments out of every record, page and log of this package;
            such a job cannot be run again with ``retry``.
        record_result: ``False`` shows nowhere what jobs return.

    Raises:
        ValueError: an expiry is not positive, or ``record_args`` is negative or over 2,000.
        TypeError: the settings are tracked already, or are neither a class nor a dict; an expiry is
            no time, or ``record_args`` is not an int.
    """
    # None would read as "for ever" here
    default = {"expires": expires_ms(expires)} | check_options(
        expires_failed=expires_failed,
        track=track,
        record_args=record_args,
        record_result=record_result,
    )
    return partial(_apply, default) if settings is None else _apply(default, settings)


def _apply(default: Given, settings: Any) -> Any:
    if not isinstance(settings, type | dict):
        raise TypeError(
            f"track_status takes a settings class or a dict, not {type(settings).__name__}"
        )
    _warn_of_untested_arq(VERSION)
    # arq reads the class itself and none of its bases
    given: Mapping[str, Any] = settings if isinstance(settings, dict) else vars(settings)
    if isinstance(given.get("functions"), TrackedList):
        raise TypeError("these settings are tracked already: apply track_status once")
    tracked = Tracking(given, default).settings()
    if isinstance(settings, dict):
        return {**settings, **tracked}
    for name, value in tracked.items():
        setattr(settings, name, value)
    return settings


def _warn_of_untested_arq(version: str) -> None:
    if is_untested(version):
        warnings.warn(f"arq-status was not tested with arq {version}", RuntimeWarning, stacklevel=4)


class Tracking:
    """The settings of a worker and what tracks its jobs in their place."""

    def __init__(self, given: Mapping[str, Any], default: Given) -> None:
        self._given = dict(given)
        self._default = default
        #: by the names of functions; "" is any other
        self._options: dict[str, FunctionOptions] = {"": FunctionOptions.of(default)}
        self._open: list[tuple[Any, asyncio.Task[Any] | None, Session]] = []
        self._serialize: Callable[[Any], bytes] = given.get("job_serializer") or pickle.dumps
        self.given_deserializer: Callable[[bytes], Any] | None = given.get("job_deserializer")
        self._deserialize = self.given_deserializer or pickle.loads
        self._on_job_start_given: Hook | None = given.get("on_job_start")
        self._on_job_end_given: Hook | None = given.get("on_job_end")

    def settings(self) -> dict[str, Any]:
        """What takes the place of the settings given."""
        return {
            "functions": TrackedList(self._given.get("functions") or (), self._track_function),
            "cron_jobs": TrackedList(self._given.get("cron_jobs") or (), self._track_cron_job),
            "on_startup": self._on_startup,
            "on_shutdown": self._on_shutdown,
            "on_job_start": self._on_job_start,
            "on_job_end": self._on_job_end,
            "job_serializer": self._job_serializer,
            "job_deserializer": self._job_deserializer,
        }

    def _track_function(self, given: Any) -> Function:
        function = func(given)
        return replace(function, coroutine=self._tracked(function))

    def _track_cron_job(self, given: CronJob) -> CronJob:
        return replace(given, coroutine=self._tracked(given))

    def _tracked(self, given: Function | CronJob) -> Any:
        name, coroutine = given.name, given.coroutine
        self._options[name] = FunctionOptions.of(self._default, given_options(given, coroutine))

        @wraps(coroutine)
        async def tracked(ctx: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
            attempt = attempt_var.get()
            session = session_var.get()
            if attempt is None or session is None:
                return await coroutine(ctx, *args, **kwargs)
            attempt.entered = True
            try:
                attempt.raise_if_stopping()  # asked in an earlier try
                returned = await coroutine(ctx, *args, **kwargs)
            except BaseException as error:
                task = asyncio.current_task()
                attempt.raised = error
                attempt.cancelled = task is not None and task.cancelling() > 0
                attempt.aborted = session.worker.is_aborting(attempt.job_id)
                attempt.shut_down = session.worker.is_shutting_down(attempt.job_id)
                if not attempt.stopped or isinstance(error, JobStopped):
                    raise
                # arq would try it again after Retry, and book what else there is as a failure
                attempt.raised = JobStopped("stopped")
                raise attempt.raised from error
            if returned is not None and not session.worker.keeps_result(name):
                attempt.raised = session.worker.result_error(returned)
            return returned

        return tracked

    async def _on_startup(self, ctx: dict[str, Any]) -> None:
        session = Session(ctx["redis"], self._given, self._options)
        session_var.set(session)
        self._open.append((ctx, asyncio.current_task(), session))
        await session.open()
        await self._run_hook("on_startup", ctx)

    async def _on_shutdown(self, ctx: dict[str, Any]) -> None:
        try:
            await self._run_hook("on_shutdown", ctx)
        finally:
            # arq runs this in a task of its own, which inherits nothing from the worker's
            ours = [it for it in self._open if it[0] is ctx]
            # workers that share a ctx: the one that has ended
            ours.sort(key=lambda it: it[1] is None or not it[1].done())
            for it in ours[:1]:
                self._open.remove(it)
                await it[2].close()

    async def _on_job_start(self, ctx: dict[str, Any]) -> None:
        session = session_var.get()
        if session is not None:
            await session.begin(ctx)
        if self._on_job_start_given is not None:
            await self._on_job_start_given(ctx)

    async def _on_job_end(self, ctx: dict[str, Any]) -> None:
        session = session_var.get()
        try:
            if self._on_job_end_given is not None:
                await self._on_job_end_given(ctx)
        finally:
            if session is not None:
                await session.end()

    async def _run_hook(self, name: str, ctx: dict[str, Any]) -> None:
        hook: Hook | None = self._given.get(name)
        if hook is not None:
            await hook(ctx)

    def _job_serializer(self, data: Any) -> bytes:
        raw = self._serialize(data)
        # what it was made of tells jobs and results apart; a failed one arq tries again with less
        session = session_var.get()
        if session is not None and "r" in data and "id" in data:
            attempt = attempt_var.get()
            if attempt is not None and attempt.job_id == data["id"]:
                attempt.result = data
            else:
                session.end_without_hook(data)
        return raw

    def _job_deserializer(self, raw: bytes) -> Any:
        data = self._deserialize(raw)
        if isinstance(data, Mapping) and "r" not in data:
            payload_var.set(data)
        return data


def given_deserializer(settings: Any) -> Callable[[bytes], Any] | None:
    """The user's own ``job_deserializer``, also of settings that are tracked."""
    given = settings if isinstance(settings, dict) else vars(settings)
    deserializer: Any = given.get("job_deserializer")
    ours = getattr(deserializer, "__self__", None)
    return ours.given_deserializer if isinstance(ours, Tracking) else deserializer
