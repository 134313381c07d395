"""``logs``: the log of a job, so far or live."""

from contextlib import aclosing

from arq_status._model.history import LogLine
from arq_status._model.serialization import line_object
from arq_status.cli.context import Context, Exit
from arq_status.cli.history_view import line_view

#: Seconds between reads of the log while the job reports nothing.
_POLL_INTERVAL = 2.0


async def logs(context: Context) -> Exit:
    """Print the log of a job; with ``--follow``, go on until the job has ended."""
    job_id: str = context.arguments.job_id
    if await context.client.job(job_id) is None:
        return context.fail_unknown(job_id)
    if not context.arguments.follow:
        _print(context, await context.client.logs(job_id))
        return Exit.OK
    last = 0
    async with aclosing(context.client.watch(job_id, heartbeat=_POLL_INTERVAL)) as records:
        async for _ in records:
            lines = await context.client._logs_after(job_id, last)
            _print(context, lines)
            last = lines[-1].number if lines else last
    return Exit.OK


def _print(context: Context, lines: list[LogLine]) -> None:
    for line in lines:
        context.print_result(line_view(line), line_object(line))
