"""``/statuses/<job id>``: a job, and what can be done with it."""

import asyncio
from functools import partial
from typing import NoReturn
from urllib.parse import parse_qs, parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from arq_status._client.client import StatusClient
from arq_status._model.json import job_object
from arq_status.web.accept import Form
from arq_status.web.links import Links, QueryError, read_query
from arq_status.web.live import Gone, Job, job_moments
from arq_status.web.security import is_own_site
from arq_status.web.site import PATIENCE, Site, form, json_response
from arq_status.web.stream import event_stream, first_of
from arq_status.web.topics import Topics

#: What a form may ask for, and what ``authorize`` is asked about it.
ACTIONS = {
    "stop": "stop",
    "force-stop": "stop",
    "cancel": "cancel",
    "retry": "retry",
    "delete": "delete",
}
_LARGEST_FORM = 65_536
_UNKNOWN = "There is no such job: it never was, or it has expired."
_FOREIGN = (
    "Another site asked for that. Whoever runs this page can name that site in trusted_origins;"
    " a script sends the header X-Arq-Status: 1."
)


class JobView:
    """A job, in three forms, and the actions."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._topics: Topics[Job | Gone] = Topics()

    async def show(self, request: Request) -> Response:
        """``GET``."""
        job_id = _job_id(request)
        if not job_id:
            return RedirectResponse(self._site.links(request).list(), 303)
        await self._site.check(request, "view", job_id)
        client = await self._site.source.client()
        if form(request) is Form.STREAM:
            return await self._stream(client, job_id)
        async with asyncio.timeout(PATIENCE):
            record = await client.job(job_id)
        if record is None:
            raise HTTPException(404, _UNKNOWN)
        if form(request) is Form.JSON:
            return json_response(job_object(record))
        allowed = await self._allowed(request, job_id)
        return self._site.page(request, "job.html", job=record, allowed=allowed)

    async def _stream(self, client: StatusClient, job_id: str) -> Response:
        moments = self._topics.follow((client, job_id), partial(job_moments, client, job_id))
        async with asyncio.timeout(PATIENCE):
            first = await first_of(moments)
        if isinstance(first, Gone):
            await moments.aclose()
            raise HTTPException(404, _UNKNOWN)
        return event_stream(first, moments)

    async def act(self, request: Request) -> Response:
        """``POST``."""
        self._check_site(request)
        fields = await _read_form(request)
        action = fields.get("action", "")
        if action not in ACTIONS:
            raise HTTPException(400, f"An action is one of {', '.join(ACTIONS)}.")
        job_id = _job_id(request)
        await self._site.check(request, ACTIONS[action], job_id)
        client = await self._site.source.client()
        async with asyncio.timeout(PATIENCE):
            done = await _do(client, action, job_id)
        if form(request) is Form.JSON:
            return json_response({"ok": done})
        return RedirectResponse(self._way_back(request, fields, action, job_id), 303)

    async def refuse(self, request: Request) -> NoReturn:
        """``POST`` where jobs are only shown."""
        self._check_site(request)
        raise HTTPException(403, "This page only shows jobs.")

    def _check_site(self, request: Request) -> None:
        if not is_own_site(request.headers, self._site.trusted_origins):
            raise HTTPException(403, _FOREIGN)

    async def _allowed(self, request: Request, job_id: str) -> list[str]:
        """The actions that the page offers when the state of the job permits them."""
        if self._site.read_only:
            return []
        return [
            action
            for action, asked in ACTIONS.items()
            if await self._site.may(request, asked, job_id)
        ]

    def _way_back(self, request: Request, fields: dict[str, str], action: str, job_id: str) -> str:
        """The list if the form stood there, else the job."""
        links = self._site.links(request)
        if "list" in fields or action == "delete":
            return _list_as_it_was(links, fields.get("list", ""), self._site.per_page_options[0])
        return links.job(job_id)


def _job_id(request: Request) -> str:
    """From the path, and from a parameter where a path cannot hold it."""
    return request.path_params["job_id"] or request.query_params.get("id", "")


def _list_as_it_was(links: Links, parameters: str, per_page: int) -> str:
    try:
        return links.list(read_query(dict(parse_qsl(parameters)), per_page))
    except QueryError:
        return links.list()


async def _read_form(request: Request) -> dict[str, str]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_FORM:
            raise HTTPException(413, "That form is too long.")
    found = parse_qs(body.decode(errors="replace"), keep_blank_values=True)
    return {name: values[-1] for name, values in found.items()}


async def _do(client: StatusClient, action: str, job_id: str) -> bool:
    match action:
        case "stop":
            return await client.stop(job_id)
        case "force-stop":
            return await client.stop(job_id, force=True)
        case "cancel":
            return await client.cancel(job_id)
        case "retry":
            return await client.retry(job_id)
    return bool(await client.delete(job_id))
