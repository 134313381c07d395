"""What workers write about themselves: heartbeats, announcements, counts, unrecorded jobs."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from time import monotonic
from typing import Any

from arq.utils import timestamp_ms

from arq_status._model.options import FunctionOptions
from arq_status._redis import keys, scripts
from arq_status._redis.announcements import function_key
from arq_status._redis.clock import RedisClock

#: Seconds between announcements of a worker, and maximum functions in one call.
_ANNOUNCE_INTERVAL = 3_600.0
_ANNOUNCED_AT_ONCE = 1_000
#: How long a worker's description outlives the last in-progress key it may have set, in ms.
_WORKER_EXPIRES_MS = 60_000


class Registration:
    """The part of the store that a worker uses to register itself."""

    redis: Any
    clock: RedisClock
    _announce_due = 0.0
    #: the details that were sent last
    _sent_details = ""

    async def beat(
        self,
        worker: str,
        queue: str,
        in_progress_ms: int,
        options: Mapping[str, FunctionOptions],
        blocked_ms: int = 0,
        details: Callable[[], str] | None = None,
    ) -> None:
        """Send a worker's heartbeat; announce the worker if Redis does not know it, and hourly.

        Args:
            worker: its name.
            queue: the queue that it takes jobs from.
            in_progress_ms: lifetime of the in-progress keys that it sets.
            options: the options of its functions.
            blocked_ms: how long its event loop has been blocked.
            details: returns the rest of its description as JSON. It is called when Redis' time is
                known, and its result is sent when it has changed.
        """
        described = json.dumps(
            {
                "queue": queue,
                "in_progress_ms": in_progress_ms,
                "blocked_ms": blocked_ms,
                # only for doctor, which compares it with Redis' time of the heartbeat
                "wall_ms": timestamp_ms(),
            }
        )
        expires = in_progress_ms + _WORKER_EXPIRES_MS
        now, known = await scripts.beat(self.redis, worker, expires, described, queue)
        self.clock.correct(now)
        text = details() if details is not None else ""
        if text and (not known or text != self._sent_details):
            key = keys.WORKER_DETAILS + worker
            await self.redis.execute_command("SET", key, text, "PX", expires)
            self._sent_details = text
        if not known or monotonic() >= self._announce_due:
            self._announce_due = monotonic() + _ANNOUNCE_INTERVAL
            await self._announce(queue, options)

    async def _announce(self, queue: str, options: Mapping[str, FunctionOptions]) -> None:
        named = [(function_key(queue, name), it.encode()) for name, it in options.items()]
        for start in range(0, max(1, len(named)), _ANNOUNCED_AT_ONCE):
            part = named[start : start + _ANNOUNCED_AT_ONCE]
            await scripts.announce(self.redis, queue, *(text for item in part for text in item))

    async def count(self, worker: str, number: int, tallies: Sequence[Mapping[str, Any]]) -> None:
        """Add what a worker counted since its last batch, and the ends that no worker counts.

        Args:
            worker: its name.
            number: the number of the batch; a batch that is sent again is not added again.
            tallies: as returned by ``encode_tally``.
        """
        batch = json.dumps(tallies, ensure_ascii=False)
        self.clock.correct(await scripts.count(self.redis, worker, number, batch))

    async def count_uncounted(self) -> None:
        """Add the ends that no worker counts: those of lost and of cancelled jobs."""
        if await self.redis.execute_command("EXISTS", keys.UNCOUNTED):
            await scripts.count(self.redis)

    async def begun(self, worker: str, in_progress_ms: int, job_ids: Collection[str]) -> None:
        """Store which jobs a worker has started that have no record yet."""
        await scripts.begun(self.redis, worker, in_progress_ms + _WORKER_EXPIRES_MS, *job_ids)

    async def leave(self, worker: str) -> None:
        """Deregister a worker; it counts as dead from now on."""
        await scripts.leave(self.redis, worker)
