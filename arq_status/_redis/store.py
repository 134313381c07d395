"""Reads and writes of the tracking data in Redis, each one round trip where possible."""

import json
import logging
from collections.abc import Callable, Collection, Sequence
from typing import Any

from redis.asyncio import Redis

from arq_status._model.history import KeptTry, LogLine
from arq_status._model.options import FunctionOptions
from arq_status._model.record import StoredRecord
from arq_status._model.status import Status
from arq_status._redis import keys, scripts
from arq_status._redis.announcements import AnnouncedOptions, decode_options, function_key
from arq_status._redis.batch import AnyRow, EncodedRows, Row, arguments, batches
from arq_status._redis.clock import RedisClock
from arq_status._redis.commands import pipeline, read
from arq_status._redis.control import Control
from arq_status._redis.history import decode_lines, decode_tries
from arq_status._redis.indexes import Indexes, ListReply, QueueCounts
from arq_status._redis.lookup import Lookup
from arq_status._redis.registration import Registration
from arq_status._redis.replies import pairs, text

logger = logging.getLogger("arq_status")

#: Stored records to read with one command.
_READ_AT_ONCE = 500


class Store(Lookup, Control, Registration):
    """The tracking data and arq's keys, through one Redis client."""

    def __init__(
        self,
        redis: Redis,
        *,
        queues: Sequence[str] | None = None,
        expires: int = FunctionOptions().expires,
        deserializer: Callable[[bytes], Any] | None = None,
        clock: RedisClock | None = None,
    ) -> None:
        #: Redis' time, corrected with every reply that contains it
        self.clock: RedisClock = clock or RedisClock()
        #: ``Any``, because redis-py's types do not say what a command returns
        self.redis: Any = redis
        self._queues = () if queues is None else tuple(dict.fromkeys(queues))
        super().__init__(redis, self._queues or None, expires, deserializer)
        database = redis.connection_pool.connection_kwargs.get("db") or 0
        self._reported: set[str] = set()
        #: dead workers whose queues were searched for jobs without a record
        self.searched: set[str] = set()
        #: index and rank where the next pass over all live jobs continues
        self.recovered_up_to: tuple[str, int] = ("", 0)
        self.channel: str = keys.changes(int(database))

    # reading

    async def field(self, job_id: str, name: str) -> bytes | None:
        """Return one stored field, encoded; ``None`` if there is none."""
        value = await self.redis.execute_command(
            "HGET", keys.DATA + job_id, name, NEVER_DECODE=True
        )
        return value if isinstance(value, bytes) else None

    async def options(self, queue: str, function: str) -> FunctionOptions | None:
        """Return the options that a worker of the queue has announced for a function."""
        raw = await read(self.redis, "HGET", keys.FUNCTIONS, function_key(queue, function))
        return FunctionOptions.decode(raw) if isinstance(raw, bytes) else None

    async def stored_record(self, job_id: str) -> StoredRecord | None:
        """Return the stored record of a job."""
        raw = await read(self.redis, "GET", keys.RECORD + job_id)
        return StoredRecord.decode(raw) if raw else None

    async def stored_texts(self, job_ids: Sequence[str]) -> list[bytes | None]:
        """Return stored records undecoded, without reading anything else."""
        parts = range(0, len(job_ids), _READ_AT_ONCE)
        keys_of = [[keys.RECORD + it for it in job_ids[at : at + _READ_AT_ONCE]] for at in parts]
        replies = await pipeline(self.redis, [("MGET", *part) for part in keys_of])
        return [text for reply in replies for text in reply]

    async def tries(self, job_id: str) -> list[KeptTry]:
        """Return the tries of a job that are stored separately from its record, oldest first."""
        return decode_tries(await self._list(keys.TRIES + job_id, 0))

    async def logs(self, job_id: str, after: int = 0) -> list[LogLine]:
        """Return the lines of a job's log whose numbers are above ``after``, oldest first."""
        key = keys.LOGS + job_id
        if not after:
            return decode_lines(await self._list(key, 0))
        count, new = 0, 1
        lines: list[LogLine] = []
        # lines added between two reads push older ones out of the range that is read
        while count < new:
            count = new
            lines = decode_lines(await self._list(key, -count))
            new = lines[-1].number - after if lines else 0
        return lines if new > 0 else []

    async def _list(self, key: str, start: int) -> list[bytes]:
        found: list[bytes] | None = await read(self.redis, "LRANGE", key, str(start), "-1")
        return found or []

    async def announced(self) -> AnnouncedOptions:
        """Return the options that tracked workers announced."""
        found = await read(self.redis, "HGETALL", keys.FUNCTIONS)
        return decode_options(found or [])

    # lists

    async def read_indexes(
        self,
        statuses: Collection[Status] = (),
        *,
        offset: int = 0,
        count: int = 0,
        descending: bool = True,
        label: str = "",
    ) -> ListReply:
        """Return the counts of all statuses and the ids of a part of the list.

        Args:
            statuses: list only jobs with these statuses; empty for all.
            offset: how many of them to skip.
            count: how many ids to return, at most 1,000, so that Redis is not blocked.
            descending: list the most recently changed jobs first and deferred jobs last.
            label: count and list only jobs with one tag or of one group (see ``keys.TAGGED``).
        """
        indexes = Indexes(self.redis, self._queues, statuses, label)
        reply = await indexes.read(offset, count, descending=descending)
        self.clock.correct(reply.now)
        self._report(reply.refused)
        return reply

    def _report(self, refused: Sequence[str]) -> None:
        """Warn once about each queue that the Redis user may not read."""
        for queue in refused:
            if queue not in self._reported:
                self._reported.add(queue)
                logger.warning(
                    "jobs in the queue %r are left out: the Redis user lacks the permission ~%s",
                    queue,
                    queue,
                )

    async def orphans(self, index: str, start: int, count: int) -> tuple[int, list[str]]:
        """Find jobs in an index that arq no longer has, and repair the index.

        Returns:
            The rank to continue at, -1 at the end of the index, and the ids.
        """
        following, found = await scripts.orphans(self.redis, index, start, count, *self._queues)
        return following, [text(job_id) for job_id in found]

    async def front(self, queue: str, limit: int) -> list[str]:
        """Return the jobs of a queue that are due first, including running ones."""
        found = await scripts.front(self.redis, queue, limit)
        return [text(job_id) for job_id in found]

    async def queues(self) -> tuple[int, list[QueueCounts]]:
        """Return Redis' time in ms and the counts of each queue."""
        found: list[QueueCounts] = []
        left = 1
        while left:
            now, left, *rows = await scripts.queues(self.redis, len(found), *self._queues)
            found += [QueueCounts.decode(row) for row in rows]
        self.clock.correct(now)
        return now, found

    # writing

    async def write(self, rows: Sequence[AnyRow]) -> set[str]:
        """Write records, except those for which a newer one is stored.

        Returns:
            The ids of the jobs that were asked to stop.
        """
        stopping: set[str] = set()
        for batch in batches(rows):
            remaining: EncodedRows = batch
            while remaining:
                now, asked, left = await scripts.write(
                    self.redis, self.channel, *arguments(remaining)
                )
                self.clock.correct(now)
                stopping.update(map(text, asked))
                usual = [it for it in remaining if isinstance(it[0], Row)]
                remaining = usual[len(usual) - left :]
        return stopping

    async def publish(self, job_ids: Sequence[str]) -> None:
        """Publish that these jobs have changed, as the scripts do."""
        await self.redis.execute_command("PUBLISH", self.channel, json.dumps(job_ids))

    async def stops(self) -> dict[str, str]:
        """Return the enqueue time of each job asked to stop, with "!" appended to force it."""
        found = await read(self.redis, "HGETALL", keys.STOPS)
        return {text(job_id): text(run) for job_id, run in pairs(found or []).items()}

    async def sweep(self, budget: int = 1_000) -> bool:
        """Remove expired entries from the indexes; return True if there is more to do."""
        return bool(await scripts.sweep(self.redis, budget))
