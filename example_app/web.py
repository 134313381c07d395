"""The page: it starts the job, shows how far it is, and searches what it found."""

import asyncio
import os
from contextlib import closing
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from arq.connections import ArqRedis
from jinja2 import Environment, FileSystemLoader
from redis.exceptions import RedisError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from arq_status import JobRecord, StatusClient
from example_app.indexing import Index, Matches
from example_app.wording import findings, headline

_HERE = Path(__file__).parent
_SHOWN = 5
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
        self, pool: ArqRedis, client: StatusClient, directory: Path, database: Path
    ) -> None:
        self.pool = pool
        self.client = client
        self.directory = directory
        self.database = database

    async def page(self, request: Request) -> Response:
        """Show everything."""
        return await self._page(request, str(self.directory))

    async def start(self, request: Request) -> Response:
        """Start a job, then show the page."""
        if _is_cross_site(request):
            raise HTTPException(403, "Another site asked for that.")
        form = parse_qs((await request.body()).decode(errors="replace"))
        directory = form.get("directory", [""])[0].strip()
        if not await asyncio.to_thread(os.path.isdir, directory):
            problem = f"There is no directory {directory}" if directory else "Name a directory"
            return await self._page(request, directory, problem, 400)
        root = await asyncio.to_thread(os.path.realpath, directory)
        await self.pool.enqueue_job("index_source", root, str(self.database))
        return RedirectResponse(request.url_for("page").path, 303)

    async def progress(self, request: Request) -> Response:
        """Give a job as JSON, for the script of the page."""
        record = await self.client.job(request.path_params["job_id"])
        if record is None:
            return JSONResponse({"error": "There is no such job."}, 404, headers=_HEADERS)
        return JSONResponse(job_view(record), headers=_HEADERS)

    async def unparsable(self, request: Request) -> Response:
        """List the files that could not be parsed."""
        files = await asyncio.to_thread(self._unparsable)
        return _render(request, "unparsable.html", {"files": files})

    async def _page(
        self, request: Request, directory: str, problem: str = "", code: int = 200
    ) -> Response:
        runs = await self.client.list_jobs(
            function="index_source", sort="enqueued_at", per_page=_SHOWN
        )
        text = request.query_params.get("q", "").strip()
        context = {
            "runs": [job_view(record) for record in runs.items],
            "directory": directory,
            "problem": problem,
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
    pool: ArqRedis, client: StatusClient, *, directory: Path, database: Path
) -> Starlette:
    """Put the page together."""
    site = Site(pool, client, directory, database)
    routes = [
        Route("/", site.page, name="page"),
        Route("/jobs", site.start, methods=["POST"], name="start"),
        Route("/jobs/{job_id:path}", site.progress, name="progress"),
        Route("/unparsable", site.unparsable, name="unparsable"),
        Mount("/static", StaticFiles(directory=_HERE / "static"), name="static"),
    ]
    return Starlette(
        routes=routes, exception_handlers={HTTPException: _refused, RedisError: _unreachable}
    )


def job_view(record: JobRecord) -> dict[str, Any]:
    """Give what the page shows of a job, the same for its template and its script."""
    return {
        "job_id": record.job_id,
        "status": record.status.value,
        "ended": record.ended_at is not None,
        "at": record.at,
        "total": record.total,
        "pct_complete": record.pct_complete,
        "headline": headline(record),
        "message": "" if record.ended_at else record.message or "",
        "findings": findings(record),
        "directory": record.data.get("directory") or record.args,
    }


def _is_cross_site(request: Request) -> bool:
    # Every browser says one or the other with a POST; what says neither is none.
    if site := request.headers.get("sec-fetch-site"):
        return site != "same-origin"
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("host")


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
