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
from arq_status.web.accept import Form
from arq_status.web.links import read_query
from arq_status.web.live import Listing, listings
from arq_status.web.site import PATIENCE, Site, form, json_response
from arq_status.web.stream import event_stream, first_of
from arq_status.web.topics import Topics

#: What a list can be sorted by, and the heading of it.
SORTS: Mapping[str, str] = {
    "status": "Status",
    "function": "Function",
    "args": "Arguments",
    "progress": "Progress",
    "message": "Message",
    "elapsed": "Elapsed",
    "eta": "ETA",
    "updated_at": "Updated",
    "enqueued_at": "Enqueued",
    "started_at": "Started",
    "ended_at": "Ended",
}


class ListView:
    """The list of jobs, in three forms."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._topics: Topics[Listing] = Topics()

    async def show(self, request: Request) -> Response:
        """``GET``."""
        site = self._site
        await site.check(request, "view", None)
        query = read_query(request.query_params, site.per_page_options[0])
        client = await site.source.client()
        if form(request) is Form.STREAM:
            return await self._stream(client, query)
        async with asyncio.timeout(PATIENCE):
            page, counts, functions = await client._overview(query)
        if form(request) is Form.JSON:
            return json_response(list_object(page, counts))
        return self._page(request, query, page, counts, functions)

    async def _stream(self, client: StatusClient, query: Query) -> Response:
        moments = self._topics.follow((client, query), partial(listings, client, query))
        async with asyncio.timeout(PATIENCE):
            first = await first_of(moments)
        return event_stream(first, moments)

    def _page(
        self,
        request: Request,
        query: Query,
        page: Page,
        counts: Mapping[Status, int],
        functions: Sequence[str],
    ) -> Response:
        named = [query.function, *(record.function for record in page.items)]
        return self._site.page(
            request,
            "list.html",
            query=query,
            parameters=urlencode(self._site.links(request).params(query)),
            page=page,
            pages=page.pages,
            shown=_shown(page),
            blank=JobRecord(job_id="", status=Status.QUEUED),
            counts=counts,
            functions=sorted({*functions, *filter(None, named)}),
            per_page_options=sorted({*self._site.per_page_options, query.per_page}),
            sorts=SORTS,
            read_only=self._site.read_only,
            newest=NEWEST,
        )


def _shown(page: Page) -> str:
    """Which of the matching jobs are on the page, as in ``26 to 50 of 1,234``."""
    first = (page.page - 1) * page.per_page + 1
    if not page.items:
        return f"0 of {page.total:,}" if page.total else "No jobs"
    return f"{first:,} to {first + len(page.items) - 1:,} of {page.total:,}"
