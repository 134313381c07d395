"""What the views of one app share: its options, client, permissions and error pages."""

import asyncio
from collections.abc import AsyncGenerator, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from arq_status._model.serialization import encode
from arq_status.web.actions import ACTIONS, PERMISSIONS
from arq_status.web.authorization import Access
from arq_status.web.clients import TIMEOUT, ClientProvider
from arq_status.web.event_stream import event_stream, first_of
from arq_status.web.forms import Form, read_form
from arq_status.web.links import Links
from arq_status.web.negotiation import MediaType, preferred
from arq_status.web.rendering import View, render_page
from arq_status.web.security import is_same_site
from arq_status.web.updates import Gone, StreamState

_FOREIGN = (
    "This request came from another site. If it did not, a proxy in front of this dashboard must"
    " pass on the browser's Host header (nginx: proxy_set_header Host $http_host), or the site must"
    " be listed in trusted_origins. Scripts must send the header X-Arq-Status: 1."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """The options of an app, and what every view needs."""

    clients: ClientProvider
    access: Access
    trusted_origins: Collection[str]
    allowed_hosts: Collection[str] | None
    title: str
    per_page_options: tuple[int, ...]

    def links(self, request: Request) -> Links:
        """Return the URLs of the app as seen by this request."""
        return Links(request.scope.get("root_path", ""), self.per_page_options[0])

    async def read_action(self, request: Request, job_id: str | None) -> tuple[Form, Request]:
        """Read the form of a ``POST`` and check that the request may do its ``action``.

        Permission to view is checked before the form is read, so that strangers cannot keep
        connections busy. Also returns the request with its body restored.

        Raises:
            HTTPException: the request is refused, or its form cannot be used.
        """
        if not is_same_site(request.headers, self.trusted_origins):
            raise HTTPException(403, _FOREIGN)
        if self.access.read_only:
            raise HTTPException(403, "This dashboard is read-only.")
        await self.access.require(request, "view", job_id)
        form, request = await read_form(request)
        action = ACTIONS.get(form.get("action", [""])[-1])
        if action is None:
            raise HTTPException(400, f"action must be one of {', '.join(ACTIONS)}.")
        await self.access.require(request, action.permission, job_id)
        return form, request

    async def view(self, request: Request, job_id: str | None) -> View:
        """Return the view of this request: its links, and the actions that ``authorize`` allows."""
        permissions = await self.access.allowed(request, PERMISSIONS, job_id)
        is_open = self.access.authorize is None and not self.access.read_only
        return View(self.links(request), permissions, is_open)

    async def stream(
        self,
        request: Request,
        updates: AsyncGenerator[StreamState | Gone | None],
        job_id: str | None = None,
        unknown: str = "",
    ) -> Response:
        """Respond with a stream of updates: in JSON, or as rendered parts for our pages.

        Raises:
            HTTPException: the first update is ``Gone``; the detail is ``unknown``.
        """
        async with asyncio.timeout(TIMEOUT):
            first = await first_of(updates)
        if isinstance(first, Gone):
            await updates.aclose()
            raise HTTPException(404, unknown)
        view = await self.view(request, job_id) if "parts" in request.query_params else None

        def write(update: StreamState | Gone, seen: Any) -> bytes:
            return update.since(seen) if view is None else update.parts_since(seen, view)

        is_allowed = partial(self.access.allows, request, "view", job_id)
        return event_stream(first, updates, is_allowed, write)

    def page(
        self, request: Request, template: str, status_code: int = 200, **context: Any
    ) -> Response:
        """Render a page."""
        response: HTMLResponse = render_page(
            template, status_code, title=self.title, links=self.links(request), **context
        )
        return response

    def error(self, request: Request, code: int, heading: str, sentence: str) -> Response:
        """Render an error in the media type that the request prefers."""
        if media_type(request) is not MediaType.HTML:
            return json_response({"error": sentence}, code)
        context = {"code": code, "heading": heading, "sentence": sentence}
        return self.page(request, "error.html", code, **context)


def media_type(request: Request) -> MediaType:
    """Return the media type that the request prefers."""
    found = preferred(request.headers.get("accept", ""))
    # the headers of a stream are only sent with the stream, which does not end
    return MediaType.HTML if request.method == "HEAD" and found is MediaType.STREAM else found


def json_response(value: Any, code: int = 200) -> Response:
    """Return a response in JSON."""
    return Response(encode(value), code, media_type=MediaType.JSON)
