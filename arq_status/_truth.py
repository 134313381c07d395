"""The truth table: what a job's status is, from arq's own keys and our record together.

Live: the job's payload exists or its id is in a queue. A record counts only for its own run. First
match wins.

==== =========== ============================================== =============== =============
live in progress the record says                                arq's result    status
==== =========== ============================================== =============== =============
yes  yes         its worker is alive, or nothing yet                            working
yes  yes         it ended less than 10 s ago                                    working
yes  yes         its worker is dead (*)                                         interrupted
yes  no          this try ended with Retry                                      retrying
yes  no          started and never ended, or cut off                            interrupted
yes  no          anything else; due later                                       deferred
yes  no          anything else; due now, or in no known queue                   queued
no   any         ended                                          none, same run  as recorded
no   any         not ended, nothing, another run                success, unread complete
no   any         the same                                       cancelled       stopped
no   any         the same                                       other failure   failed
no   any         waiting or retrying                            none            failed
no   any         working, or cut off                            none            interrupted
no   any         nothing                                        none, expired   None
==== =========== ============================================== =============== =============

In progress means that arq's key tells of a try that is still running. A key that outlived an
earlier run or the recorded end of a try that arq will repeat (a cron job keeps its key for 60 s) is
none. Between the recorded end of a job and arq's own it still counts: arq decides.
(*) Or the record says nothing, and the try began just when a worker of its queue died.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from arq.constants import keep_cronjob_progress

from arq_status._keys import DEAD_AFTER_MS
from arq_status._payload import JobPayload, Outcome, ResultPayload
from arq_status._track import State, Track


class Status(StrEnum):
    """What a job is doing. A status is a text as well: ``Status.WORKING == "working"``.

    Attributes:
        DEFERRED: in the queue, due later.
        QUEUED: in the queue, due now.
        WORKING: a worker runs it.
        RETRYING: its last try ended with ``Retry``; in the queue for the next.
        COMPLETE: it returned.
        FAILED: it raised, timed out, had no tries left or could not be run.
        STOPPED: it was stopped, cancelled or aborted.
        INTERRUPTED: its worker died or was shut down in the middle of it.
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

_BY_OUTCOME = {
    Outcome.SUCCESS: Status.COMPLETE,
    Outcome.UNREADABLE: Status.COMPLETE,
    Outcome.CANCELLED: Status.STOPPED,
    Outcome.FAILURE: Status.FAILED,
}
_BY_STATE: Mapping[str | None, Status] = {
    State.COMPLETE: Status.COMPLETE,
    State.FAILED: Status.FAILED,
    State.STOPPED: Status.STOPPED,
    State.INTERRUPTED: Status.INTERRUPTED,
}


#: Arq keeps the in-progress key of a cron job for so many ms after the end of a try.
_KEPT = round(keep_cronjob_progress * 1000)
#: A worker may have begun a job so many ms before its last heartbeat, and so many after it, and
#: been killed before any record of the job was written.
_UNWRITTEN_BEFORE, _UNWRITTEN_AFTER = 1_000, 4_000


@dataclass(frozen=True, slots=True)
class DeadWorker:
    """A worker that ended without taking leave."""

    name: str
    queue: str
    #: its last heartbeat, by the server's clock
    last_beat: int
    #: what arq sets an in-progress key to expire after, in ms
    in_progress_ms: int
    #: for how long its event loop had been blocked then, in ms
    blocked_ms: int = 0

    def may_have_begun(self, queue: str | None, now: int, expires_in: int) -> bool:
        """Whether it is the one that set an in-progress key that expires in so many ms.

        Of those that a living worker began it tells soon: by a record, or that it has none.
        """
        begun = now - (self.in_progress_ms - expires_in)
        return queue == self.queue and any(
            -_UNWRITTEN_BEFORE <= begun - moment <= _UNWRITTEN_AFTER
            # a blocked worker began nothing in between
            for moment in (self.last_beat, self.last_beat - self.blocked_ms)
        )


