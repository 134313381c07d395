"""The tries and the log of a job in the terminal."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from arq_status._model.durations import format_duration, format_time
from arq_status._model.history import LogLine, Try
from arq_status.cli.escaping import escaped
from arq_status.cli.styles import DIM, STYLES, status_text

_LEVEL_STYLES = {
    "debug": DIM, "info": "", "warning": "yellow", "error": "red", "critical": "bold red",
}  # fmt: skip


def tries_view(tries: Sequence[Try]) -> RenderableType:
    """Return the tries of a job, one per line, and the last traceback."""
    table = Table.grid(padding=(0, 2))
    for _ in range(4):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    has_runs = tries[-1].run > 1
    for it in tries:
        number = f"run {it.run}, try {it.job_try}" if has_runs else f"try {it.job_try}"
        table.add_row(
            Text(number, DIM),
            Text(format_time(it.started_at) if it.started_at else ""),
            Text(format_duration(it.elapsed) if it.elapsed is not None else "", justify="right"),
            status_text(it.status),
            escaped(it.error or "", STYLES[it.status], multiline=True),
        )
    parts: list[RenderableType] = [Padding(table, (1, 0, 0, 2))]
    if tries[-1].traceback:
        parts.append(Padding(escaped(tries[-1].traceback, multiline=True), (1, 0, 0, 2)))
    return Group(*parts)


def line_view(line: LogLine) -> Text:
    """Return a line of a log."""
    style = _LEVEL_STYLES[line.level]
    head = f"{format_time(line.time)}  {line.level:8}  "
    name = f"{line.logger}: " if line.logger else ""
    return Text.assemble(
        Text(head, style or DIM), escaped(name, DIM), escaped(line.message, style, multiline=True)
    )
