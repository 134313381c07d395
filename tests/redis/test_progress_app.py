"""What the customers of an app see of their jobs, and what they do not."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from time import monotonic
from typing import Any

import httpx
import pytest
from arq.connections import ArqRedis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from arq_status import Status, StatusClient, track_status
from arq_status._model.record import State
from arq_status._redis.store import Store
from arq_status.web import create_progress_app, progress_response, progress_token
from tests.conftest import StartWorker, ended, started, until
from tests.records import calls, put_job, write_end, write_running
from tests.server import free_port
from tests.web import next_event, page_of, serving, stream

SECRET = "a secret of 16 bytes or more"
FIELDS = {
    "status", "at", "total", "pct_complete", "message", "elapsed", "eta", "ended", "data",
}  # fmt: skip
#: What only the operators may see of the job below.
PRIVATE = ("import_secret", "s3cret-arg", "token=abc", "host:7", "arq:queue", "kept")


@pytest.fixture
async def url(pool: ArqRedis) -> AsyncIterator[str]:
    """The app, mounted below a path."""
    progress = create_progress_app(pool, secret=SECRET, data=("rows", "absent"))
    async with serving(Starlette(routes=[Mount("/progress", progress)])) as url:
        yield f"{url}/progress"


@pytest.fixture
async def http(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The client of a customer."""
    async with httpx.AsyncClient(base_url=f"{url}/") as http:
        yield http


async def write_private(pool: ArqRedis) -> None:
    """A failed job with content in all its fields."""
    await write_end(
        pool, "job", State.FAILED, function="import_secret", args="'s3cret-arg'", at=40,
        message="Importing", error="HTTPError: token=abc", worker="host:7:x",
        fields={"rows": 12, "kept": "secret"},
    )  # fmt: skip


async def report(ctx: dict[str, Any], pause: float = 0.005) -> None:
    """A job that reports until it is stopped."""
    for number in range(1_000_000):
        await ctx["status"].at(number % 100, f"Row {number}")
        await asyncio.sleep(pause)


async def test_the_holder_sees_progress_and_nothing_else(
    http: httpx.AsyncClient, pool: ArqRedis
) -> None:
    """Exactly these fields, only the named data, and nothing in headers."""
    await write_private(pool)
    response = await http.get(progress_token(SECRET, "job"))
    assert response.status_code == 200
    found = response.json()
    assert found.keys() == FIELDS
    assert (found["status"], found["at"], found["total"], found["pct_complete"]) == (
        "failed", 40, 100, 40,
    )  # fmt: skip
    assert (found["message"], found["ended"], found["data"]) == ("Importing", True, {"rows": 12})
    told = response.text + str(response.headers)
    assert not [it for it in PRIVATE if it in told]
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["vary"] == "Accept"


async def test_a_stream_tells_the_same_and_the_end(url: str, pool: ArqRedis) -> None:
    """It has two events with the same fields, and ends."""
    await write_private(pool)
    async with stream(f"{url}/{progress_token(SECRET, 'job')}") as events:
        found = [event async for event in events]
    assert [name for name, _ in found] == ["progress", "end"]
    assert all(data.keys() == FIELDS and data["status"] == "failed" for _, data in found)
    assert not [it for it in PRIVATE if it in str(found)]


async def test_a_running_job_is_followed(
    url: str, pool: ArqRedis, start_worker: StartWorker
) -> None:
    """From the queue to its end, at most five times a second."""
    await pool.enqueue_job("report", _job_id="job")
    async with stream(f"{url}/{progress_token(SECRET, 'job', may=['stop'])}") as events:
        assert (await next_event(events, "progress"))["status"] == "queued"
        await start_worker(track_status({"functions": [report]}))
        await next_event(events, "progress", status="working")
        began = monotonic()
        for _ in range(6):
            await next_event(events, "progress")
        assert monotonic() - began >= 0.9
        async with httpx.AsyncClient() as http:
            token = progress_token(SECRET, "job", may=["stop"])
            stopped = await http.post(f"{url}/{token}", data={"action": "stop"})
        assert stopped.json() == {"ok": True}
        assert (await next_event(events, "end"))["status"] == "stopped"


