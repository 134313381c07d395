"""Fixtures for tests in a real browser."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests import browser

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

WIDE = (1280, 900)
Open = Callable[..., Awaitable["Page"]]


@pytest.fixture
async def chromium() -> AsyncIterator["Browser"]:
    """A running Chromium."""
    assert browser.missing() is None, browser.missing()
    async with browser.chromium() as running:
        yield running


@pytest.fixture
async def open_page(chromium: "Browser") -> AsyncIterator[Open]:
    """Opens pages, each in a browser session of its own; whatever they complain of is an error."""
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
