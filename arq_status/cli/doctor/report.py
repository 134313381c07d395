"""``doctor``: finds out what is wrong, and why a job is missing."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from arq_status.cli.doctor.diagnosis import diagnose
from arq_status.cli.doctor.examination import examine, examine_server, queue_of
from arq_status.cli.doctor.findings import (
    Finding,
    Level,
    of_queues,
    of_sample,
    of_server,
    of_versions,
    of_workers,
)
from arq_status.cli.plain import told
from arq_status.cli.tool import Exit, Tool, shown_dsn

_MARKS = {
    Level.OK: ("✔ ok", "green"),
    Level.NOTE: ("● note", "cyan"),
    Level.WARNING: ("▲ warning", "yellow"),
    Level.PROBLEM: ("✘ problem", "bold red"),
}
_WIDEST = max(len(words) for words, _ in _MARKS.values())


async def doctor(tool: Tool) -> Exit:
    """Look around, and say what was found and what to do about it."""
    findings = await _look_around(tool)
    problems = any(finding.level is Level.PROBLEM for finding in findings)
    answer = {"ok": not problems, "findings": [finding.as_json() for finding in findings]}
    tool.answer(_view(findings), answer)
    return Exit.NOT_DONE if problems else Exit.FINE


async def _look_around(tool: Tool) -> list[Finding]:
    given, redis = tool.arguments, tool.redis
    server = await examine_server(redis)
    findings = [*of_server(server, shown_dsn(given.redis)), *of_versions()]
    if not server.suits:
        return findings
    examination = await examine(redis, given.queues)
    findings += of_workers(examination)
    findings += of_queues(examination)
    findings += of_sample(examination.sample)
    if given.job_id is not None:
        facts = await tool.client._facts(given.job_id)
        elsewhere = None if facts is None or facts.queue else await queue_of(redis, given.job_id)
        findings += diagnose(given.job_id, facts, examination, server, elsewhere)
    return findings


def _view(findings: Sequence[Finding]) -> RenderableType:
    lines: list[RenderableType] = []
    about = ""
    for finding in findings:
        if finding.about != about:
            about = finding.about
            lines.append(Padding(Text(about, "bold"), (1 if lines else 0, 0, 0, 0)))
        words, style = _MARKS[finding.level]
        table = Table.grid(padding=(0, 1))
        table.add_column(width=_WIDEST)
        table.add_column(overflow="fold")
        table.add_row(Text(words, style), told(finding.text))
        if finding.advice is not None:
            table.add_row("", told(f"→ {finding.advice}", "bright_black"))
        lines.append(Padding(table, (0, 0, 0, 2)))
    return Group(*lines)
