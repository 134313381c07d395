"""``stop``, ``cancel``, ``retry`` and ``delete``."""

from collections.abc import Mapping
from dataclasses import dataclass

from rich.console import Group
from rich.text import Text

from arq_status.cli.context import Context, Exit
from arq_status.cli.escaping import escaped


@dataclass(frozen=True, slots=True)
class Action:
    """How an action is described: in the help, of a job it was done to, and of any other."""

    help: str
    done: str
    refused: str


ACTIONS: Mapping[str, Action] = {
    "stop": Action(
        "stop running jobs at their next progress call, and take waiting ones out of their queue",
        "is told to stop",
        "does not run, or is not tracked",
    ),
    "cancel": Action(
        "take waiting jobs out of their queue for good",
        "is cancelled",
        "does not wait in a queue",
    ),
    "retry": Action(
        "run failed, stopped or interrupted jobs again",
        "is queued again",
        "did not fail, or its payload is gone",
    ),
    "delete": Action(
        "delete the tracking data of jobs; live jobs go on",
        "is deleted",
        "is not known",
    ),
}


async def act(context: Context) -> Exit:
    """Do to each job what the command is named after."""
    name: str = context.arguments.command
    method, options = getattr(context.client, name), {}
    if name == "stop":
        options = {"force": context.arguments.force}
    done = {it: bool(await method(it, **options)) for it in context.arguments.job_ids}
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
