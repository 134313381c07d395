"""The command ``doctor`` and its output."""

from collections.abc import Sequence

from redis.asyncio import Redis
from redis.exceptions import NoPermissionError
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from arq_status._model.truth import decide
from arq_status._redis import keys
from arq_status._redis.announcements import decode_options
from arq_status._redis.commands import command
from arq_status.cli.context import Context, Exit, shown_dsn
from arq_status.cli.doctor.finding import Finding, Level
from arq_status.cli.doctor.job import check_job, check_missing
from arq_status.cli.doctor.packages import check_packages
from arq_status.cli.doctor.permissions import check_permissions
from arq_status.cli.doctor.queues import announced_queues, check_queues, queue_of, read_queues
from arq_status.cli.doctor.records import check_sample, take_sample
from arq_status.cli.doctor.server import check_server, read_server
from arq_status.cli.doctor.workers import (
    check_clocks,
    check_functions,
    check_workers,
    read_clock,
    read_workers,
)
from arq_status.cli.escaping import escaped

_LABELS = {
    Level.OK: ("✔ ok", "green"),
    Level.NOTE: ("● note", "cyan"),
    Level.WARNING: ("▲ warning", "yellow"),
    Level.PROBLEM: ("✘ problem", "bold red"),
}
_WIDEST = max(len(label) for label, _ in _LABELS.values())


async def doctor(context: Context) -> Exit:
    """Check everything, and print the findings with advice."""
    findings: list[Finding] = []
    try:
        await _examine(context, findings)
    except NoPermissionError as error:
        findings.append(Finding(Level.PROBLEM, "permissions", f"doctor cannot continue: {error}"))
    ok = not any(finding.level is Level.PROBLEM for finding in findings)
    answer = {"ok": ok, "findings": [finding.as_json() for finding in findings]}
    context.print_result(_view(findings), answer)
    return Exit.OK if ok else Exit.FAILED


async def _queues_to_check(redis: Redis) -> list[str]:
    try:
        return await announced_queues(redis)
    except NoPermissionError:
        # the check of permissions reports it, for every queue
        return []


async def _examine(context: Context, findings: list[Finding]) -> None:
    given, redis = context.arguments, context.redis
    findings += check_packages()
    findings += await check_permissions(redis, given.queues or await _queues_to_check(redis))
    server = await read_server(redis)
    findings += check_server(server, shown_dsn(given.redis))
    if not server.is_supported:
        return
    workers = await read_workers(redis)
    findings += check_workers(workers)
    announced = decode_options(await command(redis, "HGETALL", keys.FUNCTIONS))
    findings += check_functions(announced.functions)
    findings += check_clocks(await read_clock(redis), workers)
    queues = await read_queues(redis, context.client)
    findings += check_queues(queues, workers)
    findings += check_sample(await take_sample(redis, [queue.name for queue in queues]))
    if given.job_id is None:
        return
    facts = await context.client._facts(given.job_id)
    if facts is None:
        findings.append(Finding(Level.PROBLEM, "job", f"{given.job_id!r} is not a valid job id"))
    elif decide(facts) is None:
        findings += check_missing(facts, announced.functions, server.databases)
    else:
        other_queue = None if facts.queue else await queue_of(redis, given.job_id)
        findings += check_job(facts, workers, announced.names, other_queue)


def _view(findings: Sequence[Finding]) -> RenderableType:
    lines: list[RenderableType] = []
    about = ""
    for finding in findings:
        if finding.about != about:
            about = finding.about
            lines.append(Padding(Text(about, "bold"), (1 if lines else 0, 0, 0, 0)))
        label, style = _LABELS[finding.level]
        table = Table.grid(padding=(0, 1))
        table.add_column(width=_WIDEST)
        table.add_column(overflow="fold")
        table.add_row(Text(label, style), escaped(finding.text))
        if finding.advice is not None:
            table.add_row("", escaped(f"→ {finding.advice}", "bright_black"))
        lines.append(Padding(table, (0, 0, 0, 2)))
    return Group(*lines)
