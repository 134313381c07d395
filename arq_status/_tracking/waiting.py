"""Waiting for Redis in arq's hooks: for a limited time, without losing a cancellation."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from arq_status._redis.connection import CONNECTION_ERRORS
from arq_status._tracking.attempt import Attempt

#: The most seconds that a retry waits for Redis, and a worker's shutdown for pending records.
TIMEOUT = 1.0

T = TypeVar("T")


async def none_on_failure(query: Coroutine[Any, Any, T | None]) -> T | None:
    """Return Redis' reply; ``None`` if the query fails or takes more than 1 s."""
    try:
        return await asyncio.wait_for(query, TIMEOUT)
    except CONNECTION_ERRORS:
        return None


async def finish_despite_cancellation(work: Coroutine[Any, Any, T], attempt: Attempt) -> T:
    """Await the work to its end, even if a shutdown cancels this task.

    Before the job's function runs, the cancellation is put off until the task awaits next: arq
    handles it once the job runs, but here it would end the whole worker and leave the job's
    in-progress key behind. After the job the cancellation is dropped: arq must store the end.
    """
    working, task, cancelled = asyncio.ensure_future(work), asyncio.current_task(), False
    while not working.done():
        try:
            await asyncio.wait((working,))
        except asyncio.CancelledError:
            cancelled = True
    if cancelled and not attempt.closed and task is not None:
        task.uncancel()
        asyncio.get_running_loop().call_soon(task.cancel)
    return working.result()
