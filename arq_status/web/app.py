"""``create_app``: the dashboard as a Starlette app."""

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypedDict

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from arq_status._model.query import MOST_PER_PAGE
from arq_status._model.validation import require_flag, require_string
from arq_status.web.authorization import Access, Authorize, check_authorize
from arq_status.web.clients import ClientProvider, RedisOption
from arq_status.web.dashboard import Dashboard
from arq_status.web.errors import ErrorPages
from arq_status.web.group_view import GroupView
from arq_status.web.insight_tables import TABLES
from arq_status.web.insight_view import InsightView
from arq_status.web.job_view import JobView
from arq_status.web.list_view import ListView
from arq_status.web.metrics import show_metrics
from arq_status.web.security import SecurityHeaders, is_allowed_host, parse_hosts, parse_origins

_STATIC = Path(__file__).parent / "static"


class AppOptions(TypedDict, total=False):
    """The options of ``create_app``, for functions that pass them on."""

    read_only: bool
    authorize: Authorize | None
    trusted_origins: Iterable[str]
    allowed_hosts: Iterable[str] | None
    title: str
    per_page_options: Sequence[int]


def create_app(
    redis: RedisOption | Callable[[], RedisOption] = None,
    *,
    read_only: bool = False,
    authorize: Authorize | None = None,
    trusted_origins: Iterable[str] = (),
    allowed_hosts: Iterable[str] | None = None,
    title: str = "Jobs",
    per_page_options: Sequence[int] = (25, 50, 100),
) -> Starlette:
    """Return the dashboard as a Starlette app: ``/statuses``, ``/statuses/<job id>``, ``/metrics``.

        async def authorize(request, action, job_id):
            user = request.headers.get("x-user")  # from a proxy that asks for a password
            return user == "ann" or action == "view"

        app.mount("/admin", create_app(RedisSettings(), authorize=authorize))

    Mount it in a Starlette or FastAPI app, or serve it alone. Without ``authorize`` everyone who
    can reach it sees all jobs and may act on them; the dependencies of a FastAPI app do not protect
    what is mounted in it.

    Args:
        redis: what ``arq_status.configure`` takes, a ``StatusClient``, or a callable without
            arguments that returns one of these, for pools created in a lifespan; by default a Redis
            on localhost. The app closes what it opens itself.
        read_only: show jobs, but offer nothing that changes them.
        authorize: called with the request, an action and a job id before anything is shown or
            done, and again every 10 s while a stream is open; only ``True`` allows the request.
            Sync or async. Actions are ``view stop cancel retry delete metrics``; the job id is
            ``None`` unless it is about a single job: for the list, an action on many jobs and
            ``/metrics``. It may raise Starlette's ``HTTPException``, for example to ask for a
            password, as ``basic_auth`` does.
        trusted_origins: other sites that may act on jobs, such as ``https://example.org``.
        allowed_hosts: host names that the app answers to, such as ``jobs.example.org`` or
            ``*.example.org``, against DNS rebinding; by default every name.
        title: shown at the top of every page.
        per_page_options: jobs per page to choose from, 1 to 500; the first is the default.

    Raises:
        TypeError: ``redis`` is none of these, ``authorize`` is not a function that takes
            three arguments, ``read_only`` is not a bool, ``title`` is not a string, or origins or
            hosts are a single string.
        ValueError: an origin or host is malformed, ``per_page_options`` is empty or has a number
            that is not 1 to 500, or the DSN cannot be read.
    """
    check_authorize(authorize)
    require_flag(read_only, "read_only")
    require_string(title, "title")
    options = tuple(per_page_options) if isinstance(per_page_options, Sequence) else ()
    if not options or not all(type(it) is int and 1 <= it <= MOST_PER_PAGE for it in options):
        raise ValueError(
            f"per_page_options must be a list of numbers from 1 to {MOST_PER_PAGE},"
            f" not {per_page_options!r}"
        )
    return _build(
        Dashboard(
            clients=ClientProvider(redis),
            access=Access(authorize, read_only),
            trusted_origins=parse_origins(trusted_origins),
            allowed_hosts=parse_hosts(allowed_hosts),
            title=title,
            per_page_options=options,
        )
    )


def _build(dashboard: Dashboard) -> Starlette:
    jobs, job = ListView(dashboard), JobView(dashboard)

    async def home(request: Request) -> Response:
        return RedirectResponse(dashboard.links(request).list(), 303)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        yield
        await dashboard.clients.aclose()

    middleware = [Middleware(SecurityHeaders)]
    if dashboard.allowed_hosts is not None:
        middleware.append(Middleware(_HostCheck, dashboard))
    return Starlette(
        routes=[
            Route("/", home),
            Route("/metrics", partial(show_metrics, dashboard)),
            Route("/statuses", jobs.show),
            Route("/statuses", jobs.act, methods=["POST"]),
            _IdRoute("statuses", job.show, "GET"),
            _IdRoute("statuses", job.act, "POST"),
            _IdRoute("groups", GroupView(dashboard).show, "GET"),
            *(Route(f"/{it.name}", InsightView(dashboard, it).show) for it in TABLES),
            Mount("/static", _Static(directory=_STATIC)),
        ],
        middleware=middleware,
        exception_handlers=ErrorPages(dashboard).handlers(),
        lifespan=lifespan,
    )


class _IdRoute(Route):
    """The route of a job or a group; an id may contain any character."""

    def __init__(
        self, prefix: str, endpoint: Callable[[Request], Awaitable[Response]], method: str
    ) -> None:
        super().__init__(f"/{prefix}/{{subject_id:path}}", endpoint, methods=[method])
        # Starlette's own pattern would cut the id at a newline and match another job
        self.path_regex = re.compile(rf"/{prefix}/(?P<subject_id>.*)\Z", re.DOTALL)


class _Static(StaticFiles):
    """The static files; browsers revalidate them each time."""

    def file_response(self, *args: object, **kwargs: object) -> Response:
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers["Cache-Control"] = "no-cache"
        return response


class _HostCheck:
    """Middleware that refuses requests whose ``Host`` is not allowed."""

    def __init__(self, app: ASGIApp, dashboard: Dashboard) -> None:
        self._app = app
        self._dashboard = dashboard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app, or respond with 400."""
        allowed = self._dashboard.allowed_hosts
        if scope["type"] == "http" and allowed is not None:
            request = Request(scope)
            if not is_allowed_host(request.headers.get("host", ""), allowed):
                sentence = (
                    "This page is not served under that host name. Its operator can add the name to"
                    " allowed_hosts (arq-status serve --allowed-host)."
                )
                response = self._dashboard.error(request, 400, "Unknown host", sentence)
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)
