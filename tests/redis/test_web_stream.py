"""The live streams of the dashboard, over a real uvicorn."""

import asyncio
import gc
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import pytest
from arq import create_pool, func
from arq.connections import ArqRedis, RedisSettings
from starlette.requests import Request

from arq_status import StatusClient, track_status
from arq_status._model.record import State
from arq_status._redis.store import Store
from arq_status.web import create_app
from tests import jobs
from tests.conftest import RunBurst, StartWorker, until
from tests.records import calls, put_job, write_end
from tests.server import Server
from tests.web import HOSTILE, DeafServer, next_event, serving, stream


@pytest.fixture
async def url(pool: ArqRedis) -> AsyncIterator[str]:
    """The dashboard of the Redis under test."""
    async with serving(create_app(pool)) as url:
        yield url


async def report(ctx: dict[str, Any], name: str = "") -> None:
    """A job that reports until it is stopped."""
    status = ctx["status"]
    await status.total(1_000_000)
    for number in range(1_000_000):
        await status.at(number, f"{name} {number}")
        await asyncio.sleep(0.005)


async def subscribers(pool: ArqRedis) -> int:
    """Return how many connections are subscribed to changes."""
    return int((await pool.pubsub_numsub(Store(pool).channel))[0][1])


# A job


async def test_a_job_is_followed_to_its_end(
    url: str, pool: ArqRedis, start_worker: StartWorker
) -> None:
    """Its current record, then every change, then the end."""
    await pool.enqueue_job("retry", 2, 2, _job_id="a/b")
    async with stream(f"{url}/statuses/a%2Fb") as events:
        assert await anext(events)
        await start_worker(track_status({"functions": [jobs.retry]}))
        await next_event(events, "job", status="retrying")
        record = await next_event(events, "job", status="complete")
        assert (record["pct_complete"], record["job_try"]) == (100, 2)
        assert await anext(events) == ("end", {})
        assert [event async for event in events] == []


async def test_an_ended_job_is_told_and_ended(url: str, pool: ArqRedis) -> None:
    """Nothing follows."""
    await write_end(pool, "job", State.FAILED, error=HOSTILE, message="line\n\nevent: gone")
    async with stream(f"{url}/statuses/job") as events:
        (name, record), end = [event async for event in events]
    assert (name, end) == ("job", ("end", {}))
    assert (record["error"], record["message"]) == (HOSTILE, "line\n\nevent: gone")


async def test_a_job_that_is_deleted_is_gone(url: str, pool: ArqRedis) -> None:
    """An unknown job has no stream."""
    await put_job(pool, "job")
    async with stream(f"{url}/statuses/job") as events:
        await next_event(events, "job", status="queued")
        await pool.zrem("arq:queue", "job")
        await pool.delete("arq:job:job")
        assert await next_event(events, "gone") == {}
    async with httpx.AsyncClient(base_url=url) as page:
        response = await page.get("/statuses/job", headers={"Accept": "text/event-stream"})
    assert response.status_code == 404
    assert response.json()["error"].startswith("There is no such job")


# The list


async def test_the_list_is_told_whole_and_then_what_changes(
    url: str, pool: ArqRedis, start_worker: StartWorker
) -> None:
    """First rows, order and counts, then changed rows or a new order."""
    await write_end(pool, "old")
    async with stream(f"{url}/statuses") as events:
        assert (await next_event(events, "job"))["job_id"] == "old"
        page = await next_event(events, "page")
        assert page == {
            "ids": ["old"], "total": 1, "page": 1, "per_page": 25, "truncated": False,
        }  # fmt: skip
        assert (await next_event(events, "counts"))["complete"] == 1
        await pool.enqueue_job("report", _job_id="new")
        assert (await next_event(events, "job", job_id="new"))["status"] == "queued"
        assert (await next_event(events, "page"))["ids"] == ["new", "old"]
        assert (await next_event(events, "counts"))["queued"] == 1
        await start_worker(track_status({"functions": [report]}))
        first = await next_event(events, "job", status="working")
        while (await next_event(events, "job", status="working"))["at"] <= first["at"]:
            pass


