"""The only module that speaks Redis: reads facts, writes records, keeps the indexes."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any
from uuid import uuid4

from arq.utils import timestamp_ms
from redis.asyncio import Redis

from arq_status._model.facts import Facts
from arq_status._model.options import FunctionOptions
from arq_status._model.record import StoredRecord
from arq_status._redis import keys, scripts
from arq_status._redis.announcements import announced_as, announced_in
from arq_status._redis.batch import CompletedRow, Row, arguments, flat
from arq_status._redis.clock import RedisClock
from arq_status._redis.indexes import IndexRange, IndexSnapshot
from arq_status._redis.lookup import Lookup
from arq_status._redis.replies import pairs, scored, text

#: How long a worker's description outlives the last in-progress key that it may have set.
_WORKER_EXPIRES_MS = 60_000
#: Late writes of an ended job are refused for at least so long after a delete.
_TOMBSTONE_MS = 60_000
#: What arq gives a payload to live by default.
_PAYLOAD_EXPIRES_MS = 86_400_000


class Store:
    """Arq's keys and ours, behind one Redis client."""

    def __init__(
        self,
        redis: Redis,
        *,
        queues: Sequence[str] | None = None,
        expires: int = FunctionOptions().expires,
        deserializer: Callable[[bytes], Any] | None = None,
        clock: RedisClock | None = None,
    ) -> None:
        #: Redis' time, corrected with every answer that tells it
        self.clock: RedisClock = clock or RedisClock()
        #: redis-py's own types do not tell what a command answers
        self.redis: Any = redis
        self._queues = () if queues is None else tuple(dict.fromkeys(queues))
        lookup = Lookup(redis, self._queues or None, expires, deserializer)
        self.facts, self.status = lookup.facts, lookup.status
        database = redis.connection_pool.connection_kwargs.get("db") or 0
        #: dead workers whose jobs without a record were looked for
        self.searched: set[str] = set()
        self.channel = keys.changes(int(database))

    # reading

    async def field(self, job_id: str, name: str) -> bytes | None:
        """One stored field, encoded."""
        value = await self.redis.execute_command(
            "HGET", keys.DATA + job_id, name, NEVER_DECODE=True
        )
        return value if isinstance(value, bytes) else None

    async def options(self, queue: str, function: str) -> FunctionOptions | None:
        """What a worker of the queue has announced of a function."""
        raw = await self.redis.execute_command(
            "HGET", keys.FUNCTIONS, announced_as(queue, function), NEVER_DECODE=True
        )
        return FunctionOptions.decode(raw) if isinstance(raw, bytes) else None

    async def record(self, job_id: str) -> StoredRecord | None:
        """The tracking record alone."""
        raw = await self.redis.execute_command("GET", keys.RECORD + job_id, NEVER_DECODE=True)
        return StoredRecord.decode(raw) if raw else None

    async def functions(self) -> list[str]:
        """The names of the functions that tracked workers announced."""
        found = await self.redis.execute_command("HGETALL", keys.FUNCTIONS, NEVER_DECODE=True)
        return sorted(announced_in(found).functions)

    # lists

    async def census(self, limit: int) -> IndexSnapshot:
        """What the indexes hold; at most ``limit`` special jobs are named."""
        now = timestamp_ms()
        reply = await scripts.census(self.redis, now, limit, *self._queues)
        return IndexSnapshot.of(now, reply)

    async def newest(
        self, sources: Sequence[IndexRange], merged: Mapping[str, int], offset: int, count: int
    ) -> list[str]:
        """The ids at a stretch of several indexes, by score, newest first.

        ``merged`` are other jobs and their scores. They count where their scores put them, and
        wherever their ids stand in an index they count for nothing there.
        """
        spec = {
            "sources": [
                {"key": it.key, "min": it.min, "max": it.max, "skipped": sorted(it.skipped)}
                for it in sources
            ],
            "others": sorted(score for score in merged.values() if score >= 0),
            "offset": offset,
            "count": count,
        }
        highest, skip, found = await scripts.page(self.redis, json.dumps(spec))
        top = int(highest)
        stretch = [(score, job_id) for job_id, score in merged.items() if 0 <= score <= top]
        stretch += [(score, job_id) for job_id, score in scored(found) if job_id not in merged]
        stretch.sort(reverse=True)
        return [job_id for _, job_id in stretch[skip : skip + count]]

    async def front(self, queue: str, limit: int) -> list[str]:
        """The jobs of a queue that are due first, among them those that run."""
        found = await scripts.front(self.redis, queue, limit)
        return [text(job_id) for job_id in found]

    async def due_later(self, queues: Sequence[str], limit: int) -> dict[str, int]:
        """The jobs that are due later and when, at most ``limit`` of each queue."""
        found = await scripts.later(self.redis, timestamp_ms(), limit, *queues)
        return dict(scored(found))

    # writing

    async def write(self, rows: Sequence[Row | CompletedRow]) -> set[str]:
        """Write records, each unless a newer one stands there; which jobs are to stop."""
        now, stopping = await scripts.write(self.redis, self.channel, *arguments(rows))
        self.clock.correct(now)
        return {text(job_id) for job_id in stopping}

    async def stops(self) -> dict[str, str]:
        """The running jobs that are to stop: their runs, with "!" behind them to force it."""
        found = await self.redis.execute_command("HGETALL", keys.STOPS, NEVER_DECODE=True)
        return {text(job_id): text(run) for job_id, run in pairs(found).items()}

    async def stop(self, job_id: str, run: int, *, force: bool) -> bool:
        """Ask a running job to stop; False where that run has no record or does not run."""
        asked = f"{run}!" if force else str(run)
        return bool(await scripts.stop(self.redis, job_id, run, asked))

    async def cancel(self, facts: Facts, last: StoredRecord, *, drop_key: bool) -> bool:
        """Take a job that waits out of its queue; False where something of it changed."""
        return bool(
            await scripts.cancel(
                self.redis, self.channel, facts.job_id, facts.stored_text, facts.key_expires,
                int(drop_key), last.encode(), *self._queues,
            )
        )  # fmt: skip

    async def retry(self, facts: Facts, waiting: StoredRecord) -> bool:
        """Put an ended job back into its queue; False where that cannot be."""
        assert waiting.due is not None
        return bool(
            await scripts.retry(
                self.redis, self.channel, facts.job_id, facts.stored_text, waiting.queue,
                waiting.due, _PAYLOAD_EXPIRES_MS, waiting.encode(), *self._queues,
            )
        )  # fmt: skip

    async def store(self, job_id: str, waiting: StoredRecord, fields: Mapping[str, str]) -> bool:
        """Add fields from outside the job; False where it is not known."""
        stored: int = await scripts.store(
            self.redis, self.channel, job_id, waiting.encode(),
            json.dumps(flat(fields), ensure_ascii=False), *self._queues,
        )  # fmt: skip
        return bool(stored)

    async def delete(self, job_id: str, tombstone: StoredRecord) -> None:
        """Forget what was tracked of a job; of one that is not live this stands in its place."""
        expires = max(_TOMBSTONE_MS, tombstone.expires)
        await scripts.delete(
            self.redis, self.channel, job_id, tombstone.encode(), expires, *self._queues
        )

    async def sweep(self, budget: int = 1_000) -> bool:
        """Drop expired entries from the indexes; True where there is more to do."""
        return bool(await scripts.sweep(self.redis, timestamp_ms(), budget))

    # workers

    async def beat(
        self,
        worker: str,
        queue: str,
        in_progress_ms: int,
        options: Mapping[str, FunctionOptions],
        blocked_ms: int = 0,
    ) -> None:
        """Tell that a worker is alive; announces it where Redis does not know it."""
        described = json.dumps(
            {
                "queue": queue,
                "in_progress_ms": in_progress_ms,
                "blocked_ms": blocked_ms,
                # for doctor alone, which compares it with Redis' time of the heartbeat
                "wall_ms": timestamp_ms(),
            }
        )
        announced = [
            part
            for name, it in options.items()
            for part in (announced_as(queue, name), it.encode())
        ]
        now = await scripts.beat(
            self.redis, worker, in_progress_ms + _WORKER_EXPIRES_MS, described, queue,
            uuid4().hex, *announced,
        )  # fmt: skip
        self.clock.correct(now)

    async def begun(self, worker: str, in_progress_ms: int, job_ids: Collection[str]) -> None:
        """Tell which jobs arq began in a worker that did not come as far as a record."""
        await scripts.begun(self.redis, worker, in_progress_ms + _WORKER_EXPIRES_MS, *job_ids)

    async def leave(self, worker: str) -> None:
        """Tell that a worker has ended."""
        await scripts.leave(self.redis, worker)
