"""The code in the README works as it is shown."""

import asyncio
import re

import pytest
from arq.connections import ArqRedis

from arq_status import Status, StatusClient
from tests.conftest import StartWorker, until
from tests.snippets import run_snippet, snippets
from tests.web import page_of

WORKER, QUERY, DASHBOARD = snippets("README.md")


async def test_worker_and_query(
    pool: ArqRedis,
    client: StatusClient,
    start_worker: StartWorker,
    dsn: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The worker snippet runs the job that the query snippet enqueues, follows and asks about."""
    source = WORKER.replace("sleep(0.05)", "sleep(0.005)")
    worker = run_snippet("readme_worker", source, dsn)
    query = run_snippet("readme_query", QUERY, dsn)
    asking = asyncio.create_task(query.main())
    await until(lambda: is_enqueued(client))
    await start_worker(worker.WorkerSettings)
    await asking
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "queued 0 None"
    assert any(re.fullmatch(r"working \d\d Importing", line) for line in lines)
    assert lines[-3:-1] == ["complete 100 Importing", "complete veritas"]
    assert lines[-1].startswith("1 0:00:0")


async def is_enqueued(client: StatusClient) -> bool:
    return (await client.counts())[Status.QUEUED] == 1


async def test_dashboard(pool: ArqRedis, dsn: str) -> None:
    """The dashboard snippet shows jobs, and does nothing to them."""
    app = run_snippet("readme_dashboard", DASHBOARD, dsn).app
    await pool.enqueue_job("import_rows", 100, _job_id="rows")
    async with page_of(app, headers={"X-Arq-Status": "1"}) as page:
        assert "import_rows" in (await page.get("/admin/statuses")).text
        refused = await page.post("/admin/statuses/rows", data={"action": "cancel"})
        assert refused.status_code == 403
