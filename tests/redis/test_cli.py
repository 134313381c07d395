"""The ``arq-status`` command: its output for people and programs, and its exit codes."""

import asyncio
import importlib
import json
import os
import re
import runpy
import shlex
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any, NoReturn

import pytest
from arq import Retry, cron, func
from arq.connections import ArqRedis
from arq.utils import timestamp_ms
from rich.cells import cell_len

from arq_status import QueueRecord, Status, StatusClient, track_status
from arq_status._model.record import State
from arq_status._model.serialization import encode, job_object
from arq_status.cli import main
from arq_status.cli.app import _COMMANDS
from arq_status.cli.context import Context, shown_dsn
from arq_status.cli.escaping import escape
from arq_status.cli.parser import _parser, parse
from arq_status.web import create_app
from tests.conftest import StartWorker, ended, until
from tests.records import HOUR, begin, own_key, put_job, put_sample_jobs, write_end, write_record
from tests.redis.test_insight import count, tally_of
from tests.server import free_port
from tests.snippets import PAGES
from tests.web import page_of

ROOT = Path(__file__).parents[2]
HOSTILE = "\x1b[31mred\x1b[0m [bold]x[/] \u202eevil\u202c\x07\x00\r\n\ttab \x9b2J end"
JobContext = dict[str, Any]


@dataclass
class Answer:
    """The outcome of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The single document that it printed."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        """The lines that it printed, without blank ones."""
        return [line.strip() for line in self.out.splitlines() if line.strip()]


Command = Callable[..., Coroutine[Any, Any, Answer]]


@pytest.fixture
def command(
    pool: ArqRedis, dsn: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    """Runs the command in a thread, on the Redis under test, in a terminal of some width."""
    monkeypatch.setenv("REDIS_URL", dsn)

    async def run(*argv: str, width: int | None = 140) -> Answer:
        monkeypatch.delenv("COLUMNS", raising=False)
        if width is not None:
            monkeypatch.setenv("COLUMNS", str(width))
        capsys.readouterr()
        code = await asyncio.to_thread(main, argv)
        return Answer(code, *capsys.readouterr())

    return run


@pytest.fixture
async def jobs(pool: ArqRedis) -> None:
    """Jobs of several kinds."""
    await put_sample_jobs(pool)


async def test_list(command: Command, jobs: None) -> None:
    """The list shows what a job is, what it is doing and why it failed."""
    answer = await command("list")
    assert answer.code == 0
    text = answer.out
    assert text.splitlines()[0].split() == [
        "Job", "Function", "Status", "Progress", "Elapsed", "Updated", "Message",
    ]  # fmt: skip
    rows = {line.split()[0]: line for line in answer.lines[2:8]}
    assert set(rows) == {"done", "broken", "halted", "soon", "later", "retried"}
    assert "import_rows" in rows["done"]
    assert "● complete" in rows["done"]
    assert "100 %" in rows["done"]
    assert "8 s" in rows["done"]
    assert "ValueError: no vino none at all" in rows["broken"]
    assert "34 %" in rows["broken"]
    assert "in 4 h" in rows["later"]
    assert "so far" in rows["retried"]
    assert answer.lines[-2].startswith("● deferred 1   ● queued 1   ● retrying 1   ● complete 1")
    assert answer.lines[-1] == "6 jobs, page 1 of 1"
    assert "\x1b" not in text


@pytest.mark.parametrize("width", [20, 40, 50, 60, 72, 80, 95, 100, 120, 130, 200])
async def test_narrow_and_wide_terminals(
    command: Command, jobs: None, pool: ArqRedis, width: int
) -> None:
    """Ids, statuses and percentages are never cut, and no line is too wide."""
    await write_end(pool, "漢" * 30, function="package.module." + "long" * 20, message="wide" * 90)
    answer = await command("list", width=width)
    assert max(cell_len(line) for line in answer.out.splitlines()) <= width
    table = answer.out.partition("\n\n")[0]
    if width >= 40:
        for status in ("deferred", "queued", "retrying", "complete", "failed", "stopped"):
            assert f"● {status}" in table
        assert table.count("100 %") == 2
    answer = await command("show", "漢" * 30, width=width)
    assert max(cell_len(line) for line in answer.out.splitlines()) <= width


async def test_filters(command: Command, jobs: None) -> None:
    """The filters, orders and pages of ``list_jobs``, and the line about pages."""
    answer = await command("list", "--status", "failed", "--json")
    assert [job["job_id"] for job in answer.json["items"]] == ["broken"]
    answer = await command("list", "--function=resize", "--sort", "enqueued_at", "--ascending")
    assert [line.split()[0] for line in answer.lines[2:4]] == ["soon", "later"]
    assert (await command("list", "--search", "ESIZ")).lines[-1] == "2 jobs, page 1 of 1"
    assert (await command("list", "--search", "ESIZ")).lines[-3] == "All jobs, without the filters:"
    answer = await command("list", "--page", "2", "--per-page", "5")
    assert answer.lines[-1] == "6 jobs, page 2 of 2"
    assert (await command("list", "--search", "nobody")).lines[-1] == "0 jobs, page 1 of 1"
    answer = await command("--queue", "other", "list", "--json")
    assert answer.json["counts"]["queued"] == 0
    answer = await command("--queue", "other", "--queue", "arq:queue", "list", "--json")
    assert answer.json["counts"]["queued"] == 1
    answer = await command("list", "--status", "failed", "--status", "stopped", "--json")
    assert {job["job_id"] for job in answer.json["items"]} == {"broken", "halted"}


async def test_filters_by_queue_and_time(command: Command, pool: ArqRedis) -> None:
    """A single queue, even an unannounced one; times ago and dates."""
    now = timestamp_ms()
    await write_end(pool, "old", ended=now - 10 * 60_000)
    await write_end(pool, "new", ended=now - 60_000)
    await write_end(pool, "mail", queue="emails", ended=now - 61_000)
    await put_job(pool, "waits", queue="emails", due=now - 30_000)

    async def listed(*argv: str) -> list[str]:
        return [it["job_id"] for it in (await command("list", "--json", *argv)).json["items"]]

    assert await listed("--queue", "emails") == ["waits", "mail"]
    assert await listed("--queue", "arq:queue") == ["new", "old"]
    assert await listed("--since", "5m", "--queue", "arq:queue") == ["new"]
    assert await listed("--until", "5m") == ["old"]
    date = datetime.fromtimestamp(now / 1000 - 300, UTC).isoformat()
    assert await listed("--since", date, "--status", "complete") == ["new", "mail"]


async def test_a_list_of_the_newest(
    command: Command, pool: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list says if it does not cover all jobs."""
    monkeypatch.setattr("arq_status._client.listing.NEWEST", 1)
    for name in ("one", "two"):
        await write_end(pool, name)
    answer = await command("list", "--function", "f")
    assert answer.lines[-1] == "1 job, page 1 of 1, of the newest 10,000"


