"""What arq's worker goes by: as it runs, for its arguments may override the settings."""

import asyncio
from collections.abc import Mapping
from typing import Any

from arq.constants import default_queue_name
from arq.utils import to_seconds
from arq.worker import Worker

#: Arq's, for its own default job timeout.
_DEFAULT_IN_PROGRESS_MS = 310_000


#: The first version of arq that was not tested.
_UNTESTED = (0, 29)


def is_untested(version: str) -> bool:
    """Whether nobody has tried arq-status with this version of arq."""
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) >= _UNTESTED


class ArqWorker:
    """The worker that runs us, or the settings for as long as it is not known."""

    def __init__(self, settings: Mapping[str, Any], redis: Any) -> None:
        self._settings = settings
        self._worker = _worker_of(asyncio.current_task())
        queue: str | None = self._get("queue_name", None)
        #: the queue it takes jobs from
        self.queue = queue or getattr(redis, "default_queue_name", None) or default_queue_name

    def is_shutting_down(self, job_id: str) -> bool:
        """Whether the worker's end cancels the task in which arq runs the hooks of a job."""
        task = self.tasks.get(job_id)
        return task is not None and task.cancelling() > 0

    def job_task_of(self, job_id: str) -> "asyncio.Task[Any] | None":
        """The task in which arq runs the job itself."""
        return None if self._worker is None else self._worker.job_tasks.get(job_id)

    @property
    def tasks(self) -> Mapping[str, "asyncio.Task[Any]"]:
        """The jobs that it has begun, and those that ended a moment ago."""
        return {} if self._worker is None else self._worker.tasks

    @property
    def in_progress_ms(self) -> int:
        """After how many ms the in-progress keys that it sets expire."""
        if self._worker is not None:
            return int(self._worker.in_progress_timeout_s * 1000)
        return _DEFAULT_IN_PROGRESS_MS

    @property
    def retries(self) -> bool:
        """Whether it runs a job again after Retry and cancellation."""
        return bool(self._get("retry_jobs", True))

    def result_error(self, returned: object) -> Exception | None:
        """What arq will find wrong with what a job returned: it fails one whose repr raises."""
        if self._get("log_results", True):
            try:
                repr(returned)
            except Exception as error:
                return error
        return None

    def is_aborting(self, job_id: str) -> bool:
        """Whether ``Job.abort`` is what cancelled the job."""
        return self._worker is not None and job_id in self._worker.aborting_tasks

    def timeout(self, function: str | None) -> float | None:
        """Seconds that a job of the function may run."""
        own = self._of_function(function, "timeout_s")
        if own is not None:
            return float(own)
        if self._worker is not None:
            return self._worker.job_timeout_s
        seconds: float | None = to_seconds(self._settings.get("job_timeout", 300))
        return seconds

    def keeps_result(self, function: str | None) -> bool:
        """Whether it stores what a job of the function returns."""
        forever = self._of_function(function, "keep_result_forever")
        if forever is None:
            forever = self._get("keep_result_forever", False)
        seconds = self._of_function(function, "keep_result_s")
        if seconds is None and self._worker is not None:
            seconds = self._worker.keep_result_s
        if seconds is None:
            seconds = to_seconds(self._settings.get("keep_result", 3600))
        return bool(forever) or seconds > 0

    def _of_function(self, function: str | None, name: str) -> Any:
        known = self._worker.functions.get(function or "") if self._worker is not None else None
        return getattr(known, name, None)

    def _get(self, name: str, default: Any) -> Any:
        if self._worker is not None:
            return getattr(self._worker, name)
        return self._settings.get(name, default)


def _worker_of(task: "asyncio.Task[Any] | None") -> Worker | None:
    """The worker, from the task in which it starts: arq hands its hooks none."""
    frame = getattr(task.get_coro(), "cr_frame", None) if task is not None else None
    worker = frame.f_locals.get("self") if frame is not None else None
    return worker if isinstance(worker, Worker) else None
