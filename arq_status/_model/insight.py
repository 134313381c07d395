"""Statistics of functions, and the state of queues, workers and cron jobs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from arq_status._model.status import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionStats:
    """How the jobs of a function ended in a period of time.

    Percentiles are estimates within 10 %; ``None`` if no job ended. Run times and waits are those
    of the last try of each job that ended.

    Attributes:
        function: its name, as enqueued; ``(other)`` for all that no worker announced.
        queue: the queue of its jobs.
        complete: how many jobs returned.
        failed: how many raised, timed out or could not be run.
        stopped: how many were stopped, cancelled or aborted.
        interrupted: how many were lost for good with their worker.
        retried: how many tries ended in such a way that arq ran the job again.
        run_p50: the median of their run times.
        run_p95: the 95th percentile of their run times.
        run_max: the longest run time.
        wait_p50: the median of their waits, from when the try was due until it began.
        wait_p95: the 95th percentile of their waits.
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
        """The share of jobs that failed or were interrupted, 0 to 1; ``None`` if none ended."""
        return (self.failed + self.interrupted) / self.ended if self.ended else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityPoint:
    """How jobs ended in one step of time. The numbers are those of ``FunctionStats``.

    Attributes:
        time: when the step begins, an aware UTC datetime.
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
        queued: how many jobs are due and wait for their first try.
        deferred: how many are due later.
        retrying: how many wait for another try after ``Retry``.
        working: how many are running.
        oldest_due_at: since when the job has been due that has waited longest; ``None`` if no job
            is due.
        latency: how long that job has been due; zero if no job is.
        workers: how many tracked workers take jobs from it.
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
        pid: its process id there; ``None`` if that is unknown.
        queue: the queue that it takes jobs from.
        started_at: when it started.
        seen_at: when its last heartbeat came, one every 2 s; ``None`` once it has shut down.
        alive: True while it sends heartbeats.
        max_jobs: the most jobs that it runs at a time.
        functions: the names of its functions.
        running: the ids of the jobs that it runs or left behind, 1,000 at most.
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
    """A cron job that living workers announce.

    Attributes:
        name: the name of the cron job, which is the ``function`` of its jobs.
        function: the qualified name of the Python function behind it.
        queue: the queue of its jobs.
        schedule: when it runs, as the arguments of arq's ``cron``: ``hour=3, minute=0``.
        next_run_at: when it runs next; ``None`` until its worker has computed that.
        job_id: the id of its last job; ``None`` if there was none.
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
