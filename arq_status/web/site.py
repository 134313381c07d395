"""What the views of one app share."""

import inspect
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from arq_status._model.json import encode
from arq_status.web.accept import Form, preferred
from arq_status.web.links import Links
from arq_status.web.pages import render
from arq_status.web.source import ClientSource

#: Asks whether a request may do something: request, action, job id (``None`` for the list).
Authorize = Callable[[Request, str, str | None], bool | Awaitable[bool]]

#: Seconds after which an answer of Redis is not waited for any longer.
PATIENCE = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The options of an app, and its client."""

    source: ClientSource
    read_only: bool
    authorize: Authorize | None
    trusted_origins: Collection[str]
    title: str
    per_page_options: tuple[int, ...]

    async def may(self, request: Request, action: str, job_id: str | None) -> bool:
        """Whether the request may do that."""
        if self.authorize is None:
            return True
        answer = self.authorize(request, action, job_id)
        return (await answer if inspect.isawaitable(answer) else answer) is True

    async def check(self, request: Request, action: str, job_id: str | None) -> None:
        """Refuse the request unless it may do that.

        Raises:
            HTTPException: 403.
        """
        if not await self.may(request, action, job_id):
            raise HTTPException(403, "You are not allowed to do that.")

    def links(self, request: Request) -> Links:
        """The URLs of the app as the request reaches it."""
        return Links(request.scope.get("root_path", ""), self.per_page_options[0])

    def page(
        self, request: Request, template: str, status_code: int = 200, **context: Any
    ) -> Response:
        """A page in the frame of the site."""
        response: HTMLResponse = render(
            template, status_code, title=self.title, links=self.links(request), **context
        )
        return response

    def error(self, request: Request, code: int, heading: str, sentence: str) -> Response:
        """An error in the form that was asked for; it says nothing about the server."""
        if form(request) is not Form.HTML:
            return json_response({"error": sentence}, code)
        context = {"code": code, "heading": heading, "sentence": sentence}
        return self.page(request, "error.html", code, **context)


def form(request: Request) -> Form:
    """The form of the answer that a request prefers."""
    found = preferred(request.headers.get("accept", ""))
    # the head of a stream would be as endless as the stream
    return Form.HTML if request.method == "HEAD" and found is Form.STREAM else found


def json_response(value: Any, code: int = 200) -> Response:
    """An answer in JSON."""
    return Response(encode(value), code, media_type="application/json")
