"""The tries that run in a worker, and what is asked of them from outside."""

import asyncio
from collections.abc import Mapping

from arq_status._arq.worker import ArqWorker
from arq_status._tracking.attempt import Attempt


class Attempts:
    """The tracked tries of a worker. Any thread may ask."""

    def __init__(self, worker: ArqWorker) -> None:
        self._worker = worker
        self._loop = asyncio.get_running_loop()
        #: by the ids of their jobs
        self.running: dict[str, Attempt] = {}

    def __bool__(self) -> bool:
        return bool(self.running)

    def unrecorded(self) -> set[str]:
        """The jobs that arq has begun, or was cut off in beginning, without a tracked try."""
        return {
            job_id
            for job_id, task in list(self._worker.tasks.items())
            if job_id not in self.running and (not task.done() or task.cancelled())
        }

    def apply_stop_requests(self, stops: Mapping[str, str]) -> None:
        """Stop the tries that are asked for: job ids and runs, with "!" behind them to force it."""
        for job_id, asked in stops.items():
            attempt = self.running.get(job_id)
            if attempt is None or asked.rstrip("!") != str(attempt.record.enqueued_ms):
                continue
            attempt.stopping = True
            job_task = self._worker.job_task_of(job_id)
            if asked.endswith("!") and job_task is not None and not attempt.force_stopped:
                attempt.force_stopped = True
                self._loop.call_soon_threadsafe(job_task.cancel)
