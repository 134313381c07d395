"""Records of jobs that are written by others than their workers."""

from dataclasses import replace

from arq.constants import default_queue_name
from arq.utils import timestamp_ms

from arq_status._track import State, Track
from arq_status._truth import Facts


def cancelled(facts: Facts) -> Track:
    """The last record of a job that is taken out of its queue."""
    track, payload = facts.own_track, facts.payload
    if track is None or track.ended is not None:
        track = Track(
            run=(payload.enqueued_ms if payload else None) or 0,
            job_try=0,
            queue=facts.queue or default_queue_name,
            expires=facts.expires,
        )
    began = track.state is not State.WAITING and track.started is not None
    return replace(
        track,
        version=track.version + 1,
        state=State.STOPPED,
        function=track.function or (payload.function if payload else None),
        args=track.args or (payload.args if payload else ""),
        updated=facts.now,
        ended=facts.now,
        error="cancelled before its next try" if began else "cancelled before it ran",
    )


def waiting_again(track: Track) -> Track:
    """The record of a job that is to run again: as new, but for what tells its tries apart."""
    now = timestamp_ms()
    return Track(
        run=track.run,
        job_try=0,
        state=State.WAITING,
        function=track.function,
        args=track.args,
        queue=track.queue,
        due=max(now, (track.due or track.run) + 1),
        updated=now,
        expires=track.expires,
    )


def waiting(facts: Facts) -> Track:
    """The record of a job that has none yet."""
    own, payload = facts.own_track, facts.payload
    return Track(
        run=(payload.enqueued_ms if payload else None) or (own.run if own else 0),
        job_try=0,
        state=State.WAITING,
        queue=facts.queue or default_queue_name,
        updated=facts.now,
        function=payload.function if payload else None,
        args=payload.args if payload else "",
        expires=facts.expires,
    )


def tombstone(facts: Facts) -> Track:
    """What tells that the record of a run was deleted, and what arq's result tells of it."""
    track, result = facts.track, facts.result
    run = track.run if track else 0
    if result is not None:
        run = max(run, result.enqueued_ms or facts.now)
    return Track(
        run=run,
        job_try=0,
        state=State.DELETED,
        updated=facts.now,
        expires=track.expires if track else facts.expires,
    )
