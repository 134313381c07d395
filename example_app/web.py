"""The page: it starts jobs, shows how far they are, and searches what they found."""

import asyncio
import csv
import os
import secrets
from contextlib import closing
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from arq.connections import ArqRedis
from jinja2 import Environment, FileSystemLoader
from redis.exceptions import RedisError
from starlette.applications import Starlette
from starlette.datastructures import Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from arq_status import StatusClient
from arq_status.web import create_app as create_dashboard
from arq_status.web import create_progress_app
from arq_status.web.security import LOOPBACK, is_allowed_host, is_loopback
from example_app.importing import sample
from example_app.indexing import Index, Matches
from example_app.started import StartedJobs

_HERE = Path(__file__).parent
_LARGEST_BODY = 10_000_000
#: Jobs that each end in another way: what they do, and how they are enqueued.
_ERRANDS: dict[str, tuple[str, dict[str, Any]]] = {
    "count_slowly": ("Count slowly, until it is stopped", {}),
    "fail": ("Fail", {}),
    "try_again": ("Succeed at the third try", {}),
    "remind": ("Remind me in half a minute", {"text": "Tea", "_defer_by": timedelta(seconds=30)}),
}
#: An import with a job for each row.
_GROUP_FILE, _GROUP_SIZE = "team.csv", 200
_TOO_LARGE = HTTPException(413, "That file is too large for a demo.")
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:;"
        " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_templates = Jinja2Templates(
    env=Environment(loader=FileSystemLoader(_HERE / "templates"), autoescape=True)
)


class Site:
    """The routes of the page, and what they share."""

    def __init__(
        self,
        pool: ArqRedis,
        client: StatusClient,
        started: StartedJobs,
        directory: Path,
        database: Path,
        uploads: Path,
    ) -> None:
        self.pool = pool
        self.client = client
        self.started = started
        self.directory = directory
        self.database = database
        self.uploads = uploads

    async def page(self, request: Request) -> Response:
        """Show everything."""
        return await self._page(request, str(self.directory))

    async def start(self, request: Request) -> Response:
        """Index a directory, then show the page."""
        _refuse_other_sites(request)
        async with _bounded(request).form() as form:
            directory = str(form.get("directory", "")).strip()
        if not await asyncio.to_thread(os.path.isdir, directory):
            problem = f"There is no directory {directory}" if directory else "Name a directory"
            return await self._page(request, directory, problem, 400)
        root = await asyncio.to_thread(os.path.realpath, directory)
        label = f"Index of {Path(root).name or root}"
        return await self._enqueue(request, label, "index_source", root, str(self.database))

    async def upload(self, request: Request) -> Response:
        """Import a CSV file, then show the page."""
        _refuse_other_sites(request)
        async with _bounded(request).form(max_files=1) as form:
            file = form.get("file")
            if not isinstance(file, UploadFile) or not file.filename:
                raise HTTPException(400, "Choose a file first.")
            content = await file.read()
            name = file.filename
        path = self.uploads / f"{uuid4().hex}.csv"
        await asyncio.to_thread(path.write_bytes, content)
        arguments = (name, str(path), str(self.database))
        return await self._enqueue(request, f"Import of {name}", "import_people", *arguments)

    async def import_each(self, request: Request) -> Response:
        """Import 200 people in as many jobs, a group with one bar; then show the page."""
        _refuse_other_sites(request)
        rows = list(csv.reader(sample().splitlines()))[1 : _GROUP_SIZE + 1]
        async with self.client.group(title=f"Importing {_GROUP_FILE}") as group:
            for row in rows:
                await group.enqueue_job(
                    self.pool, "import_person", row, str(self.database), _tags=[_GROUP_FILE]
                )
        key = self.started.add(group.group_id, f"Import of {_GROUP_FILE}", is_group=True)
        return RedirectResponse(f"{request.url_for('page').path}?started={key}", 303)

    async def errand(self, request: Request) -> Response:
        """Enqueue one of the small jobs, then show the page."""
        _refuse_other_sites(request)
        function = request.path_params["function"]
        if function not in _ERRANDS:
            raise HTTPException(404)
        label, options = _ERRANDS[function]
        return await self._enqueue(request, label, function, **options)

    async def _enqueue(
        self, request: Request, label: str, function: str, *args: Any, **options: Any
    ) -> Response:
        job = await self.pool.enqueue_job(function, *args, **options)
        assert job is not None  # its id is new
        key = self.started.add(job.job_id, label)
        return RedirectResponse(f"{request.url_for('page').path}?started={key}", 303)

    async def sample(self, request: Request) -> Response:
        """Give a file to upload."""
        return PlainTextResponse(sample(), headers=_HEADERS, media_type="text/csv")

    async def unparsable(self, request: Request) -> Response:
        """List the files that could not be parsed."""
        files = await asyncio.to_thread(self._unparsable)
        return _render(request, "unparsable.html", {"files": files})

    async def _page(
        self, request: Request, directory: str, problem: str = "", code: int = 200
    ) -> Response:
        text = request.query_params.get("q", "").strip()
        context = {
            "bars": self.started.bars(request.query_params.get("started", "")),
            "directory": directory,
            "problem": problem,
            "errands": {function: label for function, (label, _) in _ERRANDS.items()},
            "text": text,
            "matches": await asyncio.to_thread(self._search, text),
        }
        return _render(request, "page.html", context, code)

    def _search(self, text: str) -> Matches:
        with closing(Index(self.database)) as index:
            return index.search(text)

    def _unparsable(self) -> list[tuple[str, str]]:
        with closing(Index(self.database)) as index:
            return index.unparsable()


