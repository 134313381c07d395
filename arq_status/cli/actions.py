"""``stop``, ``cancel``, ``retry`` and ``delete``."""

from collections.abc import Awaitable, Callable
from functools import partial

from rich.console import Group
from rich.text import Text

from arq_status.cli.plain import told
from arq_status.cli.tool import Exit, Tool


async def stop(tool: Tool) -> Exit:
    """Stop jobs."""
    action = partial(tool.client.stop, force=tool.arguments.force)
    return await _act(tool, action, "is told to stop", "does not run, or is not tracked")


async def cancel(tool: Tool) -> Exit:
    """Take jobs out of their queues."""
    return await _act(tool, tool.client.cancel, "is cancelled", "does not wait in a queue")


async def retry(tool: Tool) -> Exit:
    """Run jobs again."""
    not_done = "did not fail, or what it was enqueued with is gone"
    return await _act(tool, tool.client.retry, "is queued again", not_done)


async def delete(tool: Tool) -> Exit:
    """Forget what was tracked of jobs."""
    return await _act(tool, tool.client.delete, "is forgotten", "is not known")


async def _act(
    tool: Tool, action: Callable[[str], Awaitable[object]], done: str, not_done: str
) -> Exit:
    outcomes = {job_id: bool(await action(job_id)) for job_id in tool.arguments.job_ids}
    lines = [
        Text.assemble(
            Text("✔ ", "green") if outcome else Text("✘ ", "red"),
            told(job_id, "bold"),
            f" {done if outcome else not_done}",
        )
        for job_id, outcome in outcomes.items()
    ]
    succeeded = all(outcomes.values())
    tool.answer(Group(*lines), {"ok": succeeded, "jobs": outcomes})
    return Exit.FINE if succeeded else Exit.NOT_DONE
