"""The dashboard in a real browser, as people see and use it."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from arq.connections import ArqRedis
from arq.utils import timestamp_ms

import arq_status
from arq_status import Status, StatusClient, track_status
from arq_status._model.record import State
from arq_status._model.tally import Tally
from arq_status._redis.announcements import function_key
from arq_status._redis.store import Store
from arq_status.web import create_app
from tests import browser, jobs
from tests.conftest import StartWorker, ended, started, until
from tests.processes.conftest import WIDE, Open
from tests.records import count_at, put_job, write_end, write_running
from tests.server import Server, free_port
from tests.web import HOSTILE, JOB_IDS, serving

if not browser.missing():
    from axe_playwright_python.async_playwright import Axe
    from playwright.async_api import Page, expect

    expect.set_options(timeout=15_000)

pytestmark = browser.needs_browser

NARROW = (360, 760)


@pytest.fixture
async def url(pool: ArqRedis) -> AsyncIterator[str]:
    """The URL of a dashboard of the Redis under test."""
    async with serving(create_app(pool)) as url:
        yield url


async def work(ctx: dict[str, Any], steps: int = 1_000, pause: float = 0.02) -> None:
    """Report progress and store data slowly."""
    status = ctx["status"]
    await status.total(steps)
    for number in range(steps):
        await status.at(number, f"Step {number}")
        await status.store(big=12345678901234567890, ratio=1.0, step=number)
        await asyncio.sleep(pause)


SETTINGS = {"functions": [work, jobs.wait, jobs.fail, jobs.add], "max_jobs": 50}


def row(page: "Page", job_id: str) -> Any:
    """Return the row of a job."""
    return page.locator(f'#jobs tr[data-id="{job_id}"]')


async def press(page: "Page", button: Any, sure: str | None = None) -> None:
    """Press a button, and then the button named ``sure`` in the dialog."""
    await button.click()
    if sure is not None:
        await page.locator("#confirm").get_by_role("button", name=sure).click()


async def choose(scope: Any, name: str, sure: "Page | None" = None) -> None:
    """Choose an action from a job's menu, and confirm it in the dialog of the page ``sure``."""
    await scope.locator("details.menu summary").last.click()
    await scope.get_by_role("button", name=name).click()
    if sure is not None:
        await sure.locator("#confirm").get_by_role("button", name=f"{name} it").click()


async def ids(page: "Page") -> list[str]:
    """Return the jobs on the page in order."""
    found: list[str] = await page.locator("#jobs tr").evaluate_all(
        "rows => rows.map(row => row.dataset.id)"
    )
    return found


# The list, live


async def test_rows_move_and_appear_without_a_reload(
    url: str, open_page: Open, pool: ArqRedis, start_worker: StartWorker
) -> None:
    """The bar, the message and the counts follow the jobs; a new job appears in its place."""
    page = await open_page(f"{url}/statuses")
    await expect(page.locator("#empty")).to_contain_text("There are no jobs.")
    await page.evaluate("window.isTheSame = true")
    await pool.enqueue_job("work", _job_id="a")
    await expect(row(page, "a").locator(".status")).to_have_text("queued")
    await expect(page.get_by_role("link", name="Queued 1")).to_be_visible()
    await expect(page.locator("#empty")).to_be_hidden()
    await expect(page.locator("#range")).to_have_text("1 to 1 of 1")
    await start_worker(track_status(SETTINGS))
    await expect(row(page, "a").locator(".status")).to_have_text("working")
    await expect(row(page, "a").locator(".percent")).to_have_text(re.compile(r"^[1-9]\d* %$"))
    moves = "before => document.querySelector('#jobs progress').value > before"
    for before in (0, await row(page, "a").locator("progress").evaluate("bar => bar.value")):
        await page.wait_for_function(moves, arg=before)
    await expect(row(page, "a").locator(".message")).to_have_text(re.compile(r"Step \d+"))
    await expect(row(page, "a").locator(".eta")).to_have_text(re.compile(r"^\d+ s left$"))
    await expect(page.get_by_role("link", name="Working 1")).to_be_visible()
    await expect(page.locator("#connection")).to_have_text("Live")
    assert await page.evaluate("window.isTheSame")


async def test_how_long_ago_goes_on_counting(url: str, open_page: Open, pool: ArqRedis) -> None:
    """Relative times are updated even if nothing happens."""
    await write_end(pool, "a", ended=timestamp_ms() - 52_000)
    page = await open_page(f"{url}/statuses")
    time = row(page, "a").locator(".at-time time")
    await expect(time).to_have_text(re.compile(r"5\d s ago"))
    await expect(time).to_have_text("1 min ago")


async def test_a_row_leaves_and_pages_are_counted_anew(
    url: str, open_page: Open, pool: ArqRedis, client: StatusClient
) -> None:
    """Rows that others delete disappear; links to other pages come and go with the pages."""
    for number in range(3):
        await write_end(pool, f"job-{number}")
    page = await open_page(f"{url}/statuses?per_page=2")
    await expect(page.locator("#range")).to_have_text("1 to 2 of 3")
    await expect(page.get_by_role("link", name="Next")).to_be_visible()
    await client.delete("job-1")
    await expect(row(page, "job-1")).to_have_count(0)
    await expect(page.locator("#range")).to_have_text("1 to 2 of 2")
    await expect(page.get_by_role("link", name="Next")).to_have_count(0)
    await write_end(pool, "new")
    await page.get_by_role("link", name="Last").click()
    await expect(page).to_have_url(f"{url}/statuses?per_page=2&page=2")
    await expect(row(page, "job-0")).to_be_visible()
    assert await ids(page) == ["job-0"]


