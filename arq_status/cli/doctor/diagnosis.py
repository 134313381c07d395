"""Why a job is shown as it is, or not at all."""

from collections.abc import Iterator
from datetime import UTC, datetime

from arq_status._model.durations import clock, duration
from arq_status._model.facts import Facts
from arq_status._model.record import State
from arq_status._model.status import Status
from arq_status._model.truth import decide
from arq_status.cli.doctor.examination import Examination, Server
from arq_status.cli.doctor.findings import Finding, Level


def diagnose(
    job_id: str,
    facts: Facts | None,
    examination: Examination,
    server: Server,
    elsewhere: str | None,
) -> Iterator[Finding]:
    """Tell why; ``elsewhere`` is a queue with the job that is none of those looked into."""
    if facts is None:
        yield Finding(Level.PROBLEM, "job", f"no job can have the id {job_id!r}")
        return
    status = decide(facts)
    if status is None:
        yield from _missing(facts, examination, server)
        return
    yield Finding(Level.OK, "job", f"{job_id!r} is {status}")
    if facts.live:
        yield from _live(facts, status, examination, elsewhere)
    elif facts.current_record is None:
        yield Finding(
            Level.NOTE,
            "job",
            "it is known from arq's result alone: no progress, message or data",
            "decorate its worker's settings with @track_status, and its function not with"
            " status_options(stored=False)",
        )


def _live(
    facts: Facts, status: Status, examination: Examination, elsewhere: str | None
) -> Iterator[Finding]:
    queue = facts.queue or elsewhere
    if facts.queue is None:
        where = "in no queue" if elsewhere is None else f"in queue {elsewhere!r}"
        advice = (
            "arq will not run it; arq-status cancel takes it away"
            if elsewhere is None
            else f"no tracked worker has announced that queue: --queue {elsewhere}"
        )
        yield Finding(Level.WARNING, "job", f"it is {where}", advice)
    if queue is not None and not examination.alive_on(queue):
        advice = f"start a worker with queue_name={queue!r}"
        yield Finding(Level.PROBLEM, "job", f"no tracked worker is alive on {queue!r}", advice)
    if status is Status.INTERRUPTED:
        advice = "arq runs it again when its in-progress key expires"
        yield Finding(Level.WARNING, "job", "its worker died or was shut down in it", advice)
    if status is Status.WORKING and facts.current_record is None:
        advice = "if it stays so, the worker or the function is not tracked"
        yield Finding(Level.NOTE, "job", "it runs, and no record tells of it", advice)


def _missing(facts: Facts, examination: Examination, server: Server) -> Iterator[Finding]:
    yield Finding(Level.PROBLEM, "job", f"{facts.job_id!r} is not known: {_why_missing(facts)}")
    if facts.stored_record is not None or facts.result is not None:
        return
    if examination.functions:
        longest = max(it.expires for it in examination.functions.values()) / 1000
        yield Finding(
            Level.NOTE,
            "job",
            f"it may have ended longer ago than it is shown for, at most {duration(longest)}",
            "raise track_status(expires=...)",
        )
    yield Finding(
        Level.NOTE,
        "job",
        "it may have run in a worker that is not tracked and keeps no result",
        "decorate its settings with @track_status",
    )
    if server.databases:
        others = ", ".join(server.databases)
        yield Finding(
            Level.NOTE,
            "job",
            f"it may be in another database of this server; there are keys in {others}",
            "name it: --redis redis://HOST/NUMBER",
        )


def _why_missing(facts: Facts) -> str:
    stored, result = facts.stored_record, facts.result
    if stored is not None and stored.state is State.DELETED:
        return f"what was tracked of it was deleted at {_clock(stored.updated)}"
    if result is not None and result.finished_ms is not None:
        shown = duration(facts.options.expires / 1000)
        return (
            f"it ended at {_clock(result.finished_ms)}, and ended jobs are shown for {shown};"
            " arq still has its result"
        )
    return "there is neither a job of arq's, nor a result, nor a record with this id"


def _clock(ms: int) -> str:
    return clock(datetime.fromtimestamp(ms / 1000, UTC))
