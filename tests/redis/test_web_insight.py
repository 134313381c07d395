"""The pages of functions, queues, workers and cron jobs."""

from typing import Any

import httpx
import pytest
from arq import cron, func
from arq.connections import ArqRedis
from starlette.requests import Request

from arq_status import StatusClient, track_status
from arq_status.web import create_app
from tests import jobs
from tests.conftest import StartWorker, ended, until
from tests.records import put_job
from tests.web import HOSTILE, next_event, page_of, serving, stream

JSON = {"Accept": "application/json"}
NAMES = ["functions", "queues", "workers", "cron"]


async def nightly(ctx: dict[str, Any]) -> None:
    """A cron job that runs at once."""


@pytest.mark.parametrize("name", NAMES)
async def test_a_page_of_nothing_says_so(pool: ArqRedis, name: str) -> None:
    """It also says what to do."""
    async with page_of(create_app(pool)) as page:
        html = (await page.get(f"/{name}")).text
        assert "@track_status" in html or name == "queues"
        assert f'href="/{name}" aria-current="page"' in html
        assert list((await page.get(f"/{name}", headers=JSON)).json()) == [name]


async def test_what_workers_tell(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """Each page shows it, with links to the jobs; hostile text is escaped."""
    settings = {
        "functions": [func(jobs.fail, name=HOSTILE), jobs.add, jobs.wait],
        "cron_jobs": [cron(nightly, hour=3, run_at_startup=True)],
    }
    await start_worker(track_status(settings), max_jobs=7)
    await pool.enqueue_job(HOSTILE, _job_id="bad")
    await ended(client, "bad")
    await put_job(pool, "later", due=4_000_000_000_000)
    await pool.enqueue_job("wait", _job_id="long")
    await until(lambda: client.is_working("long"))

    async def counted() -> bool:
        return any(it.failed for it in await client.functions())

    await until(counted)
    async with page_of(create_app(pool)) as page:
        for name, texts in (
            ("functions", ["&lt;script&gt;", 'class="bad"', "status=failed", "100 %", "<svg"]),
            ("queues", ["status=deferred&amp;queue=arq%3Aqueue", "/workers?queue=", "<svg"]),
            ("workers", ["alive", "of 7", ">add<", 'href="/statuses/long"']),
            ("cron", ["nightly", "/statuses/cron%3A", "hour"]),
        ):
            html = (await page.get(f"/{name}")).text
            for text in texts:
                assert text in html, (name, text)
            assert "<img" not in html
            records = (await page.get(f"/{name}", headers=JSON)).json()[name]
            assert records
    await client.stop("long", force=True)


async def test_a_page_is_live(pool: ArqRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    """It sends what changed, as JSON and rendered."""
    monkeypatch.setattr("arq_status.web.insight_view._PERIOD", 0.05)
    await put_job(pool, "first")
    async with (
        serving(create_app(pool)) as url,
        stream(f"{url}/queues") as events,
        stream(f"{url}/queues?parts=1") as parts,
    ):
        [queue] = await next_event(events, "queues")
        assert (queue["name"], queue["queued"]) == ("arq:queue", 1)
        assert "arq:queue" in (await next_event(parts, "parts"))["row:arq:queue"]
        assert await next_event(parts, "order") == ["arq:queue"]
        await put_job(pool, "later", due=4_000_000_000_000)
        while (await next_event(events, "queues"))[0]["deferred"] != 1:
            pass
        await next_event(parts, "parts")


async def test_pages_are_sorted_and_filtered(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """As their URL says, in HTML, JSON and live; an invalid parameter gives a sentence."""
    await start_worker(track_status({"functions": [jobs.add, jobs.fail]}))
    await start_worker(track_status({"functions": [jobs.wait]}), queue_name="media")
    await until(lambda: has_functions(client, 3))
    async with page_of(create_app(pool)) as page, serving(create_app(pool)) as url:

        async def names(query: str) -> list[str]:
            found = (await page.get(f"/functions{query}", headers=JSON)).json()["functions"]
            return [it["function"] for it in found]

        assert await names("") == ["add", "fail", "wait"]
        assert await names("?direction=desc&since=7d") == ["wait", "fail", "add"]
        assert await names("?queue=media") == ["wait"]
        html = (await page.get("/functions?direction=desc")).text
        assert html.index(">wait<") < html.index(">add<")
        assert 'aria-sort="descending"><a href="/functions" class="sorted">Function</a>' in html
        async with stream(f"{url}/functions?direction=desc&parts=1") as parts:
            assert (await next_event(parts, "order"))[0] == "media\nwait"
        for name, key in (("workers", "queue"), ("cron", "queue")):
            found = (await page.get(f"/{name}?queue=media", headers=JSON)).json()[name]
            assert {it[key] for it in found} <= {"media"}
        answer = await page.get("/functions?sort=size", headers=JSON)
        assert (answer.status_code, answer.json()["error"][:19]) == (400, "Unknown sort 'size'")
        assert "since 3h" in (await page.get("/queues?since=3h")).text


async def has_functions(client: StatusClient, number: int) -> bool:
    """Return True if this many functions are announced."""
    return len(await client.functions()) == number


async def test_pages_are_shown_whole_or_not_at_all(pool: ArqRedis) -> None:
    """``authorize`` is asked for ``view`` without a job id."""
    asked: list[tuple[str, str | None]] = []

    def authorize(request: Request, action: str, job_id: str | None) -> bool:
        asked.append((action, job_id))
        return False

    async with page_of(create_app(pool, authorize=authorize)) as page:
        for name in NAMES:
            response: httpx.Response = await page.get(f"/{name}")
            assert response.status_code == 403
    assert asked == [("view", None)] * 4
