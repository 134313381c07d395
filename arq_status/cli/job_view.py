"""A job in the terminal: in full, or live while it is followed."""

from datetime import UTC, datetime, timedelta

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from arq_status._model.durations import (
    format_duration,
    format_relative,
    format_time,
    format_whole_seconds,
)
from arq_status._model.serialization import readable
from arq_status._model.snapshot import JobRecord
from arq_status._model.status import Status
from arq_status.cli.escaping import escaped
from arq_status.cli.styles import DIM, STYLES, has_percentage, progress_bar, status_text


def job_view(record: JobRecord) -> RenderableType:
    """Return all that is known about a job."""
    now = datetime.now(UTC)
    table = Table.grid(padding=(0, 2))
    table.add_column(style=DIM)
    table.add_column(overflow="fold")
    for name, value in _facts(record, now).items():
        if value is not None:
            table.add_row(name, value)
    head = Text.assemble(escaped(record.job_id, "bold"), "  ", status_text(record.status))
    return Group(head, Padding(table, (1, 0, 0, 2)))


def _facts(record: JobRecord, now: datetime) -> dict[str, RenderableType | None]:
    def moment(time: datetime | None) -> Text | None:
        return (
            None if time is None else Text(f"{format_time(time)}  ({format_relative(time, now)})")
        )

    def text(value: str | None) -> Text | None:
        return escaped(value, multiline=True) if value else None

    def period(time: timedelta | None) -> Text | None:
        return None if time is None else Text(format_duration(time))

    return {
        "function": text(record.function),
        "args": text(record.args),
        "progress": None if record.started_at is None else _progress_line(record),
        "message": text(record.message),
        "error": None if record.error is None else escaped(record.error, "red", multiline=True),
        "returned": text(record.returned),
        "tags": text(", ".join(record.tags)),
        "group": text(record.group),
        "queue": text(record.queue),
        "try": None if record.job_try is None else Text(str(record.job_try)),
        "worker": text(record.worker),
        "enqueued": moment(record.enqueued_at),
        "due": moment(record.due_at),
        "started": moment(record.started_at),
        "updated": moment(record.updated_at),
        "ended": moment(record.ended_at),
        "waited": period(record.waited),
        "elapsed": period(record.elapsed),
        "left": None if record.eta is None else Text(f"about {format_whole_seconds(record.eta)}"),
        "expires": moment(record.expires_at),
        "data": escaped(readable(record.data), multiline=True) if record.data else None,
    }


def _progress_line(record: JobRecord) -> RenderableType:
    """Return a progress bar with its figures."""
    grid = Table.grid(padding=(0, 1))
    figures = f"{record.pct_complete} %"
    if record.total:
        figures += f"   {record.at:g} of {record.total:g}"
    elif record.at:
        figures = f"{record.at:g}"
    grid.add_row(progress_bar(record, 24), Text(figures))
    return grid


def live_view(record: JobRecord, width: int) -> RenderableType:
    """Return the live view of a job that is being followed."""
    now = datetime.now(UTC)
    head = Text.assemble(
        status_text(record.status), "  ", escaped(record.function or "?"), "  ",
        escaped(record.job_id, DIM),
    )  # fmt: skip
    head.no_wrap, head.overflow = True, "ellipsis"
    lines: list[RenderableType] = [head]
    if record.started_at is not None:
        lines.append(_live_bar(record, now - record.started_at, width))
    elif record.ended_at is None:
        due = record.due_at
        waits = f"due {format_relative(due, now)}" if due and due > now else "waiting for a worker"
        lines.append(Text(f"  {waits}", DIM))
    words = record.error if record.error is not None else record.message
    if words:
        style = "" if record.error is None else STYLES[record.status]
        line = escaped(words, style)
        line.no_wrap, line.overflow = record.ended_at is None, "ellipsis"
        lines.append(Padding(line, (0, 0, 0, 2)))
    return Group(*lines)


def _live_bar(record: JobRecord, since: timedelta, width: int) -> RenderableType:
    parts = [f"{record.pct_complete:>3} %" if has_percentage(record) else f"{record.at:>3g}"]
    if width >= 60 and record.total:
        parts.append(f"{record.at:g}/{record.total:g}")
    if record.status is Status.WORKING:
        # time passes between two changes
        parts.append(format_whole_seconds(max(since, timedelta())))
    else:
        parts.append(format_duration(record.elapsed or timedelta()))
    if record.eta is not None and width >= 70:
        parts.append(f"about {format_whole_seconds(record.eta)} left")
    grid = Table.grid(padding=(0, 1))
    grid.add_row(" ", progress_bar(record, max(8, min(40, width - 46))), Text("  ".join(parts)))
    return grid
