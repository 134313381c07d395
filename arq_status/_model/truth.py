"""The truth table: derives a job's status from arq's own keys and the stored record.

A job is live if its payload exists or its id is in a queue. A record only counts for its own run.
The first matching row wins.

==== =========== ============================================== =============== =============
live in progress stored record                                  arq's result    status
==== =========== ============================================== =============== =============
yes  yes         none yet, or its worker is alive                               working
yes  yes         ended less than 10 s ago                                       working
yes  yes         its worker is dead (*)                                         interrupted
yes  no          this try ended with Retry                                      retrying
yes  no          started and not ended, its worker is alive                     working
yes  no          started and not ended, or interrupted                          interrupted
yes  no          anything else; due later                                       deferred
yes  no          anything else; due now, or in no known queue                   queued
no   any         ended                                          none, same run  as recorded
no   any         not ended, none, or of another run             success, unread complete
no   any         as above                                       cancelled       stopped
no   any         as above                                       other failure   failed
no   any         waiting, and such jobs leave no trace          none            complete
no   any         waiting or retrying                            none            failed
no   any         working or interrupted                         none            interrupted
no   any         none                                           none, expired   None
==== =========== ============================================== =============== =============

A job is in progress if arq's in-progress key belongs to a try that is still running. It does not
count if it is left over from an earlier run or from a try whose end is recorded and that arq will
repeat (the key of a cron job is kept for 60 s). It does count between the recorded end of a job and
arq's own, because arq decides.
(*) Or there is no record, and the try started just when a worker of its queue died.
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


#: How long arq keeps the in-progress key of a cron job after the end of a try, in ms.
_KEPT = round(keep_cronjob_progress * 1000)


def decide(facts: Facts) -> Status | None:
    """Return the status according to the truth table; ``None`` if the job is unknown."""
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
    """Return ``DEFERRED`` or ``QUEUED`` for a job that waits in a queue; times in epoch ms."""
    return Status.DEFERRED if due is not None and due > now else Status.QUEUED


def ended_status(state: str | None) -> Status | None:
    """Return the status of a job whose record ended in this state; ``None`` for other states."""
    return _BY_STATE.get(state)


def _outlived(facts: Facts) -> bool:
    """Return True if the in-progress key is left over from a try that has ended."""
    stored = facts.stored_record
    if facts.in_progress_ttl_ms > _KEPT:
        return False
    if stored is None or facts.current_record is None or stored.state is State.WAITING:
        # arq deletes its count of tries when a run ends, so a count belongs to the current run
        return not facts.tries_begun and facts.lost_worker is None
    if stored.state is State.RETRYING or (stored.state is State.INTERRUPTED and not stored.ended):
        return not _next_try_begun(facts, stored)
    return False


def _has_just_ended(facts: Facts, stored: StoredRecord | None) -> bool:
    """Return True if the end was recorded so recently that arq may not have stored it yet."""
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
        # a job that failed before it started left a failure, if its worker keeps results
        return Status.COMPLETE
    if stored.state in (State.WAITING, State.RETRYING):
        return Status.FAILED
    return Status.INTERRUPTED


def _is_forgotten(facts: Facts, result: ResultPayload) -> bool:
    """Return True if a job that is only known from arq's result has expired or was deleted."""
    stored = facts.stored_record
    if (
        stored is not None
        and stored.state is State.DELETED
        and (not result.enqueued_ms or result.enqueued_ms <= stored.enqueued_ms)
    ):
        return True
    expires = facts.options.expires_after(State(_BY_OUTCOME[result.outcome]))
    return result.finished_ms is not None and result.finished_ms + expires <= facts.now
