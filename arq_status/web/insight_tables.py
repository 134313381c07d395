"""The tables of functions, queues, workers and cron jobs, column by column."""

from operator import attrgetter

from arq_status.web.insight_rows import read_crons, read_functions, read_queues, read_workers
from arq_status.web.tables import Column, Row, Table


def _text(name: str, heading: str, cell: str) -> Column:
    """Return a column that is sorted from A to Z."""
    key = attrgetter(f"record.{name}")
    return Column(name, heading, key, cell, is_number=False, descending=False)


def _number(name: str, heading: str, cell: str = "number", of: str = "record") -> Column:
    """Return a column of numbers or durations, the highest first."""
    return Column(name, heading, attrgetter(f"{of}.{name}"), cell)


def _ends(*more: Column) -> tuple[Column, ...]:
    """Return the columns that show how jobs ended, followed by ``more``."""
    return (
        _number("ended", "Ended", "ended", "stats"),
        Column("failed", "Failed", _failed, "failed"),
        Column("failure_rate", "Failure rate", attrgetter("stats.failure_rate"), "rate"),
        *more,
    )


def _failed(row: Row) -> int:
    assert row.stats is not None
    return row.stats.failed + row.stats.interrupted


def _waits() -> tuple[Column, ...]:
    return tuple(_number(f"wait_{it}", f"Wait {it}", "took", "stats") for it in ("p50", "p95"))


def _runs() -> tuple[Column, ...]:
    names = ("p50", "p95", "max")
    return tuple(_number(f"run_{it}", f"Run {it}", "took", "stats") for it in names)


def _state(row: Row) -> int:
    """Return the sort key of a worker's state: those that stopped responding come first."""
    return 2 if row.record.alive else 0 if row.record.seen_at else 1


FUNCTIONS = Table(
    name="functions",
    title="Functions",
    columns=(
        _text("function", "Function", "function"),
        _text("queue", "Queue", "queue"),
        *_ends(_number("stopped", "Stopped"), _number("retried", "Retried")),
        *_runs(),
        *_waits(),
    ),
    sort="function",
    filters=("since", "queue"),
    read=read_functions,
    empty_text="No worker has announced a function",
)
QUEUES = Table(
    name="queues",
    title="Queues",
    columns=(
        _text("name", "Queue", "queue_name"),
        *(_number(it, it.capitalize(), "waiting") for it in ("working", "queued", "retrying")),
        _number("deferred", "Deferred", "waiting"),
        _number("latency", "Oldest due", "latency"),
        _number("workers", "Workers", "queue_workers"),
        *_ends(*_waits()),
    ),
    sort="name",
    filters=("since",),
    read=read_queues,
    empty_text="There is no queue",
)
WORKERS = Table(
    name="workers",
    title="Workers",
    columns=(
        _text("host", "Worker", "worker"),
        _text("queue", "Queue", "queue"),
        Column("state", "State", _state, "state", is_number=False, descending=False),
        _number("started_at", "Started", "moment"),
        Column("running", "Running", lambda row: len(row.record.running), "running"),
        Column("jobs", "Jobs", lambda row: len(row.jobs), "jobs", is_number=False),
        Column("functions", "Functions", lambda row: len(row.record.functions), "functions", False),
    ),
    sort="state",
    filters=("queue",),
    read=read_workers,
    empty_text="No tracked worker is running",
)
CRON = Table(
    name="cron",
    title="Cron",
    columns=(
        _text("name", "Cron job", "cron_name"),
        _text("schedule", "Schedule", "schedule"),
        _text("queue", "Queue", "queue"),
        Column("next_run_at", "Next run", attrgetter("record.next_run_at"), "moment", True, False),
        _text("status", "Last job", "last_job"),
        _number("ended_at", "Ended", "moment"),
        _number("elapsed", "Took", "took"),
    ),
    sort="next_run_at",
    filters=("queue",),
    read=read_crons,
    empty_text="No running worker has announced a cron job",
)
TABLES = (FUNCTIONS, QUEUES, WORKERS, CRON)
