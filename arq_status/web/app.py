"""``create_app``: the dashboard put together."""

import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TypedDict

from redis.exceptions import RedisError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from arq_status._model.query import MOST_PER_PAGE
from arq_status.web.job import JobView
from arq_status.web.links import QueryError
from arq_status.web.list import ListView
from arq_status.web.security import HEADERS, SecurityHeaders, trusted_set
from arq_status.web.site import Authorize, Site
from arq_status.web.source import ClientSource, Given

_log = logging.getLogger("arq_status.web")
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_STATIC = Path(__file__).parent / "static"


class AppOptions(TypedDict, total=False):
    """The options of ``create_app``, for those who pass them on."""

    read_only: bool
    authorize: Authorize | None
    trusted_origins: Iterable[str]
    title: str
    per_page_options: Sequence[int]


def create_app(
    redis: Given | Callable[[], Given] = None,
    *,
    read_only: bool = False,
    authorize: Authorize | None = None,
    trusted_origins: Iterable[str] = (),
    title: str = "Jobs",
    per_page_options: Sequence[int] = (25, 50, 100),
) -> Starlette:
    """The dashboard as a Starlette app: ``/statuses`` and ``/statuses/<job id>``.

        async def authorize(request, action, job_id):
            user = request.headers.get("x-user")  # from a proxy that asks for a password
            return user == "ann" or action == "view"

        app.mount("/admin", create_app(RedisSettings(), authorize=authorize))

    Mount it in a Starlette or FastAPI app, or serve it alone. Without ``authorize`` everybody who
    reaches it sees all jobs and may act on them; the dependencies of a FastAPI app do not protect
    what is mounted in it.

    Args:
        redis: what ``arq_status.configure`` takes, a ``StatusClient``, or a callable without
            arguments that gives one of these, for pools that are made in a lifespan; by default a
            Redis on localhost. What the app opens itself it closes.
        read_only: show jobs, and leave out everything that changes them.
        authorize: called with the request, an action and a job id before anything is shown or
            done; only ``True`` lets the request in. Sync or async. Actions are ``view stop cancel
            retry delete``; the job id is ``None`` for the list. It may raise Starlette's
            ``HTTPException``, say to ask for a password.
        trusted_origins: other sites that may act on jobs, such as ``https://example.org``.
        title: stands at the top of every page.
        per_page_options: jobs per page to choose from, 1 to 500; the first is the default.

    Raises:
        TypeError: ``redis`` is none of these, or ``trusted_origins`` is a string.
        ValueError: an origin is none, a number of jobs per page is out of its bounds, or the DSN
            cannot be read.
    """
    options = tuple(per_page_options)
    if not options or not all(type(it) is int and 1 <= it <= MOST_PER_PAGE for it in options):
        raise ValueError(
            f"per_page_options must be one number or more, each 1 to {MOST_PER_PAGE}, not {options}"
        )
    site = Site(
        source=ClientSource(redis),
        read_only=read_only,
        authorize=authorize,
        trusted_origins=trusted_set(trusted_origins),
        title=title,
        per_page_options=options,
    )
    return _put_together(site)


def _put_together(site: Site) -> Starlette:
    jobs, job, trouble = ListView(site), JobView(site), _Trouble(site)

    async def home(request: Request) -> Response:
        return RedirectResponse(site.links(request).list(), 303)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        yield
        await site.source.aclose()

    return Starlette(
        routes=[
            Route("/", home),
            Route("/statuses", jobs.show),
            _JobRoute(job.show, "GET"),
            _JobRoute(job.refuse if site.read_only else job.act, "POST"),
            Mount("/static", _Static(directory=_STATIC)),
        ],
        middleware=[Middleware(SecurityHeaders)],
        exception_handlers={
            HTTPException: trouble.refused,
            QueryError: trouble.misunderstood,
            RedisError: trouble.unreachable,
            OSError: trouble.unreachable,
            Exception: trouble.failed,
        },
        lifespan=lifespan,
    )


class _JobRoute(Route):
    """The path of a job, whose id may hold anything."""

    def __init__(self, endpoint: Callable[[Request], Awaitable[Response]], method: str) -> None:
        super().__init__("/statuses/{job_id:path}", endpoint, methods=[method])
        # Starlette's own would end an id at its newline, and find another job
        self.path_regex = re.compile(r"/statuses/(?P<job_id>.*)\Z", re.DOTALL)


class _Static(StaticFiles):
    """Our files; browsers ask each time whether they changed."""

    def file_response(self, *args: object, **kwargs: object) -> Response:
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers["Cache-Control"] = "no-cache"
        return response


class _Trouble:
    """Answers with errors."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def refused(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        phrase = _PHRASES.get(error.status_code, "Refused")
        told = isinstance(error.detail, str) and error.detail not in ("", phrase)
        sentence = error.detail if told else f"{phrase}."
        response = self._site.error(request, error.status_code, phrase, sentence)
        response.headers.update(error.headers or {})
        return response

    async def misunderstood(self, request: Request, error: Exception) -> Response:
        return self._site.error(request, 400, "That address makes no sense", str(error))

    async def unreachable(self, request: Request, error: Exception) -> Response:
        _log.warning("%r: Redis does not answer: %r", request.url.path, error)
        sentence = "Redis does not answer. This page tries again by itself."
        response = self._site.error(request, 503, "No connection to Redis", sentence)
        response.headers["Retry-After"] = "5"
        return response

    async def failed(self, request: Request, error: Exception) -> Response:
        sentence = "Something went wrong here; the log of the server knows more."
        response = self._site.error(request, 500, "Something went wrong", sentence)
        # outside of the middleware that adds them
        response.headers.update(HEADERS)
        return response