async def test_the_stream_shows_what_its_address_says(url: str, pool: ArqRedis) -> None:
    """It has the same filters, order and page as the list."""
    for number in range(3):
        await write_end(pool, f"bad-{number}", State.FAILED, function="f")
    await write_end(pool, "good")
    async with stream(f"{url}/statuses?status=failed&per_page=2&page=2&direction=asc") as events:
        page = await next_event(events, "page")
        assert (page["ids"], page["total"], page["page"]) == (["bad-2"], 3, 2)
        await StatusClient(pool).delete("bad-1")
        assert (await next_event(events, "page"))["ids"] == []


async def test_a_row_that_did_not_change_is_not_told_again(url: str, pool: ArqRedis) -> None:
    """Although time passes for it."""
    await write_end(pool, "still")
    async with stream(f"{url}/statuses") as events:
        await next_event(events, "counts")
        await write_end(pool, "new")
        told = [(await anext(events))[1].get("job_id") for _ in range(2)]
        assert told == ["new", None]


async def test_at_most_five_updates_a_second(
    url: str, pool: ArqRedis, start_worker: StartWorker
) -> None:
    """However fast a job reports."""
    await pool.enqueue_job("report", _job_id="job")
    await start_worker(track_status({"functions": [report]}))
    for path in ("/statuses", "/statuses/job"):
        async with stream(f"{url}{path}") as events:
            await next_event(events, "job", status="working")
            begun = monotonic()
            for _ in range(10):
                await next_event(events, "job", status="working")
            # the first one may have been sent late
            assert monotonic() - begun > 1.5


async def test_one_connection_for_all_viewers(
    url: str, pool: ArqRedis, start_worker: StartWorker
) -> None:
    """Viewers of jobs and lists share it; it closes when the last one leaves."""
    for number in range(5):
        await pool.enqueue_job("report", str(number), _job_id=f"job-{number}")
    await start_worker(track_status({"functions": [report]}))
    async with AsyncExitStack() as stack:
        paths = [f"/statuses/job-{number % 5}" for number in range(20)]
        paths += [f"/statuses?page={1 + number % 2}" for number in range(10)]
        streams = [await stack.enter_async_context(stream(url + path)) for path in paths]
        for events in streams[:20]:
            await next_event(events, "job", status="working")
        for events in streams[20:]:
            await next_event(events, "counts")
        assert await subscribers(pool) == 1
    gc.collect()

    async def nobody_listens() -> bool:
        return await subscribers(pool) == 0

    await until(nobody_listens)


