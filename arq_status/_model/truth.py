"""The truth table: derives a job's status from arq's own keys and the stored record.

Live: the job's payload exists or its id is in a queue. A record counts only for its own run. First
match wins.

==== =========== ============================================== =============== =============
live in progress the record says                                arq's result    status
==== =========== ============================================== =============== =============
yes  yes         its worker is alive, or nothing yet                            working
yes  yes         it ended less than 10 s ago                                    working
yes  yes         its worker is dead (*)                                         interrupted
yes  no          this try ended with Retry                                      retrying
yes  no          started and never ended, its worker is alive                   working
yes  no          started and never ended, or cut off                            interrupted
yes  no          anything else; due later                                       deferred
yes  no          anything else; due now, or in no known queue                   queued
no   any         ended                                          none, same run  as recorded
no   any         not ended, nothing, another run                success, unread complete
no   any         the same                                       cancelled       stopped
no   any         the same                                       other failure   failed
no   any         waiting, and nothing tells how such jobs end   none            complete
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

from arq.constants import keep_cronjob_progress

from arq_status._model.facts import DEAD_AFTER_MS, Facts, ResultOutcome, ResultPayload
from arq_status._model.record import State, StoredRecord
from arq_status._model.status import Status

_BY_OUTCOME = {
    ResultOutcome.SUCCESS: Status.COMPLETE,
    ResultOutcome.UNREADABLE: Status.COMPLETE,
    ResultOutcome.CANCELLED: Status.STOPPED,
    ResultOutcome.FAILURE: Status.FAILED,
}
_BY_STATE: Mapping[str | None, Status] = {
    State.COMPLETE: Status.COMPLETE,
    State.FAILED: Status.FAILED,
    State.STOPPED: Status.STOPPED,
    State.INTERRUPTED: Status.INTERRUPTED,
}


#: Arq keeps the in-progress key of a cron job for so many ms after the end of a try.
_KEPT = round(keep_cronjob_progress * 1000)


def decide(facts: Facts) -> Status | None:
    """Return the status by the truth table; ``None`` for an unknown job."""
    return _live_status(facts) if facts.live else _not_live_status(facts)


def _live_status(facts: Facts) -> Status:
    stored = facts.current_record
    if facts.in_progress and not _outlived(facts):
        recorded = stored is not None and stored.state is not State.WAITING
        if not recorded or _next_try_begun(facts, stored):
            return Status.WORKING if facts.lost_worker is None else Status.INTERRUPTED
        works = facts.worker_alive or _has_just_ended(facts, stored)
        return Status.WORKING if works else Status.INTERRUPTED
    if stored is not None and stored.ended is None:
        if stored.state is State.RETRYING:
            return Status.RETRYING
        if stored.state is State.WORKING and facts.worker_alive:
            # the key was evicted
            return Status.WORKING
        if stored.state in (State.WORKING, State.INTERRUPTED):
            return Status.INTERRUPTED
    return queue_status(facts.due, facts.now)


def queue_status(due: int | None, now: int) -> Status:
    """Return the status of a job in its queue of which no try tells more."""
    return Status.DEFERRED if due is not None and due > now else Status.QUEUED


def ended_status(state: str | None) -> Status | None:
    """Return the status of a job whose record has ended in a state."""
    return _BY_STATE.get(state)


def _outlived(facts: Facts) -> bool:
    """Return whether the in-progress key is left from a try that has ended."""
    stored = facts.stored_record
    if facts.in_progress_ttl_ms > _KEPT:
        return False
    if stored is None or facts.current_record is None or stored.state is State.WAITING:
        # arq deletes its count of tries when a run ends, so an existing count belongs to the
        # current run
        return not facts.tries_begun and facts.lost_worker is None
    if stored.state is State.RETRYING or (stored.state is State.INTERRUPTED and not stored.ended):
        return not _next_try_begun(facts, stored)
    return False


def _has_just_ended(facts: Facts, stored: StoredRecord | None) -> bool:
    """Return whether a recorded end is so new that arq may be about to book it."""
    ended = stored.ended if stored is not None else None
    return ended is not None and abs(facts.now - ended) < DEAD_AFTER_MS


def _next_try_begun(facts: Facts, stored: StoredRecord | None) -> bool:
    return (
        stored is not None and facts.tries_begun is not None and facts.tries_begun > stored.job_try
    )


def _not_live_status(facts: Facts) -> Status | None:
    stored, result = facts.current_record, facts.result
    if stored is not None and stored.ended is not None:
        return ended_status(stored.state)
    if result is not None:
        return None if _is_forgotten(facts, result) else _BY_OUTCOME[result.outcome]
    if stored is None:
        return None
    if stored.state is State.WAITING and facts.options.leaves_nothing:
        # what never began left a failure, if the worker keeps any
        return Status.COMPLETE
    if stored.state in (State.WAITING, State.RETRYING):
        return Status.FAILED
    return Status.INTERRUPTED


def _is_forgotten(facts: Facts, result: ResultPayload) -> bool:
    """Return whether a job known from arq's result alone has expired or was deleted."""
    stored = facts.stored_record
    if (
        stored is not None
        and stored.state is State.DELETED
        and (not result.enqueued_ms or result.enqueued_ms <= stored.enqueued_ms)
    ):
        return True
    expires = facts.options.expires_after(State(_BY_OUTCOME[result.outcome]))
    return result.finished_ms is not None and result.finished_ms + expires <= facts.now
