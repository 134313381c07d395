"""Tables of functions, queues, workers and cron jobs: their order and their URLs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from arq_status._model.insight import FunctionStats, WorkerRecord
from arq_status._model.tally import Tally
from arq_status._redis.tallies import Interval
from arq_status.web.chart import Chart, Ends
from arq_status.web.insight_rows import chart_of
from arq_status.web.insight_tables import CRON, FUNCTIONS, QUEUES, TABLES, WORKERS
from arq_status.web.insight_view import RecordsState
from arq_status.web.links import Links
from arq_status.web.parameters import QueryError
from arq_status.web.rendering import View
from arq_status.web.tables import Row, Table, TableQuery

NOW = datetime(2026, 11, 26, 12, 30, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
MINUTE, HOUR = 60_000, 3_600_000
VIEW = View(Links("", 25), frozenset(), is_open=False)


def row(name: str, **values: Any) -> Row:
    """A row of the table of functions."""
    stats = FunctionStats(function=name, queue="arq:queue", **values)
    return Row(id=name, record=stats, stats=stats, chart=Chart((Ends(),)), key=stats)


def parse(table: Table, **params: str) -> TableQuery:
    """Return the query of a URL with these parameters."""
    return table.parse(params.items())


# Parameters


@pytest.mark.parametrize("table", TABLES, ids=lambda it: it.name)
def test_every_column_sorts_both_ways(table: Table) -> None:
    """Its heading links to its order, then to the reverse; the default has no parameters."""
    assert table.pairs(parse(table)) == []
    for column in table.columns:
        if column.name != table.sort:
            there = parse(table, **dict(table.sorted_by(parse(table), column)))
            assert (there.sort, there.descending) == (column.name, column.descending)
            back = parse(table, **dict(table.sorted_by(there, column)))
            assert (back.sort, back.descending) == (column.name, not column.descending)
    again = table.sorted_by(parse(table), next(it for it in table.columns if it.name == table.sort))
    assert again == [("direction", "desc")]


def test_words_sort_from_a_to_z_and_numbers_from_the_top() -> None:
    """By default; of future times the next is first."""
    assert not parse(FUNCTIONS).descending
    assert parse(FUNCTIONS, sort="failed").descending
    assert not parse(FUNCTIONS, sort="failed", direction="asc").descending
    assert parse(CRON) == TableQuery(sort="next_run_at", descending=False)


def test_filters_are_kept_where_the_order_changes() -> None:
    """Those that the table has."""
    query = parse(FUNCTIONS, since="7d", queue=" media ", page="2")
    assert (query.since, query.queue) == (timedelta(days=7), "media")
    assert FUNCTIONS.sorted_by(query, FUNCTIONS.columns[2]) == [
        ("since", "7d"), ("queue", "media"), ("sort", "ended"),
    ]  # fmt: skip
    assert FUNCTIONS.pairs(query, queue=None) == [("since", "7d")]
    assert QUEUES.pairs(parse(QUEUES, queue="media")) == []
    assert WORKERS.pairs(parse(WORKERS, since="7d")) == []


@pytest.mark.parametrize(
    ("name", "value"), [("sort", "size"), ("direction", "up"), ("since", "soon")]
)
def test_a_parameter_that_cannot_be_used_is_named(name: str, value: str) -> None:
    """In a sentence for the author of the URL."""
    with pytest.raises(QueryError, match=name):
        parse(FUNCTIONS, **{name: value})


# Order


def test_rows_are_sorted_and_the_unknown_come_last() -> None:
    """In both directions; equal rows stay as they were read."""
    rows = [row("b", failed=1, complete=1), row("idle"), row("a", complete=9), row("c", failed=1)]

    def order(**params: str) -> list[str]:
        return [it.id for it in FUNCTIONS.arranged(rows, parse(FUNCTIONS, **params))]

    assert order() == ["a", "b", "c", "idle"]
    assert order(direction="desc") == ["idle", "c", "b", "a"]
    assert order(sort="failed") == ["b", "c", "idle", "a"]
    assert order(sort="failure_rate") == ["c", "b", "a", "idle"]
    assert order(sort="failure_rate", direction="asc") == ["a", "b", "c", "idle"]


def test_lost_workers_come_first() -> None:
    """Then those that shut down, then live ones."""

    def worker(name: str, alive: bool, seen: datetime | None) -> Row:
        record = WorkerRecord(
            name=name, host=name, pid=7, queue="arq:queue", started_at=NOW, seen_at=seen,
            alive=alive, max_jobs=10, functions=(), running=(),
        )  # fmt: skip
        return Row(id=name, record=record, key=record)

    rows = [worker("a", True, NOW), worker("b", False, None), worker("c", False, NOW)]
    assert [it.id for it in WORKERS.arranged(rows, parse(WORKERS))] == ["c", "b", "a"]


# Charts


def interval(begins: int, length: int, **counts: int) -> Interval:
    """What was counted in a minute or an hour."""
    tally = Tally()
    tally.counts.update(counts)
    return Interval(begins, length, tally)


@pytest.mark.parametrize(
    ("since", "steps", "step"),
    [
        (timedelta(hours=1), 31, 2 * MINUTE),
        (timedelta(minutes=5), 6, MINUTE),
        (timedelta(days=1), 25, HOUR),
        (timedelta(days=7), 29, 6 * HOUR),
        (timedelta(days=30), 31, 24 * HOUR),
        (timedelta(days=999), 31, 24 * HOUR),
        (NOW - timedelta(hours=1), 31, 2 * MINUTE),
        (timedelta(0), 1, MINUTE),
        (NOW + timedelta(days=1), 1, MINUTE),
    ],
)
def test_a_chart_has_about_thirty_steps(since: Any, steps: int, step: int) -> None:
    """Of whole minutes or hours, whatever time it covers; the last step is now."""
    before = NOW_MS // step * step - step
    counted = [
        interval(NOW_MS - MINUTE + MINUTE, MINUTE, failed=1, interrupted=2, stopped=3, complete=4),
        interval(before, MINUTE, complete=5),
        interval(0, HOUR, complete=6),
    ]
    chart = chart_of(counted, since, NOW_MS)
    assert len(chart.steps) == steps
    assert chart.steps[-1] == Ends(failed=3, stopped=3, complete=4)
    if steps > 1:
        assert chart.steps[-2] == Ends(complete=5)
    assert chart.ended == (15 if steps > 1 else 10)


# What is sent


def states(*lists: list[Row]) -> list[RecordsState]:
    """The states of the table at several moments."""
    query = parse(FUNCTIONS)
    return [RecordsState(FUNCTIONS, query, rows, version) for version, rows in enumerate(lists, 1)]


def test_what_did_not_change_is_not_sent_again() -> None:
    """Neither as JSON nor rendered."""
    first, same = states([row("a")], [row("a")])
    assert (same.since(first), same.parts_since(first, VIEW)) == (b"", b"")


def test_a_row_that_changed_is_sent_alone() -> None:
    """With the order only if that changed."""
    first, changed, more = states(
        [row("a"), row("c")],
        [row("a", failed=1), row("c")],
        [row("b"), row("a", failed=1), row("c")],
    )
    events = changed.parts_since(first, VIEW).decode()
    assert events.startswith('event: parts\ndata: {"row:a":')
    assert events.count("event:") == 1
    events = more.parts_since(changed, VIEW).decode()
    assert '"row:b"' in events
    assert '"row:a"' not in events
    assert 'event: order\ndata: ["a","b","c"]' in events


def test_an_empty_table_says_what_to_do() -> None:
    """And for a single queue, where the others are."""
    query = parse(FUNCTIONS, queue="media")
    html = RecordsState(FUNCTIONS, query, [])._render("empty", VIEW)
    assert "No worker has announced a function for the queue media." in html
    assert 'href="/functions"' in html
    assert "href" not in states([])[0]._render("empty", VIEW)
