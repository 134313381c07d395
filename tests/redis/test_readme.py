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
from tests.conftest import StartWorker, ended, started, until
from tests.snippets import run_snippet
from tests.web import page_of

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


async def test_worker_and_query(
    pool: ArqRedis,
    client: StatusClient,
    start_worker: StartWorker,
    dsn: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The worker snippet runs the job that the query snippet enqueues, follows and asks about."""
    source = SNIPPETS[0].replace("sleep(0.05)", "sleep(0.005)")
    worker = run_snippet("readme_worker", source, dsn)
    query = run_snippet("readme_query", SNIPPETS[1], dsn)
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


async def test_dashboard(pool: ArqRedis, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dashboard snippet asks for a password, and lets nobody delete."""
    monkeypatch.setenv("JOBS_PASSWORD", "veritas")
    app = run_snippet("readme_dashboard", SNIPPETS[3], dsn).app
    await pool.enqueue_job("import_rows", 100, _job_id="rows")
    async with page_of(app) as page:

        async def code(method: str, password: str, action: str = "") -> int:
            auth = ("ann", password) if password else None
            answer = await page.request(
                method,
                "/admin/statuses/rows",
                data={"action": action},
                headers={"X-Arq-Status": "1"},
                auth=auth,
            )
            if answer.status_code == 401:
                assert answer.headers["WWW-Authenticate"] == "Basic"
            return answer.status_code

        for password in ("", "vinum"):
            assert await code("GET", password) == 401
            assert await code("POST", password, "cancel") == 401
        assert await code("GET", "veritas") == 200
        assert await code("POST", "veritas", "delete") == 403
        assert await code("POST", "veritas", "cancel") == 303


async def test_steering(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker, dsn: str
) -> None:
    """A job that does not end in time is stopped, and run again."""
    steering = run_snippet("readme_steering", SNIPPETS[2].replace("timeout=60", "timeout=0.1"), dsn)
    runs = 0

    async def slow(ctx: dict[str, Any]) -> None:
        nonlocal runs
        runs += 1
        while runs == 1:
            await ctx["status"].checkpoint()
            await asyncio.sleep(0.01)

    await pool.enqueue_job("slow", _job_id="slow")
    await start_worker(track_status({"functions": [func(slow, name="slow")]}))
    await started(client, "slow")
    await steering.insist("slow")
    assert (await ended(client, "slow")).status is Status.COMPLETE
    assert runs == 2


async def test_work_in_other_processes(
    pool: ArqRedis,
    client: StatusClient,
    start_worker: StartWorker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A job in a process pool reports progress, and a stop frees its process for the next."""
    (tmp_path / "readme_processes.py").write_text(SNIPPETS[5])
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


@pytest.mark.processes
def test_tests_of_users(tmp_path: Path) -> None:
    """The tests pass in a project of their own."""
    (tmp_path / "jobs.py").write_text(SNIPPETS[0])
    (tmp_path / "test_jobs.py").write_text(SNIPPETS[4])
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