class Facts(NamedTuple):
    """What was read about a job at one moment. Times are epoch milliseconds."""

    job_id: str
    now: int
    #: arq's payload; ``None`` where the key does not exist
    payload: JobPayload | None = None
    #: the queue that holds the id, and when it is due there
    queue: str | None = None
    due: int | None = None
    #: arq's in-progress key exists
    ongoing: bool = False
    #: when that key expires, by the server's clock; -1 for never, -2 where there is none
    key_expires: int = -2
    #: how long it still has to live
    key_left: int = 0
    #: arq's count of the tries begun, read where a try is in progress
    tries: int | None = None
    track: Track | None = None
    #: the record as it stands in Redis
    stored: bytes = b""
    #: whether the worker that the record names still sends heartbeats
    worker_alive: bool = False
    #: the dead worker that began a try of which no record tells
    lost_worker: str | None = None
    #: arq's result, unless it is that of the run whose end the record tells
    result: ResultPayload | None = None
    #: how long an ended job that left no record is shown
    expires: int = 0

    @property
    def live(self) -> bool:
        """Arq will run the job, or runs it."""
        return self.payload is not None or self.queue is not None

    @property
    def own_track(self) -> Track | None:
        """The record, if it tells of the run that arq's keys tell of."""
        track = self.track
        if track is None or track.state is State.DELETED:
            return None
        if self.live:
            run = self.payload.enqueued_ms if self.payload else None
            if self.payload and not run and track.ended is not None and not self.ongoing:
                # a serializer of the user's own: arq forgets a job when it ends, so it is another
                return None
        else:
            run = self.result.enqueued_ms if self.result else None
        # arq knows no enqueue time of a job whose payload expired; and neither is a run itself
        return track if not run or not track.run or run == track.run else None


def decide(facts: Facts) -> Status | None:
    """The status by the truth table; ``None`` for a job that nothing is known of."""
    return _live_status(facts) if facts.live else _gone_status(facts)


def _live_status(facts: Facts) -> Status:
    track = facts.own_track
    if facts.ongoing and not _outlived(facts):
        recorded = track is not None and track.state is not State.WAITING
        if not recorded or _next_try_begun(facts, track):
            return Status.WORKING if facts.lost_worker is None else Status.INTERRUPTED
        works = facts.worker_alive or _has_just_ended(facts, track)
        return Status.WORKING if works else Status.INTERRUPTED
    if track is not None and track.ended is None:
        if track.state is State.RETRYING:
            return Status.RETRYING
        if track.state in (State.WORKING, State.INTERRUPTED):
            return Status.INTERRUPTED
    return in_queue(facts.due, facts.now)


def in_queue(due: int | None, now: int) -> Status:
    """The status of a job that waits and of which no try tells more."""
    return Status.DEFERRED if due is not None and due > now else Status.QUEUED


def as_recorded(state: str | None) -> Status | None:
    """The status of a job whose record tells that it has ended."""
    return _BY_STATE.get(state)


def _outlived(facts: Facts) -> bool:
    """Whether the in-progress key is left from a try that has ended."""
    track = facts.track
    if facts.key_left > _KEPT:
        return False
    if track is None or facts.own_track is None or track.state is State.WAITING:
        # arq forgets how many tries a run had when it ends: a count is that of the present run
        return not facts.tries and facts.lost_worker is None
    if track.state is State.RETRYING or (track.state is State.INTERRUPTED and not track.ended):
        return not _next_try_begun(facts, track)
    return False


def _has_just_ended(facts: Facts, track: Track | None) -> bool:
    """Whether arq may be about to book an end that is recorded: its worker lived a moment ago."""
    ended = track.ended if track is not None else None
    return ended is not None and abs(facts.now - ended) < DEAD_AFTER_MS


def _next_try_begun(facts: Facts, track: Track | None) -> bool:
    return track is not None and facts.tries is not None and facts.tries > track.job_try


def _gone_status(facts: Facts) -> Status | None:
    track, result = facts.own_track, facts.result
    if track is not None and track.ended is not None:
        return as_recorded(track.state)
    if result is not None:
        return None if _is_forgotten(facts, result) else _BY_OUTCOME[result.outcome]
    if track is None:
        return None
    if track.state in (State.WAITING, State.RETRYING):
        return Status.FAILED
    return Status.INTERRUPTED


def _is_forgotten(facts: Facts, result: ResultPayload) -> bool:
    """Whether a job that is known from arq's result alone has expired or was deleted."""
    track = facts.track
    if (
        track is not None
        and track.state is State.DELETED
        and (not result.enqueued_ms or result.enqueued_ms <= track.run)
    ):
        return True
    return result.finished_ms is not None and result.finished_ms + facts.expires <= facts.now
