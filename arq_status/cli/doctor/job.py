"""One job: why it has its status, or has none."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from shlex import quote

from arq_status._arq.failures import is_unknown_function
from arq_status._model.builder import build_record
from arq_status._model.durations import format_duration, format_time
from arq_status._model.facts import Facts, ResultOutcome
from arq_status._model.options import FunctionOptions
from arq_status._model.record import State
from arq_status._model.snapshot import JobRecord
from arq_status._model.status import Status
from arq_status._model.truth import decide
from arq_status.cli.doctor.finding import Finding, Level
from arq_status.cli.doctor.workers import Worker, alive_on

_TRACK = "decorate its worker's settings with @track_status"


def check_job(
    facts: Facts,
    workers: Sequence[Worker],
    announced: Collection[tuple[str, str]],
    other_queue: str | None,
) -> Iterator[Finding]:
    """Explain the status of a known job.

    Args:
        facts: what is known about the job.
        workers: the tracked workers.
        announced: the queues and names of the functions that workers announced.
        other_queue: the queue that holds it, if it is not one of the known ones.
    """
    status = decide(facts)
    yield _finding(Level.OK, f"{facts.job_id!r} is {status}")
    if facts.live:
        yield from _check_live(facts, status, workers, other_queue)
        return
    record = build_record(facts)
    if record is not None and record.error is not None:
        advice = _after_failure(record, record.error, announced)
        yield _finding(Level.NOTE, f"its error: {record.error}", advice)
    if facts.current_record is None:
        text = "it is known from arq's result alone: no progress, message or data"
        advice = f"{_TRACK}, and remove status_options(track=False) from its function"
        yield _finding(Level.NOTE, text, advice)


def _after_failure(record: JobRecord, error: str, announced: Collection[tuple[str, str]]) -> str:
    """Return what to do about a job that ended with an error."""
    if not is_unknown_function(error):
        return f"arq-status show {quote(record.job_id)} prints its tries, last traceback and log"
    if (record.queue, record.function) in announced:
        return "a worker of its queue now has that function: enqueue the job again"
    if queues := sorted(queue for queue, function in announced if function == record.function):
        return f"workers have it in {', '.join(queues)}: enqueue the job with _queue_name"
    return "no tracked worker has announced it: add it to a worker's functions, under this name"


def _check_live(
    facts: Facts, status: Status | None, workers: Sequence[Worker], other_queue: str | None
) -> Iterator[Finding]:
    queue = facts.queue or other_queue
    if queue is None:
        advice = "arq will not run it; arq-status cancel removes it"
        yield _finding(Level.WARNING, "it is in no queue", advice)
    elif facts.queue is None:
        advice = f"no tracked worker has announced that queue: --queue {queue}"
        yield _finding(Level.WARNING, f"it is in queue {queue!r}", advice)
    if queue is not None and not alive_on(queue, workers):
        advice = f"start a worker with queue_name={queue!r}"
        yield _finding(Level.PROBLEM, f"no tracked worker is alive on {queue!r}", advice)
    if status is Status.INTERRUPTED:
        advice = "arq runs it again when its in-progress key expires"
        yield _finding(Level.WARNING, "its worker died or was shut down while it ran", advice)
    if status is Status.WORKING and facts.current_record is None:
        advice = "if this persists, the worker or the function is not tracked"
        yield _finding(Level.NOTE, "it is running but has no record yet", advice)


def check_missing(
    facts: Facts, functions: Mapping[str, FunctionOptions], databases: Sequence[str]
) -> Iterator[Finding]:
    """Explain why a job has no status."""
    yield _finding(Level.PROBLEM, f"{facts.job_id!r} is not known: {_why_missing(facts)}")
    if facts.stored_record is not None or facts.result is not None:
        return
    if functions:
        longest = format_duration(max(it.expires for it in functions.values()) / 1000)
        failed = format_duration(max(it.expires_failed for it in functions.values()) / 1000)
        text = (
            f"it may have expired: complete jobs are shown for {longest}, all others for {failed}"
        )
        yield _finding(Level.NOTE, text, "raise track_status(expires=..., expires_failed=...)")
    text = "it may have run in an untracked worker that keeps no results"
    yield _finding(Level.NOTE, text, _TRACK)
    if databases:
        text = "it may be in another database of this server; there are keys in "
        advice = "name the database: --redis redis://HOST/NUMBER"
        yield _finding(Level.NOTE, text + ", ".join(databases), advice)


def _why_missing(facts: Facts) -> str:
    stored, result = facts.stored_record, facts.result
    if stored is not None and stored.state is State.DELETED:
        return f"its tracking data was deleted at {_clock(stored.updated)}"
    if result is not None and result.finished_ms is not None:
        complete = result.outcome in (ResultOutcome.SUCCESS, ResultOutcome.UNREADABLE)
        expires = facts.options.expires if complete else facts.options.expires_failed
        jobs, shown = "complete" if complete else "failed", format_duration(expires / 1000)
        return (
            f"it ended at {_clock(result.finished_ms)}, and {jobs} jobs are shown for {shown};"
            " arq still has its result"
        )
    return "there is no arq job, no result and no record with this id"


def _finding(level: Level, text: str, advice: str | None = None) -> Finding:
    return Finding(level, "job", text, advice)


def _clock(ms: int) -> str:
    return format_time(datetime.fromtimestamp(ms / 1000, UTC))