async def test_rows_hold_still_under_the_pointer(url: str, open_page: Open, pool: ArqRedis) -> None:
    """Nobody presses the wrong job's button because a new row appeared."""
    await write_end(pool, "a")
    page = await open_page(f"{url}/statuses")
    await row(page, "a").hover()
    await write_end(pool, "b")
    await expect(page.locator("#connection")).to_contain_text("hold still")
    assert await ids(page) == ["a"]
    await page.mouse.move(1, 1)
    await expect(row(page, "b")).to_be_visible()
    assert await ids(page) == ["b", "a"]
    await expect(page.locator("#connection")).to_have_text("Live")


async def test_the_focus_stays_where_it_is(url: str, open_page: Open, pool: ArqRedis) -> None:
    """Rows also hold still while one has the focus, and Tab goes on from there."""
    await write_end(pool, "a")
    page = await open_page(f"{url}/statuses")
    await page.keyboard.press("Tab")
    await expect(page.locator(".skip")).to_be_focused()
    await row(page, "a").locator(".function").focus()
    await page.keyboard.press("Tab")
    await expect(row(page, "a").locator(".id")).to_be_focused()
    await write_end(pool, "b")
    await expect(page.locator("#connection")).to_contain_text("hold still")
    await expect(row(page, "a").locator(".id")).to_be_focused()


# Finding


async def test_the_url_contains_what_is_shown(url: str, open_page: Open, pool: ArqRedis) -> None:
    """Filters, search, order and page are in the URL, which shows others the same."""
    now = timestamp_ms()
    for number in range(30):
        state = State.FAILED if number < 10 else State.COMPLETE
        function = "charge" if number % 2 else "import_rows"
        await write_end(pool, f"job-{number:02}", state, function=function, ended=now - number)
    page = await open_page(f"{url}/statuses")
    await page.get_by_label("Status").get_by_role("link", name="Failed").click()
    await expect(page).to_have_url(f"{url}/statuses?status=failed")
    await page.get_by_label("Function").select_option("charge")
    await expect(page).to_have_url(f"{url}/statuses?status=failed&function=charge")
    await expect(page.locator("tbody tr")).to_have_count(5)
    assert await ids(page) == ["job-01", "job-03", "job-05", "job-07", "job-09"]
    await page.get_by_role("columnheader", name="Updated").get_by_role("link").first.click()
    await expect(page).to_have_url(f"{url}/statuses?status=failed&function=charge&direction=asc")
    assert await ids(page) == ["job-09", "job-07", "job-05", "job-03", "job-01"]
    await expect(page.locator("[aria-sort=ascending] .sorted")).to_have_text("Updated")
    await page.get_by_label("Search").fill("job-12")
    await page.keyboard.press("Enter")
    await expect(page.locator("#empty")).to_contain_text("Nothing matches.")
    await page.get_by_role("link", name="Show all jobs").click()
    await page.get_by_label("Search").fill("IMPORT")
    await page.keyboard.press("Enter")
    await page.get_by_role("columnheader", name="Function").get_by_role("link").first.click()
    await expect(page).to_have_url(f"{url}/statuses?search=IMPORT&sort=function&direction=asc")
    await expect(page.locator("#range")).to_have_text("1 to 15 of 15")


async def test_pages_are_turned(url: str, open_page: Open, pool: ArqRedis) -> None:
    """By the links next, last, previous and first; also the number of jobs per page."""
    now = timestamp_ms()
    for number in range(60):
        await write_end(pool, f"job-{number:02}", ended=now - number)
    page = await open_page(f"{url}/statuses")
    for name, shown in (
        ("Next", "26 to 50 of 60"),
        ("Last", "51 to 60 of 60"),
        ("Previous", "26 to 50 of 60"),
        ("First", "1 to 25 of 60"),
        ("50 per page", "1 to 50 of 60"),
    ):
        await page.get_by_role("link", name=name, exact=True).click()
        await expect(page.locator("#range")).to_have_text(shown)
    await expect(page).to_have_url(f"{url}/statuses?per_page=50")


@pytest.mark.parametrize("script", [True, False])
async def test_every_id_can_be_followed(
    url: str, open_page: Open, pool: ArqRedis, script: bool
) -> None:
    """Although browsers normalize paths, the link of each row leads to its job."""
    for job_id in JOB_IDS:
        await write_end(pool, job_id, message=f"message of {job_id!r}")
    # Chromium replaces characters that HTML cannot contain
    hard = [job_id for job_id in JOB_IDS if "\x00" not in job_id]
    page = await open_page(f"{url}/statuses", java_script_enabled=script)
    if script:
        await expect(page.locator("#connection")).to_have_text("Live")
    links = await page.locator("#jobs tr").evaluate_all(
        "rows => rows.map(row => [row.dataset.id, row.querySelector('a').href])"
    )
    assert {job_id for job_id, _ in links} >= set(hard)
    for job_id in hard:
        await page.goto(dict(links)[job_id])
        await expect(page.locator(".message bdi").first).to_have_text(f"message of {job_id!r}")


# Acting


