"""Docstrings say what everything public is for, and what they show works."""

import asyncio
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from textwrap import indent
from time import monotonic
from types import ModuleType
from typing import Any

import pytest
import uvicorn
from arq import cron, func
from arq.connections import ArqRedis, RedisSettings
from arq.utils import timestamp_ms
from arq.worker import Worker
from fastapi import FastAPI, Request

import arq_status
from arq_status import (
    CronRecord,
    FunctionStats,
    JobRecord,
    JobStopped,
    JobTracker,
    Page,
    QueueRecord,
    Status,
    StatusClient,
    WorkerRecord,
    current_tracker,
    status_options,
    testing,
    track_status,
    web,
)
from arq_status._client.default import default_client
from arq_status._model.record import State
from arq_status.testing import tracker
from arq_status.web import (
    basic_auth,
    create_app,
    create_progress_app,
    progress_response,
    progress_token,
    serve,
)
from tests.conftest import RunBurst, StartWorker, until
from tests.records import HOUR, put_result, write_end, write_record
from tests.snippets import example_in, play
from tests.web import page_of

ROOT = Path(__file__).parents[2]


def public_of(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """What a module offers, and what its classes do."""
    for name in module.__all__:
        found = getattr(module, name)
        yield name, found
        if inspect.isclass(found):
            yield from members_of(found)


def members_of(kind: type) -> Iterator[tuple[str, Any]]:
    # also of the classes that it is made of, as far as they are ours
    ours = [vars(it) for it in reversed(kind.__mro__) if it.__module__.startswith("arq_status")]
    for name, member in {name: it for own in ours for name, it in own.items()}.items():
        if not name.startswith("_") and (callable(member) or isinstance(member, property)):
            yield f"{kind.__name__}.{name}", member


PUBLIC: dict[str, Any] = {
    **dict(public_of(arq_status)),
    **dict(members_of(type(tracker().sync))),
    **dict(public_of(testing)),
    **dict(public_of(web)),
}
# what a class has from another public one is told there
PUBLIC = {
    name: it
    for name, it in PUBLIC.items()
    if name == next(first for first, other in PUBLIC.items() if other is it)
}
DOCS = {name: inspect.cleandoc(it.__doc__ or "") for name, it in PUBLIC.items()}
FUNCTIONS = [name for name in arq_status.__all__ if f"StatusClient.{name}" in PUBLIC]
EXAMPLES = {
    name: source
    for name, doc in DOCS.items()
    if name not in FUNCTIONS and (source := example_in(doc))
}


# What they say


@pytest.mark.parametrize("name", PUBLIC)
def test_docstrings(name: str) -> None:
    """Each is there, begins with a sentence, and names what the callable takes."""
    assert re.match(r"[A-Z`][^\n]*[.:]$", DOCS[name].partition("\n\n")[0], re.DOTALL), DOCS[name]
    told = DOCS[name]
    if alike := re.search(r"\b(?:as|See) ``((?:JobTracker|StatusClient)\.\w+)``", told):
        told += DOCS[alike[1]]
    if inspect.isfunction(PUBLIC[name]) or name == "StatusClient":
        taken = set(inspect.signature(PUBLIC[name]).parameters)
        if "what arq's ``enqueue_job`` takes" in told:
            taken -= set(inspect.signature(ArqRedis.enqueue_job).parameters)
        # whose id it is the class says
        assert taken - {"self", "job_id"} <= set(re.findall(r"\w+", told))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_documented_as_methods(name: str) -> None:
    """A function of the package has the words of the client's method; its example is its own."""
    words = DOCS[f"StatusClient.{name}"]
    assert DOCS[name] == words.replace(" client.", " arq_status.")
    assert "client." not in (example_in(DOCS[name]) or "")


@pytest.mark.parametrize(
    "kind", [JobRecord, Page, Status, FunctionStats, QueueRecord, WorkerRecord, CronRecord]
)
def test_every_field_is_told(kind: Any) -> None:
    """In their order, by their names."""
    names = list(Status.__members__) if kind is Status else [it.name for it in fields(kind)]
    assert re.findall(r"^    (\w+): ", DOCS[kind.__name__], re.MULTILINE) == names


# What they show


async def test_settings(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst, dsn: str
) -> None:
    """Options of a function and of a worker are heeded by a worker with these settings."""

    async def resize(ctx: dict[str, Any]) -> None: ...

    names = {"status_options": status_options, "func": func, "timedelta": timedelta}
    shown = await play(EXAMPLES["status_options"], dsn, **names, resize=resize)
    await pool.enqueue_job("import_rows", "rows.csv", _job_id="rows")
    await pool.enqueue_job(resize.__qualname__, _job_id="resize")
    await run_burst(track_status({"functions": shown["functions"]}))
    record = await client.job("rows")
    assert record is not None
    assert record.expires_at is not None
    assert record.ended_at is not None
    assert (record.args, record.expires_at - record.ended_at) == ("", timedelta(days=30))
    assert await client.status("resize") is None

    names = {"track_status": track_status, "timedelta": timedelta, "Worker": Worker}
    shown = await play(EXAMPLES["track_status"], dsn, **names, import_rows=resize)
    assert isinstance(shown["worker"], Worker)
    await pool.enqueue_job(resize.__qualname__, _job_id="day")
    await run_burst(shown["WorkerSettings"])
    record = await client.job("day")
    assert record is not None
    assert record.expires_at is not None
    assert record.ended_at is not None
    assert record.expires_at - record.ended_at == timedelta(days=1)


async def test_reports(dsn: str) -> None:
    """A tracker counts what the examples do, in a job, below it and in a thread."""
    status = tracker()
    shown = await play(EXAMPLES["JobTracker"], dsn, JobTracker=JobTracker)
    await shown["import_rows"]({"status": status}, ["one", "two"])
    record = status.record
    assert (record.at, record.total, record.message) == (1, 2, "Row two")
    assert record.data == {"vino": "veritas"}

    shown = await play(EXAMPLES["current_tracker"], dsn, current_tracker=current_tracker)
    with tracker() as status:
        await shown["insert"]("one")
    assert status.record.at == 1

    seen: list[str] = []

    async def insert(row: str) -> None:
        seen.append(row)

    names = {"status": tracker(), "rows": ["one", "two"], "insert": insert}
    await play(EXAMPLES["JobTracker.track"], dsn, **names)
    record = names["status"].record  # type: ignore[attr-defined]
    assert (seen, record.at, record.message) == (["one", "two"], 2, "Importing")

    status = tracker()
    names = {"asyncio": asyncio, "crunch": lambda sync: sync.at(7)}
    await play(EXAMPLES["JobTracker.sync"], dsn, **names, status=status)
    assert status.record.at == 7


async def test_stopping(dsn: str) -> None:
    """A job that is stopped may tidy up first."""
    status, tidied = tracker(), []

    async def roll_back() -> None:
        tidied.append("rows")

    status.stop()
    with pytest.raises(JobStopped):
        await play(
            EXAMPLES["JobStopped"], dsn, status=status, JobStopped=JobStopped, roll_back=roll_back
        )
    assert tidied == ["rows"]


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("get_all", "complete 5 veritas\n"),
        ("watch", "complete 100 Done\n"),
        ("list_jobs", "bad ValueError: no rows\n"),
        ("counts", "1\n"),
        ("store", ""),
        ("wait", ""),
    ],
)
async def test_questions(
    pool: ArqRedis,
    client: StatusClient,
    dsn: str,
    capsys: pytest.CaptureFixture[str],
    name: str,
    printed: str,
) -> None:
    """Methods answer, of jobs that ended and of one that goes on."""
    await write_end(pool, "job", fields={"vino": "veritas"}, at=5, message="Done")
    error = "ValueError: no rows"
    await write_end(pool, "bad", State.FAILED, function="import_rows", error=error)
    await write_record(pool, "on", State.RETRYING)
    source = EXAMPLES[f"StatusClient.{name}"].replace("timeout=30", "timeout=0.01")
    source = source.replace("Status.WORKING", "Status.COMPLETE")
    names = {"arq_status": arq_status, "client": client, "Status": Status}
    shown = await play(source, dsn, **names, job_id="job")
    assert capsys.readouterr().out == printed
    if name == "store":
        assert await client.get("job", "reviewed_by") == "ann"
    if name == "wait":
        assert shown["record"] == await client.job("job")


