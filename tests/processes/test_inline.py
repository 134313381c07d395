"""``inline`` in users' tests, run with pytest as usual, and without its extra."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

JOBS = """
from arq_status import track_status

async def report(ctx, rows):
    async for _ in ctx["status"].track(range(rows), "Importing"):
        pass
    return rows

async def fail(ctx):
    raise ValueError("no vino")

@track_status
class WorkerSettings:
    functions = [report, fail]
"""
TESTS = """
import pytest
import pytest_asyncio
import arq_status
from jobs import WorkerSettings
from arq_status.testing import inline

@pytest_asyncio.fixture(scope="FIXTURE", loop_scope="FIXTURE")
async def pool():
    async with inline(WorkerSettings) as pool:
        yield pool

@pytest.mark.asyncio(loop_scope="TEST")
@pytest.mark.parametrize("job_id", ["first", "second"])
async def test_it(pool, job_id):
    job = await pool.enqueue_job("report", 3, _job_id=job_id)
    assert await job.result() == 3
    assert await arq_status.is_complete(job_id)
    assert [it.job_id for it in (await arq_status.list_jobs(function="report")).items][0] == job_id
    assert [it.status async for it in arq_status.watch(job_id)] == ["complete"]
    with pytest.raises(ValueError, match="no vino"):
        await pool.enqueue_job("fail", _job_id=f"failed {job_id}")
    assert await arq_status.retry(f"failed {job_id}")
    assert await arq_status.is_failed(f"failed {job_id}")
"""


def run_pytest(folder: Path, tests: str, mode: str) -> "subprocess.CompletedProcess[str]":
    """Run tests in a separate project, as users would."""
    (folder / "jobs.py").write_text(JOBS)
    (folder / "test_jobs.py").write_text(tests)
    (folder / "pytest.ini").write_text(f"[pytest]\nasyncio_mode = {mode}\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:valkey", "-p", "no:xdist"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
        capture_output=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("mode", "fixture", "test", "works"),
    [
        ("auto", "function", "function", True),
        ("auto", "module", "module", True),
        ("strict", "session", "session", True),
        ("strict", "function", "session", False),
        ("auto", "module", "function", False),
        ("strict", "session", "function", False),
    ],
)
def test_scopes_of_pytest_asyncio(
    tmp_path: Path, mode: str, fixture: str, test: str, works: bool
) -> None:
    """It works in one event loop of any scope; with two loops the error says what to do."""
    tests = TESTS.replace("FIXTURE", fixture).replace("TEST", test)
    done = run_pytest(tmp_path, tests, mode)
    if works:
        assert "2 passed" in done.stdout, done.stdout
    else:
        assert "2 failed" in done.stdout, done.stdout
        assert "RuntimeError: inline() was entered in another event loop" in done.stdout
        assert "error" not in done.stdout.splitlines()[-1]


def test_without_the_extra() -> None:
    """Neither importing ``arq_status.testing`` nor a tracker requires fakeredis."""
    code = """
import sys
sys.modules["fakeredis"] = sys.modules["lupa"] = None
from arq_status.testing import inline, tracker
tracker().sync.at(1)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
