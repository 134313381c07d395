"""The documentation is complete: its tables, links and commands, and what it says of the code."""

import ast
import inspect
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

import arq_status
from arq_status import (
    ActivityPoint,
    CronRecord,
    FunctionStats,
    GroupRecord,
    JobRecord,
    JobTracker,
    LogLine,
    QueueRecord,
    StatusClient,
    Try,
    WorkerRecord,
    testing,
    track_status,
    web,
)
from arq_status._model.record import LETTERS, State
from arq_status._redis import keys
from arq_status.cli.parser import parse
from arq_status.web import create_app, create_progress_app, progress_token
from tests.redis.test_package import LAYERS
from tests.snippets import PAGES, ROOT, snippets


@pytest.mark.parametrize("page", sorted(PAGES))
def test_commands_parse(page: str) -> None:
    """The command takes the arguments that a page shows."""
    for command in _commands(page):
        parse(shlex.split(command, comments=True)[1:])


def _commands(page: str) -> Iterator[str]:
    for block in snippets(page, "shell"):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("arq-status "):
                # without what is done with its output
                yield re.split(r" [|&]", line)[0]


def test_every_command_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    """The page on the terminal names every command that ``--help`` lists."""
    with pytest.raises(SystemExit):
        parse(["--help"])
    commands = set(re.findall(r"^    (\w+)  ", capsys.readouterr().out, re.MULTILINE))
    table = PAGES["docs/terminal.md"].partition("## ")[0]
    assert {"list", "metrics", "serve"} < commands <= set(re.findall(r"\w+", table))


def test_all_folded_code_is_run() -> None:
    """Code in ``<details>`` is a module; this file imports each of them."""
    assert [page for page in PAGES if snippets(page, folded=True)] == ["docs/worker.md"]


def test_how_the_progress_element_is_styled_and_worded() -> None:
    """The script of the element knows every property and text that the page names, and no other."""
    script = (ROOT / "arq_status/web/progress/static/element.js").read_text()
    section = _section("docs/progress-bar.md", "The element")
    properties = re.compile(r"--job-progress-[a-z]+")
    assert set(properties.findall(section)) == set(properties.findall(script))
    [states] = re.findall(r"STATES = \{(.*?)\};", script, re.DOTALL)
    texts = {f"text-{name}" for name in re.findall(r"(\w+): \[", states)}
    assert set(re.findall(r"`(text-[a-z]+)`", section)) == texts


@pytest.mark.parametrize(
    ("page", "heading", "names"),
    [
        ("docs/worker.md", "Options", set(inspect.signature(track_status).parameters)),
        ("docs/dashboard.md", "Options", set(inspect.signature(create_app).parameters)),
        ("docs/progress-bar.md", "Tokens", set(inspect.signature(progress_token).parameters)),
        ("docs/progress-bar.md", "Tokens", set(inspect.signature(create_progress_app).parameters)),
        *(
            ("docs/insight.md", "Functions, queues, workers", {it.name for it in fields(kind)})
            for kind in (FunctionStats, ActivityPoint, QueueRecord, WorkerRecord, CronRecord)
        ),
        ("docs/groups-and-tags.md", "Groups", {it.name for it in fields(GroupRecord)}),
        ("docs/history.md", "Tries", {it.name for it in fields(Try)}),
        ("docs/history.md", "Log", {it.name for it in fields(LogLine)}),
        ("docs/queries.md", "Lists", set(inspect.signature(StatusClient.list_jobs).parameters)),
        ("docs/queries.md", "Clients", set(inspect.signature(StatusClient).parameters)),
        ("docs/queries.md", "The record", {it.name for it in fields(JobRecord)}),
        ("docs/worker.md", "Reporting", {it for it in vars(JobTracker) if it[0] != "_"} - {"sync"}),
    ],
)
def test_tables_are_complete(page: str, heading: str, names: set[str]) -> None:
    """A table names every parameter, field or call there is."""
    assert names - {"self", "settings"} <= set(re.findall(r"\w+", _section(page, heading)))


