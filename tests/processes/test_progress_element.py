"""``<job-progress>`` in a real browser, as customers of an app see it."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from arq.connections import ArqRedis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route

from arq_status import StatusClient, track_status
from arq_status._model.record import State
from arq_status.web import create_progress_app, progress_token
from tests import browser
from tests.conftest import StartWorker, ended, started, until
from tests.processes.conftest import Open
from tests.records import write_end, write_running
from tests.server import free_port
from tests.web import serving

if not browser.missing():
    from axe_playwright_python.async_playwright import Axe
    from playwright.async_api import Page, expect

    expect.set_options(timeout=15_000)

pytestmark = browser.needs_browser

SECRET = "a secret of 16 bytes or more"
STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:;"
    " form-action 'self'; require-trusted-types-for 'script'"
)


def page_app(pool: Any, body: str) -> Starlette:
    """Return an app with a page for customers, under a strict CSP, and the progress app."""

    async def page(request: Request) -> Response:
        html = (
            '<!doctype html><html lang="en"><head><title>Import</title><link rel="icon"'
            ' href="data:,"><script type="module" src="/progress/element.js"></script></head>'
            f"<body><main><h1>Import</h1>{body}</main></body></html>"
        )
        return HTMLResponse(html, headers={"Content-Security-Policy": STRICT})

    app = create_progress_app(pool, secret=SECRET)
    return Starlette(routes=[Route("/", page), Mount("/progress", app)])


@asynccontextmanager
async def shown(
    open_page: Open, pool: ArqRedis, body: str, **options: Any
) -> AsyncGenerator["Page"]:
    """Open the customers' page in the browser; it is closed before its server."""
    async with serving(page_app(pool, body)) as url:
        page: Page = await open_page(url, **options)
        yield page
        await page.close()


def element(job_id: str, attributes: str = 'label="accounts.csv"', **options: Any) -> str:
    """Return the element for a job."""
    token = progress_token(SECRET, job_id, **options)
    return f'<job-progress src="/progress/{token}" {attributes}></job-progress>'


async def work(ctx: dict[str, Any], steps: int = 1_000, pause: float = 0.02) -> None:
    """Report progress slowly."""
    status = ctx["status"]
    await status.total(steps)
    for number in range(steps):
        await status.at(number, f"Row {number}")
        await asyncio.sleep(pause)


def bar(page: "Page") -> Any:
    """Return the progress bar as assistive technology finds it."""
    return page.get_by_role("progressbar")


def part(page: "Page", name: str) -> Any:
    """Return a part of the element."""
    return page.locator(f"job-progress [part={name}]")


@pytest.fixture
async def worker(start_worker: StartWorker) -> None:
    """A worker that runs these jobs."""
    await start_worker(track_status({"functions": [work]}))


async def test_a_job_from_the_queue_to_its_end(
    pool: ArqRedis, open_page: Open, start_worker: StartWorker
) -> None:
    """The bar, its value, the message and the state follow the job; the page gets events."""
    await pool.enqueue_job("work", 60, _job_id="job")
    async with shown(open_page, pool, element("job")) as page:
        await page.evaluate(
            "window.seen = []; for (const type of ['progress', 'end'])"
            " document.addEventListener(type, (e) => seen.push([type, e.detail.status]))"
        )
        await expect(bar(page)).to_have_attribute("aria-label", "accounts.csv")
        await expect(part(page, "state")).to_have_text("Waiting")
        await start_worker(track_status({"functions": [work]}))
        await expect(part(page, "state")).to_have_text("Working")
        await expect(part(page, "message")).to_have_text(re.compile(r"^Row \d+$"))
        await expect(bar(page)).to_have_attribute("aria-valuenow", re.compile(r"^[1-9]\d?$"))
        await expect(part(page, "state")).to_have_text("Done")
        await expect(bar(page)).to_have_attribute("aria-valuenow", "100")
        await expect(page.locator("job-progress")).to_have_attribute("state", "complete")
        assert (await page.evaluate("seen.at(-1)")) == ["end", "complete"]
        assert ["progress", "working"] in await page.evaluate("seen")


