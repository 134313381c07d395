"""``/statuses``: the list of jobs, and actions on many."""

import asyncio
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from arq_status._model.serialization import list_object
from arq_status.web.actions import ACTIONS, act_on_jobs, act_on_matching
from arq_status.web.broadcast import Broadcasts
from arq_status.web.clients import TIMEOUT
from arq_status.web.dashboard import Dashboard, json_response, media_type
from arq_status.web.last_hour import LastHourReader
from arq_status.web.list_updates import ListState, list_updates
from arq_status.web.negotiation import MediaType
from arq_status.web.parameters import PARAMETERS, read_query

#: The sort keys of the list, with the headings of their columns.
SORT_LABELS: Mapping[str, str] = {
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

#: The known fields: a mistyped filter would make an action reach more jobs than intended.
_FIELDS = {"action", "all", "job_id", *PARAMETERS}
#: The choices of the control for the time.
_TIMES = {"15m": "Last 15 min", "1h": "Last hour", "1d": "Last 24 h", "7d": "Last 7 days"}


class ListView:
    """The endpoints of the list."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._dashboard = dashboard
        self._access = dashboard.access
        self._broadcasts: Broadcasts[ListState] = Broadcasts()
        self._hours = LastHourReader()

    async def show(self, request: Request) -> Response:
        """Answer ``GET``: a page, JSON or a stream."""
        await self._access.require(request, "view", None)
        query = read_query(request.query_params.multi_items(), self._dashboard.per_page_options[0])
        client = await self._dashboard.clients.client()
        if media_type(request) is MediaType.STREAM:
            # scripts do not get the last hour, so it is not read for them
            hours = self._hours if "parts" in request.query_params else None
            source = partial(list_updates, client, query, hours)
            updates = self._broadcasts.follow((client, query, hours), source)
            return await self._dashboard.stream(request, updates)
        async with asyncio.timeout(TIMEOUT):
            page, counts, announced = await client._overview(query)
            if media_type(request) is MediaType.JSON:
                return json_response(list_object(page, counts))
            hour = await self._hours.read(client)
        listing = ListState(query, page, counts, hour=hour, announced=announced)
        return await self._page(request, listing)

    async def _page(self, request: Request, listing: ListState) -> Response:
        query, links = listing.query, self._dashboard.links(request)
        return self._dashboard.page(
            request,
            "list.html",
            view=await self._dashboard.view(request, None),
            section="Jobs",
            listing=listing,
            query=query,
            choices=_choices(listing, dict(links.pairs(query)).get("since")),
            per_page_options=sorted({*self._dashboard.per_page_options, query.per_page}),
            sorts=SORT_LABELS,
            sort_values=[
                (sort, label) for sort, label in SORT_LABELS.items() if sort != "updated_at"
            ],
        )

    async def act(self, request: Request) -> Response:
        """Answer ``POST``: act on many jobs as the form asks."""
        form, request = await self._dashboard.read_action(request, None)
        action = ACTIONS[form["action"][-1]]
        if unknown := form.keys() - _FIELDS:
            raise HTTPException(400, f"Unknown field {min(unknown)!r} in the form.")
        pairs = [(name, value) for name, values in form.items() for value in values]
        query = read_query(pairs, self._dashboard.per_page_options[0])
        links = self._dashboard.links(request)
        job_ids = None if "all" in form else form.get("job_id")
        if job_ids is None and not links.filters(query):
            raise HTTPException(400, "Choose jobs by their ids (job_id) or by at least one filter.")
        client = await self._dashboard.clients.client()
        if job_ids is None:
            done = await act_on_matching(client, action, query)
        else:
            done = await act_on_jobs(client, action, job_ids)
        if media_type(request) is MediaType.JSON:
            return json_response({"ok": True, "jobs": done})
        return RedirectResponse(links.list(query), 303)


def _choices(listing: ListState, since: str | None) -> list[dict[str, Any]]:
    """Return the controls above the list that choose one of several values."""
    query, items = listing.query, listing.page.items
    named = {query.function, *listing.announced.functions, *(record.function for record in items)}
    queues = {query.queue, *(record.queue for record in items)}
    times = _TIMES if since is None else {**_TIMES, since: _TIMES.get(since, f"Since {since}")}
    return [
        _choice("function", "Function", "All functions", _same(named), query.function),
        _choice("queue", "Queue", "All queues", _same(queues), query.queue),
        _choice("since", "Updated", "Any time", times, since),
    ]


def _same(values: Iterable[str | None]) -> dict[str, str]:
    return {value: value for value in sorted(filter(None, values))}


def _choice(
    name: str, label: str, every: str, texts: Mapping[str, str], chosen: str | None
) -> dict[str, Any]:
    options = [*texts.items()]
    return {"name": name, "label": label, "every": every, "options": options, "chosen": chosen}
