"""What is known of functions, queues, workers and cron jobs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from arq_status._model.status import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionStats:
    """How the jobs of a function ended in a stretch of time.

    Percentiles are estimates within 10 %; ``None`` where no job tells. Runs and waits are those of
    jobs that ended, each of its last try.

    Attributes:
        function: its name, as enqueued; ``(other)`` for all that no worker announced.
        queue: which queue its jobs were in.
        complete: how many jobs returned.
        failed: how many raised, timed out or could not be run.
        stopped: how many were stopped, cancelled or aborted.
        interrupted: how many were lost with a worker for good.
        retried: how many tries ended so that arq ran the job again.
        run_p50: how long half of them ran at most.
        run_p95: how long 95 of 100 ran at most.
        run_max: how long the longest ran.
        wait_p50: how long half of them had been due at most when they began.
        wait_p95: how long 95 of 100 had been due at most.
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
        """How many jobs ended."""
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
        """How many jobs ended."""
        return self.complete + self.failed + self.stopped + self.interrupted


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRecord:
    """A queue at one moment.

    Attributes:
        name: its name.
        queued: how many jobs are due and wait for their first try.
        deferred: how many are due later.
        retrying: how many wait for another try after ``Retry``.
        working: how many run.
        oldest_due_at: when the job became due that has been due longest and does not run.
        latency: how long that was ago; zero if no job is due.
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
    """A tracked worker, one that is alive or that left jobs behind.

    Attributes:
        name: HOST:PID and what makes it unique.
        host: the name of its host.
        pid: its process id there; ``None`` if the name does not tell.
        queue: the queue that it takes jobs from.
        started_at: when it started.
        seen_at: when its last heartbeat came, one every 2 s; ``None`` once it has shut down.
        alive: whether it still sends heartbeats.
        max_jobs: how many jobs it runs at a time.
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
        name: the name that its jobs have as their function.
        function: the qualified name of the Python function behind it.
        queue: where its jobs are enqueued.
        schedule: when, in the words of arq's ``cron``: ``hour=3, minute=0``.
        next_run_at: when the next one will be; ``None`` until the worker has computed it.
        job_id: the id of its last job; ``None`` if there was none.
        status: the status of that job.
        ended_at: when that job ended.
        elapsed: how long it ran, or has been running.
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
