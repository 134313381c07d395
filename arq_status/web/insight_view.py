"""``/functions``, ``/queues``, ``/workers`` and ``/cron``."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from arq_status._client.client import StatusClient
from arq_status._model.query import Moment
from arq_status._model.serialization import record_object
from arq_status.web.broadcast import Broadcasts
from arq_status.web.clients import TIMEOUT
from arq_status.web.dashboard import Dashboard, json_response, media_type
from arq_status.web.negotiation import MediaType
from arq_status.web.parameters import moment_text
from arq_status.web.rendering import View, render_part
from arq_status.web.tables import Row, Table, TableQuery
from arq_status.web.updates import Part, StreamState, frame

#: Seconds between reads for an open page; a table that takes long to read is read less often.
_PERIOD = 2.0
_IDLE_FACTOR = 4
#: Spans of time to choose from.
_SPANS: dict[Moment, str] = {
    timedelta(hours=1): "1 hour", timedelta(days=1): "24 hours", timedelta(days=7): "7 days",
    timedelta(days=30): "30 days",
}  # fmt: skip


class RecordsState(StreamState):
    """The state of the rows of a table."""

    def __init__(
        self, table: Table, query: TableQuery, rows: Sequence[Row], version: int = 1
    ) -> None:
        super().__init__(version)
        self.table = table
        self.query = query
        self.rows: list[Row] = table.arranged(rows, query)

    @property
    def spans(self) -> list[tuple[str, Moment]]:
        """The spans of time to choose from, including the current one; none if it has no filter."""
        if "since" not in self.table.filters:
            return []
        since = self.query.since
        spans = _SPANS if since in _SPANS else {**_SPANS, since: f"since {moment_text(since)}"}
        return [(name, span) for span, name in spans.items()]

    def parts(self) -> Mapping[str, Part]:
        """Return the parts of its page; rows are named ``row:<id>``."""
        parts = {"empty": Part(not self.rows, partial(self._render, "empty"))}
        for row in self.rows:
            parts[f"row:{row.id}"] = Part(row.key, partial(self._render_row, row))
        return parts

    def _render(self, name: str, view: View) -> str:
        return render_part("insight_parts.html", name, self, view)

    def _render_row(self, row: Row, view: View) -> str:
        return render_part("insight_parts.html", "row", row, self, view, datetime.now(UTC))

    def objects(self) -> list[dict[str, Any]]:
        """Return the records as objects for JSON."""
        return [record_object(row.record) for row in self.rows]

    def _html(self, seen: Any, view: View) -> Iterator[bytes]:
        yield from super()._html(seen, view)
        ids = [row.id for row in self.rows]
        if seen is None or [row.id for row in seen.rows] != ids:
            yield frame("order", ids)

    def _json(self, seen: Any) -> Iterator[bytes]:
        objects = self.objects()
        if seen is None or seen.objects() != objects:
            yield frame(self.table.name, objects)


class InsightView:
    """The endpoint of a table."""

    def __init__(self, dashboard: Dashboard, table: Table) -> None:
        self._dashboard = dashboard
        self._table = table
        self._broadcasts: Broadcasts[RecordsState] = Broadcasts()

    async def show(self, request: Request) -> Response:
        """Answer ``GET``: a page, JSON or a stream."""
        dashboard, table = self._dashboard, self._table
        await dashboard.access.require(request, "view", None)
        query = table.parse(request.query_params.multi_items())
        client = await dashboard.clients.client()
        if media_type(request) is MediaType.STREAM:
            source = partial(_states, table, query, client)
            updates = self._broadcasts.follow((client, query), source)
            return await dashboard.stream(request, updates)
        async with asyncio.timeout(TIMEOUT):
            state = RecordsState(table, query, await table.read(client, query))
        if media_type(request) is MediaType.JSON:
            return json_response({table.name: state.objects()})
        view = await dashboard.view(request, None)
        return dashboard.page(request, "insight.html", section=table.title, state=state, view=view)


async def _states(
    table: Table, query: TableQuery, client: StatusClient
) -> AsyncGenerator[RecordsState]:
    loop, version = asyncio.get_running_loop(), 0
    while True:
        begun = loop.time()
        rows = await table.read(client, query)
        version += 1
        yield RecordsState(table, query, rows, version)
        await asyncio.sleep(max(_PERIOD, _IDLE_FACTOR * (loop.time() - begun)))