async def test_a_job_is_stopped_from_the_list_and_everybody_sees_it(
    url: str,
    open_page: Open,
    pool: ArqRedis,
    client: StatusClient,
    start_worker: StartWorker,
) -> None:
    """One of two browsers acts, after confirming; the other one follows."""
    await pool.enqueue_job("work", _job_id="a")
    await start_worker(track_status(SETTINGS))
    mine = await open_page(f"{url}/statuses")
    other = await open_page(f"{url}/statuses/a")
    stop = row(mine, "a").get_by_role("button", name="Stop")
    await press(mine, stop, "Go back")
    await expect(mine.locator("#confirm")).to_be_hidden()
    assert await client.is_working("a")
    await press(mine, stop, "Stop it")
    await expect(mine.locator("#toast")).to_have_text("The job was asked to stop.")
    for page in (mine, other):
        await expect(page.locator(".status[data-status=stopped]")).to_be_visible()
    await expect(other.locator("#toast")).to_have_text("The job is stopped.")
    await expect(other.get_by_role("button", name="Stop")).to_have_count(0)
    await press(other, other.get_by_role("button", name="Retry"))
    await expect(other.locator(".status")).to_have_text("working")
    await expect(row(mine, "a").locator(".status")).to_have_text("working")


async def test_jobs_are_cancelled_retried_and_deleted(
    url: str, open_page: Open, pool: ArqRedis, client: StatusClient
) -> None:
    """From the list, with the buttons that the status of a job allows."""
    await pool.enqueue_job("add", 1, 2, _job_id="a")
    page = await open_page(f"{url}/statuses")
    buttons = row(page, "a").locator("form button")
    await expect(buttons).to_have_text(["Cancel a"])
    await press(page, buttons.first, "Cancel it")
    await expect(buttons).to_have_text(["Retry a", "Delete a"])
    await press(page, buttons.first)
    await expect(row(page, "a").locator(".status")).to_have_text("queued")
    await press(page, buttons.first, "Cancel it")
    await expect(buttons).to_have_text(["Retry a", "Delete a"])
    await choose(row(page, "a"), "Delete", page)
    await expect(row(page, "a")).to_have_count(0)
    await expect(page.locator("#empty")).to_be_visible()
    assert await client.status("a") is None


async def test_a_job_is_forced_to_stop(
    url: str, open_page: Open, pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """A job that waits without reporting can be stopped, too."""
    await pool.enqueue_job("wait", _job_id="a")
    await start_worker(track_status(SETTINGS))
    await started(client, "a")
    page = await open_page(f"{url}/statuses/a")
    await choose(page.locator("form.actions"), "Force stop", page)
    await expect(page.locator(".status")).to_have_text("stopped")
    assert (await ended(client, "a")).status is Status.STOPPED


async def test_an_action_that_is_refused_says_so(pool: ArqRedis, open_page: Open) -> None:
    """The server's answer is shown on the page and read out."""
    await put_job(pool, "a")
    allowed = {"view", "cancel"}
    app = create_app(pool, authorize=lambda request, action, job_id: action in allowed)
    async with serving(app) as url:
        page = await open_page(f"{url}/statuses", may_complain=True)
        await expect(page.locator("#connection")).to_have_text("Live")
        allowed.discard("cancel")
        await press(page, row(page, "a").get_by_role("button", name="Cancel"), "Cancel it")
        await expect(page.locator("#notice")).to_have_text("You are not allowed to do that.")
        await expect(page.locator("#toast")).to_have_text("You are not allowed to do that.")
        await page.goto(f"{url}/statuses/a")
        await expect(page.locator("form.actions")).to_have_count(0)


async def test_another_site_cannot_act(url: str, open_page: Open, pool: ArqRedis) -> None:
    """A form of another site that is submitted to the dashboard is refused."""
    await write_end(pool, "a")

    async def evil(scope: Any, receive: Any, send: Any) -> None:
        from starlette.responses import HTMLResponse

        form = (
            f'<form method="post" action="{url}/statuses/a"><button name="action" value="delete">'
        )
        await HTMLResponse(form)(scope, receive, send)

    async with serving(evil, lifespan="off") as elsewhere:
        page = await open_page(elsewhere, may_complain=True)
        await page.get_by_role("button").click()
        await expect(page.locator("main")).to_contain_text("This request came from another site.")
    await page.goto(f"{url}/statuses/a")
    await expect(page.locator(".status")).to_have_text("complete")


# Many at once


async def test_many_jobs_are_cancelled_at_once(
    url: str, open_page: Open, pool: ArqRedis, client: StatusClient
) -> None:
    """The dialog says what happens to which jobs; afterwards the result is shown."""
    for number in range(3):
        await put_job(pool, f"mail-{number}", function="send_mail")
    await put_job(pool, "report", function="report")
    page = await open_page(f"{url}/statuses")
    bulk = page.locator("#bulk")
    await expect(bulk).to_be_hidden()
    for name in ("mail-0", "mail-2", "report"):
        await row(page, name).get_by_role("checkbox").check()
    await expect(page.locator("#selected")).to_have_text("3")
    await bulk.get_by_role("button", name="Cancel").click()
    dialog = page.locator("#confirm")
    await expect(dialog.locator("h2")).to_have_text("Cancel 3 jobs?")
    await expect(dialog.locator(".which")).to_contain_text(
        "2 \N{MULTIPLICATION SIGN} send_mail queued"
    )
    await dialog.get_by_role("button", name="Go back").click()
    await expect(page.locator("#selected")).to_have_text("3")
    await bulk.get_by_role("button", name="Cancel").click()
    await dialog.get_by_role("button", name="Cancel 3 jobs").click()
    await expect(page.locator("#toast")).to_have_text("3 jobs cancelled.")
    await expect(bulk).to_be_hidden()
    await expect(row(page, "report").locator(".status")).to_have_text("stopped")
    assert await client.is_queued("mail-1")


async def test_all_that_match_are_deleted(
    url: str, open_page: Open, pool: ArqRedis, client: StatusClient
) -> None:
    """Jobs on other pages are included; without a filter only selected jobs can be deleted."""
    now = timestamp_ms()
    for number in range(7):
        state = State.COMPLETE if number == 6 else State.FAILED
        await write_end(pool, f"job-{number}", state, ended=now - number)
    page = await open_page(f"{url}/statuses?per_page=2")
    await page.get_by_label("Select all on this page").check()
    await expect(page.locator("#selected")).to_have_text("2")
    await expect(page.locator("#bulk [name=all]")).to_have_count(0)
    await page.goto(f"{url}/statuses?per_page=2&status=failed")
    await page.get_by_label("Select all on this page").check()
    await page.get_by_label("All 6 that match").check()
    await expect(page.locator("#selected")).to_have_text("6")
    await page.locator("#bulk").get_by_role("button", name="Delete").click()
    await expect(page.locator("#confirm .which")).to_have_text("All that match: status failed")
    await page.get_by_role("button", name="Delete 6 jobs").click()
    await expect(page.locator("#empty")).to_contain_text("Nothing matches.")
    counts = await client.counts()
    assert (counts[Status.FAILED], counts[Status.COMPLETE]) == (0, 1)


async def test_keys_move_choose_and_open(url: str, open_page: Open, pool: ArqRedis) -> None:
    """The keys j, k, x, Escape, Enter and slash."""
    now = timestamp_ms()
    for number in range(3):
        await write_end(pool, f"job-{number}", function=f"f{number}", ended=now - number)
    page = await open_page(f"{url}/statuses")
    for key, number in zip("jjjjk", (0, 1, 2, 2, 1), strict=True):
        await page.keyboard.press(key)
        await expect(row(page, f"job-{number}").locator(".function")).to_be_focused()
    await page.keyboard.press("x")
    await expect(row(page, "job-1").get_by_role("checkbox")).to_be_checked()
    await page.keyboard.press("Escape")
    await expect(row(page, "job-1").get_by_role("checkbox")).not_to_be_checked()
    await page.keyboard.press("/")
    await expect(page.get_by_label("Search")).to_be_focused()
    await page.keyboard.type("jx")
    await expect(page.get_by_label("Search")).to_have_value("jx")
    await row(page, "job-1").locator(".function").focus()
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"{url}/statuses/job-1")


