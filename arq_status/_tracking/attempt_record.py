"""What a worker itself knows about an attempt, as a record for users."""

from dataclasses import replace

from arq_status._model.builder import build_record, decode_data
from arq_status._model.facts import Facts
from arq_status._model.snapshot import JobRecord
from arq_status._tracking.attempt import Attempt


def record_of(attempt: Attempt) -> JobRecord:
    """Return the snapshot that a query would return if everything were written."""
    stored = replace(attempt.record)
    attempt.set_times(stored)
    outcome = attempt.outcome
    if outcome is not None and not attempt.closed:
        stored.state, stored.error = outcome.state, outcome.error
        stored.ended = stored.updated if outcome.final else None
    is_over = stored.ended is not None
    facts = Facts(
        job_id=attempt.job_id,
        now=stored.updated,
        queue=None if is_over else stored.queue,
        in_progress=outcome is None and not attempt.closed,
        stored_record=stored,
        worker_alive=True,
    )
    stored_fields = attempt.data.fields if attempt.data is not None else {}
    fields = {name.encode(): text.encode() for name, text in stored_fields.items()}
    record = build_record(facts, decode_data(fields))
    assert record is not None  # it has a stored record
    return record
