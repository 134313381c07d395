"""Fixtures for tests in a real browser."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests import browser

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

WIDE = (1280, 900)
Open = Callable[..., Awaitable["Page"]]


@pytest.fixture(scope="session")
def chromium_url() -> Iterator[str]:
    """A Chromium shared by the tests of this process."""
    with browser.running_chromium() as url:
        yield url


@pytest.fixture
async def chromium(chromium_url: str) -> AsyncIterator["Browser"]:
    """A connection to the running Chromium; its contexts are closed with it."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        connected = await playwright.chromium.connect_over_cdp(chromium_url)
        yield connected
        for context in connected.contexts:
            await context.close()
        await connected.close()


@pytest.fixture
async def open_page(chromium: "Browser") -> AsyncIterator[Open]:
    """Opens pages, each in its own browser context; their errors and warnings fail the test."""
    complaints: list[str] = []

    async def open_page(
        url: str, size: tuple[int, int] = WIDE, *, may_complain: bool = False, **options: Any
    ) -> "Page":
        viewport: Any = {"width": size[0], "height": size[1]}
        context = await chromium.new_context(viewport=viewport, **options)
        page = await context.new_page()
        page.set_default_timeout(15_000)
        if not may_complain:
            page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        await page.goto(url)
        return page

    yield open_page
    assert complaints == []
