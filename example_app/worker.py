"""The arq worker of the demo, and its job."""

import asyncio
from collections import Counter
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

from arq_status import JobTracker, track_status
from example_app.indexing import Index, source_files

#: A queue of its own: on a Redis that others use too, their jobs are not for this worker.
QUEUE = "example_app"


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
            await status.at(done, path)
            source = await asyncio.to_thread(index.add, root, path)
            found["files"] += 1
            found["unparsable"] += source.error is not None
            found["definitions"] += len(source.definitions)
            await status.store(**found)
        await asyncio.to_thread(index.prune, root, paths)
    await status.store(**found)
    await status.at(len(paths), "Indexed")
    return dict(found)


@track_status
class WorkerSettings:
    """What arq reads. The page runs it in its own process; ``arq`` could as well run it alone."""

    functions = (index_source,)
    queue_name = QUEUE
    job_timeout = timedelta(hours=1)
    poll_delay = 0.1
