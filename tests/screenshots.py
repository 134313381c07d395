"""``python -m tests.screenshots``: retakes the README's screenshots of the dashboard."""

import asyncio
import linecache
import sys
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

from arq import create_pool
from arq.connections import ArqRedis, RedisSettings
from arq.utils import timestamp_ms
from arq.worker import create_worker
from playwright.async_api import async_playwright

from arq_status import track_status
from arq_status._model.histogram import bucket_of
from arq_status._model.record import State
from arq_status._model.tally import Tally
from arq_status._redis.announcements import function_key
from arq_status.web import create_app
from tests import browser
from tests.records import count_at, put_job, write_end, write_running
from tests.server import running_server
from tests.web import serving

FOLDER = Path(__file__).parents[1] / "example_app"
SIZE: Any = {"width": 1280, "height": 760}
SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000


#: The source of the failing job, as if it came from a file of a shop.
FILE = "/srv/shop/billing.py"
SOURCE = """
from datetime import timedelta

from arq import Retry


class PaymentError(Exception):
    pass


class Gateway:
    async def pay(self, order, amount, attempt):
        if attempt < 3:
            raise ConnectionError("no answer from bank.example")
        raise PaymentError(f"the bank declined the payment of {amount} EUR")


async def charge(ctx, order, amount):
    status = ctx["status"]
    await status.store(order=order, gateway={"name": "bank.example", "code": 51})
    await status.log(f"Order {order}: {amount} EUR")
    await status.at(30, "Asking the bank")
    try:
        await Gateway().pay(order, amount, ctx["job_try"])
    except ConnectionError as error:
        await status.log("The bank does not answer", level="warning")
        raise Retry(defer=timedelta(seconds=1)) from error
"""


def load_job() -> Any:
    """Return the job's function; its tracebacks quote the source."""
    linecache.cache[FILE] = (len(SOURCE), None, SOURCE.splitlines(keepends=True), FILE)
    # arq pickles what the job raises, which needs its module
    module = sys.modules["billing"] = ModuleType("billing")
    exec(compile(SOURCE, FILE, "exec"), vars(module))
    return module.charge


async def fill(pool: ArqRedis) -> None:
    """Write jobs like those of a day in a shop."""
    random = Random(1)
    ids = (f"{random.getrandbits(128):032x}" for _ in range(99))
    now = timestamp_ms()
    for at, total, started, values in (
        (341, 1000, 72, {"function": "import_rows", "args": "'accounts.csv', tenant=42",
                         "message": "Row 341 of accounts.csv", "remaining": 139 * SECOND}),
        (88, 100, 184, {"function": "transcode", "args": "'talks/opening.mov', '1080p'",
                        "message": "Second pass", "remaining": 25 * SECOND}),
        (1234, 0, 12, {"function": "crawl", "args": "'https://example.org'",
                       "message": "https://example.org/docs/page-1234"}),
    ):  # fmt: skip
        await write_running(
            pool, next(ids), at=at, total=total, started=now - started * SECOND, **values
        )
    for number, seconds in ((4712, 61), (4713, 64)):
        await put_job(
            pool, next(ids), number, function="send_invoice", enqueued=now - seconds * SECOND
        )
    await put_job(pool, "nightly:2026-11-27", function="nightly_report", due=now + 3 * HOUR)
    ended: list[tuple[State, int, int, dict[str, Any]]] = [
        (State.INTERRUPTED, 5, 100, {"function": "import_rows", "args": "'orders.csv', tenant=7",
                                     "error": "worker worker-2:913 stopped responding"}),
        (State.STOPPED, 8, 300, {"function": "crawl", "args": "'https://example.com'",
                                 "error": "stopped by request"}),
        *((State.COMPLETE, 10, 1, {"function": "resize", "args": f"'photo-{it}.jpg', 640"})
          for it in range(9)),
        (State.COMPLETE, 15, 20, {"function": "import_rows", "args": "'people.csv', tenant=42",
                                  "message": "Imported 4,997 rows, 3 rejected"}),
        (State.FAILED, 17, 300, {"function": "transcode", "args": "'talks/closing.mov', '4k'",
                                 "error": "timed out after 300s", "queue": "media"}),
        *((State.COMPLETE, 20, 1, {"function": name, "args": str(it)})
          for it, name in enumerate(("sync_contacts", "send_invoice") * 12)),
    ]  # fmt: skip
    for place, (state, minutes, took, values) in enumerate(ended):
        end = now - minutes * MINUTE - place * SECOND
        await write_end(
            pool, next(ids), state, started=end - took * SECOND, ended=end, run=end - took * SECOND,
            expires_after_ms=24 * HOUR, **values,
        )  # fmt: skip


async def count(pool: ArqRedis) -> None:
    """Write counts of jobs that ended in the last hour."""
    random = Random(3)
    now = timestamp_ms()
    for minute in range(60):
        for place, (function, jobs) in enumerate((("resize", 15 + minute / 4), ("charge", 4))):
            tally = Tally(run_max=30)
            tally.counts["complete"] = max(0, round(random.gauss(jobs, jobs / 5)))
            tally.counts["failed"] = random.choice((0, 0, 0, 0, 1)) if minute > 30 else 0
            for _ in range(20):
                it = bucket_of(random.lognormvariate(0, 0.8))
                tally.runs[it] = tally.runs.get(it, 0) + 1
            # batches are identified by their time
            moment = now - (59 - minute) * MINUTE + place
            await count_at(pool, moment, function_key("arq:queue", function), tally)


async def run(settings: RedisSettings, pool: ArqRedis) -> None:
    """Run the failing job in a worker."""
    await pool.enqueue_job("charge", 4711, "19.90", _job_id="9b1d5f0c7a3e4c288d6f0e5a4b7c1d20")
    tracked: Any = track_status({"functions": [load_job()], "max_tries": 3})
    worker = create_worker(
        tracked, redis_settings=settings, burst=True, poll_delay=0.05, handle_signals=False
    )
    await worker.async_run()
    await worker.close()


async def main() -> None:
    """Fill a server, open its dashboard and take the screenshots."""
    with running_server() as dsn:
        settings = RedisSettings.from_dsn(dsn)
        pool = await create_pool(settings)
        await count(pool)
        await run(settings, pool)
        await fill(pool)
        async with serving(create_app(pool)) as url, async_playwright() as playwright:
            chromium = await playwright.chromium.launch(executable_path=browser.executable())
            for name, path in (("dashboard", ""), ("job", "/9b1d5f0c7a3e4c288d6f0e5a4b7c1d20")):
                page = await chromium.new_page(viewport=SIZE, device_scale_factor=1.5)
                await page.goto(f"{url}/statuses{path}")
                await page.locator("#connection:not([hidden])").wait_for()
                await page.screenshot(path=FOLDER / f"{name}.png")
            await chromium.close()
        await pool.aclose()


if __name__ == "__main__":
    asyncio.run(main())
