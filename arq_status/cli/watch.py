"""``watch``: follows jobs until they end."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from time import monotonic

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from arq_status._model.json import job_object
from arq_status._model.snapshot import JobRecord
from arq_status._model.status import Status
from arq_status.cli.job_view import moving_view
from arq_status.cli.plain import plain
from arq_status.cli.tool import Exit, Tool

#: Seconds between two pictures: time goes on, also where nothing changes.
_PICTURE = 0.1

Records = dict[str, JobRecord]


async def watch(tool: Tool) -> Exit:
    """Follow jobs until they end."""
    job_ids: list[str] = list(dict.fromkeys(tool.arguments.job_ids))
    records: Records = {}
    follow = _print_changes
    if not tool.json and tool.console.is_terminal:
        follow = _draw
    try:
        async with asyncio.timeout(tool.arguments.timeout):
            await follow(tool, job_ids, records)
    except TimeoutError:
        waiting = [it for it in job_ids if it not in records or not records[it].ended_at]
        sentence = f"{waiting[0]!r} has not ended after {tool.arguments.timeout:g} s"
        return tool.complain(sentence, Exit.NOT_DONE)
    return _exit(tool, job_ids, records)


def _exit(tool: Tool, job_ids: list[str], records: Records) -> Exit:
    code = Exit.FINE
    for job_id in job_ids:
        record = records.get(job_id)
        if record is None:
            code = tool.unknown(job_id)
        elif record.ended_at is None:
            code = tool.complain(f"{job_id!r} was deleted", Exit.NOT_DONE)
        elif record.status is not Status.COMPLETE:
            code = Exit.NOT_DONE
    return code


async def _print_changes(tool: Tool, job_ids: list[str], records: Records) -> None:
    async with aclosing(_changes(tool, job_ids, records)) as changes:
        async for record in changes:
            if record is not None and tool.json:
                tool.print_json(job_object(record))
            elif record is not None:
                words = record.error if record.error is not None else record.message
                parts = (record.job_id, record.status, f"{record.pct_complete} %", words or "")
                print(plain("  ".join(parts).rstrip()), flush=True)


async def _draw(tool: Tool, job_ids: list[str], records: Records) -> None:
    def picture() -> RenderableType:
        shown = [records[job_id] for job_id in job_ids if job_id in records]
        views = [moving_view(record, tool.console.width) for record in shown]
        return Group(*(part for view in views for part in (Text(), view)))

    drawn = 0.0
    with Live(console=tool.console, auto_refresh=False) as live:
        async with aclosing(_changes(tool, job_ids, records)) as changes:
            async for _ in changes:
                if monotonic() - drawn >= _PICTURE:
                    drawn = monotonic()
                    live.update(picture(), refresh=True)
        live.update(picture(), refresh=True)


async def _changes(
    tool: Tool, job_ids: list[str], records: Records
) -> AsyncGenerator[JobRecord | None]:
    """The records as they change, which are put among the others; ``None`` when none did."""
    changes: asyncio.Queue[JobRecord | Exception | None] = asyncio.Queue()

    async def follow(job_id: str) -> None:
        try:
            async for record in tool.client.watch(job_id):
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
                change = await asyncio.wait_for(changes.get(), _PICTURE)
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