async def test_json_of_a_list(command: Command, client: StatusClient, jobs: None) -> None:
    """One document with the jobs, the page numbers and the counts."""
    answer = await command("--json", "list", "--sort", "function")
    document = answer.json
    items = document.pop("items")
    assert document == {
        "total": 6, "page": 1, "per_page": 25, "truncated": False, "counts": await client.counts(),
    }  # fmt: skip
    page = await client.list_jobs(sort="function")
    expected = [json.loads(encode(job_object(it))) for it in page.items]
    # which keeps counting
    assert [it | {"waited": 0} for it in items] == [it | {"waited": 0} for it in expected]
    done = next(it for it in items if it["job_id"] == "done")
    assert datetime.fromisoformat(done["ended_at"]).tzinfo is not None
    # lists have no data
    assert (done["elapsed"], done["data"]) == (8.0, {})
    assert len(answer.out.splitlines()) == 1


async def test_show(command: Command, pool: ArqRedis, jobs: None) -> None:
    """It prints all that is known about a job."""
    answer = await command("show", "done")
    assert answer.code == 0
    assert answer.lines[0] == "done  ● complete"
    facts = dict(line.split(maxsplit=1) for line in answer.lines[1:] if line[0].islower())
    assert facts["function"] == "import_rows"
    assert facts["args"] == "'rows.csv'"
    assert facts["progress"].endswith("100 %   40 of 50")
    assert facts["elapsed"] == "8 s"
    assert re.search(r"\((just now|\d s ago)\)$", facts["ended"])
    assert facts["expires"].endswith("(in 29 min)")
    assert '"vino": "veritas"' in answer.out
    assert "error" not in facts
    answer = await command("show", "broken")
    assert "ValueError: no vino\n" in answer.out
    assert "none at all" in answer.out
    assert (await command("show", "done", "--json")).json["message"] == "Importing"
    assert "due" in (await command("show", "later")).out
    assert "● queued" in (await command("show", "soon")).out
    for at, figures in ((7, "7"), (0, "0 %")):
        run = await put_job(pool, "endless")
        await begin(pool, "endless")
        await write_record(pool, "endless", run=run, at=at, total=0, worker="host:1:x")
        assert re.search(rf"progress +━* *{figures}\n", (await command("show", "endless")).out)


async def test_counts(command: Command, client: StatusClient, jobs: None) -> None:
    """Every status has its number."""
    answer = await command("counts")
    assert [line.split()[1] for line in answer.lines] == list(Status)
    assert answer.lines[4].split() == ["●", "complete", "1"]
    assert (await command("counts", "--json")).json == await client.counts()


