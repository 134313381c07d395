"""The facts about a job at one moment, read from arq's keys and its stored record."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from arq_status._model.options import FunctionOptions
from arq_status._model.record import State, StoredRecord

#: Milliseconds without a heartbeat after which a worker is considered dead.
DEAD_AFTER_MS = 10_000
#: A worker may start a job up to this many ms before or after its last heartbeat, and be killed
#: before any record of the job is written.
_UNWRITTEN_BEFORE, _UNWRITTEN_AFTER = 1_000, 4_000


@dataclass(frozen=True, slots=True)
class DeadWorker:
    """A worker that stopped without deregistering."""

    name: str
    queue: str
    #: when its last heartbeat came, in epoch milliseconds
    last_beat: int
    #: lifetime of the in-progress keys that it sets, in ms
    in_progress_ms: int
    #: how long its event loop had been blocked at its last heartbeat, in ms
    blocked_ms: int = 0

    def may_have_begun(self, queue: str | None, now: int, expires_in: int) -> bool:
        """Return True if it may have set an in-progress key that expires in ``expires_in`` ms.

        A live worker soon writes about each job that it starts: a record, or that it has none.
        """
        begun = now - (self.in_progress_ms - expires_in)
        return queue == self.queue and any(
            -_UNWRITTEN_BEFORE <= begun - moment <= _UNWRITTEN_AFTER
            # a blocked worker started nothing in between
            for moment in (self.last_beat, self.last_beat - self.blocked_ms)
        )


class ResultOutcome(StrEnum):
    """How a job ended according to arq's result."""

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
    """Everything that was read about a job at one moment. Times are epoch milliseconds."""

    job_id: str
    now: int
    #: arq's payload; ``None`` if the key does not exist
    payload: JobPayload | None = None
    #: the queue that holds the job id, and its due time there
    queue: str | None = None
    due: int | None = None
    #: True if arq's in-progress key exists
    in_progress: bool = False
    #: when that key expires; -1: never, -2: it does not exist
    in_progress_expires_at: int = -2
    #: remaining lifetime of that key, in ms
    in_progress_ttl_ms: int = 0
    #: arq's count of started tries (its retry key); only read if the in-progress key exists
    tries_begun: int | None = None
    stored_record: StoredRecord | None = None
    #: the record as it is stored in Redis
    stored_text: bytes = b""
    #: True if the worker named in the record still sends heartbeats
    worker_alive: bool = False
    #: the dead worker that started a try without a record
    lost_worker: str | None = None
    #: arq's result; ``None`` as well if the end of its run is already recorded
    result: ResultPayload | None = None
    #: the return value as text, if it was asked for and arq keeps it
    returned: str | None = None
    #: the options that workers announced for its function, else the client's
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
                # custom serializer, so the payload's run is unknown; but arq deletes a payload when
                # the job ends, so it belongs to a later run
                return None
        else:
            run = self.result.enqueued_ms if self.result else None
        # if the enqueue time is unknown on either side (0 or None), assume the same run
        return stored if not run or not stored.enqueued_ms or run == stored.enqueued_ms else None