# Reading


async def test_runs_of_like_jobs_are_folded(url: str, open_page: Open, pool: ArqRedis) -> None:
    """The newest one is shown for all, with their number, until they are unfolded."""
    now = timestamp_ms()
    await write_end(pool, "first", State.FAILED, function="charge", ended=now)
    for number in range(8):
        await write_end(pool, f"job-{number}", function="import_row", ended=now - 1 - number)
    page = await open_page(f"{url}/statuses")
    fold = page.locator(".fold")
    await expect(fold).to_have_text("\N{MULTIPLICATION SIGN} 8")
    await expect(row(page, "job-0")).to_be_visible()
    await expect(row(page, "job-1")).to_be_hidden()
    await write_end(pool, "newest", function="import_row")
    await expect(row(page, "newest")).to_be_visible()
    await expect(fold).to_have_text("\N{MULTIPLICATION SIGN} 8")
    await fold.click()
    await expect(row(page, "job-7")).to_be_visible()
    await expect(fold).to_have_count(0)


async def test_filters_are_chips(url: str, open_page: Open, pool: ArqRedis) -> None:
    """Each one can be removed; several statuses, a queue and a time can be chosen."""
    await write_end(pool, "a", State.FAILED, queue="mail")
    await write_end(pool, "b", State.STOPPED, queue="media")
    page = await open_page(f"{url}/statuses?status=failed")
    await page.get_by_label("Status").get_by_role("link", name="Stopped").first.hover()
    await page.get_by_role("link", name="Also stopped").click()
    await expect(page).to_have_url(f"{url}/statuses?status=failed&status=stopped")
    assert set(await ids(page)) == {"a", "b"}
    await page.get_by_role("combobox", name="Queue").select_option("mail")
    await expect(page).to_have_url(re.compile("queue=mail"))
    await page.get_by_role("combobox", name="Updated").select_option("Last hour")
    await expect(page).to_have_url(re.compile("since=1h"))
    assert await ids(page) == ["a"]
    chips = page.get_by_label("Filters").get_by_role("link")
    await expect(chips).to_have_count(5)
    await page.get_by_role("link", name="queue mail").click()
    await expect(page).not_to_have_url(re.compile("queue"))
    assert set(await ids(page)) == {"a", "b"}
    await page.get_by_role("link", name="Clear all").click()
    await expect(page).to_have_url(f"{url}/statuses")


async def test_jobs_are_found_by_a_tag(
    url: str, open_page: Open, pool: ArqRedis, client: StatusClient
) -> None:
    """The field suggests the tags on the page, accepts any tag, and keeps the other filters."""
    for job_id in ("a", "b"):
        await write_end(pool, job_id, State.FAILED)
    await client.tag("a", "tenant:42")
    page = await open_page(f"{url}/statuses?status=failed")
    assert await page.locator("#tags option").evaluate_all("all => all.map(it => it.value)") == [
        "tenant:42"
    ]
    await page.get_by_role("combobox", name="Tag").fill("tenant:42")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"{url}/statuses?status=failed&tag=tenant%3A42")
    assert await ids(page) == ["a"]
    await page.get_by_role("combobox", name="Tag").fill("")
    await page.keyboard.press("Tab")
    await expect(page).to_have_url(f"{url}/statuses?status=failed")


async def test_filters_on_a_phone(url: str, open_page: Open, pool: ArqRedis) -> None:
    """Filters are behind one button next to the search."""
    await write_end(pool, "a")
    page = await open_page(f"{url}/statuses", NARROW)
    await expect(page.get_by_label("Function")).to_be_hidden()
    await page.get_by_role("button", name="Filter").click()
    await expect(page.get_by_role("button", name="Filter")).to_have_attribute(
        "aria-expanded", "true"
    )
    await page.get_by_label("Sort by").select_option("Function")
    await expect(page).to_have_url(f"{url}/statuses?sort=function")