async def test_who_may_not_stop(
    http: httpx.AsyncClient, client: StatusClient, pool: ArqRedis, start_worker: StartWorker
) -> None:
    """A view-only token refuses it, like any other action; the header says which are allowed."""
    await pool.enqueue_job("report", _job_id="job")
    await start_worker(track_status({"functions": [report]}))
    await started(client, "job")
    looking, stopping = progress_token(SECRET, "job"), progress_token(SECRET, "job", may=["stop"])
    assert (await http.get(looking)).headers["allow"] == "GET, HEAD"
    assert (await http.get(stopping)).headers["allow"] == "GET, HEAD, POST"
    refused = await http.post(looking, data={"action": "stop"})
    assert (refused.status_code, refused.json()["error"]) == (
        403, "This link only shows the progress.",
    )  # fmt: skip
    for action in ("", "force-stop", "delete", "retry"):
        response = await http.post(stopping, data={"action": action})
        assert (response.status_code, response.json()) == (
            400, {"error": "action must be one of stop."},
        )  # fmt: skip
    assert (await http.post(stopping, content=b"x" * 70_000)).status_code == 413
    assert await client.is_working("job")
    assert (await http.post(stopping, data={"action": "stop"})).json() == {"ok": True}
    assert (await ended(client, "job")).status is Status.STOPPED
    assert (await http.post(stopping, data={"action": "stop"})).json() == {"ok": False}


_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


async def test_a_token_has_one_spelling(http: httpx.AsyncClient, pool: ArqRedis) -> None:
    """An encoding that base64 decodes to the same bytes is refused, too."""
    await write_private(pool)
    token = progress_token(SECRET, "job")
    last = _ALPHABET[_ALPHABET.index(token[-1]) ^ 1]
    for changed in (token[:-1], token + "A", token + "=", token[:-1] + last, token + "."):
        assert (await http.get(changed)).status_code == 403, changed
    assert (await http.get(token)).status_code == 200


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream", "text/html"])
async def test_bad_and_expired_tokens_get_the_same(
    http: httpx.AsyncClient, pool: ArqRedis, accept: str
) -> None:
    """Status, body and headers are equal, whether or not the job exists."""
    await write_end(pool, "job")
    expired = progress_token(SECRET, "job", expires=0.001)
    await asyncio.sleep(0.002)
    foreign = progress_token("some other secret, as long", "job")
    answers = []
    for token in (expired, foreign, "nonsense", progress_token(SECRET, "none", expires=0.001)):
        for method in ("GET", "POST"):
            response = await http.request(method, token, headers={"Accept": accept})
            headers = {k: v for k, v in response.headers.items() if k != "date"}
            answers.append((response.status_code, response.json(), headers))
    assert answers[0][:2] == (403, {"error": "This link is invalid or has expired."})
    assert all(answer == answers[0] for answer in answers)


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_an_unknown_job(http: httpx.AsyncClient, accept: str) -> None:
    """The response is 404 with a sentence."""
    response = await http.get(progress_token(SECRET, "none"), headers={"Accept": accept})
    assert response.status_code == 404
    assert response.json()["error"].startswith("There is no such job")


