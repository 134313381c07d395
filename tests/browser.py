"""Chromium for the tests, where there is one."""

import os
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.async_api import Browser

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: With this set to 1 the tests fail where they would else be skipped.
IS_REQUIRED = os.environ.get("ARQ_STATUS_REQUIRE_BROWSER") == "1"


def executable() -> str | None:
    """The browser that is installed."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


def missing() -> str | None:
    """What keeps the tests from a browser, and the remedy."""
    if find_spec("playwright") is None or find_spec("axe_playwright_python") is None:
        return "no playwright: pip install -e '.[browser]'"
    if executable() is None:
        return "no Chromium: apt-get install -y --no-install-recommends chromium"
    return None


@asynccontextmanager
async def chromium() -> AsyncGenerator["Browser"]:
    """A running browser."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable())
        try:
            yield browser
        finally:
            await browser.close()
