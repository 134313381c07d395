"""Determines the outcome of an attempt by the same rules as arq."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from arq.worker import Retry, RetryJob

from arq_status._arq.failures import arguments_of, failure_text
from arq_status._model.errors import JobStopped
from arq_status._model.record import State
from arq_status._model.text import render_message
from arq_status._tracking.tracebacks import reason_for


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended."""

    state: State
    error: str | None = None
    #: True if arq will not run the job again
    final: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What arq's decision depends on."""

    #: arq's setting: run a job again after ``Retry`` or cancellation
    retry_jobs: bool = True
    #: True if ``Job.abort`` ended it
    aborted: bool = False
    #: True if the worker is shutting down
    shutdown: bool = False
    #: True if the job was cancelled from outside, as opposed to raising ``CancelledError`` itself
    cancelled: bool = False
    #: how long the job ran
    seconds: float | None = None
    #: the job timeout
    timeout: float | None = None


COMPLETE = Outcome(State.COMPLETE)


def judge(
    raised: BaseException | None, result: Mapping[str, Any] | None, given: Circumstances
) -> Outcome:
    """Return the outcome of an attempt from what it raised, if anything, and what arq stored."""
    if result is None:
        return _judge_raised(raised, given)
    if result.get("s"):
        return COMPLETE
    stored = result.get("r")
    if isinstance(raised, asyncio.CancelledError) and isinstance(stored, TimeoutError):
        return _timed_out(given)
    if isinstance(stored, BaseException):
        # we raised a cancellation into arq instead of the stop
        return _judge_final(raised if isinstance(raised, JobStopped) else stored, given)
    if raised is not None:
        # the serializer rejects exceptions: arq stores a message of its own instead
        return _judge_raised(raised, replace(given, retry_jobs=False))
    return Outcome(State.FAILED, str(stored))


def _judge_raised(raised: BaseException | None, given: Circumstances) -> Outcome:
    if raised is None:
        return COMPLETE
    if isinstance(raised, asyncio.CancelledError) and not given.aborted and not given.shutdown:
        if given.cancelled and _is_due(given):
            return _timed_out(given)
        if given.retry_jobs:
            return Outcome(State.RETRYING, "cancelled itself", final=False)
    if isinstance(raised, Retry | RetryJob) and given.retry_jobs:
        return Outcome(State.RETRYING, _reason_for(raised, given), final=False)
    outcome = _judge_final(raised, given)
    if outcome.state is State.INTERRUPTED and given.retry_jobs:
        return replace(outcome, final=False)
    return outcome


def _reason_for(retry: BaseException, given: Circumstances) -> str | None:
    """Return why a job asked for another try: the cause of its ``Retry``, if any."""
    reason = reason_for(retry)
    return None if reason is None else failure_text(reason, given.seconds)


def _judge_final(error: BaseException, given: Circumstances) -> Outcome:
    if isinstance(error, JobStopped):
        return Outcome(State.STOPPED, render_message(arguments_of(error)) or "stopped")
    if isinstance(error, asyncio.CancelledError):
        if given.shutdown and not given.aborted:
            return Outcome(State.INTERRUPTED, "cut off by a shutdown")
        return Outcome(State.STOPPED, "aborted")
    return Outcome(State.FAILED, failure_text(error, given.seconds))


def _is_due(given: Circumstances) -> bool:
    # arq's timeout started a moment before our clock
    return (
        given.timeout is not None
        and given.seconds is not None
        and given.seconds >= given.timeout - 0.05
    )


def _timed_out(given: Circumstances) -> Outcome:
    seconds = given.timeout if _is_due(given) else given.seconds
    return Outcome(
        State.FAILED, "timed out" if seconds is None else f"timed out after {seconds:g}s"
    )