async def test_the_theme_is_chosen_and_kept(url: str, open_page: Open) -> None:
    """System, light or dark, on every page."""
    page = await open_page(f"{url}/statuses", color_scheme="light")
    body = page.locator("body")
    light = await body.evaluate("it => getComputedStyle(it).backgroundColor")
    for name in ("light", "dark"):
        await page.get_by_role("button", name="Theme").click()
        await expect(page.get_by_role("button", name=f"Theme: {name}")).to_be_visible()
    await expect(body).not_to_have_css("background-color", light)
    await page.goto(f"{url}/statuses?status=failed")
    await expect(body).not_to_have_css("background-color", light)
    await page.get_by_role("button", name="Theme").click()
    await expect(body).to_have_css("background-color", light)


async def test_an_id_is_copied_whole(url: str, open_page: Open, pool: ArqRedis) -> None:
    """The whole id is copied, although only its beginning is shown."""
    job_id = "0123456789abcdef0123456789abcdef"
    await write_end(pool, job_id, State.FAILED, error="ValueError: no")
    page = await open_page(f"{url}/statuses", permissions=["clipboard-read", "clipboard-write"])
    await expect(row(page, job_id).locator(".id")).to_have_text("01234567…")
    await row(page, job_id).locator(".id").click()
    await expect(page.locator("#toast")).to_have_text("Copied.")
    assert await page.evaluate("navigator.clipboard.readText()") == job_id
    await page.goto(f"{url}/statuses/{job_id}")
    await page.get_by_role("button", name="Copy", exact=True).click()
    await expect(page.locator("#toast")).to_have_text("Copied.")
    assert await page.evaluate("navigator.clipboard.readText()") == "ValueError: no"
    await page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    await page.locator(".id").click()
    await expect(page.locator("#toast")).to_have_text("Copied.")


async def test_menus_close(url: str, open_page: Open, pool: ArqRedis) -> None:
    """Menus are closed by a click elsewhere and by Escape."""
    await write_end(pool, "a")
    page = await open_page(f"{url}/statuses/a")
    delete = page.get_by_role("button", name="Delete")
    menu = page.locator("summary").filter(has_text="More actions")
    await menu.click()
    await expect(delete).to_be_visible()
    await page.locator("h1").click()
    await expect(delete).to_be_hidden()
    await menu.click()
    await page.keyboard.press("Escape")
    await expect(delete).to_be_hidden()
    await expect(menu).to_be_focused()


# A job


async def test_a_job_moves_on_its_page(
    url: str, open_page: Open, pool: ArqRedis, start_worker: StartWorker
) -> None:
    """From the queue to its end: progress, message, data with exact numbers, times."""
    await pool.enqueue_job("work", 60, _job_id="a")
    page = await open_page(f"{url}/statuses/a", timezone_id="Asia/Kathmandu", locale="en-GB")
    await expect(page.locator(".status")).to_have_text("queued")
    await start_worker(track_status(SETTINGS))
    await expect(page.locator(".status")).to_have_text("working")
    await expect(page.locator(".message")).to_have_text(re.compile(r"Step [1-9]\d*"))
    await expect(page.locator(".figures")).to_contain_text(re.compile(r"\d+ of 60"))
    await expect(page.locator(".status")).to_have_text("complete")
    await expect(page.locator(".figures")).to_contain_text("59 of 60")
    await expect(page.locator("progress")).to_have_count(0)
    await expect(page.locator("#connection")).to_have_text("Ended")
    await expect(page.locator("#toast")).to_have_text("The job is complete.")
    data = await page.locator("[data-field=data]").text_content()
    assert data == '{\n  "big": 12345678901234567890,\n  "ratio": 1.0,\n  "step": 59\n}'
    ended_at = page.locator("aside div").filter(has_text="Ended").locator("time")
    await expect(ended_at).to_contain_text("GMT+5:45")
    await expect(ended_at).to_have_attribute("title", re.compile(r"^20\d\d-.* UTC$"))
    await expect(page.locator(".headline")).to_contain_text(re.compile(r"ended \d+ s ago"))
    await expect(page.locator("form.actions button")).to_have_text(["Delete"])


@pytest.mark.long(8)
async def test_a_job_that_expires_says_so_live(url: str, open_page: Open, pool: ArqRedis) -> None:
    """Its last state stays on the page, but no actions are offered any more."""
    await write_end(pool, "a", message="the last word", expires_after_ms=8_000)
    page = await open_page(f"{url}/statuses/a", may_complain=True)
    await expect(page.locator("#gone")).to_be_hidden()
    await expect(page.locator("#gone")).to_be_visible()
    await expect(page.locator(".message")).to_have_text("the last word")
    await expect(page.locator("form.actions")).to_be_hidden()
    await expect(page.locator("#toast")).to_have_text("The job is gone.")


async def test_a_job_that_is_deleted_elsewhere_says_so(
    url: str, open_page: Open, pool: ArqRedis, client: StatusClient
) -> None:
    """The page of a live job shows it at once, through its stream."""
    await put_job(pool, "a")
    page = await open_page(f"{url}/statuses/a")
    await expect(page.locator("#connection")).to_have_text("Live")
    await pool.zrem("arq:queue", "a")
    await pool.delete("arq:job:a")
    await expect(page.locator("#gone")).to_be_visible()
    await expect(page.locator("#connection")).to_have_text("Gone")