async def test_a_stream_ends_with_its_token(
    url: str, pool: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends although the job continues, even if nothing changes."""
    monkeypatch.setattr("arq_status.web.event_stream._CHECK_INTERVAL", 1)
    await put_job(pool, "job")
    token = progress_token(SECRET, "job", expires=1)
    began = monotonic()
    async with stream(f"{url}/{token}") as events:
        assert [name async for name, _ in events] == ["progress"]
    assert monotonic() - began < 10
    async with httpx.AsyncClient() as http:
        assert (await http.get(f"{url}/{token}")).status_code == 403


async def test_a_stream_ends_when_the_job_is_deleted(
    url: str, pool: ArqRedis, client: StatusClient
) -> None:
    """There is no end event; a new request gets 404."""
    await write_running(pool, "job")
    async with stream(f"{url}/{progress_token(SECRET, 'job')}") as events:
        assert await next_event(events, "progress")
        await pool.delete("arq:job:job", "arq:in-progress:job")
        await pool.zrem("arq:queue", "job")
        await client.delete("job")
        assert "end" not in [name async for name, _ in events]


async def test_many_customers_share_a_connection(
    url: str, pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """However many watch a job, its changes are read once."""
    await put_job(pool, "job")
    async with AsyncExitStack() as stack:
        for number in range(20):
            token = progress_token(SECRET, "job", expires=60 + number)
            events = await stack.enter_async_context(stream(f"{url}/{token}"))
            assert await next_event(events, "progress")
        channel = Store(pool).channel
        assert (await pool.pubsub_numsub(channel))[0][1] == 1
        await pool.config_resetstat()
        await client.store("job", rows=1)
        assert (await next_event(events, "progress"))["data"] == {"rows": 1}
        assert (await calls(pool)).get("evalsha", 0) <= 8


async def test_other_sites_that_may_read(pool: ArqRedis) -> None:
    """CORS for the given origins, for ``GET`` only; none by default."""
    await write_end(pool, "job")
    app = create_progress_app(pool, secret=SECRET, allow_origins=["https://app.example"])
    token = progress_token(SECRET, "job")
    async with page_of(app) as page:
        allowed = await page.get(token, headers={"Origin": "https://app.example"})
        assert allowed.headers["access-control-allow-origin"] == "https://app.example"
        assert allowed.headers["access-control-expose-headers"] == "Allow"
        other = await page.get(token, headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers
        asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
        assert (await page.options(token, headers=asked)).status_code == 400
        element = await page.get("element.js", headers={"Origin": "https://app.example"})
        assert element.headers["access-control-allow-origin"] == "https://app.example"
    async with page_of(create_progress_app(pool, secret=SECRET)) as page:
        response = await page.get(token, headers={"Origin": "https://app.example"})
        assert not [name for name in response.headers if name.startswith("access-control")]


async def test_the_element(http: httpx.AsyncClient) -> None:
    """A script of less than 6 KiB, revalidated each time."""
    response = await http.get("element.js")
    assert response.headers["content-type"].startswith("text/javascript")
    assert response.headers["cache-control"] == "no-cache"
    assert len(response.content) < 6 * 1024
    assert response.headers["etag"]


async def test_redis_is_away(caplog: pytest.LogCaptureFixture) -> None:
    """503 and a sentence; the token is not logged."""
    token = progress_token(SECRET, "job")
    app = create_progress_app(f"redis://127.0.0.1:{free_port()}", secret=SECRET)
    async with page_of(app) as page:
        with caplog.at_level(logging.DEBUG, "arq_status"):
            for accept in ("application/json", "text/event-stream"):
                response = await page.get(token, headers={"Accept": accept})
                assert response.status_code == 503
                assert response.json() == {"error": "The progress is not available right now."}
            assert (await page.post(token, data={"action": "stop"})).status_code == 403
    assert "progress is not available" in caplog.text
    assert token not in caplog.text


async def test_what_goes_wrong_says_nothing() -> None:
    """An unexpected error is a 500 without details."""

    def fail() -> str:
        raise RuntimeError("secret details")

    async with page_of(create_progress_app(fail, secret=SECRET)) as page:
        response = await page.get(progress_token(SECRET, "job"))
    assert (response.status_code, response.json()) == (500, {"error": "Something went wrong."})


async def test_an_app_that_checks_its_own_session(pool: ArqRedis, client: StatusClient) -> None:
    """It responds from its own endpoint, without a token."""
    await write_end(pool, "job", fields={"rows": 3})

    async def progress(request: Request) -> Response:
        if request.headers.get("x-user") != "ann":
            return Response(status_code=403)
        return await progress_response(request, client, "job", data=["rows"], may_stop=True)

    async with serving(Starlette(routes=[Route("/mine", progress)])) as url:
        async with httpx.AsyncClient(headers={"X-User": "ann"}) as http:
            found = await http.get(f"{url}/mine")
            assert (found.json()["data"], found.headers["allow"]) == (
                {"rows": 3},
                "GET, HEAD, POST",
            )
            assert (
                await http.head(f"{url}/mine", headers={"Accept": "text/event-stream"})
            ).is_success
        async with httpx.AsyncClient() as http:
            assert (await http.get(f"{url}/mine")).status_code == 403


async def test_whom_the_app_does_not_allow(pool: ArqRedis, client: StatusClient) -> None:
    """They see nothing with any method or media type, and stop nothing."""
    await put_job(pool, "job")
    allowed = False

    async def is_allowed() -> bool:
        return allowed

    async def endpoint(request: Request) -> Response:
        return await progress_response(request, client, "job", may_stop=True, is_allowed=is_allowed)

    own = {"Origin": "http://jobs.test"}
    async with page_of(Starlette(routes=[Route("/", endpoint, methods=["GET", "POST"])])) as page:
        for accept in ("application/json", "text/event-stream"):
            assert (await page.get("/", headers={"Accept": accept})).status_code == 403
        assert (await page.post("/", data={"action": "stop"}, headers=own)).status_code == 403
        assert await client.status("job") is Status.QUEUED
        allowed = True
        assert (await page.get("/")).json()["status"] == "queued"


async def test_stopping_with_a_session_of_the_app(pool: ArqRedis, client: StatusClient) -> None:
    """An endpoint that lets its users stop a job refuses it to other sites."""

    async def endpoint(request: Request) -> Response:
        may_stop = "may" in request.query_params
        return await progress_response(request, client, "job", may_stop=may_stop)

    await put_job(pool, "job")
    own, other = {"Origin": "http://jobs.test"}, {"Origin": "https://evil.example"}
    async with page_of(Starlette(routes=[Route("/", endpoint, methods=["GET", "POST"])])) as page:
        refused = await page.post("/", data={"action": "stop"}, headers=own)
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
        for headers in ({}, other, {**own, "Sec-Fetch-Site": "same-site"}):
            found = await page.post("/?may=1", data={"action": "stop"}, headers=headers)
            assert found.status_code == 403
        assert (await page.post("/?may=1", data={"action": "x"}, headers=own)).status_code == 400
        assert await client.status("job") is Status.QUEUED
        for is_stopped in (True, False):
            found = await page.post("/?may=1", data={"action": "stop"}, headers=own)
            assert found.json() == {"ok": is_stopped}
        assert await client.status("job") is Status.STOPPED


async def test_the_app_closes_what_it_opened(dsn: str, pool: ArqRedis) -> None:
    """If its own lifespan runs, its connections are closed at the end."""
    await write_end(pool, "job")
    before = len(await pool.client_list())
    async with serving(create_progress_app(dsn, secret=SECRET), lifespan="on") as url:
        async with httpx.AsyncClient() as http:
            token = progress_token(SECRET, "job", expires=timedelta(minutes=1))
            assert (await http.get(f"{url}/{token}")).is_success
        assert len(await pool.client_list()) > before

    async def is_closed() -> bool:
        return len(await pool.client_list()) == before

    await until(is_closed)


async def test_progress_of_a_group(
    http: httpx.AsyncClient, url: str, pool: ArqRedis, client: StatusClient
) -> None:
    """It counts ended jobs, with the group's title; those who may can stop them all."""
    async with client.group("import-7", title="accounts.csv") as group:
        for number in range(4):
            await group.enqueue_job(pool, "f", _job_id=str(number))
    await client.cancel("0")
    token = progress_token(SECRET, group="import-7", may=("stop",))
    found = (await http.get(token)).json()
    assert found.keys() == FIELDS
    assert (found["at"], found["total"], found["pct_complete"]) == (1, 4, 25)
    assert (found["status"], found["message"], found["ended"]) == ("queued", "accounts.csv", False)
    async with stream(f"{url}/{token}") as events:
        assert (await next_event(events, "progress"))["at"] == 1
        assert (await http.post(token, data={"action": "stop"})).json() == {"ok": True}
        last = await next_event(events, "end")
        assert (last["status"], last["at"], last["ended"]) == ("stopped", 4, True)
        assert [it async for it in events] == []
    assert (await http.post(token, data={"action": "stop"})).json() == {"ok": False}
    unknown = await http.get(progress_token(SECRET, group="import-8"))
    assert unknown.status_code == 404
    assert unknown.json()["error"].startswith("There is no such group")
    watching = progress_token(SECRET, group="import-7")
    assert (await http.post(watching, data={"action": "stop"})).status_code == 403


async def test_an_endpoint_without_a_check_of_its_own(
    pool: ArqRedis, client: StatusClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its stream continues to the end of the job."""
    monkeypatch.setattr("arq_status.web.event_stream._CHECK_INTERVAL", 0)

    async def endpoint(request: Request) -> Response:
        return await progress_response(request, client, "job")

    await put_job(pool, "job")
    async with serving(Starlette(routes=[Route("/", endpoint)])) as url, stream(url) as events:
        assert (await next_event(events, "progress"))["status"] == "queued"
        assert await client.cancel("job")
        assert (await next_event(events, "end"))["ended"]