async def test_a_list_is_worked_out_once_for_all_viewers(
    url: str, pool: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten viewers of a list cost as much as one."""
    looks = 0
    overview = StatusClient._overview

    async def counted(*args: Any) -> Any:
        nonlocal looks
        looks += 1
        return await overview(*args)

    monkeypatch.setattr(StatusClient, "_overview", counted)
    await write_end(pool, "first")
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(stream(f"{url}/statuses")) for _ in range(10)]
        for events in streams:
            await next_event(events, "counts")
        before = looks
        await write_end(pool, "second")
        for events in streams:
            await next_event(events, "job", job_id="second")
        assert looks - before <= 3


async def test_a_viewer_adds_nothing_to_the_worker(
    url: str, pool: ArqRedis, run_burst: RunBurst
) -> None:
    """What a worker writes and publishes does not depend on viewers."""

    async def steps(ctx: dict[str, Any]) -> None:
        for number in range(100):
            await ctx["status"].at(number)
            await ctx["status"].flush()

    async def cost(job_id: str) -> int:
        await pool.config_resetstat()
        await pool.enqueue_job("steps", _job_id=job_id)
        await run_burst(track_status({"functions": [func(steps, name="steps")]}))
        spent = await calls(pool)
        return spent["set"] + spent["publish"]

    alone = await cost("alone")
    async with stream(f"{url}/statuses") as events:
        await next_event(events, "counts")
        watched = await cost("watched")
        await next_event(events, "job", job_id="watched", status="complete")
    # each of the hundred steps would count; a heartbeat may occur in between
    assert abs(watched - alone) < 20 < alone


# Ends


@pytest.mark.parametrize("path", ["/statuses", "/statuses/job"])
async def test_streams_end_when_the_server_is_about_to(pool: ArqRedis, path: str) -> None:
    """Uvicorn would wait for them forever; its signal handlers reveal it."""
    await put_job(pool, "job")
    kept = signal.getsignal(signal.SIGTERM)
    begun = 0.0
    async with AsyncExitStack() as stack:
        async with serving(create_app(pool)) as url:
            events = await stack.enter_async_context(stream(url + path))
            assert await anext(events)
            begun = monotonic()
        assert monotonic() - begun < 10
        async for _ in events:
            pass
    assert signal.getsignal(signal.SIGTERM) is kept


async def test_streams_end_by_themselves(pool: ArqRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the shutdown cannot be detected, browsers reconnect now and then."""
    monkeypatch.setattr("arq_status.web.event_stream._MAX_DURATION_UNDETECTED", 0.1)
    await put_job(pool, "job")
    async with (
        serving(create_app(pool), kind=DeafServer) as url,
        stream(f"{url}/statuses/job") as events,
    ):
        assert [name async for name, _ in events] == ["job"]


async def test_a_quiet_stream_shows_that_it_lives(
    url: str, pool: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With comments, and headers that keep proxies from buffering it."""
    monkeypatch.setattr("arq_status.web.event_stream._PING_INTERVAL", 0.1)
    await put_job(pool, "job")
    headers = {"Accept": "text/event-stream"}
    async with (
        httpx.AsyncClient(base_url=url) as client,
        client.stream("GET", "/statuses/job", headers=headers) as response,
    ):
        assert response.headers["x-accel-buffering"] == "no"
        assert response.headers["cache-control"] == "no-store, no-transform"
        lines = response.aiter_lines()
        assert await anext(lines) == "retry: 2000"
        async with asyncio.timeout(10):
            while await anext(lines) != ":":
                pass


async def test_authorize_is_asked_before_a_stream(pool: ArqRedis) -> None:
    """As for the page."""

    def authorize(request: Request, action: str, job_id: str | None) -> bool:
        return False

    async with (
        serving(create_app(pool, authorize=authorize)) as url,
        httpx.AsyncClient(base_url=url, headers={"Accept": "text/event-stream"}) as client,
    ):
        for path in ("/statuses", "/statuses/job"):
            assert (await client.get(path)).status_code == 403


# Errors


async def test_streams_of_a_list_end_when_redis_goes(tmp_path: Path) -> None:
    """The browser then gets the error page, and later the list."""
    server = Server(tmp_path)
    server.start()
    try:
        async with serving(create_app(server.dsn)) as url:
            async with stream(f"{url}/statuses") as events:
                await next_event(events, "counts")
                server.stop()
                async for _ in events:
                    pass
            async with httpx.AsyncClient(base_url=url) as page:
                assert (await page.get("/statuses")).status_code == 503
                server.start()
                assert (await page.get("/statuses")).status_code == 200
            async with stream(f"{url}/statuses") as events:
                await next_event(events, "counts")
    finally:
        server.stop()


async def test_a_job_is_followed_through_a_restart_of_redis(tmp_path: Path) -> None:
    """The stream stays open and continues."""
    server = Server(tmp_path)
    server.start()
    pool = await create_pool(RedisSettings.from_dsn(server.dsn))
    try:
        await put_job(pool, "job")
        async with (
            serving(create_app(server.dsn)) as url,
            stream(f"{url}/statuses/job") as events,
        ):
            await next_event(events, "job", status="queued")
            await pool.save()
            await pool.aclose()
            server.stop()
            server.start()
            await write_end(pool, "job")
            await pool.zrem("arq:queue", "job")
            await pool.delete("arq:job:job")
            await next_event(events, "end")
    finally:
        await pool.aclose()
        server.stop()
