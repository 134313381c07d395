"""``stop``, ``cancel``, ``retry`` and ``delete``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Group
from rich.text import Text

from arq_status.cli.context import Context, Exit
from arq_status.cli.escaping import escaped


@dataclass(frozen=True, slots=True)
class Action:
    """What the command prints for an action: its help and its outcomes."""

    help: str
    done: str
    done_to_many: str
    refused: str


#: The filters, by their names as arguments of the command and of the client's `..._jobs`.
FILTERS = ["status", "function", "queue", "tag", "group", "search", "since", "until"]

ACTIONS: Mapping[str, Action] = {
    "stop": Action(
        "stop running jobs at their next progress call, and cancel waiting ones",
        "was asked to stop",
        "asked to stop",
        "is neither running nor waiting, or is not tracked",
    ),
    "cancel": Action(
        "remove waiting jobs from their queue for good",
        "was cancelled",
        "cancelled",
        "is not waiting in a queue",
    ),
    "retry": Action(
        "run failed, stopped or interrupted jobs again",
        "was enqueued again",
        "enqueued again",
        "cannot be run again: it is live, complete or unknown, or its payload was not kept",
    ),
    "delete": Action(
        "delete the tracking data of jobs, without stopping live ones",
        "was deleted",
        "deleted",
        "is not known",
    ),
}


async def act(context: Context) -> Exit:
    """Act on the jobs with the given ids, or on all that match the filters."""
    given = context.arguments
    filters = {name: getattr(given, name) for name in FILTERS if getattr(given, name) is not None}
    if given.job_ids:
        # with ids it only says where to look for them
        filters.pop("queue", None)
    if bool(given.job_ids) == bool(filters):
        return context.fail("Give either ids, or filters such as --status.", Exit.USAGE)
    name: str = given.command
    options: dict[str, Any] = {"force": given.force} if name == "stop" else {}
    if filters:
        return await _act_on_matching(context, name, filters | options)
    method = getattr(context.client, name)
    done = {it: bool(await method(it, **options)) for it in given.job_ids}
    action = ACTIONS[name]
    lines = [
        Text.assemble(
            Text("✔ ", "green") if succeeded else Text("✘ ", "red"),
            escaped(job_id, "bold"),
            f" {action.done if succeeded else action.refused}",
        )
        for job_id, succeeded in done.items()
    ]
    ok = all(done.values())
    context.print_result(Group(*lines), {"ok": ok, "jobs": done})
    return Exit.OK if ok else Exit.FAILED


async def _act_on_matching(context: Context, name: str, options: dict[str, Any]) -> Exit:
    number: int = await getattr(context.client, f"{name}_jobs")(**options)
    jobs = "1 job" if number == 1 else f"{number:,} jobs"
    context.print_result(Text(f"{jobs} {ACTIONS[name].done_to_many}"), {"ok": True, "jobs": number})
    return Exit.OK
