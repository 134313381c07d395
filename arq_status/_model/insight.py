"""Statistics of functions, and the state of queues, workers and cron jobs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from arq_status._model.status import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionStats:
    """How the jobs of a function ended in a period of time.

    Percentiles are estimates, accurate to 10 %; ``None`` if no job ended. Run times and waits are
    those of the last try of each job that ended.

    Attributes:
        function: its name, as enqueued; ``(other)`` for all functions that no worker announced.
        queue: the queue of its jobs.
        complete: jobs that returned.
        failed: jobs that raised, timed out or could not be run.
        stopped: jobs that were stopped, cancelled or aborted.
        interrupted: jobs that were lost for good with their worker.
        retried: tries after which arq ran the job again.
        run_p50: the median run time.
        run_p95: the 95th percentile of run times.
        run_max: the longest run time.
        wait_p50: the median wait, from when the try was due until it started.
        wait_p95: the 95th percentile of waits.
    """

    function: str
    queue: str
    complete: int = 0
    failed: int = 0
    stopped: int = 0
    interrupted: int = 0
    retried: int = 0
    run_p50: timedelta | None = None
    run_p95: timedelta | None = None
    run_max: timedelta | None = None
    wait_p50: timedelta | None = None
    wait_p95: timedelta | None = None

    @property
    def ended(self) -> int:
        """The number of jobs that ended."""
        return self.complete + self.failed + self.stopped + self.interrupted

    @property
    def failure_rate(self) -> float | None:
        """The fraction of jobs that failed or were interrupted; ``None`` if none ended."""
        return (self.failed + self.interrupted) / self.ended if self.ended else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityPoint:
    """How jobs ended in one time step. The other fields are those of ``FunctionStats``.

    Attributes:
        time: when the step starts, an aware UTC datetime.
    """

    time: datetime
    complete: int = 0
    failed: int = 0
    stopped: int = 0
    interrupted: int = 0
    retried: int = 0
    run_p50: timedelta | None = None
    run_p95: timedelta | None = None
    run_max: timedelta | None = None
    wait_p50: timedelta | None = None
    wait_p95: timedelta | None = None

    @property
    def ended(self) -> int:
        """The number of jobs that ended."""
        return self.complete + self.failed + self.stopped + self.interrupted


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRecord:
    """A queue at one moment.

    Attributes:
        name: the name of the queue.
        queued: jobs that are due and wait for their first try.
        deferred: jobs that are due later.
        retrying: jobs that wait for another try after ``Retry``.
        working: jobs that are running.
        oldest_due_at: when the job that has waited longest became due; ``None`` if no job is due.
        latency: how long that job has been due; zero if no job is due.
        workers: tracked workers that take jobs from it.
    """

    name: str
    queued: int
    deferred: int
    retrying: int
    working: int
    oldest_due_at: datetime | None
    latency: timedelta
    workers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRecord:
    """A tracked worker that is alive or has left jobs behind.

    Attributes:
        name: HOST:PID and a random part.
        host: the name of its host.
        pid: its process id there; ``None`` if unknown.
        queue: the queue that it takes jobs from.
        started_at: when it started.
        seen_at: when its last heartbeat came (one every 2 s); ``None`` once it has shut down.
        alive: True while it sends heartbeats.
        max_jobs: the maximum number of jobs that it runs at a time.
        functions: the names of its functions.
        running: the ids of the jobs that it runs or left behind, at most 1,000.
    """

    name: str
    host: str
    pid: int | None
    queue: str | None
    started_at: datetime | None
    seen_at: datetime | None
    alive: bool
    max_jobs: int | None
    functions: Sequence[str]
    running: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CronRecord:
    """A cron job announced by live workers.

    Attributes:
        name: the name of the cron job, which is the ``function`` of its jobs.
        function: the qualified name of the Python function behind it.
        queue: the queue of its jobs.
        schedule: when it runs, as arguments of arq's ``cron``: ``hour=3, minute=0``.
        next_run_at: when it runs next; ``None`` until its worker has computed it.
        job_id: the id of its last job, if any.
        status: the status of that job.
        ended_at: when that job ended.
        elapsed: how long that job has been running or ran.
    """

    name: str
    function: str
    queue: str
    schedule: str
    next_run_at: datetime | None
    job_id: str | None = None
    status: Status | None = None
    ended_at: datetime | None = None
    elapsed: timedelta | None = None