async def test_actions(command: Command, client: StatusClient, pool: ArqRedis, jobs: None) -> None:
    """``cancel``, ``retry``, ``stop`` and ``delete`` report for each job whether they succeeded."""
    answer = await command("cancel", "soon", "done")
    assert answer.code == 1
    assert answer.lines == ["✔ soon was cancelled", "✘ done is not waiting in a queue"]
    assert await client.is_stopped("soon")
    answer = await command("retry", "soon", "--json")
    assert (answer.code, answer.json) == (0, {"ok": True, "jobs": {"soon": True}})
    assert await client.is_queued("soon")
    answer = await command("stop", "--force", "soon")
    assert (answer.code, answer.lines) == (0, ["✔ soon was asked to stop"])
    answer = await command("delete", "done", "nobody", "--json")
    assert (answer.code, answer.json["ok"]) == (1, False)
    assert answer.json["jobs"] == {"done": True, "nobody": False}
    assert await client.status("done") is None


async def test_actions_on_all_that_match(
    command: Command, client: StatusClient, pool: ArqRedis
) -> None:
    """With filters they print a count; without ids or filters, or with both, they fail."""
    async with client.group("g") as group:
        for number in range(3):
            await group.enqueue_job(pool, "resize", _job_id=str(number), _tags=["t"])
    listed = await command("list", "--tag", "t", "--json")
    assert {it["job_id"] for it in listed.json["items"]} == {"0", "1", "2"}
    listed = await command("list", "--group", "g", "--since", "1h", "--json")
    assert [it["tags"] for it in listed.json["items"]] == [["t"]] * 3
    shown = await command("show", "0")
    assert ["tags", "t"] in [it.split() for it in shown.lines]
    answer = await command("cancel", "--function", "resize", "--tag", "t", "--queue", "arq:queue")
    assert (answer.code, answer.lines) == (0, ["3 jobs cancelled"])
    answer = await command("retry", "--status", "stopped", "--search", "1", "--json")
    assert (answer.code, answer.json) == (0, {"ok": True, "jobs": 1})
    assert (await command("stop", "--force", "--group", "g")).lines == ["1 job asked to stop"]
    assert (await command("delete", "--until", "7d")).lines == ["0 jobs deleted"]
    for argv in (["retry"], ["retry", "1", "--status", "failed"]):
        answer = await command(*argv)
        assert (answer.code, answer.out) == (2, "")
        assert "filters such as --status" in answer.err
    answer = await command("delete", "1", "--queue", "arq:queue")
    assert (answer.code, answer.lines) == (0, ["✔ 1 was deleted"])
    assert (await command("retry", "done")).code == 1


async def test_unknown_jobs(command: Command) -> None:
    """They give one sentence, and an exit code for scripts."""
    for name in ("show", "watch"):
        answer = await command(name, "nobody")
        assert (answer.code, answer.out) == (1, "")
        assert answer.err == (
            "arq-status: no job 'nobody' is known; 'arq-status doctor ID' may say why\n"
        )
    answer = await command("show", "no\x1b[31mbody", "--json")
    assert answer.json == {
        "error": "no job 'no\\x1b[31mbody' is known; 'arq-status doctor ID' may say why"
    }


@pytest.fixture
async def slow_jobs(start_worker: StartWorker) -> asyncio.Event:
    """A worker for jobs that take their next step when told to."""
    step = asyncio.Event()

    async def work(ctx: JobContext, steps: int, *, total: int = 4, error: str = "") -> None:
        await ctx["status"].total(total)
        for number in range(steps):
            await ctx["status"].at(number, f"step {number}")
            await step.wait()
            step.clear()
        if error == "again":
            raise Retry(defer=3600)
        if error:
            raise ValueError(error)

    await start_worker(track_status({"functions": [func(work, name="work")]}))
    return step


async def test_watching_for_machines(
    command: Command, pool: ArqRedis, slow_jobs: asyncio.Event
) -> None:
    """``watch --json`` prints a line for each change, and finally for the end."""
    await pool.enqueue_job("work", 3, _job_id="job")
    with redirect_stdout(StringIO()) as out:
        watching = asyncio.create_task(command("watch", "job", "--json"))
        for number in range(3):
            await until(partial(is_in, f'"step {number}"', out))
            slow_jobs.set()
        answer = await watching
    records = [json.loads(line) for line in out.getvalue().splitlines()]
    assert answer.code == 0
    messages = [it["message"] for it in records]
    # if it took long, one moment may have two lines
    assert list(dict.fromkeys(messages[messages.index("step 1") :])) == ["step 1", "step 2"]
    assert records[-1]["status"] == "complete"
    assert records[-1]["ended_at"] is not None


def is_in(words: str, out: StringIO) -> bool:
    return words in out.getvalue()


async def test_watching_without_patience(command: Command, pool: ArqRedis) -> None:
    """A timeout of 0 reads the jobs once."""
    await write_end(pool, "done")
    await put_job(pool, "waits")
    assert (await command("watch", "done", "--timeout", "0")).code == 0
    answer = await command("watch", "waits", "--timeout", "0")
    assert (answer.code, answer.err) == (1, "arq-status: 'waits' has not ended after 0 s\n")
    answer = await command("watch", "nobody", "--timeout", "0")
    assert "no job 'nobody' is known" in answer.err


