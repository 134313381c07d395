"""The arq worker of the demo, and its jobs."""

import asyncio
import logging
import os
from collections import Counter
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

from arq import Retry, cron

from arq_status import JobTracker, track_status
from example_app.errors import BadRowError
from example_app.importing import People, read_rows
from example_app.indexing import Index, source_files

#: A queue of its own: on a Redis that others use too, their jobs are not for this worker.
QUEUE = "example_app"
_SHOWN = 20

logger = logging.getLogger("example_app")
logger.setLevel(logging.INFO)


async def index_source(ctx: dict[str, Any], directory: str, database: str) -> dict[str, int]:
    """Index all Python files below a directory, and say how far it is."""
    status: JobTracker = ctx["status"]
    await status.store(directory=directory)
    root = Path(directory)
    paths = await asyncio.to_thread(source_files, root)
    await status.total(len(paths))
    found = Counter(files=0, unparsable=0, definitions=0)
    with closing(await asyncio.to_thread(Index, Path(database))) as index:
        for done, path in enumerate(paths):
            await status.at(done, f"{done:,} of {len(paths):,} files: {path}")
            source = await asyncio.to_thread(index.add, root, path)
            found["files"] += 1
            found["unparsable"] += source.error is not None
            found["definitions"] += len(source.definitions)
            await status.store(**found)
        await asyncio.to_thread(index.prune, root, paths)
    await status.store(**found)
    message = "{files:,} files: {definitions:,} definitions, {unparsable:,} files not parsable"
    await status.at(len(paths), message.format_map(found))
    return dict(found)


async def import_people(ctx: dict[str, Any], file: str, path: str, database: str) -> int:
    """Import a CSV file row by row; a bad row is reported, and the next one follows."""
    status: JobTracker = ctx["status"]
    rows = await asyncio.to_thread(read_rows, Path(path))
    rejected: list[dict[str, Any]] = []
    with closing(await asyncio.to_thread(People, Path(database))) as people:
        async for line, row in status.track(rows, f"Importing {file}"):
            try:
                await asyncio.to_thread(people.add, row)
            except BadRowError as problem:
                rejected.append({"line": line, "problem": str(problem)})
                await status.log(f"Line {line}: {problem}", level="warning")
                await status.store(bad_rows=len(rejected), first_bad_rows=rejected[:_SHOWN])
        await status.store(people=await asyncio.to_thread(people.count))
    imported = len(rows) - len(rejected)
    await status.at(len(rows), f"{imported:,} people imported, {len(rejected):,} bad rows")
    return imported


async def import_person(ctx: dict[str, Any], row: list[str], database: str) -> None:
    """Import a single row, as one of a group of jobs."""
    with closing(await asyncio.to_thread(People, Path(database))) as people:
        await asyncio.to_thread(people.add, row)


async def count_slowly(ctx: dict[str, Any], numbers: int = 240) -> None:
    """Take two minutes, or until somebody stops it: every step of ``track`` is a place to."""
    async for _ in ctx["status"].track(range(numbers), "Counting"):
        await asyncio.sleep(0.5)


async def fail(ctx: dict[str, Any]) -> None:
    """Fail halfway, for a reason that has a reason."""
    await ctx["status"].at(50, "Asking the bank")
    logger.info("Charging card %s", "**** 4242")
    try:
        _charge(limit=20, amount=42)
    except ValueError as error:
        raise RuntimeError("The bank declined the payment") from error


def _charge(limit: int, amount: int) -> None:
    if amount > limit:
        raise ValueError(f"{amount} is over the limit of {limit}")


async def try_again(ctx: dict[str, Any]) -> str:
    """Succeed at the third try."""
    status: JobTracker = ctx["status"]
    await status.at(30, "Asking for the weather")
    if ctx["job_try"] < 3:
        await status.log("The weather station does not answer", level="warning")
        raise Retry(defer=5) from TimeoutError("no answer within 3 s")
    logger.info("It is sunny")
    await status.at(100, "It is sunny")
    return "sunny"


async def remind(ctx: dict[str, Any], text: str) -> str:
    """Wait for its time, in the queue."""
    return text


async def measure_load(ctx: dict[str, Any]) -> None:
    """Run every minute, by cron."""
    minute, five_minutes, _ = os.getloadavg()
    await ctx["status"].store(load={"1 min": minute, "5 min": five_minutes})


@track_status(record_logs="INFO")
class WorkerSettings:
    """What arq reads. The page runs it in its own process; ``arq`` could as well run it alone."""

    functions = (index_source, import_people, import_person, count_slowly, fail, try_again, remind)
    cron_jobs = (cron(measure_load, second=0),)
    queue_name = QUEUE
    job_timeout = timedelta(hours=1)
    poll_delay = 0.1
