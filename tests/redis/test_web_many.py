"""Actions on many jobs over HTTP."""

from collections.abc import AsyncIterator

import httpx
import pytest
from arq.connections import ArqRedis
from starlette.requests import Request

from arq_status import Status, StatusClient
from arq_status._model.record import State
from arq_status.web import create_app
from tests.records import put_job, write_end
from tests.web import serving


@pytest.fixture
async def url(pool: ArqRedis) -> AsyncIterator[str]:
    """The dashboard of the Redis under test."""
    async with serving(create_app(pool)) as url:
        yield url


async def test_actions_on_many(url: str, pool: ArqRedis, client: StatusClient) -> None:
    """By ids or by filters; the response counts the jobs or redirects to the list."""
    for number in range(3):
        await write_end(pool, f"bad-{number}", State.FAILED, function="charge")
    for number in range(2):
        await put_job(pool, f"job-{number}", function="charge")
    own = {"X-Arq-Status": "1"}
    json = own | {"Accept": "application/json"}
    async with httpx.AsyncClient(base_url=url) as page:

        async def act(**form: object) -> httpx.Response:
            return await page.post("/statuses", data=form, headers=json)

        done = await act(action="cancel", job_id=["job-0", "bad-0", "unknown"])
        assert done.json() == {"ok": True, "jobs": 1}
        assert await client.is_stopped("job-0")
        done = await act(action="delete", status="failed", function="charge")
        assert done.json() == {"ok": True, "jobs": 3}
        assert (await client.counts())[Status.FAILED] == 0
        assert await client.is_queued("job-1")
        everything = await act(action="cancel", job_id="job-0", all="1", function="charge")
        assert everything.json() == {"ok": True, "jobs": 1}
        for form in ({"action": "delete"}, {"action": "delete", "page": "2"}, {"job_id": "job-0"}):
            assert (await act(**form)).status_code == 400
        assert (await act(action="delete", status="odd")).status_code == 400
        mistyped = await act(action="delete", functoin="charge", since="1h")
        assert mistyped.status_code == 400
        assert mistyped.json() == {"error": "Unknown field 'functoin' in the form."}
        form = {"action": "delete", "job_id": "job-1", "status": "stopped", "sort": "eta"}
        response = await page.post("/statuses", data=form, headers=own)
        assert response.status_code == 303
        assert response.headers["location"] == "/statuses?status=stopped&sort=eta"
        assert (await page.post("/statuses", data={"action": "delete"})).status_code == 403


async def test_actions_on_all_that_match(
    pool: ArqRedis, client: StatusClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever page and order is shown, in few round trips; on the newest of many."""
    for number in range(10):
        await put_job(pool, f"job-{number}", function="charge", enqueued=1_000 + number)
    headers = {"X-Arq-Status": "1", "Accept": "application/json"}
    async with (
        serving(create_app(pool)) as url,
        httpx.AsyncClient(base_url=url, headers=headers) as page,
    ):
        monkeypatch.setattr("arq_status._client.listing.NEWEST", 8)
        asc = {"direction": "asc", "page": "2", "per_page": "3", "function": "charge"}
        done = await page.post("/statuses", data={"action": "cancel", **asc})
        assert done.json() == {"ok": True, "jobs": 8}
        assert [await client.is_queued(f"job-{number}") for number in range(3)] == [
            True, True, False
        ]  # fmt: skip
        monkeypatch.undo()
        before = (await pool.info("commandstats"))["cmdstat_evalsha"]["calls"]
        form = {"action": "delete", "job_id": [f"job-{number}" for number in range(10)]}
        assert (await page.post("/statuses", data=form)).json() == {"ok": True, "jobs": 10}
        assert (await pool.info("commandstats"))["cmdstat_evalsha"]["calls"] - before < 15


async def test_a_job_named_twice_counts_once(pool: ArqRedis, client: StatusClient) -> None:
    """An impossible id does not count."""
    await write_end(pool, "job", State.FAILED)
    headers = {"X-Arq-Status": "1", "Accept": "application/json"}
    async with (
        serving(create_app(pool)) as url,
        httpx.AsyncClient(base_url=url, headers=headers) as page,
    ):
        form = {"action": "delete", "job_id": ["job", "job", ""]}
        assert (await page.post("/statuses", data=form)).json() == {"ok": True, "jobs": 1}
        assert (await page.post("/statuses", data={"action": "delete", "job_id": [""]})).json() == {
            "ok": True, "jobs": 0,
        }  # fmt: skip


async def test_actions_on_many_are_authorized_without_an_id(pool: ArqRedis) -> None:
    """A permission for one job is not a permission for all."""
    asked: list[tuple[str, str | None]] = []

    def authorize(request: Request, action: str, job_id: str | None) -> bool:
        asked.append((action, job_id))
        return action == "view" or job_id is not None

    await write_end(pool, "job")
    headers = {"X-Arq-Status": "1"}
    async with (
        serving(create_app(pool, authorize=authorize)) as url,
        httpx.AsyncClient(base_url=url, headers=headers) as page,
    ):
        form = {"action": "delete", "job_id": "job"}
        assert (await page.post("/statuses", data=form)).status_code == 403
        assert asked == [("view", None), ("delete", None)]
        html = (await page.get("/statuses")).text
        assert 'type="checkbox"' not in html
        assert 'method="post"' not in html
    async with (
        serving(create_app(pool, read_only=True)) as url,
        httpx.AsyncClient(base_url=url, headers=headers) as page,
    ):
        assert (await page.post("/statuses", data=form)).status_code == 403