def _section(page: str, heading: str) -> str:
    sections = re.split(r"^#+ ", PAGES[page], flags=re.MULTILINE)
    [found] = [it for it in sections if it.startswith(f"{heading}\n")]
    return found


def test_every_log_line_is_documented() -> None:
    """The production page explains each line that is logged, and no others."""
    section = _section("docs/production.md", "Log lines")
    told = set(re.findall(r"^\| `(.*?)` \| \w+ \|", section, re.MULTILINE))
    assert told == set(_log_lines())


def _log_lines() -> Iterator[str]:
    for file in (ROOT / "arq_status").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                logger = ast.unparse(node.func.value)
                if logger in {"logger", "_log"} and isinstance(node.args[0], ast.Constant):
                    yield re.sub(r"%[rsd]", "...", str(node.args[0].value))


def test_the_layers() -> None:
    """The architecture page names every package, in the order in which they may import."""
    section = _section("docs/architecture.md", "Layers")
    named = re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE)
    assert tuple(re.findall(r"`(\w+)`", "".join(named))) == LAYERS


def test_every_key_is_documented() -> None:
    """The architecture page lists the keys in Redis, and no others."""
    section = _section("docs/architecture.md", "Keys")
    found = [re.sub(r"<.*", "", it) for it in re.findall(r"^\| `(.*?)` \|", section, re.MULTILINE)]
    prefixes = {it for it in vars(keys).values() if isinstance(it, str)}
    keys_of_ours = {it for it in prefixes if it.startswith(keys.PREFIX[:-1])} - {keys.PREFIX}
    assert sorted(found) == sorted(keys_of_ours)


def test_every_letter_of_the_stored_record_is_documented() -> None:
    """The architecture page explains each letter by the name of its field."""
    section = _section("docs/architecture.md", "The stored record")
    found = re.findall(r"^\| `(\w)` \| `(\w+)`", section, re.MULTILINE)
    assert {field: letter for letter, field in found} == LETTERS
    assert [it.value for it in State if f"`{it.value}`" not in section] == []


def test_the_glossary_is_short() -> None:
    """The glossary has at most 25 words."""
    section = _section("docs/architecture.md", "Glossary")
    assert len(re.findall(r"^\| (?!word|-)", section, re.MULTILINE)) in range(10, 26)


def test_costs_are_those_that_were_measured() -> None:
    """Each figure of the page on costs is one of the results of the benchmarks."""
    results = (ROOT / "tests/benchmarks/results.md").read_text()
    figures = re.findall(r"^\| .* \| ([^|]*\d[^|]*) \|$", PAGES["docs/costs.md"], re.MULTILINE)
    assert len(figures) > 10
    measured = set(re.findall(r"\d+(?:\.\d+)?", results))
    quoted = {number for it in figures for number in re.findall(r"\d+(?:\.\d+)?", it)}
    assert quoted <= measured


def test_every_function_is_documented() -> None:
    """Each public name stands on a page."""
    text = "".join(PAGES.values())
    names = {*arq_status.__all__, *web.__all__, *testing.__all__}
    assert [it for it in sorted(names) if not re.search(rf"\b{it}\b", text)] == []


def test_names_exist() -> None:
    """What pages call by its full name is there."""
    named = re.findall(r"\barq_status\.(\w+)\(", "".join(PAGES.values()))
    assert [it for it in sorted(set(named)) if not hasattr(arq_status, it)] == []


@pytest.mark.parametrize("page", sorted(PAGES))
def test_links_lead_somewhere(page: str) -> None:
    """Relative links name files of the project and headings in them."""
    for target in re.findall(r"\]\(([^)\s]+)\)", PAGES[page]):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        name = os.path.normpath(Path(page).parent / path) if path else page
        assert (ROOT / name).exists(), target
        if anchor:
            assert anchor in _anchors(PAGES[name]), target


def _anchors(text: str) -> set[str]:
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", it.lower()).replace(" ", "-") for it in headings}


def test_the_table_of_contents() -> None:
    """The README links every page, and is short."""
    assert [it for it in PAGES if it != "README.md" and f"({it})" not in PAGES["README.md"]] == []
    assert PAGES["README.md"].count("\n") <= 300
