"""The dashboard in other apps, behind prefixes, with several Redis, and its connections."""

import asyncio
import gc
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from arq import create_pool
from arq.connections import ArqRedis, RedisSettings
from fastapi import Depends, FastAPI
from fastapi import HTTPException as FastAPIHTTPException
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount
from starlette.types import ASGIApp

from arq_status import StatusClient
from arq_status.web import create_app, serve
from tests.conftest import until
from tests.records import write_end
from tests.server import Server, free_port
from tests.web import page_of, serving, stream
from tests.worker_process import ROOT

JSON = {"Accept": "application/json"}


async def connections(pool: ArqRedis) -> int:
    """Return the number of connections to the server."""
    return len(await pool.client_list())


async def works_at(app: ASGIApp, prefix: str, **options: Any) -> None:
    """Check that pages, links, files and actions are where the app is mounted."""
    async with page_of(app, **options) as page:
        html = (await page.get(f"{prefix}/statuses")).text
        assert f'<a class="function" href="{prefix}/statuses/a%2Fb">' in html
        assert f'href="{prefix}/statuses?status=failed"' in html
        for name in ("style.css", "list.css", "list.js", "stream.js", "theme.js", "icon.svg"):
            assert (await page.get(f"{prefix}/static/{name}")).status_code == 200
        assert f'href="{prefix}/static/style.css"' in html
        assert (
            f'action="{prefix}/statuses/a%2Fb"' in (await page.get(f"{prefix}/statuses/a%2Fb")).text
        )
        response = await page.get(f"{prefix}/")
        assert response.headers["location"] == f"{prefix}/statuses"
        response = await page.post(
            f"{prefix}/statuses/a%2Fb", data={"action": "retry"}, headers={"X-Arq-Status": "1"}
        )
        assert response.headers["location"] == f"{prefix}/statuses/a%2Fb"
        response = await page.get(f"{prefix}/statuses/..%2F..")
        assert response.status_code == 404
        assert f'href="{prefix}/statuses"' in response.text


@pytest.fixture
async def one_job(pool: ArqRedis) -> None:
    """A database with one job."""
    await write_end(pool, "a/b")


@pytest.mark.usefixtures("one_job")
async def test_alone(pool: ArqRedis) -> None:
    """At the root."""
    await works_at(create_app(pool), "")


@pytest.mark.usefixtures("one_job")
async def test_mounted_in_starlette(pool: ArqRedis) -> None:
    """Also nested twice."""
    await works_at(Starlette(routes=[Mount("/admin", create_app(pool))]), "/admin")
    inner = Starlette(routes=[Mount("/jobs", create_app(pool))])
    await works_at(Starlette(routes=[Mount("/my admin", inner)]), "/my%20admin/jobs")


@pytest.mark.usefixtures("one_job")
async def test_mounted_in_fastapi(pool: ArqRedis) -> None:
    """Like any other sub-application."""
    app = FastAPI()
    app.mount("/admin", create_app(pool))
    await works_at(app, "/admin")


@pytest.mark.usefixtures("one_job")
async def test_behind_a_prefix(pool: ArqRedis) -> None:
    """Links include what a server or proxy in front added, as given by ASGI."""
    app = FastAPI()
    app.mount("/admin", create_app(pool))

    async def server(scope: Any, receive: Any, send: Any) -> None:
        await app(scope | {"root_path": "/tools"}, receive, send)

    await works_at(server, "/tools/admin")


@pytest.mark.usefixtures("one_job")
async def test_behind_uvicorns_root_path(pool: ArqRedis) -> None:
    """``uvicorn --root-path`` restores what the proxy stripped."""
    app = Starlette(routes=[Mount("/admin", create_app(pool))])
    async with serving(app, root_path="/tools") as url, httpx.AsyncClient(base_url=url) as page:
        html = (await page.get("/admin/statuses")).text
        assert 'href="/tools/admin/statuses/a%2Fb"' in html


async def test_fastapi_dependencies_do_not_protect_it(pool: ArqRedis) -> None:
    """Therefore there is ``authorize``, which may raise FastAPI's own error."""

    def deny(request: Request, *_: object) -> bool:
        raise FastAPIHTTPException(401, "No.")

    app = FastAPI(dependencies=[Depends(deny)])
    app.mount("/open", create_app(pool))
    app.mount("/shut", create_app(pool, authorize=deny))
    async with page_of(app) as page:
        assert (await page.get("/open/statuses")).status_code == 200
        response = await page.get("/shut/statuses", headers=JSON)
        assert (response.status_code, response.json()) == (401, {"error": "No."})


