"""Access: hosts, passwords, slow requests, open streams and proxies."""

import asyncio
import base64
import errno
from time import process_time
from typing import Any

import httpx
import pytest
from arq.connections import ArqRedis
from redis.exceptions import ConnectionError as RedisConnectionError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Mount

from arq_status import Status, StatusClient
from arq_status._model.record import State
from arq_status.web import basic_auth, create_app
from tests.records import put_job, write_end
from tests.web import next_event, page_of, serving, stream

JSON = {"Accept": "application/json"}
OWN = {"X-Arq-Status": "1"}


def credentials(text: str) -> dict[str, str]:
    """Return the header of HTTP basic authentication."""
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


# Hosts


async def test_other_hosts_are_refused(pool: ArqRedis) -> None:
    """On every path and in every media type, with all headers and the remedy."""
    app = create_app(pool, allowed_hosts=["jobs.test", "*.example.org"])
    async with page_of(app) as page:
        for host in ("jobs.test", "JOBS.test:8000", "a.b.example.org"):
            assert (await page.get("/statuses", headers={"Host": host})).status_code == 200
        for host in ("evil.test", "example.org", "jobs.test.evil.test", "[::1]", ""):
            for path in ("/statuses", "/static/style.css", "/"):
                response = await page.get(path, headers={"Host": host} | JSON)
                assert response.status_code == 400
                assert "allowed_hosts" in response.json()["error"]
                assert "default-src 'none'" in response.headers["content-security-policy"]
                assert response.headers["vary"] == "Accept"
        response = await page.get("/statuses", headers={"Host": "evil.test"})
        assert "Unknown host" in response.text


async def test_a_mounted_app_checks_its_own_hosts(pool: ArqRedis) -> None:
    """The outer app's paths are not checked."""
    app = Starlette(
        routes=[
            Mount("/open", create_app(pool)),
            Mount("/shut", create_app(pool, allowed_hosts=["localhost"])),
        ]
    )
    async with page_of(app) as page:
        assert (await page.get("/open/statuses")).status_code == 200
        assert (await page.get("/shut/statuses")).status_code == 400
    async with serving(app) as url, httpx.AsyncClient(base_url=url) as page:
        local = {"Host": "localhost:1"}
        assert (await page.get("/shut/statuses", headers=local)).status_code == 200


# Passwords


async def test_basic_auth_asks_for_a_password(pool: ArqRedis, client: StatusClient) -> None:
    """Pages, streams and actions require the exact user name and password."""
    await write_end(pool, "job", State.FAILED)
    app = create_app(pool, authorize=basic_auth("ann", "pässword:x"))
    wrong: list[dict[str, str]] = [
        {}, credentials("ann:"), credentials("ann:pässword"), credentials("bob:pässword:x"),
        {"Authorization": "Basic !"},
        {"Authorization": "Bearer abc"},
    ]  # fmt: skip
    async with page_of(app) as page:
        for headers in wrong:
            response = await page.get("/statuses", headers=headers | JSON)
            assert response.status_code == 401
            assert response.headers["www-authenticate"].startswith("Basic realm=")
            response = await page.post("/statuses/job", headers=headers | OWN)
            assert response.status_code == 401
        right = credentials("ann:pässword:x")
        html = (await page.get("/statuses/job", headers=right)).text
        assert 'value="retry"' in html
        action = {"action": "delete"}
        assert (
            await page.post("/statuses/job", data=action, headers=right | OWN)
        ).status_code == 303
    assert await client.status("job") is None


@pytest.mark.parametrize(("user", "password"), [("", "x"), ("x", ""), ("a:b", "x")])
def test_what_basic_auth_cannot_ask_for(user: str, password: str) -> None:
    """An empty password would let in everyone who leaves it empty."""
    with pytest.raises(ValueError, match="user name"):
        basic_auth(user, password)


# Permissions


async def test_an_action_that_authorize_answers_with_an_exception(pool: ArqRedis) -> None:
    """Those who may view see the page without its button."""

    def authorize(request: Request, action: str, job_id: str | None) -> bool:
        if action in ("delete", "retry"):
            raise HTTPException(403, "Ask Ann.")
        return action != "stop"

    await write_end(pool, "job", State.FAILED)
    async with page_of(create_app(pool, authorize=authorize)) as page:
        response = await page.get("/statuses/job")
        assert response.status_code == 200
        assert 'value="delete"' not in response.text
        told = await page.post("/statuses/job", data={"action": "delete"}, headers=OWN | JSON)
        assert (told.status_code, told.json()) == (403, {"error": "Ask Ann."})


async def test_an_answer_of_authorize_that_is_not_true(
    pool: ArqRedis, caplog: pytest.LogCaptureFixture
) -> None:
    """It denies access, and one line in the log says why."""
    answers: Any = iter(["ann", "bob", 0, None])

    class Users:
        def __call__(self, *asked: Any) -> Any:
            return next(answers)

    async with page_of(create_app(pool, authorize=Users())) as page:
        for _ in range(4):
            assert (await page.get("/statuses")).status_code == 403
    [line] = [it.getMessage() for it in caplog.records if it.name == "arq_status.web"]
    assert (
        line == "authorize returned a value of type str, which denies access: only True allows it"
    )


