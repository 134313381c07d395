"""What the README shows works as it stands there."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from arq.connections import ArqRedis

from arq_status import Status, StatusClient
from tests.conftest import StartWorker, ended
from tests.web import page_of

README = (Path(__file__).parent.parent / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def run_snippet(name: str, source: str, dsn: str) -> ModuleType:
    """Import a snippet as a module, with the Redis under test in place of localhost."""
    source = source.replace("RedisSettings()", f"RedisSettings.from_dsn({dsn!r})")
    module = ModuleType(name)
    sys.modules[name] = module
    exec(compile(source, f"README.md:{name}", "exec"), module.__dict__)
    return module


async def test_worker_and_query(
    pool: ArqRedis,
    client: StatusClient,
    start_worker: StartWorker,
    dsn: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The worker snippet runs the job that the query snippet enqueues and asks about."""
    worker = run_snippet("readme_worker", SNIPPETS[0], dsn)
    query = run_snippet("readme_query", SNIPPETS[1], dsn)
    await query.main()
    assert capsys.readouterr().out.startswith("queued\n0 None\n")
    await start_worker(worker.WorkerSettings)
    record = await ended(client, "rows")
    assert record.status is Status.COMPLETE
    assert (record.at, record.message, record.data) == (99, "Importing", {"vino": "veritas"})


async def test_dashboard(pool: ArqRedis, dsn: str) -> None:
    """The dashboard snippet shows jobs to those whom it lets in, and lets one of them act."""
    app = run_snippet("readme_dashboard", SNIPPETS[2], dsn).app
    await pool.enqueue_job("import_rows", 100, _job_id="rows")
    async with page_of(app) as page:

        async def codes(user: str) -> tuple[int, int]:
            headers = {"X-Forwarded-User": user, "X-Arq-Status": "1"}
            seen = await page.get("/admin/statuses/rows", headers=headers)
            form = {"action": "cancel"}
            done = await page.post("/admin/statuses/rows", data=form, headers=headers)
            return seen.status_code, done.status_code

        assert await codes("eve") == (403, 403)
        assert await codes("bob") == (200, 403)
        assert await codes("ann") == (200, 303)


async def test_every_snippet_is_tested() -> None:
    """No snippet stands in the README that this file does not run."""
    assert len(SNIPPETS) == 3
