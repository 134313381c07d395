"""The dashboard over HTTP: the list, the job, the actions, in HTML and JSON."""

import json
import logging
import socket
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from functools import partial
from html import unescape
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from arq import func
from arq.connections import ArqRedis
from arq.utils import timestamp_ms
from starlette.exceptions import HTTPException
from starlette.requests import Request

from arq_status import Status, StatusClient, status_options, track_status
from arq_status._model.options import FunctionOptions
from arq_status._model.record import State
from arq_status.web import create_app
from tests import jobs
from tests.conftest import RunBurst, StartWorker, ended, started, until
from tests.records import (
    beat,
    calls,
    own_key,
    put_job,
    put_result,
    write_end,
    write_record,
    write_running,
)
from tests.server import free_port
from tests.web import HOSTILE, JOB_IDS, next_event, page_of, serving, stream

JSON = {"Accept": "application/json"}
OWN = {"X-Arq-Status": "1"}


@pytest.fixture
async def page(pool: ArqRedis) -> AsyncIterator[httpx.AsyncClient]:
    """The dashboard of the Redis under test."""
    async with page_of(create_app(pool)) as page:
        yield page


async def act(page: httpx.AsyncClient, job_id: str, action: str, **form: str) -> httpx.Response:
    """Press a button."""
    url = f"/statuses/{quote(job_id, safe='')}"
    return await page.post(url, data={"action": action, **form}, headers=OWN)


async def ids(page: httpx.AsyncClient, query: str) -> list[str]:
    """Return the ids of the jobs that the list shows."""
    items = (await page.get(f"/statuses?{query}", headers=JSON)).json()["items"]
    return [item["job_id"] for item in items]


# The list


async def test_the_list_shows_what_every_job_does(page: httpx.AsyncClient, pool: ArqRedis) -> None:
    """A row has the function, id, arguments, status, progress, message, error, times."""
    await write_running(
        pool, "rows", function="import_rows", args="'a.csv'", at=30, total=120, message="Row 30",
        started=timestamp_ms() - 60_000, remaining=190_000,
    )  # fmt: skip
    await write_end(pool, "broken", State.FAILED, function="charge", error="ValueError: declined")
    await put_job(pool, "later", due=timestamp_ms() + 3_600_000, function="nightly")
    html = (await page.get("/statuses")).text
    for text in ("import_rows", "&#39;a.csv&#39;", 'value="25"', "Row 30", "3 min", " left<"):
        assert text in html
    assert "ValueError: declined" in html
    assert "due <time" in html
    assert "in 59 min" in html
    assert "All <b>3</b>" in html
    assert "Failed <b>1</b>" in html


async def test_the_list_as_json(page: httpx.AsyncClient, pool: ArqRedis) -> None:
    """The items with all fields of a record, the page, and the counts."""
    await write_running(pool, "a", function="f", at=1, total=4, fields={"rows": [1, None]})
    response = await page.get("/statuses?per_page=10", headers=JSON)
    assert response.headers["content-type"] == "application/json"
    found = response.json()
    [item] = found.pop("items")
    counts = {status.value: int(status is Status.WORKING) for status in Status}
    assert found == {
        "total": 1, "page": 1, "per_page": 10, "truncated": False, "counts": counts,
    }  # fmt: skip
    record = await StatusClient(pool).job("a")
    assert record is not None
    assert record.started_at is not None
    assert set(item) == set(record.__dataclass_fields__)
    assert item["data"] == {}
    assert datetime.fromisoformat(item["started_at"]) == record.started_at
    assert item["elapsed"] == pytest.approx(0, abs=5)
    assert (item["status"], item["pct_complete"], item["ended_at"]) == ("working", 25, None)


