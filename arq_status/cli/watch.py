"""``watch``: follows jobs until they end."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from time import monotonic

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from arq_status._client.watching import SHORTEST_LOOK
from arq_status._model.serialization import job_object
from arq_status._model.snapshot import JobRecord
from arq_status._model.status import Status
from arq_status.cli.context import Context, Exit
from arq_status.cli.escaping import escape
from arq_status.cli.job_view import live_view

#: Seconds between two frames; times keep counting while nothing changes.
_FRAME = 0.1

Records = dict[str, JobRecord]


async def watch(context: Context) -> Exit:
    """Follow jobs until they end."""
    job_ids: list[str] = list(dict.fromkeys(context.arguments.job_ids))
    records: Records = {}
    follow = _print_changes
    if not context.json and context.console.is_terminal:
        follow = _draw
    timeout = context.arguments.timeout
    try:
        async with asyncio.timeout(None if timeout is None else max(timeout, SHORTEST_LOOK)):
            await follow(context, job_ids, records)
    except TimeoutError:
        waiting = [it for it in job_ids if it not in records or not records[it].ended_at]
        sentence = f"{waiting[0]!r} has not ended after {timeout:g} s"
        return context.fail(sentence, Exit.FAILED)
    return _exit(context, job_ids, records)


def _exit(context: Context, job_ids: list[str], records: Records) -> Exit:
    code = Exit.OK
    for job_id in job_ids:
        record = records.get(job_id)
        if record is None:
            code = context.fail_unknown(job_id)
        elif record.ended_at is None:
            code = context.fail(f"{job_id!r} was deleted", Exit.FAILED)
        elif record.status is not Status.COMPLETE:
            code = Exit.FAILED
    return code


async def _print_changes(context: Context, job_ids: list[str], records: Records) -> None:
    async with aclosing(_changes(context, job_ids, records)) as changes:
        async for record in changes:
            if record is not None and context.json:
                context.print_json(job_object(record))
            elif record is not None:
                words = record.error if record.error is not None else record.message
                parts = (record.job_id, record.status, f"{record.pct_complete} %", words or "")
                context.print_line(escape("  ".join(parts).rstrip()), flush=True)


async def _draw(context: Context, job_ids: list[str], records: Records) -> None:
    def frame() -> RenderableType:
        shown = [records[job_id] for job_id in job_ids if job_id in records]
        views = [live_view(record, context.console.width) for record in shown]
        return Group(*(part for view in views for part in (Text(), view)))

    drawn = 0.0
    with Live(console=context.console, auto_refresh=False) as live:
        async with aclosing(_changes(context, job_ids, records)) as changes:
            async for _ in changes:
                if monotonic() - drawn >= _FRAME:
                    drawn = monotonic()
                    live.update(frame(), refresh=True)
        live.update(frame(), refresh=True)


async def _changes(
    context: Context, job_ids: list[str], records: Records
) -> AsyncGenerator[JobRecord | None]:
    """Yield the records as they change, after storing them in ``records``; ``None`` in between."""
    changes: asyncio.Queue[JobRecord | Exception | None] = asyncio.Queue()

    async def follow(job_id: str) -> None:
        try:
            async for record in context.client.watch(job_id):
                changes.put_nowait(record)
        except Exception as error:
            changes.put_nowait(error)
        else:
            changes.put_nowait(None)

    following = [asyncio.create_task(follow(job_id)) for job_id in job_ids]
    left = len(following)
    try:
        while left:
            try:
                change = await asyncio.wait_for(changes.get(), _FRAME)
            except TimeoutError:
                yield None
                continue
            if isinstance(change, Exception):
                raise change
            if change is None:
                left -= 1
            else:
                records[change.job_id] = change
                yield change
    finally:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
