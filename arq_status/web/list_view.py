"""``/statuses``."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from arq_status._client.client import StatusClient
from arq_status._client.listing import NEWEST
from arq_status._model.json import list_object
from arq_status._model.query import Query
from arq_status._model.snapshot import JobRecord, Page
from arq_status._model.status import Status
from arq_status.web.broadcast import Broadcasts
from arq_status.web.dashboard import TIMEOUT, Dashboard, json_response, media_type
from arq_status.web.event_stream import event_stream, first_of
from arq_status.web.links import read_query
from arq_status.web.negotiation import MediaType
from arq_status.web.updates import Listing, list_updates

#: What a list can be sorted by, and the heading of it.
SORTS: Mapping[str, str] = {
    "status": "Status",
    "function": "Function",
    "queue": "Queue",
    "args": "Arguments",
    "progress": "Progress",
    "message": "Message",
    "elapsed": "Elapsed",
    "waited": "Waited",
    "eta": "ETA",
    "updated_at": "Updated",
    "enqueued_at": "Enqueued",
    "started_at": "Started",
    "ended_at": "Ended",
}


class ListView:
    """The list of jobs, in three forms."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._dashboard = dashboard
        self._broadcasts: Broadcasts[Listing] = Broadcasts()

    async def show(self, request: Request) -> Response:
        """``GET``."""
        dashboard = self._dashboard
        await dashboard.access.require(request, "view", None)
        query = read_query(request.query_params, dashboard.per_page_options[0])
        client = await dashboard.clients.client()
        if media_type(request) is MediaType.STREAM:
            return await self._stream(request, client, query)
        async with asyncio.timeout(TIMEOUT):
            page, counts, functions = await client._overview(query)
        if media_type(request) is MediaType.JSON:
            return json_response(list_object(page, counts))
        return self._page(request, query, page, counts, functions)

    async def _stream(self, request: Request, client: StatusClient, query: Query) -> Response:
        updates = self._broadcasts.follow((client, query), partial(list_updates, client, query))
        async with asyncio.timeout(TIMEOUT):
            first = await first_of(updates)
        return event_stream(
            first, updates, partial(self._dashboard.access.allows, request, "view", None)
        )

    def _page(
        self,
        request: Request,
        query: Query,
        page: Page,
        counts: Mapping[Status, int],
        functions: Sequence[str],
    ) -> Response:
        named = [query.function, *(record.function for record in page.items)]
        return self._dashboard.page(
            request,
            "list.html",
            query=query,
            parameters=urlencode(self._dashboard.links(request).params(query)),
            page=page,
            pages=page.pages,
            shown=_shown(page),
            blank=JobRecord(job_id="", status=Status.QUEUED),
            counts=counts,
            functions=sorted({*functions, *filter(None, named)}),
            per_page_options=sorted({*self._dashboard.per_page_options, query.per_page}),
            sorts=SORTS,
            read_only=self._dashboard.access.read_only,
            newest=NEWEST,
        )


def _shown(page: Page) -> str:
    """Which of the matching jobs are on the page, as in ``26 to 50 of 1,234``."""
    first = (page.page - 1) * page.per_page + 1
    if not page.items:
        return f"0 of {page.total:,}" if page.total else "No jobs"
    return f"{first:,} to {first + len(page.items) - 1:,} of {page.total:,}"