async def test_authorize_may_read_the_body(pool: ArqRedis, client: StatusClient) -> None:
    """It may do so before and after we read it."""
    await write_end(pool, "job", State.FAILED)
    bodies: list[tuple[str, bytes]] = []

    async def reads_at_once(request: Request, action: str, job_id: str | None) -> bool:
        bodies.append((action, await request.body()))
        return True

    async def reads_later(request: Request, action: str, job_id: str | None) -> bool:
        return action == "view" or await reads_at_once(request, action, job_id)

    for authorize in (reads_at_once, reads_later):
        async with page_of(create_app(pool, authorize=authorize)) as page:
            action = {"action": "delete"}
            response = await page.post("/statuses/job", data=action, headers=OWN)
            assert response.status_code == 303
    form = b"action=delete"
    assert bodies == [("view", form), ("delete", form), ("delete", form)]
    assert await client.status("job") is None


async def unfinished_post(url: str) -> str:
    """Send a form that never ends; return the response."""
    host = url.removeprefix("http://")
    name, _, port = host.partition(":")
    reader, writer = await asyncio.open_connection(name, int(port))
    try:
        head = f"POST /statuses/job HTTP/1.1\r\nHost: {host}\r\nX-Arq-Status: 1\r\n"
        writer.write(f"{head}Content-Length: 13\r\n\r\naction=".encode())
        async with asyncio.timeout(5):
            return (await reader.readline()).decode()
    finally:
        writer.close()


async def test_strangers_do_not_keep_connections_busy(pool: ArqRedis) -> None:
    """They are refused before their form has arrived."""
    app = create_app(pool, authorize=lambda request, action, job_id: False)
    async with serving(app) as url:
        assert "403" in await unfinished_post(url)


async def test_a_form_that_does_not_arrive(pool: ArqRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request times out after some seconds."""
    monkeypatch.setattr("arq_status.web.forms._TIMEOUT", 0.05)
    async with serving(create_app(pool)) as url:
        assert "408" in await unfinished_post(url)


@pytest.mark.parametrize("path", ["/statuses", "/statuses/job"])
async def test_a_stream_ends_when_permission_is_withdrawn(
    pool: ArqRedis, client: StatusClient, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """``authorize`` is asked again every few seconds."""
    monkeypatch.setattr("arq_status.web.event_stream._CHECK_INTERVAL", 0)
    allowed = True

    def authorize(request: Request, action: str, job_id: str | None) -> bool:
        if not allowed:
            raise HTTPException(401)
        return True

    await put_job(pool, "job")
    async with serving(create_app(pool, authorize=authorize)) as url, stream(url + path) as events:
        await next_event(events, "job", status="queued")
        await client.cancel("job") if path == "/statuses" else await client.store("job", more=1)
        await next_event(events, "job")
        allowed = False
        await client.retry("job") if path == "/statuses" else await client.store("job", more=2)
        async with asyncio.timeout(10):
            async for _ in events:
                pass


# Proxies


async def test_a_proxy_that_hides_the_host_is_named(pool: ArqRedis, client: StatusClient) -> None:
    """nginx passes its upstream's name by default; the response says what to set."""
    await put_job(pool, "job")
    nginx = {"Host": "127.0.0.1:8000", "Origin": "http://jobs.lan"}
    action = {"action": "cancel"}
    async with page_of(create_app(pool)) as page:
        told = await page.post("/statuses/job", data=action, headers=nginx | JSON)
        assert told.status_code == 403
        for remedy in ("proxy_set_header Host $http_host", "trusted_origins"):
            assert remedy in told.json()["error"]
        behind_tls = {"Host": "jobs.lan:8443", "Origin": "https://jobs.lan:8443"}
        response = await page.post("/statuses/job", data=action, headers=behind_tls | JSON)
        assert response.json() == {"ok": True}
    assert await client.status("job") is Status.STOPPED


# Load


async def test_an_accept_header_without_end_costs_nothing(pool: ArqRedis) -> None:
    """Neither commas, semicolons nor media types cost time."""
    async with page_of(create_app(pool)) as page:
        await page.get("/elsewhere")
        for accept in ("," * 60_000, ";" * 60_000, "text/html;q=0," * 4_000):
            costs = []
            for _ in range(3):
                begun = process_time()
                await page.get("/elsewhere", headers={"Accept": accept})
                costs.append(process_time() - begun)
            assert min(costs) < 0.05


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
async def test_no_file_descriptors_are_left(
    pool: ArqRedis, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The error does not blame Redis."""

    async def job(*args: Any) -> Any:
        error = RedisConnectionError("Error connecting")
        raise error from OSError(number, "Too many open files")

    monkeypatch.setattr(StatusClient, "job", job)
    async with page_of(create_app(pool)) as page:
        response = await page.get("/statuses/job", headers=JSON)
    assert response.status_code == 503
    assert "file descriptors" in response.json()["error"]
    assert "Redis" not in response.json()["error"]