async def test_a_job_is_deleted_on_its_page(url: str, open_page: Open, pool: ArqRedis) -> None:
    """The page then shows that the job is gone."""
    await write_end(pool, "a")
    page = await open_page(f"{url}/statuses/a", may_complain=True)
    await choose(page.locator("form.actions"), "Delete", page)
    await expect(page.locator("#gone")).to_be_visible()


# Hostile text


async def test_hostile_text_stays_text(url: str, open_page: Open, pool: ArqRedis) -> None:
    """In every field that a job can set, both from the server and from the stream."""
    fields: dict[str, Any] = {
        "function": HOSTILE, "args": HOSTILE, "message": HOSTILE, "error": HOSTILE,
        "queue": HOSTILE, "worker": HOSTILE, "fields": {HOSTILE: [HOSTILE], "__proto__": 1},
    }  # fmt: skip
    await write_end(pool, HOSTILE, State.FAILED, **fields)
    page = await open_page(f"{url}/statuses")
    for number in range(2):
        shown = page.locator("#jobs tr").last
        for name in ("function", "args", "error"):
            await expect(shown.locator(f".{name}")).to_have_text(HOSTILE)
        assert await page.locator("img, #jobs script").count() == 0
        if not number:
            await expect(page.locator("#connection")).to_have_text("Live")
            await write_end(pool, f"{HOSTILE}-2", State.FAILED, **fields)
            await expect(page.locator("#jobs tr")).to_have_count(2)
    await page.goto(f"{url}/statuses/{quote(HOSTILE, safe='')}")
    await expect(page.locator("#connection")).to_have_text("Ended")
    for place in ("h1", ".message", ".reason", ".data dt"):
        await expect(page.locator(place).first).to_have_text(HOSTILE)
    await expect(page.locator("main").get_by_text(HOSTILE, exact=True)).to_have_count(9)
    await expect(page.locator("[data-field=data]")).to_contain_text("<script>alert(")
    assert await page.locator("img, main script").count() == 0


# Without a script


async def test_without_javascript(
    url: str, open_page: Open, pool: ArqRedis, client: StatusClient
) -> None:
    """Links and forms work, and the page reloads itself."""
    await pool.enqueue_job("add", 1, 2, _job_id="a")
    page = await open_page(f"{url}/statuses", java_script_enabled=False)
    await page.get_by_label("Status").get_by_role("link", name="Queued").click()
    await row(page, "a").get_by_role("button", name="Cancel").click()
    await expect(page).to_have_url(f"{url}/statuses?status=queued")
    await expect(page.locator("#empty")).to_contain_text("Nothing matches.")
    await page.goto(f"{url}/statuses/a")
    await expect(page.locator(".status")).to_have_text("stopped")
    await page.get_by_role("button", name="Retry").click()
    await expect(page.locator(".status")).to_have_text("queued")
    await client.cancel("a")
    await expect(page.locator(".status")).to_have_text("stopped")


# Trouble


async def test_the_page_comes_back_after_a_restart_of_the_server(
    open_page: Open, pool: ArqRedis
) -> None:
    """It says that the connection is lost, reconnects, and shows what happened meanwhile."""
    port = free_port()
    await write_end(pool, "a")
    async with serving(create_app(pool), port) as url:
        page = await open_page(f"{url}/statuses", may_complain=True)
        await expect(page.locator("#connection")).to_have_text("Live")
    await expect(page.locator("#connection")).to_contain_text("Connection lost")
    await write_end(pool, "b")
    async with serving(create_app(pool), port):
        await expect(page.locator("#connection")).to_have_text("Live")
        await expect(row(page, "b")).to_be_visible()


async def test_the_page_comes_back_with_redis(open_page: Open, tmp_path: Path) -> None:
    """The error page reloads itself."""
    server = Server(tmp_path)
    async with serving(create_app(server.dsn)) as url:
        page = await open_page(f"{url}/statuses", may_complain=True)
        await expect(page.locator("h1")).to_have_text("No connection to Redis")
        server.start()
        try:
            await expect(page.locator("#empty")).to_be_visible()
        finally:
            server.stop()


@pytest.mark.long(10)
async def test_many_windows_of_one_browser(url: str, open_page: Open, pool: ArqRedis) -> None:
    """Four of them stream, because browsers open few connections; the others poll."""
    first = await open_page(f"{url}/statuses")
    pages = [first]
    for _ in range(6):
        page = await first.context.new_page()
        await page.goto(f"{url}/statuses")
        pages.append(page)
        await expect(page.locator("#connection")).to_have_text(re.compile("Live|Every 3 s"))
    texts = [await page.locator("#connection").inner_text() for page in pages]
    assert texts == ["Live"] * 4 + ["Every 3 s"] * 3
    await write_end(pool, "a", function="import_rows")
    for page in pages:
        await expect(row(page, "a").locator(".function")).to_have_text("import_rows")
    await pages[0].close()
    await expect(pages[-1].locator("#connection")).to_have_text(re.compile("Live|Every 3 s"))


