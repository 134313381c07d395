"""``create_progress_app``: progress for the holders of tokens."""

import logging
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from redis.exceptions import RedisError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from arq_status.web.clients import ClientProvider, RedisOption
from arq_status.web.progress.response import (
    Subject,
    json_response,
    progress_response,
    read_action,
)
from arq_status.web.progress.token import Grant, Secret, TokenReader
from arq_status.web.security import parse_origins

_log = logging.getLogger("arq_status.web")
_ELEMENT = Path(__file__).parent / "static" / "element.js"
_REFUSED = "This link is invalid or has expired."


def create_progress_app(
    redis: RedisOption | Callable[[], RedisOption] = None,
    *,
    secret: Secret,
    data: Iterable[str] = (),
    allow_origins: Iterable[str] = (),
) -> Starlette:
    """Return a Starlette app that shows the progress of one job or group to the holder of a token.

        app.mount("/progress", create_progress_app(redis, secret=SECRET, data=("rows",)))

    ``GET /progress/TOKEN`` answers with JSON, or with ``Accept: text/event-stream`` with events
    ``progress`` and, last, ``end``; ``POST`` with ``action=stop`` stops the job, or the group's
    jobs, if the token allows it. ``/progress/element.js`` is the script of ``<job-progress>``.
    Nothing else about a job is shown: no error, arguments, function, worker, queue, tags or ids.

    Args:
        redis: as in ``create_app``.
        secret: signs the tokens; the same as in ``progress_token``: a string or bytes of at least
            16 bytes, or a list of them, of which the first signs and all are accepted.
        data: the names of the fields of the job's data that are shown; none by default.
        allow_origins: other sites whose scripts may read the answers, such as
            ``https://app.example.org``.

    Raises:
        TypeError: an argument has the wrong type, or ``data`` or ``allow_origins`` is a string.
        ValueError: the secret is shorter than 16 bytes, an origin is malformed, or the DSN cannot
            be read.
    """
    if isinstance(data, str):
        raise TypeError(f"data must be a collection of names, such as ({data!r},), not a string")
    clients = ClientProvider(redis)
    view = _ProgressView(clients, TokenReader(secret), tuple(data))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        yield
        await clients.aclose()

    origins = sorted(parse_origins(allow_origins, "allow_origins"))
    cors = Middleware(
        CORSMiddleware, allow_origins=origins, allow_methods=["GET"], expose_headers=["Allow"]
    )
    return Starlette(
        routes=[
            Route("/element.js", _element),
            Route("/{token}", view.show),
            Route("/{token}", view.act, methods=["POST"]),
        ],
        middleware=[cors] if origins else [],
        exception_handlers={
            HTTPException: _refused,
            RedisError: _unreachable,
            OSError: _unreachable,
            Exception: _failed,
        },
        lifespan=lifespan,
    )


class _ProgressView:
    """The endpoints for the job or group that a token names."""

    def __init__(self, clients: ClientProvider, tokens: TokenReader, data: tuple[str, ...]) -> None:
        self._clients = clients
        self._tokens = tokens
        self._data = data

    async def show(self, request: Request) -> Response:
        """Answer ``GET``: JSON or a stream."""
        grant = self._grant(request)

        async def is_allowed() -> bool:
            return not grant.expired

        return await progress_response(
            request,
            await self._clients.client(),
            grant.job_id,
            group=grant.group,
            data=self._data,
            may_stop="stop" in grant.may,
            is_allowed=is_allowed,
        )

    async def act(self, request: Request) -> Response:
        """Answer ``POST``: stop the job, or the group's jobs."""
        grant = self._grant(request)
        if await read_action(request) not in grant.may:
            raise HTTPException(403, "This link only shows the progress.")
        subject = Subject(grant.job_id, grant.group, self._data)
        return json_response({"ok": await subject.stop(await self._clients.client())})

    def _grant(self, request: Request) -> Grant:
        grant = self._tokens.read(request.path_params["token"])
        if grant is None:
            raise HTTPException(403, _REFUSED)
        return grant


async def _element(_: Request) -> Response:
    """Return the script of ``<job-progress>``; browsers revalidate it each time."""
    headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    return FileResponse(_ELEMENT, media_type="text/javascript", headers=headers)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return json_response({"error": error.detail}, error.status_code)


async def _unreachable(_: Request, error: Exception) -> Response:
    # without the URL, which contains the token
    _log.warning("progress is not available: %r", error)
    response = json_response({"error": "The progress is not available right now."}, 503)
    response.headers["Retry-After"] = "5"
    return response


async def _failed(_: Request, error: Exception) -> Response:
    return json_response({"error": "Something went wrong."}, 500)
