"""The page of a group."""

import httpx
from arq.connections import ArqRedis

import arq_status
from arq_status import StatusClient, track_status
from arq_status.web import create_app
from tests import jobs
from tests.conftest import RunBurst
from tests.web import next_event, page_of, serving, stream

JSON = {"Accept": "application/json"}


async def fill(pool: ArqRedis) -> None:
    """Enqueue a group with jobs of two kinds."""
    async with arq_status.group("import/7", title="accounts.csv") as group:
        await group.enqueue_job(pool, "add", 1, 2, _job_id="good")
        await group.enqueue_job(pool, "fail", _job_id="bad")


async def test_a_group_has_a_page(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """It has a bar, counts that filter, and the failed jobs; a job links to it."""
    await fill(pool)
    await run_burst(track_status({"functions": [jobs.add, jobs.fail]}))
    async with page_of(create_app(pool)) as page:
        html = (await page.get("/groups/import%2F7")).text
        for text in (
            "accounts.csv", "100 %", "Failed <b>1</b>", 'href="/statuses/bad"',
            "/statuses?status=failed&amp;group=import%2F7",
        ):  # fmt: skip
            assert text in html
        group = (await page.get("/groups/import%2F7", headers=JSON)).json()
        assert (group["status"], group["done"], group["counts"]["failed"]) == ("failed", 2, 1)
        assert 'href="/groups/import%2F7"' in (await page.get("/statuses/bad")).text
        found = (await page.get("/statuses?group=import/7&status=failed", headers=JSON)).json()
        assert [it["job_id"] for it in found["items"]] == ["bad"]
        assert (await page.get("/groups/unknown", headers=JSON)).status_code == 404


async def test_a_group_is_followed_to_its_end(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """As JSON and as the part of its page; an unknown group is not."""
    await fill(pool)
    async with (
        serving(create_app(pool)) as url,
        stream(f"{url}/groups/import%2F7") as events,
        stream(f"{url}/groups/import%2F7?parts=1") as parts,
    ):
        assert (await next_event(events, "group"))["status"] == "queued"
        assert "0 %" in (await next_event(parts, "parts"))["group"]
        await run_burst(track_status({"functions": [jobs.add, jobs.fail]}))
        assert await next_event(events, "end") == {}
        assert await next_event(parts, "end") == {}
        assert [it async for it in events] == [it async for it in parts] == []
        async with httpx.AsyncClient(base_url=url) as page:
            headers = {"Accept": "text/event-stream"}
            assert (await page.get("/groups/unknown", headers=headers)).status_code == 404