async def test_the_list_is_filtered_sorted_and_paged(
    page: httpx.AsyncClient, pool: ArqRedis
) -> None:
    """The URL can express every query of ``list_jobs``."""
    now = timestamp_ms()
    for number in range(5):
        state = State.FAILED if number % 2 else State.COMPLETE
        await write_end(
            pool, f"job-{number}", state, ended=now - number * 1_000, function=f"f{number % 2}"
        )
    assert await ids(page, "status=failed") == ["job-1", "job-3"]
    assert await ids(page, "function=f0&direction=asc") == ["job-4", "job-2", "job-0"]
    assert await ids(page, "search=job-3") == ["job-3"]
    assert await ids(page, "search=F1") == ["job-1", "job-3"]
    assert await ids(page, "per_page=2&page=2") == ["job-2", "job-3"]
    assert await ids(page, "page=9999999999") == []
    html = (await page.get("/statuses?per_page=2&page=2")).text
    assert "3 to 4 of 5" in html
    for parameters in ("per_page=2", "per_page=2&amp;page=3"):
        assert f'href="/statuses?{parameters}"' in html


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("", "There are no jobs."),
        ("status=failed", "Nothing matches."),
        ("search=x", "Nothing matches."),
        ("page=3", "There is nothing on this page."),
    ],
)
async def test_an_empty_list_says_why(page: httpx.AsyncClient, query: str, text: str) -> None:
    """It also offers a way on."""
    html = (await page.get(f"/statuses?{query}")).text
    assert text in html
    assert "No jobs" in html


async def test_the_page_after_the_last_says_how_many_there_are(
    page: httpx.AsyncClient, pool: ArqRedis
) -> None:
    """Its link back leads to a page with jobs."""
    await write_end(pool, "a")
    html = (await page.get("/statuses?page=7")).text
    assert "0 of 1" in html
    assert 'rel="prev" href="/statuses"' in html


async def test_the_functions_to_choose_from(page: httpx.AsyncClient, pool: ArqRedis) -> None:
    """Announced ones, those on the page, and the selected one."""
    await beat(pool, "worker", {"announced": FunctionOptions()})
    await put_job(pool, "a", function="seen")
    html = (await page.get("/statuses?function=asked")).text
    assert '<option value="asked" selected>asked</option>' in html
    html = (await page.get("/statuses")).text
    assert '<option value="announced">announced</option>' in html
    assert '<option value="seen">seen</option>' in html


