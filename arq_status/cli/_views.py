"""How jobs look in the terminal."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from arq_status._json import readable
from arq_status._listing import NEWEST
from arq_status._record import JobRecord, Page
from arq_status._truth import Status
from arq_status._words import clock, duration, relative, whole
from arq_status.cli._plain import told

STYLES = {
    Status.DEFERRED: "bright_black",
    Status.QUEUED: "cyan",
    Status.WORKING: "bold bright_blue",
    Status.RETRYING: "yellow",
    Status.COMPLETE: "green",
    Status.FAILED: "bold red",
    Status.STOPPED: "magenta",
    Status.INTERRUPTED: "bold yellow",
}
_BAR = 12
#: Columns between two of the table, and what a message is worth showing in.
_GAP, _LEAST_MESSAGE = 2, 16
_DIM = "bright_black"


def status_text(status: Status) -> Text:
    """The status with its colour."""
    return Text(f"● {status}", STYLES[status])


def bar(record: JobRecord, width: int | None = _BAR) -> ProgressBar:
    """How far the job is; it swings while nobody knows how far it has to go."""
    style = STYLES[record.status]
    swings = record.status is Status.WORKING and not _is_known(record)
    return ProgressBar(
        total=100,
        completed=record.pct_complete,
        width=width,
        pulse=swings,
        complete_style=style,
        finished_style=style,
        pulse_style=style,
    )


# a list


@dataclass(frozen=True, slots=True)
class _Column:
    header: str
    cell: Callable[[JobRecord, datetime], RenderableType]
    #: how wide a terminal has to be to show it, and from which width on something else does
    at_least: int = 0
    below: int = 10_000
    #: how wide it may be before it takes more lines, or is cut
    widest: int | None = None
    is_cut: bool = False


def _job_id(record: JobRecord, now: datetime) -> RenderableType:
    del now
    return told(record.job_id, "bold")


def _function(record: JobRecord, now: datetime) -> RenderableType:
    del now
    return told(record.function or "")


def _status(record: JobRecord, now: datetime) -> RenderableType:
    del now
    return status_text(record.status)


def _progress(record: JobRecord, now: datetime) -> RenderableType:
    if record.started_at is None:
        return _figure(record, now)
    grid = Table.grid(padding=(0, 1))
    grid.add_row(bar(record), _figure(record, now))
    return grid


def _figure(record: JobRecord, now: datetime) -> RenderableType:
    if record.due_at is not None and record.due_at > now:
        return Text(relative(record.due_at, now), _DIM)
    if record.started_at is None:
        return ""
    return Text(f"{record.pct_complete:>3} %" if _is_known(record) else f"{record.at:>5g}")


def _is_known(record: JobRecord) -> bool:
    """Whether anybody knows how far it has to go."""
    return bool(record.total) or record.status is Status.COMPLETE


def _message(record: JobRecord, now: datetime) -> RenderableType:
    del now
    if record.error is not None and record.status is not Status.RETRYING:
        return told(record.error, STYLES[record.status])
    return told(record.message or "")


def _elapsed(record: JobRecord, now: datetime) -> RenderableType:
    del now
    return "" if record.elapsed is None else Text(duration(record.elapsed))


def _updated(record: JobRecord, now: datetime) -> RenderableType:
    return "" if record.updated_at is None else Text(relative(record.updated_at, now))


_COLUMNS = (
    _Column("Job", _job_id, widest=36),
    _Column("Function", _function, at_least=64, widest=24),
    _Column("Status", _status),
    _Column("Progress", _progress, at_least=92),
    _Column("", _figure, below=92),
    _Column("Elapsed", _elapsed, at_least=124),
    _Column("Updated", _updated, at_least=56),
)


def list_view(page: Page, counts: Mapping[Status, int], console: Console) -> RenderableType:
    """A page of the list, with as many columns as there is room for."""
    now, width = datetime.now(UTC), console.width
    shown = [column for column in _COLUMNS if column.at_least <= width < column.below]
    room = width - console.measure(_table(shown, page, now)).maximum - _GAP
    if room >= _LEAST_MESSAGE:
        shown.append(_Column("Message", _message, widest=room, is_cut=True))
    return Group(_table(shown, page, now), Text(), counts_line(counts, width), _summary(page))


def _table(columns: Sequence[_Column], page: Page, now: datetime) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.header_style = table.border_style = _DIM
    for column in columns:
        table.add_column(
            column.header,
            max_width=column.widest,
            no_wrap=column.widest is None or column.is_cut,
            overflow="ellipsis" if column.is_cut else "fold",
        )
    for record in page.items:
        table.add_row(*(column.cell(record, now) for column in columns))
    return table


def _summary(page: Page) -> Text:
    jobs = f"{page.total:,} {'job' if page.total == 1 else 'jobs'}"
    words = f"{jobs}, page {page.page} of {page.pages}"
    if page.truncated:
        words += f", of the newest {NEWEST:,}"
    return Text(words, _DIM)


def counts_line(counts: Mapping[Status, int], width: int) -> Text:
    """The counts that are not 0, on as few lines as they take."""
    lines = [Text()]
    for status, number in counts.items():
        if number:
            part = Text.assemble(status_text(status), f" {number:,}")
            if lines[-1].cell_len + 3 + part.cell_len > width:
                lines.append(Text())
            lines[-1].append("   " if lines[-1] else "").append_text(part)
    return Text("\n").join(lines)


def counts_view(counts: Mapping[Status, int]) -> RenderableType:
    """All counts."""
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    for status, number in counts.items():
        table.add_row(status_text(status), Text(f"{number:,}", "" if number else _DIM))
    return table


# a job


def job_view(record: JobRecord) -> RenderableType:
    """All that is known of a job."""
    now = datetime.now(UTC)
    table = Table.grid(padding=(0, 2))
    table.add_column(style=_DIM)
    table.add_column(overflow="fold")
    for name, value in _facts(record, now).items():
        if value is not None:
            table.add_row(name, value)
    head = Text.assemble(told(record.job_id, "bold"), "  ", status_text(record.status))
    return Group(head, Padding(table, (1, 0, 0, 2)))


def _facts(record: JobRecord, now: datetime) -> dict[str, RenderableType | None]:
    def moment(time: datetime | None) -> Text | None:
        return None if time is None else Text(f"{clock(time)}  ({relative(time, now)})")

    def text(value: str | None) -> Text | None:
        return told(value, lines=True) if value else None

    elapsed, eta = record.elapsed, record.eta
    return {
        "function": text(record.function),
        "args": text(record.args),
        "progress": None if record.started_at is None else progress_line(record),
        "message": text(record.message),
        "error": None if record.error is None else told(record.error, "red", lines=True),
        "queue": text(record.queue),
        "try": None if record.job_try is None else Text(str(record.job_try)),
        "worker": text(record.worker),
        "enqueued": moment(record.enqueued_at),
        "due": moment(record.due_at),
        "started": moment(record.started_at),
        "updated": moment(record.updated_at),
        "ended": moment(record.ended_at),
        "elapsed": None if elapsed is None else Text(duration(elapsed)),
        "left": None if eta is None else Text(f"about {whole(eta)}"),
        "expires": moment(record.expires_at),
        "data": told(readable(record.data), lines=True) if record.data else None,
    }


def progress_line(record: JobRecord) -> RenderableType:
    """A bar, and how far that is in figures."""
    grid = Table.grid(padding=(0, 1))
    figures = f"{record.pct_complete} %"
    if record.total:
        figures += f"   {record.at:g} of {record.total:g}"
    elif record.at:
        figures = f"{record.at:g}"
    grid.add_row(bar(record, 24), Text(figures))
    return grid


def moving_view(record: JobRecord, width: int) -> RenderableType:
    """A job that is being followed."""
    now = datetime.now(UTC)
    head = Text.assemble(
        status_text(record.status), "  ", told(record.function or "?"), "  ",
        told(record.job_id, _DIM),
    )  # fmt: skip
    head.no_wrap, head.overflow = True, "ellipsis"
    lines: list[RenderableType] = [head]
    if record.started_at is not None:
        lines.append(_moving_bar(record, now - record.started_at, width))
    elif record.ended_at is None:
        due = record.due_at
        waits = f"due {relative(due, now)}" if due and due > now else "waits for a worker"
        lines.append(Text(f"  {waits}", _DIM))
    words = record.error if record.error is not None else record.message
    if words:
        style = "" if record.error is None else STYLES[record.status]
        line = told(words, style)
        line.no_wrap, line.overflow = record.ended_at is None, "ellipsis"
        lines.append(Padding(line, (0, 0, 0, 2)))
    return Group(*lines)


def _moving_bar(record: JobRecord, since: timedelta, width: int) -> RenderableType:
    parts = [f"{record.pct_complete:>3} %" if _is_known(record) else f"{record.at:>3g}"]
    if width >= 60 and record.total:
        parts.append(f"{record.at:g}/{record.total:g}")
    if record.status is Status.WORKING:
        # it runs on between two changes
        parts.append(whole(max(since, timedelta())))
    else:
        parts.append(duration(record.elapsed or timedelta()))
    if record.eta is not None and width >= 70:
        parts.append(f"about {whole(record.eta)} left")
    grid = Table.grid(padding=(0, 1))
    grid.add_row(" ", bar(record, max(8, min(40, width - 46))), Text("  ".join(parts)))
    return grid
