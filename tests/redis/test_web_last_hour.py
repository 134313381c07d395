"""Figures about many jobs: the last hour above the list, and usual run times."""

import asyncio
import re
from html import unescape
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.utils import timestamp_ms
from redis.asyncio import Redis

from arq_status import StatusClient, track_status
from arq_status._model.insight import WorkerRecord
from arq_status._redis import keys
from arq_status._redis.announcements import function_key
from arq_status.web import create_app
from tests import jobs
from tests.conftest import StartWorker, ended, until
from tests.records import put_job
from tests.web import next_event, page_of, serving, stream

#: May do everything except read the counts.
GUEST = ("on", "nopass", "~*", "&*", "+@all", "-lrange")


class Counting(StatusClient):
    """A client that counts how often the workers are read for the strip."""

    reads = 0

    async def workers(self) -> list[WorkerRecord]:
        """Count the call, and return the workers."""
        self.reads += 1
        return await super().workers()


def figures(html: str) -> list[str]:
    """Return the figures of the strip as strings."""
    found = re.search('<section class="hour".*?</section>', html, re.DOTALL)
    assert found is not None
    return [
        " ".join(re.sub("<[^>]+>", " ", item).split())
        for item in re.findall("<li>(.*?)</li>", unescape(found[0]), re.DOTALL)
    ]


async def test_a_first_start_has_no_strip(pool: ArqRedis) -> None:
    """It appears with the first job, even if no worker takes it."""
    async with page_of(create_app(pool)) as page:
        assert 'class="hour"' not in (await page.get("/statuses")).text
        await put_job(pool, "job")
        html = (await page.get("/statuses")).text
        assert figures(html)[:3] == ["Past hour 0 ended", "Failure rate n/a", "Run p95 n/a"]
        assert figures(html)[4] == "Workers up none"


async def test_the_strip_tells_of_the_last_hour(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """It shows ends, run times, what is due and workers; each figure is a link."""
    await start_worker(track_status({"functions": [jobs.fail, jobs.add]}))
    for number in range(3):
        await pool.enqueue_job("add", number, 1, _job_id=f"good-{number}")
    await pool.enqueue_job("fail", _job_id="bad")
    for job_id in ("good-0", "good-1", "good-2", "bad"):
        await ended(client, job_id)

    async def counted() -> bool:
        return sum(it.ended for it in await client.functions()) == 4

    await until(counted)
    async with page_of(create_app(pool)) as page:
        html = (await page.get("/statuses")).text
        total, failures, p95, due, workers = figures(html)
        assert (total, failures) == ("Past hour 4 ended", "Failure rate 25 %")
        assert re.fullmatch(r"Run p95 \d+ (ms|s)", p95)
        assert (due, workers) == ("Oldest due none", "Workers up 1")
        assert "4 in total, 1 of them failed" in html
        assert '<path data-status="failed"' in html
        strip = html[html.index('class="hour"') : html.index("</section>")]
        links = [unescape(it) for it in re.findall('href="([^"]+)"', strip)]
        for link in links:
            assert (await page.get(link)).status_code == 200, link
        assert 'data-id="bad"' in (await page.get(links[1])).text
        assert 'data-id="good-0"' not in (await page.get(links[1])).text


async def test_the_strip_is_live(pool: ArqRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages get it when its figures change, scripts never."""
    monkeypatch.setattr("arq_status.web.last_hour._PERIOD", 0.05)
    await put_job(pool, "later", due=4_000_000_000_000)
    async with (
        serving(create_app(pool)) as url,
        stream(f"{url}/statuses?parts=1") as parts,
    ):
        assert "Oldest due none" in figures((await next_event(parts, "parts"))["hour"])
        await put_job(pool, "due")
        while "hour" not in (sent := await next_event(parts, "parts")):
            pass
        assert re.fullmatch(r"Oldest due \d+ s", figures(sent["hour"])[3])


async def test_the_strip_is_read_once_for_all(pool: ArqRedis) -> None:
    """It is read once for all lists, and not for scripts."""
    client = Counting(pool)
    json = {"Accept": "application/json"}
    await put_job(pool, "job")
    async with serving(create_app(client)) as url, page_of(create_app(client)) as page:
        async with stream(f"{url}/statuses") as events:
            await next_event(events, "counts")
            await page.get("/statuses", headers=json)
        assert client.reads == 0
        await asyncio.gather(*(page.get(f"/statuses?per_page={it}") for it in (25, 50, 100)))
        read = client.reads
        await asyncio.gather(*(page.get(f"/statuses?page={it}") for it in range(1, 9)))
        assert client.reads == read <= 3


async def test_a_job_tells_how_long_such_jobs_take(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """On its page and live, for its function only; scripts use ``functions``."""
    await start_worker(track_status({"functions": [jobs.wait, jobs.add]}))
    await pool.enqueue_job("wait", 0.3, _job_id="first")
    await ended(client, "first")

    async def counted() -> bool:
        return any(it.ended for it in await client.functions())

    await until(counted)
    await pool.enqueue_job("wait", _job_id="long")
    await until(lambda: client.is_working("long"))
    await put_job(pool, "other", function="add", due=4_000_000_000_000)
    async with serving(create_app(pool)) as url, page_of(create_app(pool)) as page:
        assert re.search("usually <b>[23]", (await page.get("/statuses/long")).text)
        assert "usually" not in (await page.get("/statuses/other")).text
        async with stream(f"{url}/statuses/long?parts=1") as parts:
            assert "95 % within" in (await next_event(parts, "parts"))["head"]
        async with stream(f"{url}/statuses/long") as events:
            assert (await next_event(events, "job"))["function"] == "wait"
    await client.stop("long", force=True)


async def test_a_missing_permission_hides_no_job(pool: ArqRedis) -> None:
    """Only the strip is missing."""
    admin: Any = pool
    await put_job(pool, "job")
    await pool.zadd(keys.COUNTED_FUNCTIONS, {function_key("arq:queue", "f"): timestamp_ms()})
    await admin.execute_command("ACL", "SETUSER", "guest", *GUEST)
    where = pool.connection_pool.connection_kwargs
    guest = Redis(host=where["host"], port=where["port"], db=where["db"], username="guest")
    try:
        async with page_of(create_app(guest)) as page:
            html = (await page.get("/statuses")).text
            assert 'data-id="job"' in html
            assert 'class="hour"' not in html
    finally:
        await guest.aclose()
        await admin.execute_command("ACL", "DELUSER", "guest")