@pytest.mark.parametrize(
    ("state", "text", "mark"),
    [
        (State.COMPLETE, "Done", "✓"),
        (State.FAILED, "Failed", "✕"),
        (State.STOPPED, "Stopped", "■"),
        (State.INTERRUPTED, "Failed", "✕"),
    ],
)
async def test_an_end_is_shown_by_text_and_shape(
    pool: ArqRedis, open_page: Open, state: State, text: str, mark: str
) -> None:
    """The end of a job is not shown by colour alone."""
    await write_end(pool, "job", state, at=40)
    async with shown(open_page, pool, element("job")) as page:
        await expect(part(page, "state")).to_have_text(text)
        await expect(part(page, "mark")).to_have_text(mark)


async def test_without_a_total_it_moves(pool: ArqRedis, open_page: Open) -> None:
    """The bar then has no value and shows no 0 %; it moves, unless motion is to be reduced."""
    await write_running(pool, "job", total=0, at=5, message="Counting")
    for motion, moves in (("no-preference", "move"), ("reduce", "none")):
        async with shown(open_page, pool, element("job"), reduced_motion=motion) as page:
            await expect(part(page, "message")).to_have_text("Counting")
            assert await bar(page).get_attribute("aria-valuenow") is None
            await expect(part(page, "percent")).to_have_text("")
            await expect(part(page, "fill")).to_have_css("animation-name", moves)


async def test_a_customer_who_may_stops_the_job(
    pool: ArqRedis, client: StatusClient, open_page: Open, worker: None
) -> None:
    """Only one of two browsers has the button; both see the end, and no form is submitted."""
    await pool.enqueue_job("work", _job_id="job")
    await started(client, "job")
    form = f"<form action='/nowhere'>{element('job', may=['stop'])}</form>"
    async with (
        serving(page_app(pool, form)) as own,
        serving(page_app(pool, element("job"))) as other,
    ):
        mine, others = await open_page(own), await open_page(other)
        await expect(part(others, "state")).to_have_text("Working")
        await expect(part(others, "stop")).to_be_hidden()
        await mine.get_by_role("button", name="Stop").click()
        for page in (mine, others):
            await expect(part(page, "state")).to_have_text("Stopped")
            await expect(part(page, "stop")).to_be_hidden()
        assert mine.url == f"{own}/"
    assert (await ended(client, "job")).status == "stopped"


async def test_more_bars_than_a_browser_has_connections(
    pool: ArqRedis, open_page: Open, worker: None
) -> None:
    """All of them move, and the page can still load other resources."""
    for number in range(9):
        await pool.enqueue_job("work", _job_id=f"job-{number}")
    bars = "".join(element(f"job-{number}", f'label="{number}"') for number in range(9))
    async with shown(open_page, pool, bars) as page:
        for number in range(9):
            found = page.get_by_role("progressbar", name=str(number))
            await expect(found).to_have_attribute("aria-valuenow", re.compile(r"^[1-9]"))
        assert await page.evaluate("fetch('/progress/element.js').then((it) => it.ok)")


async def test_removed_and_put_back(pool: ArqRedis, open_page: Open, worker: None) -> None:
    """An element that is removed and put back, as by htmx and frameworks, goes on updating."""
    await pool.enqueue_job("work", _job_id="job")
    async with shown(open_page, pool, element("job")) as page:
        await expect(part(page, "state")).to_have_text("Working")
        await page.evaluate("window.kept = document.querySelector('job-progress'); kept.remove()")
        before = await page.evaluate("kept.shadowRoot.querySelector('[part=message]').textContent")
        await page.evaluate("document.querySelector('main').append(kept)")
        await expect(part(page, "message")).not_to_have_text(before)


async def test_another_source(pool: ArqRedis, open_page: Open) -> None:
    """A script can switch the element to another job and label."""
    await write_end(pool, "first")
    await write_end(pool, "second", State.FAILED)
    second = progress_token(SECRET, "second")
    async with shown(open_page, pool, element("first")) as page:
        await expect(part(page, "state")).to_have_text("Done")
        await page.evaluate(
            "(src) => { const it = document.querySelector('job-progress');"
            " it.setAttribute('src', src); it.setAttribute('label', 'Second') }",
            f"/progress/{second}",
        )
        await expect(part(page, "state")).to_have_text("Failed")
        await expect(bar(page)).to_have_attribute("aria-label", "Second")


async def test_a_restarted_server(pool: ArqRedis, open_page: Open) -> None:
    """While the server is down the element says so, and goes on when it is back."""
    await write_running(pool, "job", at=10)
    app, port = page_app(pool, element("job")), free_port()
    async with serving(app, port) as url:
        page = await open_page(url, may_complain=True)
        await expect(part(page, "state")).to_have_text("Working")
    await expect(part(page, "state")).to_have_text("Reconnecting")
    await expect(page.locator("job-progress")).to_have_attribute("lost", "")
    async with serving(app, port):
        await expect(part(page, "state")).to_have_text("Working")
        await expect(page.locator("job-progress:not([lost])")).to_be_visible()