async def test_watching_several(
    command: Command, pool: ArqRedis, client: StatusClient, slow_jobs: asyncio.Event
) -> None:
    """Without a terminal each change is a line; 1 means that a job is not complete."""
    await pool.enqueue_job("work", 0, _job_id="good")
    await pool.enqueue_job("work", 0, error=HOSTILE, _job_id="bad")
    await ended(client, "bad")
    answer = await command("watch", "good", "bad", "good")
    assert answer.code == 1
    assert sorted(answer.lines) == [
        f"bad  failed  0 %  ValueError: {escape(HOSTILE)}",
        "good  complete  100 %",
    ]


async def test_watching_in_a_terminal(
    command: Command,
    pool: ArqRedis,
    client: StatusClient,
    slow_jobs: asyncio.Event,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each job has a moving bar; the last frame stays."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    await pool.enqueue_job("work", 2, _job_id="job")
    await pool.enqueue_job("work", 0, error=HOSTILE, _job_id="bad")
    await pool.enqueue_job("work", 1, error="again", _job_id="again")
    await pool.enqueue_job("work", 1, total=0, _job_id="endless")
    await put_job(pool, "waits", due=timestamp_ms() + HOUR)
    await put_job(pool, "elsewhere", queue="other")
    watched = ("job", "bad", "again", "endless", "waits", "elsewhere")
    with redirect_stdout(StringIO()) as out:
        watching = asyncio.create_task(command("watch", *watched, "--timeout", "50", width=100))
        for words in ("step 0", "due in 59 min", "waiting for a worker"):
            await until(partial(is_in, words, out))
        slow_jobs.set()
        await until(partial(is_in, "step 1", out))
        slow_jobs.set()
        for name in ("waits", "elsewhere"):
            assert await client.cancel(name)
        await until(partial(client.is_retrying, "again"))
        assert await client.cancel("again")
        answer = await watching
    assert answer.code == 1
    assert "● working" in out.getvalue()
    # the last frame stays, and starts with the first job
    picture = out.getvalue().rpartition("\x1b[90mjob\x1b[0m")[2]
    assert "step 1" in picture
    assert "cancelled before its next try" in picture
    assert "\\x1b[31mred" in picture
    assert "\u202e" not in out.getvalue()
    narrow = await command("watch", "job", width=30)
    assert narrow.code == 0


async def test_no_time_to_watch(command: Command, jobs: None) -> None:
    """A job that was never read has not ended either."""
    answer = await command("watch", "soon", "--timeout", "0")
    assert (answer.code, answer.err) == (1, "arq-status: 'soon' has not ended after 0 s\n")


async def test_watching_for_so_long(
    command: Command, pool: ArqRedis, client: StatusClient, jobs: None
) -> None:
    """``--timeout`` ends it, and so does deleting or cancelling the job."""
    answer = await command("watch", "soon", "--timeout", "0.05")
    assert answer.code == 1
    assert answer.err == "arq-status: 'soon' has not ended after 0.05 s\n"
    await write_record(pool, "running", worker="host:1:alive")
    await put_job(pool, "running")
    watching = asyncio.create_task(command("watch", "running", "--json"))
    await until(lambda: has_watchers(pool))
    # at once, or else it could be seen as interrupted
    async with pool.pipeline(transaction=True) as pipeline:
        pipeline.zrem("arq:queue", "running")
        pipeline.delete("arq:job:running", own_key("job:running"))
        await pipeline.execute()
    answer = await watching
    assert (answer.code, answer.err) == (1, "arq-status: 'running' was deleted\n")


async def has_watchers(pool: ArqRedis) -> bool:
    return bool(await pool.pubsub_channels("arqstatus:*"))


async def test_bad_usage(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong arguments exit with 2, and the error names the right ones."""
    for argv, words in (
        (["list", "--page", "0"], "page must be 1 or more, not 0"),
        (["list", "--per-page", "501"], "per_page must be 1 to 500, not 501"),
        (
            ["list", "--redis", "http://localhost"],
            "--redis or REDIS_URL is not a Redis DSN such as redis://localhost",
        ),
        (
            ["list", "--redis", "redis://me:sec/ret@localhost"],
            "--redis or REDIS_URL is not a Redis DSN",
        ),
        (["list", "--redis", "redis://[::1"], "--redis or REDIS_URL is not a Redis DSN"),
    ):
        answer = await command(*argv)
        assert answer.code == 2
        assert words in answer.err
        assert len(answer.err.splitlines()) == 1
    for argv, words in (
        ([], "the following arguments are required: COMMAND"),
        (["dance"], "invalid choice: 'dance'"),
        (["list", "--status", "dancing"], "invalid choice: 'dancing'"),
        (["list", "--since", "today"], "argument --since: 'today' is not a time: use 30m, 1h, 7d"),
        (["show"], "the following arguments are required: ID"),
        (["serve", "--json"], "unrecognized arguments: --json"),
    ):
        with pytest.raises(SystemExit) as caught:
            main(argv)
        assert caught.value.code == 2
        assert words in capsys.readouterr().err


def test_help_tells_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """``--help`` lists commands and exit codes; ``--version`` prints the version."""
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    for name in "list show watch stop cancel retry delete counts serve doctor".split():
        assert f"\n    {name} " in text
    assert "3    Redis cannot be reached" in text
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip()[0].isdigit()


def test_help_tells_what_every_argument_is_for() -> None:
    """Each argument of each command has a help; the examples are valid."""
    parser = _parser()
    [commands] = [it for it in parser._actions if isinstance(it.choices, dict)]
    for each in (parser, *dict(commands.choices or {}).values()):
        told = {it.dest: it.help for it in each._actions if it is not commands}
        assert all(told.values()), told
    examples = re.findall(r"^  arq-status (.*)$", parser.epilog or "", re.MULTILINE)
    given = [parse(it.split()) for it in examples]
    assert [it.command for it in given] == ["list", "watch", "retry", "doctor"]


async def test_redis_is_away(command: Command) -> None:
    """Every command that queries exits with 3 and one sentence, without the password."""
    dsn = f"redis://me:secret@localhost:{free_port()}/3?protocol=2"
    for argv in (["list"], ["counts"], ["show", "x"], ["watch", "x"], ["stop", "x"], ["doctor"]):
        answer = await command(*argv, "--redis", dsn, "--json")
        assert answer.code == 3
        [line] = answer.err.splitlines()
        assert "cannot be reached: Error 111 connecting to localhost" in line
        assert line.endswith(" Start it, or choose another one with --redis or REDIS_URL.")
        assert ".." not in line
        assert "me@localhost" in line
        assert "secret" not in answer.err + answer.out
        assert list(answer.json) == ["error"]


async def test_redis_refuses(command: Command, dsn: str) -> None:
    """A wrong password is reported as such."""
    answer = await command("list", "--redis", dsn.replace("//", "//nobody:secret@"))
    assert answer.code == 3
    assert "redis://nobody@127.0.0.1" in answer.err
    assert "refused a command: invalid username-password pair" in answer.err
    assert "secret" not in answer.err


async def test_redis_refuses_a_command(command: Command, pool: ArqRedis, dsn: str) -> None:
    """A command that the ACL forbids is reported in the server's words."""
    await acl(pool, "SETUSER guest on nopass ~* &* +@all -eval -evalsha")
    try:
        answer = await command("counts", "--redis", dsn.replace("//", "//guest:x@"))
    finally:
        await acl(pool, "DELUSER guest")
    assert answer.code == 3
    assert "redis://guest@127.0.0.1" in answer.err
    assert "refused a command: " in answer.err
    assert "evalsha" in answer.err
    assert answer.err.endswith(
        "Run 'arq-status doctor' to see which permissions the Redis user lacks.\n"
    )


async def acl(redis: Any, words: str) -> None:
    await redis.execute_command("ACL", *words.split())


def test_dsns_without_passwords() -> None:
    """No password is shown, wherever it is in the DSN."""
    assert shown_dsn("redis://:secret@host:1/2") == "redis://host:1/2"
    assert shown_dsn("rediss://me:secret@host?password=secret") == "rediss://me@host"
    assert shown_dsn("unix:///run/redis.sock?db=1&password=x") == "unix:///run/redis.sock"


async def test_hostile_text(command: Command, client: StatusClient, pool: ArqRedis) -> None:
    """Text from a job never controls the terminal, and is never taken for markup."""
    await write_end(
        pool, HOSTILE, State.FAILED, function=HOSTILE, args=HOSTILE, message=HOSTILE,
        error=HOSTILE, worker=f"{HOSTILE}:1:x", queue=HOSTILE,
        fields={HOSTILE: HOSTILE, "emoji": ":smile: 👩‍👩‍👧 \u2028"},
    )  # fmt: skip
    for argv in (["list"], ["show", HOSTILE], ["watch", HOSTILE], ["doctor", HOSTILE]):
        for width in (200, 60):
            answer = await command(*argv, width=width)
            text = answer.out + answer.err
            assert not {it for it in text if not it.isprintable() and it != "\n"}, argv
            assert "[bold]x[/]" in text.replace("\n", "") or width == 60
    answer = await command("show", HOSTILE, "--json")
    assert answer.json["message"] == HOSTILE
    assert answer.out.isascii()


def test_plain_text() -> None:
    """Harmless text is unchanged; on a single line, line breaks become spaces."""
    assert escape("château 漢字 [red] :x:") == "château 漢字 [red] :x:"
    assert escape("a\nb\tc") == "a b c"
    assert escape("a\nb\tc", multiline=True) == "a\nb\tc"
    assert escape("\u202e\u2066\u200f\ud800\x7f\x85") == "\\u202e\\u2066\\u200f\\ud800\\x7f\\x85"


async def test_lines_in_a_pipe(command: Command, jobs: None) -> None:
    """They are not wrapped."""
    assert "ValueError: no vino none at all" in (await command("list", width=None)).out


async def test_a_terminal_has_colours(
    command: Command, jobs: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Statuses have colours there, in addition to their words."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    answer = await command("counts")
    assert "\x1b[32m● complete" in answer.out
    assert "\x1b[1;31m● failed" in answer.out


async def test_a_closed_pipe(command: Command) -> None:
    """A reader that has left is no error, neither at once nor at exit."""
    for argv in (["list"], ["counts", "--json"]):
        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing, "w") as pipe, redirect_stdout(pipe):
            answer = await command(*argv)
        assert answer == Answer(0, "", "")


async def test_output_to_anything(command: Command) -> None:
    """A caller of ``main`` may have replaced stdout with anything."""
    with redirect_stdout(StringIO()) as out:
        assert (await command("counts", "--json")).code == 0
    assert list(json.loads(out.getvalue())) == list(Status)


def test_python_m(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """``python -m arq_status`` is the same command."""
    monkeypatch.setattr(sys, "argv", ["arq-status", "--version"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("arq_status", run_name="__main__")
    assert caught.value.code == 0
    assert capsys.readouterr().out.strip() == version("arq-status")


async def test_ctrl_c(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends any command with 130, and connections are closed."""

    async def interrupted(context: Context) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setitem(_COMMANDS, "counts", interrupted)
    answer = await command("counts")
    assert answer == Answer(130, "", "")


@pytest.mark.parametrize(
    ("missing", "argv", "words"),
    [
        ("rich", ["list"], "pip install 'arq-status[cli]'"),
        ("starlette", ["serve"], "pip install 'arq-status[web]'"),
        ("uvicorn", ["serve"], "pip install 'arq-status[web]'"),
    ],
)
def test_without_an_extra(
    missing: str,
    argv: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without an extra, a sentence tells how to install it."""
    importlib.import_module("arq_status.web")  # so that all of them are imported
    ours = [it for it in sys.modules if it.startswith(("arq_status.cli.", "arq_status.web"))]
    for name in sorted(ours, reverse=True):
        parent, _, child = name.rpartition(".")
        # both are restored at the end
        monkeypatch.setattr(sys.modules[parent], child, sys.modules[name])
        monkeypatch.delitem(sys.modules, name)
    for name in [missing, *(it for it in sys.modules if it.partition(".")[0] == missing)]:
        monkeypatch.setitem(sys.modules, name, None)
    assert main(argv) == 2
    assert words in capsys.readouterr().err
    if missing == "rich":
        monkeypatch.setitem(sys.modules, "arq_status.cli.app", None)
        with pytest.raises(ModuleNotFoundError, match="arq_status"):
            main(argv)


def test_what_serve_is_given(
    dsn: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Options are passed to ``arq_status.web.serve``; read-only needs no warning."""
    given: dict[str, Any] = {}
    monkeypatch.setattr("arq_status.web.serve", lambda client, **options: given.update(options))
    monkeypatch.setenv("REDIS_URL", dsn)
    assert main("serve --host 0.0.0.0 --port 1 --read-only --root-path /jobs".split()) == 0
    assert given == {
        "host": "0.0.0.0", "port": 1, "read_only": True, "root_path": "/jobs", "title": "Jobs",
        "authorize": None, "allowed_hosts": None,
    }  # fmt: skip
    assert capsys.readouterr().err == ""
    assert main(["serve", "--host", "::"]) == 0
    assert "everyone who can reach :: may act on jobs" in capsys.readouterr().err


async def test_serve_asks_for_a_password(
    pool: ArqRedis, dsn: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``--user`` takes the password from the environment, and requires one."""
    served: list[Any] = []
    monkeypatch.setattr("arq_status.web.serve", lambda client, **options: served.append(options))
    monkeypatch.setenv("REDIS_URL", dsn)
    monkeypatch.delenv("ARQ_STATUS_PASSWORD", raising=False)
    assert main(["serve", "--user", "ann"]) == 2
    words = "--user needs the password in the environment variable ARQ_STATUS_PASSWORD"
    assert capsys.readouterr().err == f"arq-status: {words}\n"
    monkeypatch.setenv("ARQ_STATUS_PASSWORD", "veritas")
    assert main(["serve", "--user", "ann", "--host", "::"]) == 0
    assert capsys.readouterr().err == ""
    [options] = served
    app = create_app(dsn, authorize=options["authorize"])
    async with page_of(app) as page:
        for auth, code in ((None, 401), (("ann", "vinum"), 401), (("ann", "veritas"), 200)):
            assert (await page.get("/statuses", auth=auth)).status_code == code


def test_serve_cannot_start(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit code of uvicorn never passes for that of an unreachable Redis."""
    monkeypatch.setattr("arq_status.web.serve", lambda client, **options: sys.exit(3))
    assert main(["serve", "--redis", dsn]) == 1


def test_serve_with_a_bad_address(capsys: pytest.CaptureFixture[str]) -> None:
    """A malformed DSN is reported before anything listens."""
    assert main(["serve", "--redis", "http://localhost"]) == 2
    assert "--redis or REDIS_URL is not a Redis DSN" in capsys.readouterr().err


async def test_the_commands_of_the_documentation(
    command: Command, pool: ArqRedis, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every documented command works, and every command is documented."""
    served: list[Any] = []
    monkeypatch.setattr("arq_status.web.serve", lambda *_, **options: served.append(options))
    monkeypatch.setenv("ARQ_STATUS_PASSWORD", "veritas")
    prepared: dict[str, Callable[[ArqRedis, str], Awaitable[object]]]
    prepared = {"cancel": put_job, "stop": put_job, "retry": put_cancelled_job}
    seen = set()
    for line in re.findall(r"^arq-status ([^|&\n]*)", PAGES["docs/terminal.md"], re.MULTILINE):
        words = line.replace("$job_id", "JOB_ID").replace("redis://localhost:6379/1", dsn)
        name, *argv = shlex.split(words)
        prepare = prepared.get(name, write_end)
        await prepare(pool, "JOB_ID")
        answer = await command(name, *argv)
        # without a worker there is a problem
        assert answer.code == int(name == "doctor"), answer
        seen.add(name)
        await pool.flushdb()
    assert seen == {*_COMMANDS, "serve"}
    assert len(served) == 3


async def put_cancelled_job(pool: ArqRedis, job_id: str) -> None:
    await put_job(pool, job_id)
    assert await StatusClient(pool).cancel(job_id)


async def stumble(ctx: JobContext) -> str:
    """A job that logs, retries and fails."""
    await ctx["status"].log(f"try {ctx['job_try']} begins")
    await ctx["status"].log("[bold]odd\x1b[0m", level="warning")
    if ctx["job_try"] == 1:
        raise Retry from ConnectionError("no answer")
    raise ValueError("no vino")


async def test_show_tells_why(
    command: Command, pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """Each try with its error, the last traceback, and the end of the log."""
    await start_worker(track_status({"functions": [stumble]}))
    await pool.enqueue_job("stumble", _job_id="job")
    await ended(client, "job")
    answer = await command("show", "job")
    text = answer.out
    assert re.search(r"try 1 .*retrying +ConnectionError: no answer", text)
    assert re.search(r"try 2 .*failed +ValueError: no vino", text)
    assert "raise ValueError(" in text
    assert text.index("Traceback (most recent call last):") < text.index("try 1 begins")
    assert "\x1b" not in text
    narrow = await command("show", "job", width=40)
    assert max(cell_len(line) for line in narrow.out.splitlines()) <= 40
    found = (await command("show", "job", "--json")).json
    assert [it["status"] for it in found["tries"]] == ["retrying", "failed"]
    assert [it["number"] for it in found["logs"]] == [1, 2, 3, 4]
    await client.retry("job")
    await until(lambda: _has_runs(client))
    assert "run 2, try 1" in (await command("show", "job")).out


async def recover(ctx: JobContext) -> None:
    """A job that succeeds at its second try."""
    if ctx["job_try"] == 1:
        raise Retry from ConnectionError("no answer")


async def test_show_of_a_job_that_recovered(
    command: Command, pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """Its tries are shown, but no traceback, because it has not failed."""
    await start_worker(track_status({"functions": [recover]}))
    await pool.enqueue_job("recover", _job_id="job")
    await ended(client, "job")
    answer = await command("show", "job")
    assert re.search(r"try 1 .*retrying +ConnectionError: no answer", answer.out)
    assert re.search(r"try 2 .*complete", answer.out)
    assert "Traceback" not in answer.out


async def test_an_action_on_no_jobs(command: Command) -> None:
    """Neither ids nor filters, or both, is an error, and nothing is done."""
    for argv in (["stop"], ["delete", "job", "--status", "failed"]):
        answer = await command(*argv)
        assert (answer.code, answer.out) == (2, "")
        assert "Give either ids, or filters" in answer.err


async def _has_runs(client: StatusClient) -> bool:
    return any(it.run == 2 for it in await client.tries("job"))


async def test_logs(command: Command, pool: ArqRedis, client: StatusClient) -> None:
    """All lines with their levels; for an unknown job a sentence."""
    await write_end(pool, "silent")
    assert (await command("logs", "silent")).out == ""
    answer = await command("logs", "none")
    assert answer.code == 1
    assert "no job 'none' is known" in answer.err


async def test_logs_are_followed_to_the_end(
    command: Command, pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """Each line is printed once, as it comes, and the command ends with the job."""

    async def talk(ctx: JobContext) -> None:
        for number in range(30):
            await ctx["status"].log(f"line {number}")
            await asyncio.sleep(0.02)

    await pool.enqueue_job("talk", _job_id="job")
    following = asyncio.create_task(command("logs", "job", "--follow", "--json"))
    await start_worker(track_status({"functions": [func(talk, name="talk")]}))
    answer = await following
    assert answer.code == 0
    messages = [json.loads(line)["message"] for line in answer.out.splitlines()]
    assert messages == [f"line {number}" for number in range(30)]
    plain = await command("logs", "job")
    assert plain.lines[0].endswith("info      line 0")


# functions, queues, workers, cron jobs


@pytest.fixture
async def insight(pool: ArqRedis, client: StatusClient, start_worker: StartWorker) -> None:
    """A worker that runs one of two jobs and has a cron job, and some ended jobs."""

    async def import_rows(ctx: JobContext, outcome: str) -> None:
        if outcome == "wait":
            await asyncio.sleep(3600)
        if outcome == "fail":
            raise ValueError("no vino")

    async def nightly(ctx: JobContext) -> None: ...

    functions = [
        func(import_rows, name="import_rows"),
        *(func(nightly, name=f"f{it}") for it in range(7)),
    ]
    cron_jobs = [cron(nightly, name="nightly", hour=3, minute=30)]
    await start_worker(track_status({"functions": functions, "cron_jobs": cron_jobs}))
    for number, outcome in enumerate(["return", "return", "fail", "wait", "wait"]):
        await pool.enqueue_job("import_rows", outcome, _job_id=f"job-{number}")

    async def is_counted() -> bool:
        found = {it.function: it.ended for it in await client.functions()}
        planned = [it for it in await client.crons() if it.next_run_at is not None]
        return found.get("import_rows") == 3 and bool(planned)

    await until(is_counted)
    await client.counts()
    await count(pool, tally_of(interrupted=1), "lost")
    await write_record(pool, "left", worker="host:7:x")


@pytest.mark.parametrize("width", [40, 80, 160])
@pytest.mark.parametrize("name", ["functions", "queues", "workers", "crons"])
async def test_insight_fits_the_terminal(
    command: Command, insight: None, name: str, width: int
) -> None:
    """Tables have as many columns as fit, and no line is too wide."""
    answer = await command(name, width=width)
    assert answer.code == 0
    assert max(map(cell_len, answer.out.splitlines())) <= width
    shown = {
        "functions": {40: "Failed", 80: "Wait p95", 160: "Longest"},
        "queues": {40: "Queued", 80: "Latency", 160: "Workers"},
        "workers": {40: "State", 80: "Started", 160: "import_rows"},
        "crons": {40: "Next", 80: "hour=3, minute=30", 160: "Last job"},
    }
    assert shown[name][width] in answer.out


async def test_insight(command: Command, insight: None) -> None:
    """The tables show how jobs ended, which workers are alive, and which are dead."""
    rows = (await command("functions", "--since", "1d", width=160)).lines
    [row] = [it.split() for it in rows if it.startswith("import_rows")]
    assert row[1:7] == ["arq:queue", "2", "1", "0", "0", "0"]
    assert "33.3 %" in " ".join(row)
    assert "(other)" not in rows
    assert (await command("functions", "--queue", "none")).lines == [
        "no tracked worker has announced a function"
    ]
    for name, none in (("workers", "there is no tracked"), ("crons", "no live worker has")):
        assert "arq:queue" in (await command(name, "--queue", "arq:queue", width=160)).out
        assert none in (await command(name, "--queue", "none")).out
    workers = (await command("workers", width=160)).out
    assert "● alive" in workers
    assert "● shut down" in workers
    assert "2 of 10" in workers
    assert "1 more" in workers


async def test_insight_in_json(command: Command, client: StatusClient, insight: None) -> None:
    """Like the records: times in ISO 8601, durations in seconds."""
    [queue] = (await command("queues", "--json")).json
    assert set(queue) == set(QueueRecord.__dataclass_fields__)
    assert (queue["name"], queue["working"]) == ("arq:queue", 2)
    [stats] = [
        it for it in (await command("functions", "--json")).json if it["function"] == "import_rows"
    ]
    assert (stats["complete"], stats["failed"]) == (2, 1)
    assert isinstance(stats["run_p95"], float)
    [cron_job] = (await command("crons", "--json")).json
    assert datetime.fromisoformat(cron_job["next_run_at"]).tzinfo is not None
    alive = [it for it in (await command("workers", "--json")).json if it["alive"]]
    assert set(alive[0]["running"]) == {"job-3", "job-4"}


async def test_insight_into_nothing(command: Command, pool: ArqRedis) -> None:
    """An empty Redis has one queue and no workers."""
    assert (await command("workers")).lines == ["there is no tracked worker"]
    assert (await command("crons")).lines == ["no live worker has announced a cron job"]
    await put_job(pool, "job", enqueued=timestamp_ms() - HOUR)
    [_, _, row] = (await command("queues")).lines
    assert row.split() == ["arq:queue", "1", "0", "0", "0", "1", "h", "0"]