async def test_two_with_their_own_redis(pool: ArqRedis, tmp_path: Path) -> None:
    """One process, two dashboards, two servers, two titles."""
    server = Server(tmp_path)
    server.start()
    try:
        other = await create_pool(RedisSettings.from_dsn(server.dsn))
        await write_end(pool, "here")
        await write_end(other, "there")
        app = Starlette(
            routes=[
                Mount("/a", create_app(pool, title="One")),
                Mount("/b", create_app(server.dsn, title="Two", read_only=True)),
            ]
        )
        async with page_of(app) as page:
            for prefix, job_id, title in (("/a", "here", "One"), ("/b", "there", "Two")):
                found = (await page.get(f"{prefix}/statuses", headers=JSON)).json()
                assert [item["job_id"] for item in found["items"]] == [job_id]
                assert f"<title>{title}" in (await page.get(f"{prefix}/statuses")).text
        await other.aclose()
    finally:
        server.stop()


# Connections


async def test_a_pool_that_is_made_in_a_lifespan(redis_settings: RedisSettings) -> None:
    """A callable returns it once it exists; another one in the next lifespan."""
    pools: list[ArqRedis] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        pools.append(await create_pool(redis_settings))
        yield
        await pools[-1].aclose()

    app = FastAPI(lifespan=lifespan)
    app.mount("/admin", create_app(lambda: pools[-1]))
    for number in (1, 2):
        async with serving(app) as url, httpx.AsyncClient(base_url=url) as page:
            assert (await page.get("/admin/statuses")).status_code == 200
            assert (await page.get("/admin/statuses")).status_code == 200
        assert len(pools) == number


async def test_a_client_of_the_user_is_not_closed(
    redis_settings: RedisSettings, pool: ArqRedis
) -> None:
    """Its owner closes it, whether it is given directly or by a callable."""
    client = StatusClient(redis_settings)
    for given in (client, lambda: client):
        async with serving(create_app(given)) as url, httpx.AsyncClient(base_url=url) as page:
            assert (await page.get("/statuses")).status_code == 200
        before = await connections(pool)
        await client.counts()
        assert await connections(pool) == before
    await client.aclose()


async def test_nothing_is_opened_before_the_first_request(
    redis_settings: RedisSettings, pool: ArqRedis
) -> None:
    """The lifespan of a standalone app closes what was opened."""
    before = await connections(pool)
    app = create_app(redis_settings)
    async with serving(app) as url, httpx.AsyncClient(base_url=url) as page:
        assert await connections(pool) == before
        assert (await page.get("/statuses")).status_code == 200
        assert await connections(pool) > before
    assert await connections(pool) == before


def test_a_mounted_app_closes_with_its_event_loop(dsn: str) -> None:
    """Its lifespan never runs: connections and streams still end, without warnings."""
    app = Starlette(routes=[Mount("/admin", create_app(dsn))])

    async def visit() -> None:
        async with serving(app) as url:
            async with httpx.AsyncClient(base_url=url) as page:
                assert (await page.get("/admin/statuses")).status_code == 200
            async with stream(f"{url}/admin/statuses") as events:
                assert await anext(events)

    for _ in range(2):
        asyncio.run(visit())
        gc.collect()


# Alone


def test_serve_on_a_port_that_is_taken(dsn: str) -> None:
    """Uvicorn says so and exits."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SystemExit):
        serve(dsn, port=taken.getsockname()[1])


async def test_serve_ends_within_two_seconds(dsn: str, pool: ArqRedis, tmp_path: Path) -> None:
    """The dashboard exits although streams are open."""
    await write_end(pool, "done")
    await pool.enqueue_job("f", _job_id="job", _defer_by=3600)
    port = free_port()
    code = f"from arq_status.web import serve; serve({dsn!r}, port={port}, title='Alone')"
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=output)
    try:
        url = f"http://127.0.0.1:{port}"

        async def answers() -> bool:
            async with httpx.AsyncClient(base_url=url) as page:
                try:
                    return "Alone" in (await page.get("/statuses")).text
                except httpx.TransportError:
                    return False

        await until(answers, 20)
        async with stream(f"{url}/statuses") as jobs, stream(f"{url}/statuses/job") as job:
            assert await anext(jobs)
            assert await anext(job)
            process.send_signal(signal.SIGTERM)
            await until(lambda: process.poll() is not None, 2)
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in log.read_text()
    assert "exceeded" not in log.read_text()
