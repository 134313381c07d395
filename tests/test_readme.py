"""What the README shows works as it stands there."""

import asyncio
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from arq import func
from arq.connections import ArqRedis

from arq_status import Status, StatusClient, track_status
from tests.conftest import StartWorker, ended, until
from tests.snippets import run_snippet
from tests.web import page_of

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


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
    app = run_snippet("readme_dashboard", SNIPPETS[5], dsn).app
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


async def test_steering(
    pool: ArqRedis,
    client: StatusClient,
    start_worker: StartWorker,
    dsn: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One function tells each change of a job, the other stops it when its time is up."""
    steering = run_snippet("readme_steering", SNIPPETS[2].replace("timeout=60", "timeout=0.1"), dsn)
    tries = []

    async def slow(ctx: dict[str, Any]) -> None:
        tries.append(await ctx["status"].retrieve("tries", 0))
        while len(tries) == 1:
            await ctx["status"].advance(1, "slowly")
            await asyncio.sleep(0.01)

    await pool.enqueue_job("slow", _job_id="slow")
    await start_worker(track_status({"functions": [func(slow, name="slow")]}))
    await until(lambda: client.is_working("slow"))
    following = asyncio.create_task(steering.follow("slow"))
    await steering.insist("slow")
    assert (await ended(client, "slow")).status is Status.COMPLETE
    await following
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("working ")
    assert any(line.endswith(" slowly") for line in lines)
    assert lines[-1].split()[0] in ("stopped", "complete")


async def test_work_in_other_processes(
    pool: ArqRedis,
    client: StatusClient,
    start_worker: StartWorker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A job in a process pool reports progress, and a stop frees its process for the next."""
    (tmp_path / "readme_processes.py").write_text(SNIPPETS[3])
    monkeypatch.syspath_prepend(tmp_path)
    settings = importlib.import_module("readme_processes").CrunchSettings
    await start_worker(settings, max_jobs=1)
    await pool.enqueue_job("crunch_rows", 10**12, _job_id="long")
    await until(lambda: is_under_way(client, "long"), 30)
    assert await client.stop("long")
    assert (await ended(client, "long")).status is Status.STOPPED
    # as many as there may be processes, so that none can be busy still
    for number in range(os.cpu_count() or 1):
        job = await pool.enqueue_job("crunch_rows", 1_001, _job_id=f"short {number}")
        assert job is not None
        assert await job.result(timeout=30, poll_delay=0.01) == 1_001
    record = await ended(client, "short 0")
    assert (record.at, record.total, record.message) == (1_000, 1_001, "Crunching")


async def is_under_way(client: StatusClient, job_id: str) -> bool:
    return (await client.at(job_id) or 0) > 0


def test_tests_of_users(tmp_path: Path) -> None:
    """The tests pass in a project of their own."""
    (tmp_path / "module.py").write_text(SNIPPETS[0])
    (tmp_path / "test_module.py").write_text(SNIPPETS[4])
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:valkey"]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        text=True,
        capture_output=True,
        check=False,
    )
    assert "2 passed" in done.stdout, done.stdout


async def test_every_snippet_is_tested() -> None:
    """No snippet stands in the README that this file does not run."""
    assert len(SNIPPETS) == 6