async def test_a_list_that_no_index_answers_says_what_it_covers(
    page: httpx.AsyncClient, pool: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest jobs up to a limit, only in that case."""
    monkeypatch.setattr("arq_status._client.listing.NEWEST", 2)
    for name in "abc":
        await write_end(pool, name)
    notice = "the list covers only the newest 10,000 jobs"
    assert notice in (await page.get("/statuses?search=f")).text
    assert notice not in (await page.get("/statuses")).text
    assert (await page.get("/statuses?search=f", headers=JSON)).json()["truncated"] is True


async def test_the_cost_of_a_page_does_not_grow_with_what_lies_behind_it(
    page: httpx.AsyncClient, pool: ArqRedis
) -> None:
    """A page reads only its jobs, in constant round trips."""

    async def cost() -> dict[str, int]:
        await pool.config_resetstat()
        await page.get("/statuses?per_page=5")
        spent = await calls(pool)
        return {name: spent.get(name, 0) for name in ("evalsha", "get", "hgetall", "zrange")}

    for number in range(10):
        await write_end(pool, f"a{number}")
    await page.get("/statuses")
    before = await cost()
    for number in range(200):
        await write_end(pool, f"b{number}")
    assert await cost() == before


# A job


async def test_a_job_shows_all_that_is_known_of_it(page: httpx.AsyncClient, pool: ArqRedis) -> None:
    """Every field of the record, the full error, the data as readable JSON."""
    error = "ValueError: " + "declined\n" * 40
    await write_end(
        pool, "job", State.FAILED, function="charge", args="1, 2", queue="mail", worker="host:7:x",
        at=3, total=8, message="Asking", error=error, job_try=4, fields={"rows": {"bad": [17]}},
    )  # fmt: skip
    html = unescape((await page.get("/statuses/job")).text)
    assert error.strip() in html
    assert '{\n  "rows": {\n    "bad": [\n      17\n    ]\n  }\n}' in html
    for text in ("charge", "1, 2", "mail", "host:7", "Asking", "37", ">4<", "failed"):
        assert text in html
    for name in ("Enqueued", "Started", "Updated", "Ended", "Expires"):
        assert f"<dt>{name}</dt><dd><time datetime=" in html
    assert 'value="retry"' in html
    assert 'value="stop"' not in html


async def test_a_job_as_json(page: httpx.AsyncClient, pool: ArqRedis) -> None:
    """The fields of its record, durations in seconds."""
    now = timestamp_ms()
    await write_end(pool, "job", started=now - 2_500, ended=now, run=now - 3_000)
    found = (await page.get("/statuses/job", headers=JSON)).json()
    assert (found["job_id"], found["status"], found["elapsed"]) == ("job", "complete", 2.5)
    assert datetime.fromisoformat(found["expires_at"]).timestamp() * 1000 == pytest.approx(
        now + 1_800_000
    )


@pytest.mark.parametrize("total", [0, 100])
async def test_a_job_without_a_total_shows_how_much_it_has_done(
    page: httpx.AsyncClient, pool: ArqRedis, total: int
) -> None:
    """A percentage would be meaningless."""
    await write_running(pool, "job", at=1234, total=total, message="Counting", remaining=9_000)
    for url in ("/statuses", "/statuses/job"):
        html = (await page.get(url)).text
        assert ('<span class="count">1,234</span>' in html) is (total == 0)
        assert ('<span class="percent">100 %</span>' in html) is (total > 0)
        assert (" left</span>" in html) is (total > 0)


@pytest.mark.parametrize("job_id", JOB_IDS)
async def test_any_id_that_arq_takes_has_a_page(
    page: httpx.AsyncClient, pool: ArqRedis, job_id: str
) -> None:
    """The link in the list leads to the job, and its form acts on it."""
    await write_end(pool, job_id, State.FAILED, message="found")
    html = (await page.get("/statuses")).text
    link = unescape(html.partition('<a class="function" href="')[2].partition('"')[0])
    assert link
    found = (await page.get(link, headers=JSON)).json()
    assert (found["job_id"], found["message"]) == (job_id, "found")
    assert f'action="{link}"'.replace("&", "&amp;") in (await page.get(link)).text
    response = await page.post(link, data={"action": "delete"}, headers=OWN | JSON)
    assert response.json() == {"ok": True}
    assert (await page.get(link)).status_code == 404


async def test_an_id_in_the_path_is_taken_as_it_stands(
    page: httpx.AsyncClient, pool: ArqRedis
) -> None:
    """A trailing newline is part of the id: it is not another job's."""
    await write_end(pool, "end")
    assert (await page.get("/statuses/end%0A")).status_code == 404


async def test_hostile_text_is_shown_and_not_obeyed(
    page: httpx.AsyncClient, pool: ArqRedis
) -> None:
    """It is escaped in every field that a job can set."""
    await write_end(
        pool, HOSTILE, State.FAILED, function=HOSTILE, args=HOSTILE, message=HOSTILE,
        error=HOSTILE, queue=HOSTILE, worker=HOSTILE, fields={HOSTILE: HOSTILE},
    )  # fmt: skip
    for url in ("/statuses", f"/statuses/{quote(HOSTILE, safe='')}", f"/statuses?search={HOSTILE}"):
        html = (await page.get(url)).text
        assert "<img" not in html
        assert "<script>" not in html
        assert "&lt;img src=x onerror=alert(1)&gt;" in html


async def test_data_that_utf_8_cannot_hold(page: httpx.AsyncClient, pool: ArqRedis) -> None:
    """Damaged or hostile records are shown as far as they can be read."""
    await write_record(pool, "job", fields={"s": "\ud800", "n": float("nan")})
    assert (await page.get("/statuses/job")).status_code == 200
    found = (await page.get("/statuses/job", headers=JSON)).json()
    assert found["data"] == {"s": "\ud800", "n": None}


async def test_arguments_that_must_not_be_shown_are_nowhere(
    page: httpx.AsyncClient, pool: ArqRedis, start_worker: StartWorker, client: StatusClient
) -> None:
    """``record_args=False`` hides them while queued, running and failed."""

    @status_options(record_args=False)
    async def secret(ctx: dict[str, Any], password: str) -> None:
        raise ValueError("no")

    async def check() -> None:
        for url in ("/statuses", "/statuses/job"):
            for accept in ("text/html", "application/json"):
                assert "hunter2" not in (await page.get(url, headers={"Accept": accept})).text

    await beat(pool, "worker", {"secret": FunctionOptions(record_args=False)})
    await pool.enqueue_job("secret", "hunter2", _job_id="job")
    await check()
    await start_worker(track_status({"functions": [func(secret, name="secret")]}))
    assert (await ended(client, "job")).status is Status.FAILED
    await check()


# Entry points


@pytest.mark.parametrize("path", ["/", "/statuses/"])
async def test_what_is_no_page_leads_to_the_list(page: httpx.AsyncClient, path: str) -> None:
    """The root, and the list with a trailing slash."""
    response = await page.get(path)
    assert (response.status_code, response.headers["location"]) == (303, "/statuses")


@pytest.mark.parametrize(
    ("path", "code", "text"),
    [
        ("/statuses/unknown", 404, "There is no such job"),
        ("/elsewhere", 404, "Not Found."),
        ("/static/../_app.py", 404, "Not Found."),
        ("/statuses?page=0", 400, "page must be a number, 1 or more, not &#39;0&#39;."),
        ("/statuses?status=<b>", 400, "Unknown status &#39;&lt;b&gt;&#39;"),
        ("/statuses?since=soon", 400, "The parameter since: &#39;soon&#39; is not a time"),
    ],
)
async def test_errors_are_a_sentence(
    page: httpx.AsyncClient, path: str, code: int, text: str
) -> None:
    """On a page, or as JSON if that was requested."""
    response = await page.get(path)
    assert response.status_code == code
    assert text in response.text
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    for accept in ("application/json", "text/event-stream"):
        response = await page.get(path, headers={"Accept": accept})
        assert response.status_code == code
        assert list(response.json()) == ["error"]
        assert unescape(text) in response.json()["error"]


async def test_other_methods_are_refused(page: httpx.AsyncClient) -> None:
    """The response is 405 with the allowed methods."""
    response = await page.put("/statuses", headers=JSON)
    assert (response.status_code, response.json()) == (405, {"error": "Method Not Allowed."})
    assert "GET" in response.headers["allow"]


async def test_the_head_of_a_stream_ends(page: httpx.AsyncClient) -> None:
    """HEAD responds at once, whatever it accepts."""
    response = await page.head("/statuses", headers={"Accept": "text/event-stream"})
    assert (response.status_code, response.text) == (200, "")


@pytest.mark.parametrize(
    ("path", "code"),
    [("/statuses", 200), ("/statuses/unknown", 404), ("/", 303), ("/static/style.css", 200)],
)
async def test_every_answer_has_the_headers(page: httpx.AsyncClient, path: str, code: int) -> None:
    """No frames, no sniffing, no scripts or styles but ours."""
    response = await page.get(path)
    assert response.status_code == code
    policy = response.headers["content-security-policy"]
    assert policy == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    assert response.headers["x-frame-options"] == "DENY"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "same-origin"
    assert response.headers["vary"] == "Accept"
    cached = "no-cache" if path.startswith("/static") else "no-store"
    assert response.headers["cache-control"] == cached


async def test_pages_hold_no_script_and_no_style(page: httpx.AsyncClient, pool: ArqRedis) -> None:
    """The policy forbids inline ones."""
    await write_end(pool, "a", State.FAILED, error="x")
    for url in ("/statuses", "/statuses/a", "/statuses/b"):
        html = (await page.get(url)).text
        assert "style=" not in html
        assert "<style" not in html
        assert " on" + "click" not in html
        assert html.count("<script") == html.count(' src="/static/')


# Actions


async def test_a_job_that_waits_is_cancelled(
    page: httpx.AsyncClient, pool: ArqRedis, client: StatusClient
) -> None:
    """It redirects to the job, or to the list if the button was there."""
    await pool.enqueue_job("add", 1, 2, _job_id="a/b")
    response = await act(page, "a/b", "cancel")
    assert (response.status_code, response.headers["location"]) == (303, "/statuses/a%2Fb")
    assert await client.status("a/b") is Status.STOPPED
    response = await act(page, "a/b", "retry", list="status=stopped&page=1&sort=eta")
    assert response.headers["location"] == "/statuses?status=stopped&sort=eta"
    assert await client.status("a/b") is Status.QUEUED


@pytest.mark.parametrize("action", ["stop", "force-stop"])
async def test_a_running_job_is_stopped(
    page: httpx.AsyncClient,
    pool: ArqRedis,
    client: StatusClient,
    start_worker: StartWorker,
    action: str,
) -> None:
    """At its next progress call, or with force at its next await."""

    async def work(ctx: dict[str, Any]) -> None:
        async for _ in ctx["status"].track(range(1_000_000)):
            pass

    await pool.enqueue_job("work" if action == "stop" else "wait", _job_id="job")
    await start_worker(track_status({"functions": [func(work, name="work"), jobs.wait]}))
    await started(client, "job")
    assert (await act(page, "job", action)).status_code == 303
    assert (await ended(client, "job")).status is Status.STOPPED


async def test_an_ended_job_is_deleted_and_run_again(
    page: httpx.AsyncClient, pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """``{"ok": false}`` if its state does not allow it."""
    await pool.enqueue_job("fail", _job_id="job")
    await run_burst(track_status({"functions": [jobs.fail]}))

    async def answer(action: str) -> Any:
        response = await page.post("/statuses/job", data={"action": action}, headers=OWN | JSON)
        assert response.status_code == 200
        return response.json()

    assert await answer("stop") == {"ok": False}
    assert await answer("cancel") == {"ok": False}
    assert await answer("retry") == {"ok": True}
    assert await answer("retry") == {"ok": False}
    await run_burst(track_status({"functions": [jobs.fail]}))
    assert (await act(page, "job", "delete")).headers["location"] == "/statuses"
    assert await answer("delete") == {"ok": False}


async def test_the_way_back_is_a_list_of_ours(page: httpx.AsyncClient) -> None:
    """Whatever the form says, it redirects to no other page or site."""
    for given in ("page=0", "//evil.test", "https://evil.test/", "\r\nX: y"):
        response = await act(page, "unknown", "delete", list=given)
        assert (response.status_code, response.headers["location"]) == (303, "/statuses")


@pytest.mark.parametrize("body", [b"", b"action=", b"action=explode", b"\xff", b"action=view"])
async def test_other_actions_are_refused(page: httpx.AsyncClient, body: bytes) -> None:
    """A sentence names the existing ones."""
    response = await page.post("/statuses/job", content=body, headers=OWN | JSON)
    assert response.status_code == 400
    assert "force-stop" in response.json()["error"]


async def test_a_form_without_end_is_refused(page: httpx.AsyncClient) -> None:
    """It cannot fill the memory."""
    response = await page.post("/statuses/job", content=b"a" * 70_000, headers=OWN)
    assert response.status_code == 413


async def test_other_sites_may_not_act(page: httpx.AsyncClient, pool: ArqRedis) -> None:
    """Neither their forms nor their scripts; our scripts and trusted origins may."""
    await write_end(pool, "job")

    async def code(**headers: str) -> int:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        response = await page.post("/statuses/job", data={"action": "delete"}, headers=sent)
        return response.status_code

    assert await code() == 403
    told = await page.post("/statuses/job", data={"action": "delete"}, headers=JSON)
    for remedy in ("trusted_origins", "X-Arq-Status: 1"):
        assert remedy in told.json()["error"]
    assert await code(sec_fetch_site="cross-site", origin="https://evil.test") == 403
    assert await code(origin="https://evil.test") == 403
    assert (await page.get("/statuses/job")).status_code == 200
    assert await code(sec_fetch_site="same-origin") == 303
    trusting = create_app(pool, trusted_origins=["https://ok.test"])
    async with page_of(trusting) as page:  # noqa: PLR1704 - of which code() asks
        assert await code(sec_fetch_site="cross-site", origin="https://ok.test") == 303


async def test_read_only_shows_and_does_nothing(pool: ArqRedis, client: StatusClient) -> None:
    """No button, and no action for anyone."""
    await put_job(pool, "job")
    async with page_of(create_app(pool, read_only=True)) as page:
        for url in ("/statuses", "/statuses/job"):
            html = (await page.get(url)).text
            assert 'method="post"' not in html
            assert 'name="action"' not in html
        for action in ("stop", "force-stop", "cancel", "retry", "delete"):
            assert (await act(page, "job", action)).status_code == 403
        assert (await page.post("/statuses/job")).status_code == 403
    assert await client.status("job") is Status.QUEUED


# Authorization


async def test_authorize_is_asked_about_everything(pool: ArqRedis) -> None:
    """With the action and the job, and ``None`` for the list."""
    asked: list[tuple[str, str | None]] = []

    def authorize(request: Request, action: str, job_id: str | None) -> bool:
        asked.append((action, job_id))
        return True

    await write_end(pool, "job", State.FAILED)
    async with page_of(create_app(pool, authorize=authorize)) as page:
        await page.get("/statuses")
        await page.get("/statuses/job", headers=JSON)
        await act(page, "job", "force-stop")
        await act(page, "job", "delete")
    buttons = ("stop", "cancel", "retry", "delete")
    assert asked == [
        ("view", None), *((action, None) for action in buttons), ("view", "job"),
        ("view", "job"), ("stop", "job"), ("view", "job"), ("delete", "job"),
    ]  # fmt: skip


async def test_only_true_lets_in(pool: ArqRedis, client: StatusClient) -> None:
    """A missing return or a truthy object is no permission; sync or async."""
    await write_end(pool, "job", State.FAILED)

    def forgets(request: Request, action: str, job_id: str | None) -> Any:
        return None

    async def asks(request: Request, action: str, job_id: str | None) -> Any:
        return "yes"

    for authorize in (forgets, asks):
        async with page_of(create_app(pool, authorize=authorize)) as page:
            for accept in ("text/html", "application/json", "text/event-stream"):
                for url in ("/statuses", "/statuses/job", "/statuses/unknown"):
                    response = await page.get(url, headers={"Accept": accept})
                    assert response.status_code == 403
            assert (await act(page, "job", "delete")).status_code == 403
    assert await client.status("job") is Status.FAILED


async def test_the_page_offers_what_is_allowed(pool: ArqRedis) -> None:
    """A button that would be refused is not shown."""

    async def authorize(request: Request, action: str, job_id: str | None) -> bool:
        return action in ("view", "retry")

    await write_end(pool, "job", State.FAILED)
    async with page_of(create_app(pool, authorize=authorize)) as page:
        html = (await page.get("/statuses/job")).text
        assert 'value="retry"' in html
        assert 'value="delete"' not in html
        assert (await act(page, "job", "delete")).status_code == 403


async def test_authorize_may_ask_for_a_password(pool: ArqRedis) -> None:
    """Its ``HTTPException`` is the response, with its headers and detail."""

    def authorize(request: Request, action: str, job_id: str | None) -> bool:
        raise HTTPException(401, "Who are you?", {"WWW-Authenticate": "Basic"})

    async with page_of(create_app(pool, authorize=authorize)) as page:
        response = await page.get("/statuses", headers=JSON)
    assert (response.status_code, response.json()) == (401, {"error": "Who are you?"})
    assert response.headers["www-authenticate"] == "Basic"


@pytest.mark.parametrize(("code", "detail"), [(303, None), (403, {"why": 1}), (499, "Odd.")])
async def test_authorize_may_answer_in_any_way(pool: ArqRedis, code: int, detail: Any) -> None:
    """It may redirect to a login page, or have a detail that is not a string."""

    def authorize(request: Request, action: str, job_id: str | None) -> bool:
        raise HTTPException(code, detail, {"Location": "/login"})

    async with page_of(create_app(pool, authorize=authorize)) as page:
        response = await page.get("/statuses")
    assert (response.status_code, response.headers["location"]) == (code, "/login")
    assert "why" not in response.text


# Errors


@pytest.mark.parametrize("accept", ["text/html", "application/json", "text/event-stream"])
@pytest.mark.parametrize("path", ["/statuses", "/statuses/job"])
async def test_redis_is_away(accept: str, path: str, caplog: pytest.LogCaptureFixture) -> None:
    """503, a sentence that reveals nothing about the server, and a page that retries."""
    port = free_port()
    async with page_of(create_app(f"redis://:secret@127.0.0.1:{port}")) as page:
        with caplog.at_level(logging.WARNING, "arq_status.web"):
            response = await page.get(path, headers={"Accept": accept})
    assert response.status_code == 503
    assert str(port) not in response.text
    assert "secret" not in response.text + caplog.text
    assert ('http-equiv="refresh"' in response.text) is (accept == "text/html")
    assert "Redis does not answer" in caplog.text


@pytest.mark.parametrize("rules", ["~arq:* &* +@all", "~* &* +@all -evalsha"])
async def test_redis_refuses(pool: ArqRedis, dsn: str, rules: str) -> None:
    """The page names the permission that the Redis user lacks."""
    redis: Any = pool
    await redis.execute_command("ACL", "SETUSER", "guest", "on", "nopass", *rules.split())
    try:
        async with page_of(create_app(dsn.replace("//", "//guest:x@"))) as page:
            response = await page.get("/statuses", headers={"Accept": "application/json"})
    finally:
        await redis.execute_command("ACL", "DELUSER", "guest")
    assert response.status_code == 503
    assert response.json()["error"].startswith("The Redis user lacks a permission: ")


@pytest.mark.long(20)
async def test_redis_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that accepts the connection but never responds causes a timeout."""
    for name in ("list_view", "job_view"):
        monkeypatch.setattr(f"arq_status.web.{name}.TIMEOUT", 0.05)
    monkeypatch.setattr("arq_status.web.broadcast.IDLE", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        async with page_of(create_app(f"redis://127.0.0.1:{port}")) as page:
            for path in ("/statuses", "/statuses/job"):
                for accept in ("text/html", "text/event-stream"):
                    response = await page.get(path, headers={"Accept": accept})
                    assert response.status_code == 503


async def test_a_mistake_says_nothing_about_the_server(pool: ArqRedis) -> None:
    """500 with the headers of every page; the traceback is only logged."""

    def authorize(request: Request, action: str, job_id: str | None) -> bool:
        raise KeyError("the-secret-name")

    async with page_of(create_app(pool, authorize=authorize)) as page:
        response = await page.get("/statuses")
        assert response.status_code == 500
        assert "the-secret-name" not in response.text
        assert "Traceback" not in response.text
        assert "default-src 'none'" in response.headers["content-security-policy"]
        response = await page.get("/statuses", headers=JSON)
        assert list(response.json()) == ["error"]


# Options


async def test_title_and_sizes(pool: ArqRedis) -> None:
    """Every page has the title; the first size is the default."""
    app = create_app(pool, title="Mail & more", per_page_options=[10, 500])
    async with page_of(app) as page:
        html = (await page.get("/statuses?per_page=30")).text
        assert "<title>Mail &amp; more</title>" in html
        for size in (10, 30, 500):
            assert f">{size}<span" in html
        assert (await page.get("/statuses", headers=JSON)).json()["per_page"] == 10


@pytest.mark.parametrize("options", [[], [0], [501], [True], ["25"], 50])
def test_sizes_that_are_none(options: Any) -> None:
    """They are refused when the app is created."""
    with pytest.raises(ValueError, match=r"per_page_options must be .* from 1 to 500, not "):
        create_app(per_page_options=options)


def test_what_is_no_redis_is_told_when_the_app_is_made() -> None:
    """It is not deferred to the first request."""
    with pytest.raises(TypeError):
        create_app(7)  # type: ignore[arg-type]


async def test_a_result_of_arq_alone_is_a_page_as_well(
    page: httpx.AsyncClient, pool: ArqRedis
) -> None:
    """Jobs that no tracked worker saw are shown with what arq knows."""
    await put_result(pool, "job", ValueError("no"), success=False)
    found = (await page.get("/statuses/job", headers=JSON)).json()
    assert (found["status"], found["data"]) == ("failed", {})
    assert (await page.get("/statuses/job")).status_code == 200


async def test_times_in_json_are_iso_8601(page: httpx.AsyncClient, pool: ArqRedis) -> None:
    """With their timezone, and null if there is none."""
    due = timestamp_ms() + 60_000
    await put_job(pool, "job", due=due)
    found = json.loads((await page.get("/statuses/job", headers=JSON)).content)
    assert datetime.fromisoformat(found["due_at"]).utcoffset() == timedelta(0)
    assert found["started_at"] is found["elapsed"] is None


async def test_numbers_are_grouped_and_whole_where_they_are(
    page: httpx.AsyncClient, pool: ArqRedis
) -> None:
    """However large they are."""
    await write_running(pool, "job", at=0.25, total=12_345_678_901)
    html = (await page.get("/statuses/job")).text
    assert ">0.25 of 12,345,678,901</span>" in html


async def test_how_many_tries_a_job_gets(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """As announced by its worker: in the list and on the page, live or not."""
    functions = [func(jobs.retry, name="retry", max_tries=4), jobs.add]
    await start_worker(track_status({"functions": functions}), max_tries=7)
    await pool.enqueue_job("retry", 2, _job_id="again")
    await pool.enqueue_job("add", 1, 1, _job_id="once")
    for job_id in ("again", "once"):
        await ended(client, job_id)
        # arq's result of a completed job exists before the job is in the lists
        await until(partial(pool.exists, own_key(f"job:{job_id}")))
    # nothing is known about a function that nobody announces
    await write_end(pool, "other", function="unknown", queue="elsewhere")
    async with serving(create_app(pool)) as url, page_of(create_app(pool)) as page:
        html = (await page.get("/statuses")).text
        assert '2<span class="unseen"> of </span><span aria-hidden="true">/</span>4</td>' in html
        assert '1<span class="unseen"> of </span><span aria-hidden="true">/</span>7</td>' in html
        assert "try <b>2</b> of <b>4</b>" in (await page.get("/statuses/again")).text
        assert "Try</dt><dd><bdi>1</bdi>" in (await page.get("/statuses/other")).text
        async with stream(f"{url}/statuses/again?parts=1") as parts:
            assert "of <b>4</b>" in (await next_event(parts, "parts"))["head"]
