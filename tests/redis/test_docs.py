"""The code that the pages in docs/ show works as they say."""

import asyncio
import importlib
import logging
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from arq import func
from arq.connections import ArqRedis, RedisSettings
from arq.worker import Worker
from fastapi import FastAPI
from starlette.requests import Request
from starlette.types import ASGIApp

from arq_status import Status, StatusClient, track_status
from tests.conftest import RunBurst, StartWorker, ended, started, until
from tests.snippets import PAGES, ROOT, play, run_snippet, snippets
from tests.web import page_of

Story = Callable[[str], Awaitable[dict[str, Any]]]
#: Code of a page that stands for jobs of the reader, by page.
OTHER_JOBS = {
    "docs/groups-and-tags.md": "ROWS = range(3)",
    "docs/queries.md": snippets("docs/worker.md")[0],
    "docs/control.md": snippets("docs/worker.md")[0],
}


@pytest.fixture
def story(
    pool: ArqRedis,
    client: StatusClient,
    start_worker: StartWorker,
    dsn: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Story:
    """Runs the Python of a page from top to bottom in one namespace; returns that namespace.

    A page's ``WorkerSettings`` run in a worker from where they are defined on.
    """
    monkeypatch.setenv("JOBS_PASSWORD", "veritas")
    monkeypatch.setenv("SECRET_KEY", "a secret of at least 16 bytes")

    async def tell(page: str) -> dict[str, Any]:
        names: dict[str, Any] = {"__name__": page, "redis": pool}
        running = None
        for code in filter(None, (OTHER_JOBS.get(page), *snippets(page))):
            names = await play(code, dsn, **names)
            settings = names.get("WorkerSettings")
            if settings is not None and settings is not running:
                await start_worker(settings)
                running = settings
        return names

    return tell


@pytest.mark.parametrize("page", sorted(PAGES.keys() - {"README.md", "docs/testing.md"}))
async def test_a_page_runs_from_top_to_bottom(page: str, story: Story) -> None:
    """Nothing that a page shows raises, and what it asserts is true."""
    await story(page)


async def test_what_happened(story: Story, client: StatusClient) -> None:
    """The page's job retries, logs and returns as it says."""
    names = await story("docs/history.md")
    job_id = names["job"].job_id
    assert [it.status for it in await client.tries(job_id)] == [Status.RETRYING, Status.COMPLETE]
    assert [it.message for it in await client.logs(job_id)] == ["Row 7 has no name"] * 2


async def test_jobs_of_the_worker_page(pool: ArqRedis, client: StatusClient, story: Story) -> None:
    """Its jobs are tracked as the page says."""
    await story("docs/worker.md")
    await pool.enqueue_job("import_rows", 3, _job_id="rows")
    await pool.enqueue_job("fetch_rates", _job_id="rates")
    rows, rates = await ended(client, "rows"), await ended(client, "rates")
    assert (rows.at, rows.total, rows.message) == (3, 3, "Row 3")
    assert rows.data == {"source": "accounts.csv", "rows": 3}
    assert (rates.status, rates.job_try) == (Status.COMPLETE, 2)
    assert rates.expires_at is not None
    assert rates.ended_at is not None
    assert (rates.expires_at - rates.ended_at).days == 30


async def test_a_worker_of_parts_of_the_settings(
    pool: ArqRedis, client: StatusClient, redis_settings: RedisSettings, story: Story
) -> None:
    """The functions of the settings alone are tracked, also one that was appended."""
    names = await story("docs/worker.md")
    functions = names["WorkerSettings"].functions
    for name in ("import_rows", "on_demand"):
        arguments = (3,) if name == "import_rows" else ()
        await pool.enqueue_job(name, *arguments, _job_id=name, _queue_name="imports")
    parts = {"functions": functions, "queue_name": "imports", "redis_settings": redis_settings}
    worker = Worker(**parts, burst=True, handle_signals=False, poll_delay=0.02)
    await worker.async_run()
    await worker.close()
    assert (await ended(client, "import_rows")).message == "Row 3"
    assert (await ended(client, "on_demand")).status is Status.COMPLETE


async def test_jobs_that_iterate_and_compute(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker, story: Story
) -> None:
    """The jobs that the worker page only defines report what it says."""
    names = await story("docs/worker.md")
    functions = [func(names[it]) for it in ("import_all", "copy_files", "crunch_rows")]
    await start_worker(track_status({"functions": functions, "queue_name": "shown"}))
    paths = ["a.csv", "b.csv"]
    for name, given in (("import_all", paths), ("copy_files", paths), ("crunch_rows", 50)):
        await pool.enqueue_job(name, given, _job_id=name, _queue_name="shown")
    imported = await ended(client, "import_all")
    assert (imported.at, imported.message) == (2, "Importing")
    assert imported.data == {"last": "b.csv"}
    assert (await ended(client, "copy_files")).message == "Copying"
    assert (await ended(client, "crunch_rows")).at == 50


async def test_stopping_a_job_that_cleans_up(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker, story: Story
) -> None:
    """A job that catches ``JobStopped`` and raises it again is stopped."""
    names = await story("docs/worker.md")
    functions = [func(names["copy_files"])]
    await start_worker(track_status({"functions": functions, "queue_name": "shown"}))
    await pool.enqueue_job("copy_files", ["x"] * 10_000, _job_id="copy", _queue_name="shown")
    await started(client, "copy")
    assert await client.stop("copy")
    assert (await ended(client, "copy")).status is Status.STOPPED


async def test_work_in_other_processes(
    pool: ArqRedis,
    client: StatusClient,
    start_worker: StartWorker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A job in a process pool reports progress, and a stop frees its process for the next."""
    [source] = snippets("docs/worker.md", folded=True)
    (tmp_path / "docs_processes.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    settings = importlib.import_module("docs_processes").CrunchSettings
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


async def test_control(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker, dsn: str
) -> None:
    """A job that does not end in time is stopped, and run again."""
    source = snippets("docs/control.md")[0].replace("timeout=60", "timeout=0.1")
    control = run_snippet("docs_control", source, dsn)
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
    await control.insist("slow")
    assert (await ended(client, "slow")).status is Status.COMPLETE
    assert runs == 2


async def test_a_dashboard_with_a_password(pool: ArqRedis, story: Story) -> None:
    """The dashboard with ``basic_auth`` asks for the password."""
    app = (await story("docs/dashboard.md"))["app"]
    await pool.enqueue_job("import_rows", 100, _job_id="rows")
    for password in ("", "vinum"):
        assert await _code(app, "GET", password) == 401
        assert await _code(app, "POST", password, "cancel") == 401
    assert await _code(app, "GET", "veritas") == 200
    assert await _code(app, "POST", "veritas", "cancel") == 303


async def test_a_dashboard_with_the_session_of_an_app(pool: ArqRedis, story: Story) -> None:
    """Who is not logged in is sent to the login, everybody may look, and Ann may act."""
    site: FastAPI = (await story("docs/dashboard.md"))["site"]
    await pool.enqueue_job("import_rows", 100, _job_id="rows")

    @site.get("/login/{user}")
    def login(request: Request, user: str) -> None:
        request.session["user"] = user

    async with page_of(site, headers={"X-Arq-Status": "1"}) as page:
        url, cancel = "/admin/statuses/rows", {"action": "cancel"}
        assert (await page.get(url)).headers["Location"] == "/login"
        await page.get("/login/bob")
        assert (await page.get(url)).status_code == 200
        assert (await page.post(url, data=cancel)).status_code == 403
        await page.get("/login/ann")
        assert (await page.post(url, data=cancel)).status_code == 303


async def _code(app: ASGIApp, method: str, password: str, action: str = "") -> int:
    auth = ("ann", password) if password else None
    headers = {"X-Arq-Status": "1"}
    async with page_of(app, auth=auth, headers=headers) as page:
        answer = await page.request(method, "/admin/statuses/rows", data={"action": action})
    if answer.status_code == 401:
        assert answer.headers["WWW-Authenticate"].startswith("Basic")
    return answer.status_code


def test_tests_of_users(tmp_path: Path) -> None:
    """What the testing page shows passes in a project of its own."""
    (tmp_path / "jobs.py").write_text(snippets("README.md")[0])
    (tmp_path / "test_jobs.py").write_text("\n".join(snippets("docs/testing.md")))
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:valkey"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "6 passed" in done.stdout


@pytest.fixture
async def restricted(pool: ArqRedis, redis_settings: RedisSettings) -> AsyncIterator[RedisSettings]:
    """The settings of a Redis user with the permissions that the production page gives."""
    [rule] = snippets("docs/production.md", "redis")
    await _command(pool, rule)
    await _command(pool, "ACL LOG RESET")
    yield replace(redis_settings, username="app", password="secret")
    await _command(pool, "ACL DELUSER app")


async def _command(pool: Any, words: str) -> Any:
    return await pool.execute_command(*words.split())


async def test_permissions(
    pool: ArqRedis, restricted: RedisSettings, start_worker: StartWorker, dsn: str
) -> None:
    """The rule of the production page suffices for a worker, and for all that a client does."""
    jobs = await play(OTHER_JOBS["docs/queries.md"], dsn)
    await start_worker(jobs["WorkerSettings"], redis_settings=restricted)
    async with StatusClient(restricted) as client:
        await pool.enqueue_job("import_rows", 10_000, _job_id="stopped")
        await pool.enqueue_job("import_rows", 3, _job_id="complete")
        await pool.enqueue_job("import_rows", 3, _job_id="cancelled", _defer_by=60)
        changes = [it.status async for it in client.watch("complete")]
        assert changes[-1] is Status.COMPLETE
        assert await client.stop("stopped")
        assert await client.cancel("cancelled")
        assert (await ended(client, "stopped")).status is Status.STOPPED
        assert await client.retry("cancelled")
        assert await client.store("complete", vino="veritas")
        assert (await client.list_jobs()).total == 3
        assert await client.delete("complete") == 1
    refused = {entry[entry.index(b"object") + 1] for entry in await _command(pool, "ACL LOG")}
    # redis-py introduces itself, and does without where Redis 6.2 takes that for dangerous
    assert refused <= {b"client"}


async def test_an_endpoint_that_gives_a_progress_bar(story: Story) -> None:
    """What the endpoint of the page answers has the element, and a token that shows the job."""
    app: FastAPI = (await story("docs/progress-bar.md"))["app"]
    async with page_of(app) as page:
        answer = await page.post("/imports")
        [address] = re.findall(r'<job-progress src="(.*?)"', answer.text)
        assert (await page.get(address)).json()["status"] == "queued"
        [script] = re.findall(r'<script type="module" src="(.*?)"', answer.text)
        assert (await page.get(script)).headers["Content-Type"].startswith("text/javascript")


@pytest.mark.long(6)
async def test_the_size_in_redis(
    pool: ArqRedis, run_burst: RunBurst, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The formula of the production page tells what jobs take in Redis, rather more than less."""
    megabytes = (await story("docs/production.md"))["megabytes"]

    async def report(ctx: dict[str, Any], note: str, *, fails: bool) -> None:
        if fails:
            raise ValueError(note)
        if note:
            await ctx["status"].at(1, note)
            await ctx["status"].store(note=note)

    settings = track_status({"functions": [func(report, name="report", keep_result=0)]})
    monkeypatch.setattr(logging.getLogger("arq.worker"), "disabled", True)

    async def used_after(number: int) -> int:
        for kind, (note, fails) in enumerate((("", False), ("x" * 100, False), ("x" * 100, True))):
            for job in range(number):
                job_id = f"{kind:08}{number:08}{job:016}"
                await pool.enqueue_job("report", note, fails=fails, _job_id=job_id)
        await run_burst(settings, max_jobs=100, poll_delay=0.001)
        memory: dict[str, int] = await pool.info("memory")
        return memory["used_memory"]

    # scripts and connections take theirs once
    before, number = await used_after(100), 1_000
    used = (await used_after(number) - before) / 1e6
    args = len("'', fails=False")
    told = megabytes(number, 1, text=args)
    told += megabytes(number, 1, text=80 + 100, data=102)
    told += megabytes(number, 1, text=80 + len("ValueError: ") + 100, payload=250)
    assert 0.7 < used / told < 1


async def test_passwords_in_dsns(pool: ArqRedis, redis_settings: RedisSettings) -> None:
    """A DSN of ours is percent-decoded and takes parameters; arq's own is and does neither."""
    await _command(pool, "ACL SETUSER slashed on >sec/ret ~* &* +@all")
    address = f"{redis_settings.host}:{redis_settings.port}/{redis_settings.database}"
    dsn = f"redis://slashed:sec%2Fret@{address}?socket_timeout=7"
    try:
        async with StatusClient(dsn) as client:
            assert await client.status("no such job") is None
        settings = RedisSettings.from_dsn(dsn)
        assert settings.password == "sec%2Fret"
        assert settings.database == redis_settings.database
    finally:
        await _command(pool, "ACL DELUSER slashed")
