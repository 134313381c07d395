"""The running attempts of a worker, and stop requests for them from outside."""

import asyncio
from collections.abc import Mapping
from time import monotonic

from arq_status._arq.worker import ArqWorker
from arq_status._tracking.attempt import Attempt


class Attempts:
    """The tracked attempts that a worker runs. Thread-safe."""

    def __init__(self, worker: ArqWorker) -> None:
        self._worker = worker
        self._loop = asyncio.get_running_loop()
        #: by the ids of their jobs
        self.running: dict[str, Attempt] = {}

    def remove(self, attempt: Attempt) -> None:
        """Remove an attempt that has ended."""
        if self.running.get(attempt.job_id) is attempt:
            del self.running[attempt.job_id]

    def unrecorded(self) -> set[str]:
        """Return the jobs without an attempt that arq has begun, or was cancelled beginning."""
        return {
            job_id
            for job_id, task in list(self._worker.tasks.items())
            if job_id not in self.running and (not task.done() or task.cancelled())
        }

    def may_miss_stop(self, seconds: float) -> bool:
        """Return whether any of them may have been asked to stop without knowing it.

        The reply to a row says that the job should stop, but not whether by force.

        Args:
            seconds: how long a job may go without a reply.
        """
        since = monotonic() - seconds
        return any(
            not it.force_stopped
            if it.stopping
            else max(it.started_at or 0.0, it.answered_at) < since
            for it in list(self.running.values())
        )

    def apply_stop_requests(self, requests: Mapping[str, str]) -> None:
        """Mark the requested attempts as stopping, and cancel the tasks of forced ones.

        ``requests`` maps job ids to enqueue times, with "!" appended if the stop is forced.
        """
        for job_id, request in requests.items():
            attempt = self.running.get(job_id)
            if attempt is None or request.rstrip("!") != str(attempt.record.enqueued_ms):
                continue
            attempt.stopping = True
            job_task = self._worker.job_task(job_id)
            if request.endswith("!") and job_task is not None and not attempt.force_stopped:
                attempt.force_stopped = True
                self._loop.call_soon_threadsafe(job_task.cancel)
