"""The statuses of a job."""

from enum import StrEnum


class Status(StrEnum):
    """The status of a job, which is also a string: ``Status.WORKING == "working"``.

    Attributes:
        DEFERRED: in the queue, due later.
        QUEUED: in the queue, due now.
        WORKING: a worker is running it.
        RETRYING: its last try ended with ``Retry``; in the queue for the next.
        COMPLETE: it returned.
        FAILED: it raised, timed out, had no tries left or could not be run.
        STOPPED: it was stopped, cancelled or aborted.
        INTERRUPTED: its worker died or was shut down while running it.
    """

    DEFERRED = "deferred"
    QUEUED = "queued"
    WORKING = "working"
    RETRYING = "retrying"
    COMPLETE = "complete"
    FAILED = "failed"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"


ENDED = (Status.COMPLETE, Status.FAILED, Status.STOPPED, Status.INTERRUPTED)
