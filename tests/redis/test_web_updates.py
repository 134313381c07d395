"""The streams of our own pages: their changed parts, rendered by the server."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from arq import Retry
from arq.connections import ArqRedis
from starlette.requests import Request

from arq_status import StatusClient, track_status
from arq_status._model.record import State
from arq_status.web import create_app
from tests import jobs
from tests.conftest import RunBurst, StartWorker
from tests.records import put_job, write_end, write_running
from tests.web import HOSTILE, next_event, serving, stream


@pytest.fixture
async def url(pool: ArqRedis) -> AsyncIterator[str]:
    """The dashboard of the Redis under test."""
    async with serving(create_app(pool)) as url:
        yield url


async def test_a_list_sends_the_parts_that_changed(url: str, pool: ArqRedis) -> None:
    """First all parts, then changed rows and counts, and the order if it changed."""
    await write_end(pool, "old", message=HOSTILE)
    async with stream(f"{url}/statuses?parts=1") as events:
        parts = await next_event(events, "parts")
        names = {"counts", "empty", "hour", "matching", "pager", "truncated", "row:old"}
        assert set(parts) == names
        assert "Complete <b>1</b>" in parts["counts"]
        assert HOSTILE not in parts["row:old"]
        assert "&lt;script&gt;" in parts["row:old"]
        assert await next_event(events, "order") == ["old"]
        await put_job(pool, "new", function="import_rows")
        parts = await next_event(events, "parts")
        assert set(parts) == {"counts", "pager", "matching", "row:new"}
        assert "import_rows" in parts["row:new"]
        assert "1 to 2 of 2" in parts["pager"]
        assert await next_event(events, "order") == ["new", "old"]


async def test_a_job_sends_the_parts_that_changed(
    url: str, pool: ArqRedis, client: StatusClient
) -> None:
    """Unchanged data is not sent again, nor progress when data was stored."""
    await write_running(pool, "job", at=1, message="One", fields={"rows": "x" * 10_000})
    async with stream(f"{url}/statuses/job?parts=1") as events:
        parts = await next_event(events, "parts")
        assert set(parts) == {
            "head", "error", "progress", "timeline", "log", "result", "data", "arguments",
            "properties",
        }  # fmt: skip
        assert "One" in parts["progress"]
        await client.store("job", more=1)
        assert {"data"} <= set(await next_event(events, "parts")) <= {"data", "properties"}
        await client.cancel("job")


async def test_the_end_of_a_job_is_told(url: str, pool: ArqRedis) -> None:
    """After its parts; also that a job is gone."""
    await write_end(pool, "done", State.FAILED, error="ValueError: no")
    async with stream(f"{url}/statuses/done?parts=1") as events:
        names = [name async for name, _ in events]
    assert names == ["parts", "end"]
    await put_job(pool, "job")
    async with stream(f"{url}/statuses/job?parts=1") as events:
        await next_event(events, "parts")
        await pool.zrem("arq:queue", "job")
        await pool.delete("arq:job:job")
        assert await next_event(events, "gone") == {}


async def test_parts_are_rendered_for_whom_they_are_sent(pool: ArqRedis) -> None:
    """Viewers get the buttons they may use, and links with their own prefix."""

    def authorize(request: Request, action: str, job_id: str | None) -> bool:
        return action == "view" or request.query_params.get("user") == "ann"

    await write_end(pool, "job", State.FAILED)
    async with serving(create_app(pool, authorize=authorize)) as url:
        for user, has_buttons in (("ann", True), ("bob", False)):
            for path, part in (("/statuses", "row:job"), ("/statuses/job", "head")):
                async with stream(f"{url}{path}?parts=1&user={user}") as events:
                    html = (await next_event(events, "parts"))[part]
                    assert ('value="retry"' in html) is has_buttons
    app = create_app(pool)
    async with (
        serving(app, root_path="/tools") as url,
        stream(f"{url}/statuses?parts=1") as events,
    ):
        assert 'href="/tools/statuses/job"' in (await next_event(events, "parts"))["row:job"]


async def work(ctx: dict[str, Any]) -> str:
    """A job that logs, retries, and finally fails."""
    await ctx["status"].log(f"Try {ctx['job_try']}", level="warning")
    await ctx["status"].flush()
    if ctx["job_try"] == 1:
        # longer than streams collect changes, so that viewers see both tries
        raise Retry(defer=1) from ConnectionError("no answer")
    raise ValueError("no rows")


async def test_tries_and_log_of_a_job(
    url: str, pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """They are in its JSON, in its stream as they come, and on its page."""
    await pool.enqueue_job("work", _job_id="job")
    async with (
        stream(f"{url}/statuses/job") as events,
        stream(f"{url}/statuses/job?parts=1") as parts,
    ):
        await next_event(events, "job", status="queued")
        await next_event(parts, "parts")
        await start_worker(track_status({"functions": [work]}))
        found = [(name, data) async for name, data in events]
        shown = [(name, data) async for name, data in parts]
    lines = [line["message"] for name, data in found if name == "log" for line in data]
    assert lines == ["Try 1", "Try 2"]
    tries = [data for name, data in found if name == "tries"][-1]
    assert [it["status"] for it in tries] == ["retrying", "failed"]
    assert "ValueError: no rows" in tries[-1]["traceback"]
    assert found[-1] == ("end", {})
    assert [name for name, _ in shown if name == "lines"] == ["lines"]
    assert "Try 2" in dict(shown)["lines"]
    async with httpx.AsyncClient(base_url=url) as page:
        job = (await page.get("/statuses/job", headers={"Accept": "application/json"})).json()
        assert [line["message"] for line in job["logs"]] == ["Try 1", "Try 2"]
        assert job["logs"][0]["level"] == "warning"
        assert job["tries"] == tries
        assert job["returned"] is None
        html = (await page.get("/statuses/job")).text
        for text in (
            "Try 1 retrying",
            "ConnectionError: no answer",
            "Try 2 failed",
            "raise ValueError",
        ):
            assert text in html


async def test_what_a_job_returned(url: str, pool: ArqRedis, run_burst: RunBurst) -> None:
    """It is on its page and in its JSON, but in no list."""
    await pool.enqueue_job("add", 1, 2, _job_id="job")
    await run_burst(track_status({"functions": [jobs.add]}))
    async with httpx.AsyncClient(base_url=url, headers={"Accept": "application/json"}) as page:
        assert (await page.get("/statuses/job")).json()["returned"] == "3"
        [item] = (await page.get("/statuses")).json()["items"]
        assert (item["returned"], item["data"]) == (None, {})
        html = (await page.get("/statuses/job", headers={"Accept": "text/html"})).text
        assert "Result" in html