async def test_a_hidden_tab_asks_nothing(pool: ArqRedis, open_page: Open) -> None:
    """Its stream is closed, and opened again when the tab is visible."""
    await write_running(pool, "job")
    async with shown(open_page, pool, element("job")) as page:
        await expect(part(page, "state")).to_have_text("Working")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        hide = (
            "(hidden) => { Object.defineProperty(document, 'hidden', {value: hidden, configurable:"
            " true}); document.dispatchEvent(new Event('visibilitychange')) }"
        )
        failed: list[str] = []
        page.on("requestfailed", lambda request: failed.append(request.url))
        await page.evaluate(hide, True)
        await until(lambda: failed)
        assert asked == []
        await page.evaluate(hide, False)
        await until(lambda: asked)


@pytest.mark.parametrize(("job_id", "expires"), [("none", 60), ("job", 0.001)])
async def test_what_cannot_be_shown(
    pool: ArqRedis, open_page: Open, job_id: str, expires: float
) -> None:
    """For an expired token or an unknown job the element shows that it is not available."""
    await write_end(pool, "job")
    async with shown(open_page, pool, element(job_id, expires=expires), may_complain=True) as page:
        await expect(part(page, "state")).to_have_text("Not available")
        await expect(page.locator("job-progress")).to_have_attribute("state", "gone")


async def test_a_screen_reader_hears_changes_of_state_only(
    pool: ArqRedis, open_page: Open, worker: None
) -> None:
    """The only live region changes with the state, not with each step."""
    await pool.enqueue_job("work", 40, _job_id="job")
    async with shown(open_page, pool, element("job")) as page:
        await page.evaluate(
            "const live = document.querySelector('job-progress').shadowRoot"
            ".querySelectorAll('[role=status], [aria-live]'); window.heard = [live.length];"
            "new MutationObserver(() => heard.push(live[0].textContent)).observe(live[0],"
            " {childList: true, characterData: true, subtree: true})"
        )
        await expect(part(page, "state")).to_have_text("Done")
        heard = await page.evaluate("heard")
        assert heard[0] == 1
        assert len(heard[1:]) == len(set(heard[1:])) <= 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("direction", ["ltr", "rtl"])
async def test_accessible_in_light_and_dark_and_both_directions(
    pool: ArqRedis, open_page: Open, scheme: str, direction: str
) -> None:
    """Axe reports nothing, and the bar fills from the side where text begins."""
    body = f'<div dir="{direction}" id="box">'
    for state in (State.COMPLETE, State.FAILED, State.STOPPED):
        await write_end(pool, state, state, at=40, message="Row 7 of accounts.csv")
        body += element(state, f'label="{state}"')
    await write_running(pool, "job", at=25, message="Row 7")
    body += element("job", may=["stop"]) + "</div>"
    async with shown(open_page, pool, body, color_scheme=scheme) as page:
        await page.evaluate(
            "document.documentElement.style.colorScheme = 'light dark';"
            "document.documentElement.style.background = 'Canvas'"
        )
        await expect(part(page, "state").last).to_have_text("Working")
        await expect(part(page, "fill").last).to_have_css("width", re.compile("^[1-9]"))
        box = await part(page, "bar").last.bounding_box()
        fill = await part(page, "fill").last.bounding_box()
        begins = box["x"] if direction == "ltr" else box["x"] + box["width"] - fill["width"]
        assert abs(fill["x"] - begins) < 2
        found = await Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


async def test_words_and_colours_of_the_page(pool: ArqRedis, open_page: Open) -> None:
    """Attributes translate the element, parts and a custom property style it."""
    await write_end(pool, "job")
    words = 'label="Import" text-complete="Fertig" style="--job-progress-color: rgb(1, 2, 3)"'
    async with shown(open_page, pool, element("job", words), may_complain=True) as page:
        await expect(part(page, "state")).to_have_text("Fertig")
        await page.evaluate(
            "document.querySelector('job-progress').style.setProperty('--job-progress-color',"
            " 'rgb(1, 2, 3)')"
        )
        await expect(part(page, "fill")).to_have_css("background-color", "rgb(1, 2, 3)")