async def test_what_happened(
    pool: ArqRedis,
    client: StatusClient,
    run_burst: RunBurst,
    dsn: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A job logs, the hook knows how it failed, and its tries and its log tell of it."""
    alerts: list[tuple[str, str]] = []

    async def alert(job_id: str, error: BaseException) -> None:
        alerts.append((job_id, str(error)))

    async def fails(ctx: dict[str, Any]) -> None:
        await play(EXAMPLES["JobTracker.log"], dsn, status=ctx["status"])
        raise ValueError("no rows")

    shown = await play(EXAMPLES["JobTracker.record"], dsn, Status=Status, alert=alert)
    await pool.enqueue_job("fails", _job_id="job")
    functions = [func(fails, name="fails")]
    await run_burst(track_status({"functions": functions, "on_job_end": shown["on_job_end"]}))
    assert alerts == [("job", "no rows")]
    for name in ("tries", "logs"):
        await play(EXAMPLES[f"StatusClient.{name}"], dsn, client=client, job_id="job")
    tries, logs = capsys.readouterr().out.splitlines()
    assert tries == "1 failed ValueError: no rows"
    assert logs.endswith(" warning Row 7 has no name")


async def test_many_jobs(
    pool: ArqRedis, client: StatusClient, dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Jobs are enqueued in groups and with tags, followed, and acted on together."""
    names: dict[str, Any] = {"arq_status": arq_status, "client": client, "redis": pool}
    names |= {"rows": ["one", "two"], "Status": Status}
    await play(EXAMPLES["JobGroup"], dsn, **names)
    await play(EXAMPLES["StatusClient.group"], dsn, **names)
    shown = await play(EXAMPLES["enqueue_job"], dsn, **names)
    record = await client.job(shown["job"].job_id)
    assert record is not None
    assert record.tags == ("tenant:42",)
    await play(EXAMPLES["StatusClient.stop_jobs"], dsn, **names)
    await play(EXAMPLES["GroupRecord"], dsn, **names)
    await play(EXAMPLES["StatusClient.watch_group"], dsn, **names)
    job_ids = [it.job_id for it in (await client.list_jobs(group="import-7")).items]
    await play(EXAMPLES["StatusClient.watch_many"], dsn, **names, job_ids=job_ids)
    assert len(job_ids) == 4
    printed = "4 of 4, 0 failed\n4 4 100\n" + "".join(f"{it} stopped 0\n" for it in job_ids)
    assert capsys.readouterr().out == printed
    await play(EXAMPLES["StatusClient.retry_jobs"], dsn, **names)


async def test_changes(pool: ArqRedis, client: StatusClient, dsn: str) -> None:
    """Whoever follows changes is told of those that match."""
    told: list[JobRecord] = []

    async def notify(record: JobRecord) -> None:
        told.append(record)

    following = play(EXAMPLES["StatusClient.changes"], dsn, client=client, notify=notify)
    task = asyncio.create_task(following)
    tags = ("tenant:42",)

    async def is_told() -> bool:
        job_id = f"job-{monotonic()}"
        await write_end(pool, f"good {job_id}", tags=tags)
        await write_end(pool, job_id, State.FAILED, tags=tags)
        return bool(told)

    await until(is_told)
    task.cancel()
    await asyncio.wait([task])
    assert {it.status for it in told} == {Status.FAILED}


async def test_clients(
    pool: ArqRedis, client: StatusClient, dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A client asks the Redis of its own, and a record tells what it holds."""
    await write_end(pool, "job", State.FAILED, fields={"vino": "veritas"}, error="No rows")
    names = {"arq_status": arq_status, "StatusClient": StatusClient, "job_id": "job"}
    await play(EXAMPLES["StatusClient"], dsn, **names)
    await play(EXAMPLES["JobRecord"], dsn, **names)
    assert capsys.readouterr().out == "failed\nfailed 0:00:00 No rows veritas\n"
    await put_result(pool, "old", finished=timestamp_ms() - 20 * HOUR)
    assert await arq_status.status("old") is None
    await play(EXAMPLES["configure"], dsn, timedelta=timedelta, arq_status=arq_status)
    assert await arq_status.status("old") is Status.COMPLETE
    await default_client().aclose()


async def test_dashboard(pool: ArqRedis, dsn: str) -> None:
    """All may look at the dashboard, and one may act."""
    names = {"app": FastAPI(), "create_app": create_app, "RedisSettings": RedisSettings}
    shown = await play(EXAMPLES["create_app"], dsn, **names)
    await write_end(pool, "job")
    async with page_of(shown["app"]) as page:
        assert (await page.get("/admin/statuses")).status_code == 200
        url, form, headers = "/admin/statuses/job", {"action": "delete"}, {"X-Arq-Status": "1"}
        assert (await page.post(url, data=form, headers=headers)).status_code == 403
        headers["X-User"] = "ann"
        assert (await page.post(url, data=form, headers=headers)).status_code == 303


async def test_dashboard_alone(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is served as the example says."""
    served: dict[str, Any] = {}
    monkeypatch.setattr(uvicorn, "run", lambda app, **options: served.update(options, app=app))
    await play(EXAMPLES["serve"], dsn, serve=serve)
    assert served["port"] == 8080
    async with page_of(served["app"]) as page:
        url = "http://localhost/statuses/job"
        answer = await page.post(url, data={"action": "delete"}, headers={"X-Arq-Status": "1"})
        assert "read-only" in answer.text


async def test_dashboard_with_a_password(
    pool: ArqRedis, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who knows both user and password gets in."""
    monkeypatch.setenv("JOBS_PASSWORD", "hunter2")
    apps: list[Any] = []
    names = {"basic_auth": basic_auth, "os": os, "redis": pool}
    await play(
        EXAMPLES["basic_auth"],
        dsn,
        **names,
        create_app=lambda *a, **b: apps.append(create_app(*a, **b)),
    )
    async with page_of(apps[0]) as page:
        assert (await page.get("/statuses")).status_code == 401
        assert (await page.get("/statuses", auth=("ann", "hunter2"))).status_code == 200


async def test_progress_of_customers(pool: ArqRedis, client: StatusClient, dsn: str) -> None:
    """The holder of a token, or whom an endpoint lets in, sees how far a job is."""
    await pool.enqueue_job("f", _job_id="job")
    await client.store("job", rows=12)
    app, asked = FastAPI(), []

    async def check_owner(request: Request, job_id: str) -> None:
        asked.append(job_id)

    names: dict[str, Any] = {"SECRET": "0123456789abcdef", "app": app, "redis": pool}
    shown = await play(
        EXAMPLES["progress_token"], dsn, **names, timedelta=timedelta, job=await client.job("job"),
        progress_token=progress_token,
    )  # fmt: skip
    await play(
        EXAMPLES["create_progress_app"], dsn, **names, create_progress_app=create_progress_app
    )
    await play(
        EXAMPLES["progress_response"], dsn, **names, client=client, Request=Request,
        check_owner=check_owner, progress_response=progress_response,
    )  # fmt: skip
    async with page_of(app) as page:
        for url in (f"/progress/{shown['token']}", "/imports/job/progress"):
            told = (await page.get(url)).json()
            assert (told["status"], told["data"]) == ("queued", {"rows": 12})
    assert asked == ["job"]


MODULE = """
from arq_status import track_status

async def import_rows(ctx, path):
    await ctx["status"].at(100)

@track_status
class WorkerSettings:
    functions = [import_rows]
"""
TESTS = """
import pytest
from module import WorkerSettings, import_rows
import arq_status
from arq_status import JobStopped, current_tracker
from arq_status.testing import inline, tracker

{inline}

async def test_inline(pool):
    await pool.enqueue_job("import_rows", "rows.csv", _job_id="rows")
    assert await arq_status.is_complete("rows")

async def test_run_jobs():
{run_jobs}
        assert await arq_status.is_complete("rows")
"""


def test_tests(tmp_path: Path) -> None:
    """The helpers for tests work in tests of users."""
    run_jobs = indent(EXAMPLES["InlinePool.run_jobs"], "    ").rstrip()
    tests = TESTS.format(inline=EXAMPLES["inline"], run_jobs=run_jobs)
    for number, name in enumerate(("tracker", "StandaloneTracker", "StandaloneTracker.stop")):
        tests += f"\nasync def test_{number}():\n{indent(EXAMPLES[name], '    ')}\n"
    (tmp_path / "module.py").write_text(MODULE)
    (tmp_path / "test_module.py").write_text(tests)
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:valkey"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
        capture_output=True,
        check=False,
    )
    assert "5 passed" in done.stdout, done.stdout


async def test_insight(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker, dsn: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """What is known of functions, queues, workers and cron jobs has the fields that are shown."""

    async def nightly(ctx: dict[str, Any]) -> None: ...

    cron_jobs = [cron(nightly, hour=3)]
    await start_worker(track_status({"functions": [nightly], "cron_jobs": cron_jobs}))
    for name in "functions activity queues workers crons".split():

        async def shown(example: str = EXAMPLES[f"StatusClient.{name}"]) -> str:
            await play(example, dsn, client=client, timedelta=timedelta)
            return capsys.readouterr().out

        assert await until(shown)


def test_every_example_is_tested() -> None:
    """No docstring shows what this file does not run."""
    asked = "get_all watch list_jobs counts store wait tries logs".split()
    asked += "functions activity queues workers crons".split()
    asked += "group watch_group stop_jobs retry_jobs changes watch_many".split()
    assert set(EXAMPLES) == {
        *(f"StatusClient.{name}" for name in asked),
        *"enqueue_job JobGroup GroupRecord".split(),
        *"status_options track_status JobTracker JobTracker.track JobTracker.sync".split(),
        *"JobTracker.log JobTracker.record".split(),
        *"current_tracker JobStopped StatusClient configure JobRecord create_app serve".split(),
        *"basic_auth create_progress_app progress_token progress_response".split(),
        *"inline InlinePool.run_jobs tracker StandaloneTracker StandaloneTracker.stop".split(),
    }
