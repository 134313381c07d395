"""The facts about a job at one moment, from arq's own keys and its stored record."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from arq_status._model.options import FunctionOptions
from arq_status._model.record import State, StoredRecord

#: Milliseconds without a heartbeat after which a worker is dead.
DEAD_AFTER_MS = 10_000
#: A worker may begin a job up to this many ms before or after its last heartbeat, and be killed
#: before any record of the job is written.
_UNWRITTEN_BEFORE, _UNWRITTEN_AFTER = 1_000, 4_000


@dataclass(frozen=True, slots=True)
class DeadWorker:
    """A worker that stopped without deregistering."""

    name: str
    queue: str
    #: time of its last heartbeat
    last_beat: int
    #: what arq sets an in-progress key to expire after, in ms
    in_progress_ms: int
    #: how long its event loop had been blocked at its last heartbeat, in ms
    blocked_ms: int = 0

    def may_have_begun(self, queue: str | None, now: int, expires_in: int) -> bool:
        """Return whether it may have set an in-progress key that expires in ``expires_in`` ms.

        A living worker soon writes about each job it begins: a record, or that there is none.
        """
        begun = now - (self.in_progress_ms - expires_in)
        return queue == self.queue and any(
            -_UNWRITTEN_BEFORE <= begun - moment <= _UNWRITTEN_AFTER
            # a blocked worker began nothing in between
            for moment in (self.last_beat, self.last_beat - self.blocked_ms)
        )


class ResultOutcome(StrEnum):
    """The end of a job according to arq's result."""

    SUCCESS = "success"
    CANCELLED = "cancelled"
    FAILURE = "failure"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class JobPayload:
    """The content of ``arq:job:<id>``."""

    function: str | None
    args: str
    enqueued_ms: int | None
    job_try: int | None


@dataclass(frozen=True, slots=True)
class ResultPayload:
    """The content of ``arq:result:<id>``."""

    function: str | None
    args: str
    enqueued_ms: int | None
    job_try: int | None
    outcome: ResultOutcome
    error: str | None
    started_ms: int | None
    finished_ms: int | None
    queue: str | None


class Facts(NamedTuple):
    """All that was read about a job at one moment. Times are epoch milliseconds."""

    job_id: str
    now: int
    #: arq's payload; ``None`` where the key does not exist
    payload: JobPayload | None = None
    #: the queue that holds the id, and when it is due there
    queue: str | None = None
    due: int | None = None
    #: arq's in-progress key exists
    in_progress: bool = False
    #: when that key expires; -1 for never, -2 if there is none
    in_progress_expires_at: int = -2
    #: how long it still has to live
    in_progress_ttl_ms: int = 0
    #: arq's count of the tries begun, read where a try is in progress
    tries_begun: int | None = None
    stored_record: StoredRecord | None = None
    #: the record as it is in Redis
    stored_text: bytes = b""
    #: the worker that the record names still sends heartbeats
    worker_alive: bool = False
    #: the dead worker that began a try which has no record
    lost_worker: str | None = None
    #: arq's result; left out if it belongs to the run whose end is already recorded
    result: ResultPayload | None = None
    #: what the run returned, as a text, if that was asked for and arq keeps it
    returned: str | None = None
    #: the options that workers announced for its function; the client's if none did
    options: FunctionOptions = FunctionOptions()

    @property
    def live(self) -> bool:
        """True if arq is running the job or will run it."""
        return self.payload is not None or self.queue is not None

    @property
    def current_record(self) -> StoredRecord | None:
        """The stored record, if it belongs to the same run as arq's keys; else ``None``."""
        stored = self.stored_record
        if stored is None or stored.state is State.DELETED:
            return None
        if self.live:
            run = self.payload.enqueued_ms if self.payload else None
            if self.payload and not run and stored.ended is not None and not self.in_progress:
                # custom serializer, so the run is unknown: arq deletes a payload when the job ends,
                # so this payload is of a later run
                return None
        else:
            run = self.result.enqueued_ms if self.result else None
        # the enqueue time may be unknown on either side (0 or None): then assume the same run
        return stored if not run or not stored.enqueued_ms or run == stored.enqueued_ms else None
