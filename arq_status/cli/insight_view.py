"""The columns of the tables of functions, queues, workers and cron jobs."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from rich.text import Text

from arq_status._model.durations import format_duration, format_relative
from arq_status._model.insight import CronRecord, FunctionStats, QueueRecord, WorkerRecord
from arq_status._model.status import Status
from arq_status.cli.escaping import escaped
from arq_status.cli.styles import DIM, STYLES, status_text
from arq_status.cli.tables import Column

#: How many ids of running jobs are shown per worker.
_MOST_IDS = 1


def _number(value: int | None, style: str = "") -> Text:
    return Text("" if value is None else f"{value:,}", style if value else DIM)


def _time(value: timedelta | None) -> Text:
    return Text("") if value is None else Text(format_duration(value))


def _moment(value: datetime | None) -> Text:
    return Text("") if value is None else Text(format_relative(value, datetime.now(UTC)))


def _rate(it: FunctionStats) -> Text:
    rate = it.failure_rate
    if rate is None:
        return Text("")
    return Text(f"{rate:.1%}".replace("%", " %"), STYLES[Status.FAILED] if rate else DIM)


def _count(name: Status) -> Callable[[FunctionStats], Text]:
    return lambda it: _number(getattr(it, name), STYLES[name])


def _names(names: Sequence[str], most: int) -> Text:
    more = len(names) - most
    shown = ", ".join(names[:most])
    return escaped(f"{shown}, {more:,} more" if more > 0 else shown)


def _workers(it: QueueRecord) -> Text:
    nobody = not it.workers and (it.queued or it.retrying)
    return Text(f"{it.workers}", STYLES[Status.FAILED] if nobody else "" if it.workers else DIM)


def _load(it: WorkerRecord) -> Text:
    running = len(it.running)
    return Text(f"{running}" if it.max_jobs is None else f"{running} of {it.max_jobs}")


def _state(it: WorkerRecord) -> Text:
    if it.alive:
        return Text("● alive", "green")
    return Text("● shut down", DIM) if it.seen_at is None else Text("● dead", "bold red")


def _last(it: CronRecord) -> Text:
    return Text("") if it.status is None else status_text(it.status)


FUNCTIONS: Sequence[Column[FunctionStats]] = (
    Column("Function", lambda it: escaped(it.function, "bold")),
    Column("Queue", lambda it: escaped(it.queue), 120),
    Column("Complete", _count(Status.COMPLETE), 0, True),
    Column("Failed", _count(Status.FAILED), 0, True),
    Column("Stopped", _count(Status.STOPPED), 100, True),
    Column("Interrupted", _count(Status.INTERRUPTED), 100, True),
    Column("Retried", lambda it: _number(it.retried, STYLES[Status.RETRYING]), 100, True),
    Column("Failure", _rate, 60, True),
    Column("Run p50", lambda it: _time(it.run_p50), 70, True),
    Column("p95", lambda it: _time(it.run_p95), 50, True),
    Column("Longest", lambda it: _time(it.run_max), 120, True),
    Column("Wait p50", lambda it: _time(it.wait_p50), 120, True),
    Column("Wait p95", lambda it: _time(it.wait_p95), 80, True),
)  # fmt: skip

QUEUES: Sequence[Column[QueueRecord]] = (
    Column("Queue", lambda it: escaped(it.name, "bold")),
    Column("Queued", lambda it: _number(it.queued, STYLES[Status.QUEUED]), 0, True),
    Column("Deferred", lambda it: _number(it.deferred), 56, True),
    Column("Retrying", lambda it: _number(it.retrying, STYLES[Status.RETRYING]), 64, True),
    Column("Working", lambda it: _number(it.working, STYLES[Status.WORKING]), 48, True),
    Column("Latency", lambda it: _time(it.latency) if it.oldest_due_at else Text(""), 0, True),
    Column("Workers", _workers, 0, True),
)  # fmt: skip

WORKERS: Sequence[Column[WorkerRecord]] = (
    Column("Worker", lambda it: escaped(f"{it.host}:{it.pid}" if it.pid else it.name, "bold")),
    Column("State", _state),
    Column("Queue", lambda it: escaped(it.queue or ""), 60),
    Column("Running", _load, 0, True),
    Column("Started", lambda it: _moment(it.started_at), 70),
    Column("Seen", lambda it: _moment(it.seen_at), 80),
    Column("Jobs", lambda it: _names(it.running, _MOST_IDS), 100),
    Column("Functions", lambda it: _names(it.functions, 6), 130),
)

CRONS: Sequence[Column[CronRecord]] = (
    Column("Cron job", lambda it: escaped(it.name, "bold")),
    Column("Schedule", lambda it: escaped(it.schedule)),
    Column("Next", lambda it: _moment(it.next_run_at)),
    Column("Last", _last),
    Column("Ended", lambda it: _moment(it.ended_at), 90),
    Column("Took", lambda it: _time(it.elapsed), 70, True),
    Column("Queue", lambda it: escaped(it.queue), 110),
    Column("Last job", lambda it: escaped(it.job_id or ""), 130),
)
