"""The ``arq-status`` command as users run it: a process with streams and signals."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix

from arq_status import StatusClient
from tests.conftest import until
from tests.records import put_sample_jobs, write_end
from tests.server import free_port
from tests.worker_process import worker_process

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def jobs(pool: ArqRedis) -> None:
    """Jobs of several kinds."""
    await put_sample_jobs(pool)


def run(
    *argv: str, dsn: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the real command in a separate process."""
    environment = {**os.environ, "REDIS_URL": dsn, **(env or {})}
    environment.pop("COLUMNS", None)
    return subprocess.run(
        [sys.executable, "-m", "arq_status", *argv],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip


async def test_the_real_command(dsn: str, pool: ArqRedis, jobs: None) -> None:
    """``python -m arq_status`` in a pipe: wide lines, no colours, exit codes."""
    done = await asyncio.to_thread(run, "list", dsn=dsn)
    assert (done.returncode, done.stderr) == (0, "")
    assert "ValueError: no vino none at all" in done.stdout
    assert "\x1b" not in done.stdout
    done = await asyncio.to_thread(run, "show", "nobody", dsn=dsn)
    assert (done.returncode, done.stdout) == (1, "")
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    done = await asyncio.to_thread(run, "list", dsn=dsn, env=ascii_only)
    assert done.returncode == 0
    assert "\\u25cf complete" in done.stdout
    assert done.stdout.isascii()


async def test_a_reader_that_has_seen_enough(dsn: str, pool: ArqRedis) -> None:
    """``arq-status list | head -1`` ends without an error message."""
    for number in range(500):
        await write_end(pool, f"job {number}", message="x" * 100)
    line = f"{sys.executable} -m arq_status list --per-page 500 --json | head -c 1"
    environment = {**os.environ, "REDIS_URL": dsn}
    process = await asyncio.create_subprocess_shell(
        line, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await process.communicate()
    assert (out, err) == (b"{", b"")


@pytest.mark.parametrize(
    ("redirection", "argv", "code", "words"),
    [
        (">/dev/full", "list", 1, "cannot write to standard output: No space left on device"),
        (">/dev/full", "watch done --json", 1, "cannot write to standard output: No space left"),
        (">/dev/full", "--help", 1, "cannot write to standard output: No space left on device"),
        (">&-", "counts", 1, "cannot write to standard output: it is closed"),
        (">&-", "show nobody", 1, "no job 'nobody' is known"),
        ("2>&-", "counts --json", 0, ""),
        ("2>&- >/dev/full", "counts", 1, ""),
        ("2>/dev/full", "show nobody", 1, ""),
    ],
)
async def test_nowhere_to_write(
    dsn: str, pool: ArqRedis, jobs: None, redirection: str, argv: str, code: int, words: str
) -> None:
    """A full disk or closed stream is reported in one line that does not blame Redis."""
    process = await asyncio.create_subprocess_shell(
        # buffered, because argparse ignores write errors
        f"unset PYTHONUNBUFFERED; {sys.executable} -m arq_status {argv} {redirection}",
        cwd=ROOT, env={**os.environ, "REDIS_URL": dsn},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode == code
    assert err.decode().startswith(f"arq-status: {words}" if words else "")
    assert err.count(b"\n") == bool(words)
    assert bool(out) == (code == 0)


async def test_interrupting_it(dsn: str, pool: ArqRedis, jobs: None) -> None:
    """Ctrl-C ends ``watch`` at once, with 130 and without a traceback."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "arq_status", "watch", "soon",
        cwd=ROOT, env={**os.environ, "REDIS_URL": dsn},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert await process.stdout.readline() == b"soon  queued  0 %\n"
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert (process.returncode, err) == (130, b"")


@pytest.mark.parametrize("missing", ["rich", "starlette", "uvicorn"])
def test_missing_packages(missing: str, tmp_path: Path, dsn: str) -> None:
    """A missing package is reported in one line, without a traceback."""
    (tmp_path / f"{missing}.py").write_text(
        f"raise ModuleNotFoundError('No module named {missing}', name={missing!r})"
    )
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    done = run("serve", dsn=dsn, env={"PYTHONPATH": path})
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'arq-status[" in done.stderr
    assert len(done.stderr.splitlines()) == 1


async def test_serve(dsn: str, pool: ArqRedis, jobs: None) -> None:
    """``serve`` runs the dashboard until Ctrl-C, and warns if others can reach it."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-m", "arq_status", "serve",
        "--host", "0.0.0.0", "--port", str(port), "--title", "Wine",
        cwd=ROOT, env={**os.environ, "REDIS_URL": dsn},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:

        async def answers() -> str:
            with suppress(httpx.TransportError):
                return (await http.get("/statuses")).text
            return ""

        page = await until(answers)
    assert "Wine" in page
    assert "import_rows" in page
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    words = (
        "arq-status: everyone who can reach 0.0.0.0 may act on jobs: use --user to ask for a"
        " password, or --read-only to offer no actions"
    )
    assert (process.returncode, err.decode().splitlines()[0]) == (0, words)
    assert "Traceback" not in err.decode()


def test_serve_on_a_port_in_use(dsn: str) -> None:
    """It fails without claiming that Redis is away."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("serve", "--port", str(port), dsn=dsn)
    assert done.returncode == 1
    assert "address already in use" in done.stderr


@pytest.mark.long(10)
async def test_doctor_after_a_worker_was_killed(
    dsn: str, pool: ArqRedis, client: StatusClient, tmp_path: Path
) -> None:
    """Moments after SIGKILL it reports which worker died with which job, and exits with 1."""
    async with worker_process(dsn, tmp_path) as worker:
        await pool.enqueue_job("wait_once", _job_id="lost")
        await until(lambda: client.is_working("lost"), 20)
        await until(lambda: pool.exists(in_progress_key_prefix + "lost"))
        done = await asyncio.to_thread(run, "doctor", "--json", dsn=dsn)
        assert done.returncode == 0, done.stdout
        worker.send(signal.SIGKILL)
        await worker.gone()

        async def problems() -> subprocess.CompletedProcess[str] | None:
            done = await asyncio.to_thread(run, "doctor", "--json", dsn=dsn)
            return done if done.returncode == 1 else None

        # as soon as the next heartbeat would have been due
        done = await until(problems, 20)
    findings = json.loads(done.stdout)["findings"]
    texts = [it["text"] for it in findings if it["level"] == "problem"]
    assert "no tracked worker is alive" in texts
    [queue] = [it for it in texts if it.startswith("arq:queue: 1 job, 1 due")]
    assert f":{worker.pid}, stopped responding 1" in queue
