"""The tries that run in a worker, and what is asked of them from outside."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from arq_status._arq_worker import ArqWorker
from arq_status._run import Run


@dataclass(slots=True, eq=False)
class Attempt:
    """A try of a job on its way through arq."""

    run: Run
    function: str | None
    began: float
    #: the task of the job itself was cancelled because somebody forced a stop
    forced: bool = False
    #: arq came as far as the job itself
    entered: bool = False
    #: what the job raised, or what arq will find wrong with what it returned
    raised: BaseException | None = None
    #: it was cancelled from outside, and by ``Job.abort``
    cancelled: bool = False
    aborted: bool = False
    #: the worker's end is what cut it off
    shut_down: bool = False
    #: what arq stores as its result
    result: Mapping[str, Any] | None = None

    @property
    def stopped(self) -> bool:
        """Whether what it raised is due to a stop: arq has it end for good then."""
        if not self.run.stopping:
            return False
        if isinstance(self.raised, asyncio.CancelledError):
            # arq waits for this one after an abort, and runs the job again after a shutdown
            return not self.aborted and not self.shut_down
        return isinstance(self.raised, Exception)


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

    def heed(self, stops: Mapping[str, str]) -> None:
        """Stop the tries that are asked for: job ids and runs, with "!" behind them to force it."""
        for job_id, asked in stops.items():
            attempt = self.running.get(job_id)
            if attempt is None or asked.rstrip("!") != str(attempt.run.track.run):
                continue
            attempt.run.stopping = True
            job_task = self._worker.job_task_of(job_id)
            if asked.endswith("!") and job_task is not None and not attempt.forced:
                attempt.forced = True
                self._loop.call_soon_threadsafe(job_task.cancel)
