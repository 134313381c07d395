"""Stored records as written by clients."""

from dataclasses import replace

from arq.constants import default_queue_name

from arq_status._model.facts import Facts
from arq_status._model.record import State, StoredRecord
from arq_status._model.text import clean


def cancelled_record(facts: Facts) -> StoredRecord:
    """Return the final record of a job that is removed from its queue."""
    stored, payload = facts.current_record, facts.payload
    if stored is None or stored.ended is not None:
        stored = StoredRecord(
            enqueued_ms=(payload.enqueued_ms if payload else None) or 0,
            job_try=0,
            queue=facts.queue or default_queue_name,
        )
    began = stored.state is not State.WAITING and stored.started is not None
    return replace(
        stored,
        version=stored.version + 1,
        state=State.STOPPED,
        function=stored.function or (payload.function if payload else None),
        args=stored.args or (payload.args if payload else ""),
        updated=facts.now,
        ended=facts.now,
        expires_after_ms=facts.options.expires_failed,
        hides_args=stored.hides_args or not facts.options.record_args,
        error="cancelled before its next try" if began else "cancelled before it ran",
    )


def requeued_record(facts: Facts, stored: StoredRecord) -> StoredRecord:
    """Return the record of an ended job that is to run again: the same run, the next generation."""
    return StoredRecord(
        enqueued_ms=stored.enqueued_ms,
        job_try=0,
        generation=stored.generation + 1,
        state=State.WAITING,
        function=stored.function,
        args=stored.args,
        queue=stored.queue,
        due=max(facts.now, (stored.due or stored.enqueued_ms) + 1),
        updated=facts.now,
        expires_after_ms=stored.expires_after_ms,
        tags=stored.tags,
        group=stored.group,
    )


def waiting_record(facts: Facts, tags: tuple[str, ...] = ()) -> StoredRecord:
    """Return the record of a waiting job that has none yet."""
    own, payload = facts.current_record, facts.payload
    return StoredRecord(
        enqueued_ms=(payload.enqueued_ms if payload else None) or (own.enqueued_ms if own else 0),
        job_try=0,
        state=State.WAITING,
        queue=facts.queue or default_queue_name,
        updated=facts.now,
        function=payload.function if payload else None,
        args=payload.args if payload else "",
        expires_after_ms=facts.options.expires,
        tags=tags,
    )


def enqueued_record(
    function: str, queue: str | None, tags: tuple[str, ...], group: str | None
) -> StoredRecord:
    """Return the record of a job that was just enqueued; ``tag.lua`` fills in when."""
    return StoredRecord(
        enqueued_ms=0,
        job_try=0,
        state=State.WAITING,
        function=clean(function),
        queue=queue or default_queue_name,
        tags=tags,
        group=group,
    )


def tombstone(facts: Facts) -> StoredRecord:
    """Return the record of a deleted job: it makes late writes fail, and hides arq's result."""
    stored, result = facts.stored_record, facts.result
    run = stored.enqueued_ms if stored else 0
    if result is not None:
        run = max(run, result.enqueued_ms or facts.now)
    return StoredRecord(
        enqueued_ms=run,
        job_try=0,
        state=State.DELETED,
        updated=facts.now,
        expires_after_ms=stored.expires_after_ms if stored else facts.options.expires,
    )
