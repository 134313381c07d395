"""Wraps the functions of a worker, so that each attempt knows how its call ended."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import wraps
from typing import Any, cast

from arq.cron import CronJob
from arq.utils import timestamp_ms
from arq.worker import Function, Retry

from arq_status._arq.failures import failure_text
from arq_status._arq.worker import ArqWorker
from arq_status._model.errors import JobStopped
from arq_status._model.options import FunctionOptions, Given, given_options
from arq_status._model.record import State
from arq_status._tracking.attempt import Attempt
from arq_status._tracking.tracker import JobTracker, attempt_here, job_var

#: Starts the attempt of a job that was started without our hooks; ``None`` outside a worker.
Join = Callable[[dict[str, Any]], Coroutine[Any, Any, Attempt | None]]
AnyFunction = Function | CronJob

_ATTRIBUTE = "__arq_status_tracked__"


class OptionsTable:
    """The options of functions by name, and those of all others."""

    def __init__(self, default: Given) -> None:
        self._default = default
        self.other = FunctionOptions.merged(default)
        self._known: dict[str, FunctionOptions] = {}

    def add(self, function: AnyFunction) -> FunctionOptions:
        """Add a function or cron job; return its options."""
        coroutine, name = function.coroutine, function.name
        options = getattr(coroutine, _ATTRIBUTE, None) or self._known.get(name)
        if options is None:
            options = FunctionOptions.merged(self._default, given_options(function, coroutine))
        self._known[name] = options
        return options

    def of(self, function: str | None) -> FunctionOptions:
        """Return the options of a function, even if it is unknown."""
        return self._known.get(function or "") or self.other

    def __contains__(self, function: object) -> bool:
        return function in self._known

    def announced(self) -> dict[str, FunctionOptions]:
        """Return the options to announce to readers: by name, and under "" those of all others."""
        return {"": self.other, **self._known}


def is_tracked(function: AnyFunction) -> bool:
    """Return whether calls of a function are tracked."""
    return hasattr(function.coroutine, _ATTRIBUTE)


def tracked(given: AnyFunction, options: OptionsTable, join: Join) -> AnyFunction:
    """Return a function or cron job of the settings with its calls tracked."""
    coroutine: Any = given.coroutine
    own_options = options.add(given)
    if is_tracked(given):
        return given

    @wraps(coroutine)
    async def run(ctx: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        is_job_ctx = isinstance(ctx, dict) and "job_id" in ctx
        attempt = attempt_here(ctx["job_id"]) if is_job_ctx else None
        if attempt is None and is_job_ctx:
            attempt = await join(ctx)
        # entered before: a function of the job calls another one
        if attempt is None or attempt.worker is None or attempt.entered:
            return await coroutine(ctx, *args, **kwargs)
        attempt.entered = attempt.running = True
        try:
            if attempt.stopping:
                attempt.raise_if_stopping()  # it was asked to stop in an earlier try
            returned = await coroutine(ctx, *args, **kwargs)
        except (SystemExit, KeyboardInterrupt) as error:
            await _record_exit(attempt, error)
            raise
        except BaseException as error:
            if not _note_failure(attempt, attempt.worker, error):
                raise
            raise _as_cancelled(attempt.raised) from attempt.raised
        finally:
            attempt.running = False
        if returned is not None and not attempt.worker.keeps_result(attempt.function):
            attempt.raised = attempt.worker.result_error(returned)
        return returned

    setattr(run, _ATTRIBUTE, own_options)
    return replace(given, coroutine=run)


async def _record_exit(attempt: Attempt, error: BaseException) -> None:
    """Record an exception that ends the whole worker, because no more hooks are called."""
    attempt.record.state = State.INTERRUPTED
    attempt.record.error = f"ended its worker with {failure_text(error, None)}"
    attempt.close(final=False)
    # the job has an attempt, hence a tracker
    await cast("JobTracker", job_var.get()).flush()


def _note_failure(attempt: Attempt, worker: ArqWorker, error: BaseException) -> bool:
    """Note what the job raised; return True if it was stopped, so that arq must end it."""
    task = asyncio.current_task()
    # the traceback as it is now: arq and asyncio add frames of their own to it
    attempt.raised, attempt.raised_traceback = error, error.__traceback__
    attempt.cancelled = task is not None and task.cancelling() > 0
    attempt.aborted = worker.is_aborting(attempt.job_id)
    attempt.shut_down = worker.is_shutting_down(attempt.job_id)
    if isinstance(error, Retry) and error.defer_score:
        # arq computes it in the same way, hence by this host's clock
        attempt.retry_due = timestamp_ms() + error.defer_score
    if not isinstance(error, JobStopped):
        if not attempt.stopped:
            return False
        attempt.raised = JobStopped("stopped")
        attempt.raised.__cause__ = error
    worker.end_as_aborted(attempt.job_id)
    return True


def _as_cancelled(stopped: BaseException | None) -> asyncio.CancelledError:
    """Return the exception to raise into arq for a stop.

    Arq would run the job again after ``Retry``, and log anything else with a traceback.
    """
    try:
        return asyncio.CancelledError(*stopped.args) if stopped else asyncio.CancelledError()
    except Exception:  # a user's subclass may do anything with its arguments
        return asyncio.CancelledError("stopped")
