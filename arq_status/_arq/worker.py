"""Access to the running arq worker from inside a hook or job."""

import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from types import FrameType
from typing import Any, NamedTuple

from arq.cron import CronJob
from arq.worker import Function, Worker

#: The first version of arq that arq-status was not tested with.
_UNTESTED = (0, 29)


def is_untested(version: str) -> bool:
    """Return True if arq-status was not tested with this version of arq."""
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) >= _UNTESTED


class RunningJob(NamedTuple):
    """A job that a worker of this event loop is running, found in the stack frames of arq."""

    worker: Worker
    #: what the job was enqueued with, under the keys of arq's payload
    payload: Mapping[str, Any]


def calling_worker() -> Worker | None:
    """Return the worker that is calling a hook: one of the callers is one of its methods."""
    for frame in _callers():
        worker = _self_of(frame)
        if worker is not None:
            return worker
    return None


def running_job(ctx: Mapping[str, Any]) -> RunningJob | None:
    """Return the job to which this ``ctx`` belongs.

    Arq calls hooks directly but runs the function in a separate task, so its ``run_job`` is among
    the callers or in another task.
    """
    others = (frame for task in asyncio.all_tasks() for frame in _frames(task.get_coro()))
    for frame in chain(_callers(), others):
        worker = _self_of(frame)
        if worker is not None and _is_job_of(frame, ctx):
            names = frame.f_locals
            payload = {
                "f": names.get("function_name"),
                "a": names.get("args"),
                "k": names.get("kwargs"),
                "et": names.get("enqueue_time_ms"),
            }
            return RunningJob(worker, payload)
    return None


def _callers() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_job_of(frame: FrameType, ctx: Mapping[str, Any]) -> bool:
    """Return True if this frame of ``Worker.run_job`` created ``ctx``, or the original of it."""
    given = frame.f_locals.get("ctx")
    return given is ctx or (
        isinstance(given, dict)
        and given.get("job_id") == ctx["job_id"]
        and given.get("redis") is ctx.get("redis")
    )


def _frames(awaitable: Any) -> Iterator[FrameType]:
    """Yield the frames of a coroutine and of everything it awaits, outermost first."""
    while awaitable is not None:
        frame = getattr(awaitable, "cr_frame", None) or getattr(awaitable, "gi_frame", None)
        if frame is not None:
            yield frame
        awaitable = getattr(awaitable, "cr_await", None) or getattr(awaitable, "gi_yieldfrom", None)


def _self_of(frame: FrameType) -> Worker | None:
    code = frame.f_code
    if not code.co_argcount or code.co_varnames[0] != "self":
        return None
    owner = frame.f_locals.get("self")
    return owner if isinstance(owner, Worker) else None


class ArqWorker:
    """The effective settings of a running worker; its arguments may override the settings class."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        #: the queue that it takes jobs from
        self.queue: str = worker.queue_name
        #: lifetime of the in-progress keys that it sets, in ms
        self.in_progress_ms: int = int(worker.in_progress_timeout_s * 1000)
        #: its functions and cron jobs by name
        self.functions: Mapping[str, Function | CronJob] = worker.functions
        #: the tasks of the jobs that it has started, including those that just ended
        self.tasks: Mapping[str, asyncio.Task[Any]] = worker.tasks

    @property
    def max_jobs(self) -> int:
        """The maximum number of jobs that it runs at a time."""
        return self._worker.max_jobs

    @property
    def cron_jobs(self) -> Sequence[CronJob]:
        """The jobs that it enqueues on a schedule."""
        return self._worker.cron_jobs

    def is_shutting_down(self, job_id: str) -> bool:
        """Return True if the worker's shutdown has cancelled the task that runs the job's hooks."""
        task = self.tasks.get(job_id)
        return task is not None and task.cancelling() > 0

    def job_task(self, job_id: str) -> "asyncio.Task[Any] | None":
        """Return the task in which arq runs the job's function."""
        return self._worker.job_tasks.get(job_id)

    @property
    def retries_jobs(self) -> bool:
        """True if it runs a job again after ``Retry`` and after cancellation."""
        return self._worker.retry_jobs

    def result_error(self, returned: object) -> Exception | None:
        """Return the exception with which arq will fail the job: logging ``returned`` may raise."""
        if self._worker.log_results:
            try:
                repr(returned)
            except Exception as error:
                return error
        return None

    def is_aborting(self, job_id: str) -> bool:
        """Return True if the job was cancelled by ``Job.abort``."""
        return job_id in self._worker.aborting_tasks

    def end_as_aborted(self, job_id: str) -> None:
        """Make arq end the job on its next ``CancelledError``, without logging a traceback."""
        self._worker.aborting_tasks.add(job_id)

    def timeout(self, function: str | None) -> float | None:
        """Return the job timeout of the function in seconds; ``None``: no limit."""
        own = self._of_function(function, "timeout_s")
        return self._worker.job_timeout_s if own is None else float(own)

    def keeps_result(self, function: str | None) -> bool:
        """Return True if it stores the results of the function's jobs."""
        milliseconds = self.keep_result_ms(function)
        return milliseconds is None or milliseconds > 0

    def keep_result_ms(self, function: str | None) -> int | None:
        """Return how long it keeps the results of the function's jobs, in ms.

        ``None``: forever, 0: not at all.
        """
        forever = self._of_function(function, "keep_result_forever")
        if self._worker.keep_result_forever if forever is None else forever:
            return None
        seconds = self._of_function(function, "keep_result_s")
        return round((self._worker.keep_result_s if seconds is None else seconds) * 1000)

    def max_tries(self, function: str | None) -> int:
        """Return how many tries it gives jobs of the function."""
        own = self._of_function(function, "max_tries")
        return self._worker.max_tries if own is None else int(own)

    def _of_function(self, function: str | None, name: str) -> Any:
        return getattr(self._worker.functions.get(function or ""), name, None)
