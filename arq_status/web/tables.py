"""Tables of records, sortable by their headings, and the parameters of their URLs."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from arq_status._client.client import StatusClient
from arq_status._model.insight import FunctionStats
from arq_status._model.query import Moment
from arq_status._model.snapshot import JobRecord
from arq_status.web.chart import Chart
from arq_status.web.parameters import DIRECTIONS, moment_text, one_of, read_moment

#: How far back a table goes by default.
DEFAULT_SINCE = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of a table.

    Attributes:
        id: identifies it in its table.
        record: the record that it shows.
        key: what it shows; the row has changed if this differs.
        stats: how jobs of the function or queue ended recently.
        chart: the same over time.
        jobs: the first of the jobs that a worker is running.
    """

    id: str
    record: Any
    key: object
    stats: FunctionStats | None = None
    chart: Chart | None = None
    jobs: Sequence[JobRecord] = ()


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        name: its name in URLs.
        heading: its heading.
        key: returns the value by which rows are sorted; those with ``None`` come last.
        cell: the macro that renders its cells.
        is_number: True if its cells are right-aligned.
        descending: True if the first click on its heading sorts the highest first.
    """

    name: str
    heading: str
    key: Callable[[Row], Any]
    cell: str
    is_number: bool = True
    descending: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TableQuery:
    """The choice and order of the rows of a table."""

    sort: str
    descending: bool
    since: Moment = DEFAULT_SINCE
    queue: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table on a page of its own.

    Attributes:
        name: its name in URLs, events and JSON.
        title: its heading.
        columns: its columns.
        sort: the column by which it is sorted by default.
        filters: which of the filters ``since`` and ``queue`` it has.
        read: reads its rows; rows that sort equally keep this order.
        empty_text: what it says when it is empty.
    """

    name: str
    title: str
    columns: Sequence[Column]
    sort: str
    filters: Sequence[str]
    read: Callable[[StatusClient, TableQuery], Awaitable[Sequence[Row]]]
    empty_text: str

    def parse(self, params: Iterable[tuple[str, str]]) -> TableQuery:
        """Return the query that the parameters of a URL ask for.

        Raises:
            QueryError: a parameter is invalid.
        """
        values = {name: value.strip() for name, value in params if value.strip()}
        columns = {it.name: it for it in self.columns}
        column = one_of("sort", values.get("sort", self.sort), columns)
        direction = values.get("direction", "desc" if column.descending else "asc")
        filters = {name: values.get(name) for name in self.filters}
        return TableQuery(
            sort=column.name,
            descending=one_of("direction", direction, DIRECTIONS),
            since=read_moment("since", filters.get("since")) or DEFAULT_SINCE,
            queue=filters.get("queue"),
        )

    def pairs(self, query: TableQuery, **changes: Any) -> list[tuple[str, str]]:
        """Return the parameters of a query, with some changes, that differ from the default."""
        query = replace(query, **changes)
        natural = self._column(query.sort).descending
        direction = "" if query.descending == natural else "desc" if query.descending else "asc"
        pairs = [
            ("since", "" if query.since == DEFAULT_SINCE else moment_text(query.since)),
            ("queue", query.queue or ""),
            ("sort", "" if query.sort == self.sort else query.sort),
            ("direction", direction),
        ]
        return [(name, value) for name, value in pairs if value]

    def sorted_by(self, query: TableQuery, column: Column) -> list[tuple[str, str]]:
        """Return the parameters that sort by a column; if it is the current one, reversed."""
        descending = not query.descending if query.sort == column.name else column.descending
        return self.pairs(query, sort=column.name, descending=descending)

    def arranged(self, rows: Sequence[Row], query: TableQuery) -> list[Row]:
        """Return the rows in the order that a query asks for."""
        key = self._column(query.sort).key
        known = [row for row in rows if key(row) is not None]
        unknown = [row for row in rows if key(row) is None]
        return sorted(known, key=key, reverse=query.descending) + unknown

    def _column(self, name: str) -> Column:
        return next(it for it in self.columns if it.name == name)