def create_app(
    pool: ArqRedis,
    client: StatusClient,
    *,
    host: str,
    directory: Path,
    database: Path,
    uploads: Path,
) -> Starlette:
    """Put the page together, with the dashboard beside it, for a server on this host."""
    secret = secrets.token_bytes(32)
    site = Site(pool, client, StartedJobs(secret), directory, database, uploads)
    routes = [
        Route("/", site.page, name="page"),
        Route("/jobs", site.start, methods=["POST"], name="start"),
        Route("/uploads", site.upload, methods=["POST"], name="upload"),
        Route("/groups", site.import_each, methods=["POST"], name="import_each"),
        Route("/errands/{function}", site.errand, methods=["POST"], name="errand"),
        Route("/sample.csv", site.sample, name="sample"),
        Route("/unparsable", site.unparsable, name="unparsable"),
        Mount("/admin", create_dashboard(client, title="Jobs of the demo"), name="admin"),
        Mount("/progress", create_progress_app(client, secret=secret), name="progress"),
        Mount("/static", StaticFiles(directory=_HERE / "static"), name="static"),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(_LoopbackNames)] if is_loopback(host) else [],
        exception_handlers={HTTPException: _refused, RedisError: _unreachable},
    )


class _LoopbackNames:
    """Refuses requests for other names: any site may have its own resolve to this machine."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if not is_allowed_host(Headers(scope=scope).get("host", ""), LOOPBACK):
            app = PlainTextResponse("The demo is at localhost only.", 400, _HEADERS)
        await app(scope, receive, send)


def _refuse_other_sites(request: Request) -> None:
    # Every browser says one or the other with a POST; what says neither is none.
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    own = origin is None or urlsplit(origin).netloc == request.headers.get("host")
    if site != "same-origin" if site else not own:
        raise HTTPException(403, "Another site asked for that.")


def _bounded(request: Request) -> Request:
    """Return the request with a body that is refused, not stored, as soon as it is too large."""
    left = _LARGEST_BODY
    if int(request.headers.get("content-length", 0)) > left:
        raise _TOO_LARGE

    async def receive() -> Message:
        nonlocal left
        message = await request.receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise _TOO_LARGE
        return message

    return Request(request.scope, receive)


def _render(request: Request, name: str, context: dict[str, Any], code: int = 200) -> Response:
    return _templates.TemplateResponse(request, name, context, code, _HEADERS)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    detail = status.description if error.detail == status.phrase else error.detail
    context = {"title": status.phrase, "detail": detail}
    return _render(request, "error.html", context, error.status_code)


async def _unreachable(request: Request, error: Exception) -> Response:
    context = {"title": "Redis does not answer", "detail": "Try again in a moment."}
    return _render(request, "error.html", context, 503)
