"""Chromium for the tests, if it is installed."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: Headless, also as root, with a mouse; timers of background pages are not throttled.
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--no-first-run",
    "--hide-scrollbars",
    "--blink-settings=primaryHoverType=2,availableHoverTypes=2"
    ",primaryPointerType=4,availablePointerTypes=4",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--remote-debugging-port=0",
)


def executable() -> str | None:
    """Return the path of the installed browser, if any."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


def missing() -> str | None:
    """Return why there is no browser for the tests and how to install it, or ``None``."""
    if find_spec("playwright") is None or find_spec("axe_playwright_python") is None:
        return "no playwright: pip install -e '.[browser]'"
    if executable() is None:
        return "no Chromium: apt-get install -y --no-install-recommends chromium"
    return None


#: Skips tests that need a browser if there is none; in CI, where it is required, they fail.
needs_browser = pytest.mark.skipif(
    missing() is not None and os.environ.get("ARQ_STATUS_REQUIRE_BROWSER") != "1",
    reason=str(missing()),
)


@contextmanager
def running_chromium() -> Iterator[str]:
    """Run a browser; yield the URL at which Playwright connects to it."""
    browser = executable()
    assert browser is not None, missing()
    # it may still write to its profile after it was killed
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [browser, *_OPTIONS, f"--user-data-dir={profile}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield f"http://127.0.0.1:{_port(Path(profile))}"
        finally:
            process.terminate()
            process.wait(20)


def _port(profile: Path) -> str:
    """Return the port of the browser, once it has written it to its profile."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if written := _lines(profile / "DevToolsActivePort"):
            return written[0]
        time.sleep(0.02)
    raise TimeoutError("Chromium did not start within 30 s")


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []
