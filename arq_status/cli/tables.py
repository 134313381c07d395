"""Tables that fit the terminal."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from arq_status.cli.styles import DIM

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """A column of a table: its heading, and how it shows a record."""

    header: str
    cell: Callable[[T], Text]
    #: the minimum terminal width at which it is shown
    at_least: int = 0
    is_number: bool = False


def table_of(records: Sequence[T], columns: Sequence[Column[T]], width: int) -> Table:
    """Return a table of records with as many columns as fit into the terminal."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.header_style = table.border_style = DIM
    shown = [column for column in columns if column.at_least <= width]
    for column in shown:
        table.add_column(
            column.header,
            justify="right" if column.is_number else "left",
            no_wrap=column.is_number,
            overflow="fold",
        )
    for record in records:
        table.add_row(*(column.cell(record) for column in shown))
    return table
