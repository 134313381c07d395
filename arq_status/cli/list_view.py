"""Lists of jobs in the terminal."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from arq_status._client.listing import NEWEST
from arq_status._model.durations import format_duration, format_relative
from arq_status._model.snapshot import JobRecord, Page
from arq_status._model.status import Status
from arq_status.cli.escaping import escaped
from arq_status.cli.styles import DIM, STYLES, has_percentage, progress_bar, status_text

_BAR = 12
#: The gap between two columns, and the narrowest column for messages.
_GAP, _LEAST_MESSAGE = 2, 16


@dataclass(frozen=True, slots=True)
class _Column:
    header: str
    cell: Callable[[JobRecord, datetime], RenderableType]
    #: the terminal widths at which it is shown: ``at_least <= width < below``
    at_least: int = 0
    below: int = 10_000
    #: its maximum width; longer text is wrapped, or cut if ``is_cut``
    widest: int | None = None
    is_cut: bool = False


def _progress(record: JobRecord, now: datetime) -> RenderableType:
    if record.started_at is None:
        return _figure(record, now)
    grid = Table.grid(padding=(0, 1))
    grid.add_row(progress_bar(record, _BAR), _figure(record, now))
    return grid


def _figure(record: JobRecord, now: datetime) -> RenderableType:
    if record.due_at is not None and record.due_at > now:
        return Text(format_relative(record.due_at, now), DIM)
    if record.started_at is None:
        return ""
    return Text(f"{record.pct_complete:>3} %" if has_percentage(record) else f"{record.at:>5g}")


def _message(record: JobRecord) -> RenderableType:
    if record.error is not None and record.status is not Status.RETRYING:
        return escaped(record.error, STYLES[record.status])
    return escaped(record.message or "")


def _elapsed(record: JobRecord) -> RenderableType:
    return "" if record.elapsed is None else Text(format_duration(record.elapsed))


def _updated(record: JobRecord, now: datetime) -> RenderableType:
    return "" if record.updated_at is None else Text(format_relative(record.updated_at, now))


_COLUMNS = (
    _Column("Job", lambda it, _: escaped(it.job_id, "bold"), widest=36),
    _Column("Function", lambda it, _: escaped(it.function or ""), at_least=64, widest=24),
    _Column("Status", lambda it, _: status_text(it.status)),
    _Column("Progress", _progress, at_least=92),
    _Column("", _figure, below=92),
    _Column("Elapsed", lambda it, _: _elapsed(it), at_least=124),
    _Column("Updated", _updated, at_least=56),
)


def list_view(
    page: Page, counts: Mapping[Status, int], console: Console, *, is_filtered: bool
) -> RenderableType:
    """Return a page of the list with as many columns as fit, and the counts of all jobs."""
    now, width = datetime.now(UTC), console.width
    shown = [column for column in _COLUMNS if column.at_least <= width < column.below]
    room = width - console.measure(_table(shown, page, now)).maximum - _GAP
    if room >= _LEAST_MESSAGE:
        shown.append(_Column("Message", lambda it, _: _message(it), widest=room, is_cut=True))
    label = [Text("All jobs, without the filters:", DIM)] if is_filtered else []
    return Group(
        _table(shown, page, now), Text(), *label, counts_line(counts, width), _summary(page)
    )


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
    """Return the nonzero counts on as few lines as possible."""
    lines = [Text()]
    for status, number in counts.items():
        if number:
            part = Text.assemble(status_text(status), f" {number:,}")
            if lines[-1].cell_len + 3 + part.cell_len > width:
                lines.append(Text())
            lines[-1].append("   " if lines[-1] else "").append_text(part)
    return Text("\n").join(lines)


def counts_view(counts: Mapping[Status, int]) -> RenderableType:
    """Return the counts of all statuses."""
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    for status, number in counts.items():
        table.add_row(status_text(status), Text(f"{number:,}", "" if number else DIM))
    return table
