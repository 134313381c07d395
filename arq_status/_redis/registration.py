"""Writes of workers about themselves: heartbeats, announcements, counts, jobs without a record."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from time import monotonic
from typing import Any

from arq.utils import timestamp_ms

from arq_status._model.options import FunctionOptions
from arq_status._redis import keys, scripts
from arq_status._redis.announcements import function_key
from arq_status._redis.clock import RedisClock

#: Seconds after which a worker announces itself again, and functions in one announcement.
_ANNOUNCE_INTERVAL = 3_600.0
_ANNOUNCED_AT_ONCE = 1_000
#: Milliseconds that a worker's description outlives the last in-progress key it may have set.
_WORKER_EXPIRES_MS = 60_000


class Registration:
    """The part of the store that a worker uses to register itself."""

    redis: Any
    clock: RedisClock
    _announce_due = 0.0
    #: the description that was sent last
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
        """Send a worker's heartbeat, and announce it if Redis does not know it, or again.

        Args:
            worker: its name.
            queue: where it takes its jobs from.
            in_progress_ms: for how long the in-progress keys live that it sets.
            options: those of its functions.
            blocked_ms: for how long its event loop has been blocked.
            details: returns the rest of its description as JSON. It is called when Redis' time is
                known, and its result is sent when it has changed.
        """
        described = json.dumps(
            {
                "queue": queue,
                "in_progress_ms": in_progress_ms,
                "blocked_ms": blocked_ms,
                # for doctor alone, which compares it with Redis' time of the heartbeat
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
        """Add what a worker counted since its last batch; what others counted is added as well.

        Args:
            worker: its name.
            number: the batch's; a batch that is sent again is not added again.
            tallies: as ``encode_tally`` returns them.
        """
        batch = json.dumps(tallies, ensure_ascii=False)
        self.clock.correct(await scripts.count(self.redis, worker, number, batch))

    async def count_uncounted(self) -> None:
        """Count the ends that no worker counts: of jobs lost with a worker or cancelled."""
        if await self.redis.execute_command("EXISTS", keys.UNCOUNTED):
            await scripts.count(self.redis)

    async def begun(self, worker: str, in_progress_ms: int, job_ids: Collection[str]) -> None:
        """Note the jobs that arq began in a worker and that have no record yet."""
        await scripts.begun(self.redis, worker, in_progress_ms + _WORKER_EXPIRES_MS, *job_ids)

    async def leave(self, worker: str) -> None:
        """Deregister a worker; it counts as dead from now on."""
        await scripts.leave(self.redis, worker)
