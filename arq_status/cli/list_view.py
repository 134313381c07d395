"""Lists of jobs in the terminal."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from arq_status._client.listing import NEWEST
from arq_status._model.durations import duration, relative
from arq_status._model.snapshot import JobRecord, Page
from arq_status._model.status import Status
from arq_status.cli.looks import DIM, STYLES, bar, is_known, status_text
from arq_status.cli.plain import told

_BAR = 12
#: Columns between two of the table, and what a message is worth showing in.
_GAP, _LEAST_MESSAGE = 2, 16


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
    grid.add_row(bar(record, _BAR), _figure(record, now))
    return grid


def _figure(record: JobRecord, now: datetime) -> RenderableType:
    if record.due_at is not None and record.due_at > now:
        return Text(relative(record.due_at, now), DIM)
    if record.started_at is None:
        return ""
    return Text(f"{record.pct_complete:>3} %" if is_known(record) else f"{record.at:>5g}")


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
    table.header_style = table.border_style = DIM
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
    return Text(words, DIM)


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
        table.add_row(status_text(status), Text(f"{number:,}", "" if number else DIM))
    return table