async def test_a_page_whose_permission_is_withdrawn_says_so(
    pool: ArqRedis, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reloads itself and shows the server's answer."""
    monkeypatch.setattr("arq_status.web.event_stream._CHECK_INTERVAL", 0.2)
    allowed = {"view"}
    app = create_app(pool, authorize=lambda request, action, job_id: action in allowed)
    async with serving(app) as url:
        page = await open_page(f"{url}/statuses", may_complain=True)
        await expect(page.locator("#connection")).to_have_text("Live")
        allowed.clear()
        await expect(page.locator("h1")).to_have_text("Forbidden")


async def test_a_hidden_tab_does_not_listen(url: str, open_page: Open, pool: ArqRedis) -> None:
    """A hidden tab closes its stream, because connections are few; visible again it catches up."""

    async def listening() -> int:
        return int((await pool.pubsub_numsub(Store(pool).channel))[0][1])

    page = await open_page(f"{url}/statuses")
    await expect(page.locator("#connection")).to_have_text("Live")
    await until(listening)
    hide = """hidden => {
        Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    await page.evaluate(hide, True)

    async def is_quiet() -> bool:
        return await listening() == 0

    await until(is_quiet)
    await write_end(pool, "a")
    await page.evaluate(hide, False)
    await expect(row(page, "a")).to_be_visible()


# Accessibility


@pytest.mark.parametrize("size", [WIDE, NARROW])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_pages_are_accessible(
    url: str, open_page: Open, pool: ArqRedis, scheme: str, size: tuple[int, int]
) -> None:
    """Axe reports nothing on any page, in any status of a job, and no content is cut off."""
    await write_running(pool, "working", at=30, message="Going on", fields={"a": 1})
    await put_job(pool, "queued")
    await put_job(pool, "deferred", due=timestamp_ms() + 60_000)
    for state in (State.COMPLETE, State.FAILED, State.STOPPED, State.INTERRUPTED):
        await write_end(pool, state.value, state, error="ValueError: no", message="x" * 300)
    page = await open_page(
        f"{url}/statuses", size, color_scheme=scheme, reduced_motion="reduce", may_complain=True
    )
    for path in ("", "?status=failed&search=f&sort=eta", "?page=9", "/working", "/failed", "/x"):
        await page.goto(f"{url}/statuses{path}")
        if path != "/x":
            await expect(page.locator("#connection")).not_to_have_text("Connecting")
        results = await Axe().run(page)
        assert results.violations_count == 0, results.generate_report()
        width = await page.evaluate("document.documentElement.scrollWidth")
        assert width <= size[0]
    await page.goto(f"{url}/statuses/failed")
    await choose(page.locator("form.actions"), "Delete")
    results = await Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


async def test_pages_of_workers_and_queues(
    url: str, open_page: Open, pool: ArqRedis, start_worker: StartWorker
) -> None:
    """They are live and lead to the jobs; axe reports nothing on them at any width."""
    await start_worker(track_status(SETTINGS))
    await put_job(pool, "later", due=timestamp_ms() + 60_000)
    await count_now(pool, "add", failed=1)
    page = await open_page(f"{url}/statuses")
    texts = {"Functions": "100 %", "Queues": "arq:queue", "Workers": "alive", "Cron": "cron job"}
    for name, text in texts.items():
        await page.get_by_label("Sections").get_by_role("link", name=name).click()
        await expect(page.locator("#connection")).to_have_text("Live")
        await expect(page.get_by_role("main")).to_contain_text(text)
        for size in (WIDE, NARROW):
            await page.set_viewport_size({"width": size[0], "height": size[1]})
            results = await Axe().run(page)
            assert results.violations_count == 0, results.generate_report()
            width = await page.evaluate("document.documentElement.scrollWidth")
            assert width <= size[0]
    await page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    await page.get_by_role("link", name="Queues").click()
    await put_job(pool, "other", due=timestamp_ms() + 60_000)
    await page.get_by_role("link", name="2", exact=True).click()
    await expect(page).to_have_url(re.compile(r"/statuses\?status=deferred&queue=arq%3Aqueue"))


async def count_now(pool: ArqRedis, function: str, **counts: int) -> None:
    """Add counts of jobs of a function that end now."""
    tally = Tally()
    tally.counts.update(counts)
    await count_at(pool, timestamp_ms(), function_key("arq:queue", function), tally)


async def names(page: "Page") -> list[str]:
    """Return the functions on their page in order."""
    return await page.locator("#records .name").all_text_contents()


async def test_tables_are_sorted_by_their_headings(
    url: str, open_page: Open, pool: ArqRedis
) -> None:
    """Also without JavaScript and on a phone; live rows are inserted in that order."""
    await count_now(pool, "add", complete=9)
    await count_now(pool, "charge", complete=1, failed=1)
    page = await open_page(f"{url}/functions")
    assert await names(page) == ["add", "charge"]
    await page.get_by_role("columnheader", name="Failed").get_by_role("link").click()
    await expect(page).to_have_url(f"{url}/functions?sort=failed")
    assert await names(page) == ["charge", "add"]
    heading = page.get_by_role("columnheader", name="Failed")
    await expect(heading).to_have_attribute("aria-sort", "descending")
    await expect(page.locator("#connection")).to_have_text("Live")
    await count_now(pool, "resize", failed=7)
    await expect(page.locator("#records tr").first).to_contain_text("resize")
    assert await names(page) == ["resize", "charge", "add"]
    plain = await open_page(f"{url}/functions?sort=failed", NARROW, java_script_enabled=False)
    await plain.get_by_role("link", name="Ended").click()
    assert await names(plain) == ["add", "resize", "charge"]
    chart = plain.locator("#records tr").first.get_by_role("img", name="at most 9")
    await expect(chart).to_be_visible()
    await plain.get_by_role("link", name="7 days").click()
    await expect(plain).to_have_url(f"{url}/functions?since=7d&sort=ended")
    await plain.locator("#records").get_by_role("link", name="7", exact=True).last.click()
    failed = "status=failed&status=interrupted&function=resize&queue=arq%3Aqueue&since=7d"
    await expect(plain).to_have_url(f"{url}/statuses?{failed}")


async def test_tables_hold_still_under_the_pointer(
    url: str, open_page: Open, pool: ArqRedis
) -> None:
    """Rows are updated in place, and sorted again afterwards."""
    await count_now(pool, "add", failed=2)
    await count_now(pool, "charge", failed=1)
    page = await open_page(f"{url}/functions?sort=failed")
    await expect(page.locator("#connection")).to_have_text("Live")
    await page.locator("#records").hover()
    await count_now(pool, "charge", failed=8)
    # tables are reloaded every few seconds
    await expect(page.locator("#records tr").last).to_contain_text("9", timeout=20_000)
    await expect(page.locator("#connection")).to_contain_text("hold still", timeout=20_000)
    assert await names(page) == ["add", "charge"]
    await page.locator("h1").hover()
    await expect(page.locator("#records tr").first).to_contain_text("charge", timeout=20_000)
    assert await names(page) == ["charge", "add"]


async def test_the_last_hour(
    url: str, open_page: Open, pool: ArqRedis, start_worker: StartWorker
) -> None:
    """It appears with the first job and is live; on a phone it is two lines without a chart."""
    await start_worker(track_status(SETTINGS))
    page = await open_page(f"{url}/statuses")
    strip = page.get_by_role("region", name="The last hour")
    await expect(page.locator("#connection")).to_have_text("Live")
    await expect(strip).to_have_count(0)
    await pool.enqueue_job("fail", _job_id="bad")
    await expect(strip.get_by_role("link", name="Failure rate 100 %")).to_be_visible()
    await expect(strip.get_by_role("img", name="1 in total, 1 of them failed")).to_be_visible()
    await expect(strip.get_by_role("link", name="Workers up 1")).to_be_visible()
    await page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
    await expect(strip.get_by_role("img")).to_be_hidden()
    tops = await strip.locator("li").evaluate_all("all => all.map(it => it.offsetTop)")
    assert len(set(tops)) == 2
    assert await page.evaluate("document.documentElement.scrollWidth") <= NARROW[0]
    results = await Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    await strip.get_by_role("link", name="1 ended").click()
    assert await ids(page) == ["bad"]


async def test_a_job_that_runs_long_says_so_live(
    url: str, open_page: Open, pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """Shown once it has run longer than 95 % of the jobs of its function."""
    await start_worker(track_status(SETTINGS))
    await pool.enqueue_job("wait", 3, _job_id="first")
    await ended(client, "first")
    await until(lambda: has_counts(client))
    await pool.enqueue_job("wait", _job_id="long")
    await started(client, "long")
    page = await open_page(f"{url}/statuses/long")
    late = page.get_by_text("longer than 95 % of such jobs")
    await expect(late).to_be_hidden()
    await expect(page.get_by_text("95 % within")).to_be_visible()
    await expect(late).to_be_visible()
    results = await Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


async def has_counts(client: StatusClient) -> bool:
    """Return whether the end of a job has been counted."""
    return any(it.ended for it in await client.functions())


async def test_the_page_of_a_group(
    url: str, open_page: Open, pool: ArqRedis, client: StatusClient
) -> None:
    """It is live, its counts lead to the jobs, and axe reports nothing on it."""
    async with arq_status.group("import-7", title="accounts.csv") as group:
        for number in range(3):
            await group.enqueue_job(pool, "add", number, 1, _job_id=f"job-{number}")
    page = await open_page(f"{url}/groups/import-7")
    await expect(page.locator("h1")).to_have_text("accounts.csv")
    await expect(page.locator("#connection")).to_have_text("Live")
    results = await Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    await client.cancel("job-1")
    await expect(page.get_by_role("link", name="Stopped 1")).to_be_visible()
    await page.get_by_role("link", name="Stopped 1").click()
    await expect(page).to_have_url(f"{url}/statuses?status=stopped&group=import-7")
    assert await ids(page) == ["job-1"]


async def test_columns_keep_apart_on_every_width(url: str, open_page: Open, pool: ArqRedis) -> None:
    """If there is no room for all columns, rows become cards."""
    await write_end(pool, "a", State.FAILED, function="import_rows")
    page = await open_page(f"{url}/statuses")
    for width in range(600, 1200, 24):
        await page.set_viewport_size({"width": width, "height": 700})
        cut = "cells => cells.filter(it => it.scrollWidth > it.clientWidth).length"
        assert (
            await page.locator("thead th:not(.at-actions), #jobs .at-job p").evaluate_all(cut) == 0
        ), width


async def test_the_chosen_status_is_in_sight(url: str, open_page: Open) -> None:
    """Also on a narrow screen, where the row of statuses does not fit."""
    page = await open_page(f"{url}/statuses?status=interrupted", NARROW)
    await expect(page.locator(".counts [aria-current]")).to_be_in_viewport(ratio=1)


async def test_progress_is_accessible_to_screen_readers(
    url: str, open_page: Open, pool: ArqRedis
) -> None:
    """As a progress bar with a name and a value; changing content is not in a live region."""
    await write_running(pool, "a", function="import_rows", at=30)
    page = await open_page(f"{url}/statuses")
    bar = page.get_by_role("progressbar", name="Progress of import_rows")
    await expect(bar).to_have_attribute("value", "30")
    assert await page.locator("#jobs [aria-live], #jobs [role=status]").count() == 0
    await expect(page.get_by_role("main")).to_be_visible()
    await expect(page.get_by_role("search")).to_be_visible()


async def test_motion_is_reduced_on_request(url: str, open_page: Open, pool: ArqRedis) -> None:
    """The icon of a running job does not move then."""
    await write_running(pool, "a")
    for motion, animation in (("reduce", "none"), ("no-preference", "turn")):
        page = await open_page(f"{url}/statuses", reduced_motion=motion)
        icon = row(page, "a").locator(".status .icon")
        await expect(icon).to_have_css("animation-name", animation)
