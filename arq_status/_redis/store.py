"""Reads and writes of the tracking data in Redis, each one round trip where possible."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from time import monotonic
from typing import Any, NamedTuple

from arq.utils import timestamp_ms
from redis.asyncio import Redis

from arq_status._model.facts import Facts
from arq_status._model.history import KeptTry, LogLine
from arq_status._model.options import FunctionOptions
from arq_status._model.record import StoredRecord
from arq_status._model.status import Status
from arq_status._model.tags import MOST_TAGS
from arq_status._redis import keys, scripts
from arq_status._redis.announcements import Announced, announced_as, announced_in
from arq_status._redis.batch import AnyRow, Row, arguments, batches, flat
from arq_status._redis.clock import RedisClock
from arq_status._redis.commands import pipeline, read
from arq_status._redis.history import decode_lines, decode_tries
from arq_status._redis.indexes import Indexes, Look, QueueLook
from arq_status._redis.lookup import Lookup
from arq_status._redis.replies import pairs, text
from arq_status._redis.scripts import Argument, Script

#: Seconds after which a worker announces itself again, and functions in one announcement.
_ANNOUNCE_INTERVAL = 3_600.0
_ANNOUNCED_AT_ONCE = 1_000
#: Stored records that are read by one command.
_READ_AT_ONCE = 500
#: Milliseconds that a worker's description outlives the last in-progress key it may have set.
_WORKER_EXPIRES_MS = 60_000
#: Milliseconds for which late writes are refused after a delete, at least.
_TOMBSTONE_MS = 60_000
#: Milliseconds that arq gives a payload to live by default.
_PAYLOAD_EXPIRES_MS = 86_400_000


class Call(NamedTuple):
    """A script to run, and with which arguments."""

    script: Script
    arguments: tuple[Argument, ...]


class Store(Lookup):
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
        #: Redis' time, corrected with every answer that tells it
        self.clock: RedisClock = clock or RedisClock()
        #: redis-py's own types do not tell what a command answers
        self.redis: Any = redis
        self._queues = () if queues is None else tuple(dict.fromkeys(queues))
        super().__init__(redis, self._queues or None, expires, deserializer)
        database = redis.connection_pool.connection_kwargs.get("db") or 0
        self._announce_due = 0.0
        #: what was told last of the worker that this is the store of
        self._told_about = ""
        #: dead workers whose jobs without a record were looked for
        self.searched: set[str] = set()
        #: index and rank at which the next pass over all live jobs goes on
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
        raw = await read(self.redis, "HGET", keys.FUNCTIONS, announced_as(queue, function))
        return FunctionOptions.decode(raw) if isinstance(raw, bytes) else None

    async def record(self, job_id: str) -> StoredRecord | None:
        """Return the stored record of a job."""
        raw = await read(self.redis, "GET", keys.RECORD + job_id)
        return StoredRecord.decode(raw) if raw else None

    async def stored_texts(self, job_ids: Sequence[str]) -> list[bytes | None]:
        """Return the stored records as they are in Redis, without a look at anything else."""
        parts = range(0, len(job_ids), _READ_AT_ONCE)
        keys_of = [[keys.RECORD + it for it in job_ids[at : at + _READ_AT_ONCE]] for at in parts]
        replies = await pipeline(self.redis, [("MGET", *part) for part in keys_of])
        return [text for reply in replies for text in reply]

    async def tries(self, job_id: str) -> list[KeptTry]:
        """Return the tries of a job that are kept beside its record, oldest first."""
        return decode_tries(await self._list(keys.TRIES + job_id, 0))

    async def logs(self, job_id: str, after: int = 0) -> list[LogLine]:
        """Return the lines of a job's log whose numbers are above ``after``, oldest first."""
        key = keys.LOGS + job_id
        if not after:
            return decode_lines(await self._list(key, 0))
        count, new = 0, 1
        lines: list[LogLine] = []
        # lines that come between two reads push older ones out of what is read
        while count < new:
            count = new
            lines = decode_lines(await self._list(key, -count))
            new = lines[-1].number - after if lines else 0
        return lines if new > 0 else []

    async def _list(self, key: str, start: int) -> list[bytes]:
        found: list[bytes] | None = await read(self.redis, "LRANGE", key, str(start), "-1")
        return found or []

    async def announced(self) -> Announced:
        """Return the functions that tracked workers announced."""
        found = await read(self.redis, "HGETALL", keys.FUNCTIONS)
        return announced_in(found or [])

    # lists

    async def look(
        self,
        statuses: Collection[Status] = (),
        *,
        offset: int = 0,
        count: int = 0,
        descending: bool = True,
        label: str = "",
    ) -> Look:
        """Count all jobs and name a part of the list, from one look at the indexes.

        Args:
            statuses: list jobs of these statuses only; of all if empty.
            offset: how many of them come before the part.
            count: how many to name, at most 1,000, so that Redis is not held up.
            descending: what changed last comes first, and jobs that are deferred come last.
            label: look only at the jobs with one tag or of one group (see ``keys.TAGGED``).
        """
        indexes = Indexes(self.redis, self._queues, statuses, label)
        look = await indexes.look(offset, count, descending=descending)
        self.clock.correct(look.now)
        return look

    async def orphans(self, index: str, start: int, count: int) -> tuple[int, list[str]]:
        """Find jobs in an index that arq does not have any more, and mend the index.

        Returns:
            The rank to go on at, -1 at the end of the index, and the ids.
        """
        following, found = await scripts.orphans(self.redis, index, start, count, *self._queues)
        return following, [text(job_id) for job_id in found]

    async def front(self, queue: str, limit: int) -> list[str]:
        """Return the jobs of a queue that are due first, among them those that are running."""
        found = await scripts.front(self.redis, queue, limit)
        return [text(job_id) for job_id in found]

    async def queues(self) -> tuple[int, list[QueueLook]]:
        """Return Redis' time in ms, and what is in each of the queues."""
        found: list[QueueLook] = []
        left = 1
        while left:
            now, left, *rows = await scripts.queues(self.redis, len(found), *self._queues)
            found += [QueueLook.of(row) for row in rows]
        self.clock.correct(now)
        return now, found

    # writing

    async def write(self, rows: Sequence[AnyRow]) -> set[str]:
        """Write records, each unless what is stored is newer.

        Returns:
            The ids of those jobs that were asked to stop.
        """
        stopping: set[str] = set()
        for batch in batches(rows):
            remaining: Sequence[AnyRow] = batch
            while remaining:
                now, asked, left = await scripts.write(
                    self.redis, self.channel, *arguments(remaining)
                )
                self.clock.correct(now)
                stopping.update(map(text, asked))
                usual = [row for row in remaining if isinstance(row, Row)]
                remaining = usual[len(usual) - left :]
        return stopping

    async def publish(self, job_ids: Sequence[str]) -> None:
        """Tell that these jobs have changed, as the scripts do."""
        await self.redis.execute_command("PUBLISH", self.channel, json.dumps(job_ids))

    async def stops(self) -> dict[str, str]:
        """Return the jobs that are to stop: enqueue times, with "!" appended if by force."""
        found = await read(self.redis, "HGETALL", keys.STOPS)
        return {text(job_id): text(run) for job_id, run in pairs(found or []).items()}

    async def run(self, calls: Sequence["Call"]) -> list[Any]:
        """Run scripts, those of one kind in one round trip, and return what they answer."""
        replies: list[Any] = [None] * len(calls)
        for script in {call.script for call in calls}:
            places = [place for place, call in enumerate(calls) if call.script is script]
            answers = await script.many(self.redis, [calls[place].arguments for place in places])
            for place, answer in zip(places, answers, strict=True):
                replies[place] = answer
        return replies

    def stop(self, job_id: str, run: int, *, force: bool) -> "Call":
        """Ask a running job to stop; answers 0 where that run has no record or does not run."""
        asked = f"{run}!" if force else str(run)
        return Call(scripts.stop, (job_id, run, asked))

    def cancel(self, facts: Facts, last: StoredRecord, *, drop_key: bool) -> "Call":
        """Take a job that waits out of its queue; answers 0 where something of it changed."""
        return Call(
            scripts.cancel,
            (
                self.channel, facts.job_id, facts.stored_text, facts.key_expires,
                "drop" if drop_key else "keep", last.encode(), *self._queues,
            ),
        )  # fmt: skip

    def retry(self, facts: Facts, waiting: StoredRecord) -> "Call":
        """Put an ended job back into its queue; answers 0 where that cannot be."""
        assert waiting.due is not None
        return Call(
            scripts.retry,
            (
                self.channel, facts.job_id, facts.stored_text, waiting.queue, waiting.due,
                _PAYLOAD_EXPIRES_MS, waiting.encode(), *self._queues,
            ),
        )  # fmt: skip

    def delete(self, job_id: str, tombstone: StoredRecord) -> "Call":
        """Forget what was tracked of a job; of one that is not live this stands in its place."""
        expires = max(_TOMBSTONE_MS, tombstone.expires)
        return Call(
            scripts.delete, (self.channel, job_id, tombstone.encode(), expires, *self._queues)
        )

    async def store(self, job_id: str, waiting: StoredRecord, fields: Mapping[str, str]) -> bool:
        """Store fields from outside the job; False if it is unknown."""
        stored: int = await scripts.store(
            self.redis, self.channel, job_id, waiting.encode(),
            json.dumps(flat(fields), ensure_ascii=False), *self._queues,
        )  # fmt: skip
        return bool(stored)

    async def tag(self, job_id: str, waiting: StoredRecord) -> bool:
        """Give a job the tags of this record; False where it is not known.

        Raises:
            ValueError: it would have too many.
        """
        tagged: int = await self._tag(job_id, waiting, "known")
        if tagged < 0:
            raise ValueError(f"job {job_id!r} has {MOST_TAGS} tags, and there is no room for more")
        return tagged > 0

    async def tag_enqueued(self, job_id: str, waiting: StoredRecord) -> None:
        """Give a job that was just enqueued the tags and the group of this record."""
        await self._tag(job_id, waiting, "enqueued")

    async def _tag(self, job_id: str, waiting: StoredRecord, how: str) -> int:
        labels = [keys.TAGGED + tag for tag in waiting.tags]
        if waiting.group is not None:
            labels.append(keys.GROUPED + waiting.group)
        tagged: int = await scripts.tag(
            self.redis, self.channel, job_id, waiting.encode(), how, waiting.queue,
            waiting.group or "", b"".join(b"\xff" + it.encode() for it in labels), *self._queues,
        )  # fmt: skip
        return tagged

    async def set_group(self, group_id: str, *, closed: bool, title: str | None = None) -> None:
        """Open or close a group."""
        how = "close" if closed else "open"
        await scripts.group(self.redis, self.channel, group_id, how, title or "")

    async def sweep(self, budget: int = 1_000) -> bool:
        """Drop expired entries from the indexes; True if there is more to do."""
        return bool(await scripts.sweep(self.redis, budget))

    # workers

    async def beat(
        self,
        worker: str,
        queue: str,
        in_progress_ms: int,
        options: Mapping[str, FunctionOptions],
        blocked_ms: int = 0,
        about: Callable[[], str] | None = None,
    ) -> None:
        """Send a worker's heartbeat, and announce it if Redis does not know it, or again.

        Args:
            worker: its name.
            queue: where it takes its jobs from.
            in_progress_ms: for how long the in-progress keys live that it sets.
            options: those of its functions.
            blocked_ms: for how long its event loop has been blocked.
            about: returns what else there is to tell (JSON text): called when Redis' time is known,
                and sent when it has changed.
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
        told = about() if about is not None else ""
        if told and (not known or told != self._told_about):
            await self.redis.execute_command("SET", keys.ABOUT + worker, told, "PX", expires)
            self._told_about = told
        if not known or monotonic() >= self._announce_due:
            self._announce_due = monotonic() + _ANNOUNCE_INTERVAL
            await self._announce(queue, options)

    async def _announce(self, queue: str, options: Mapping[str, FunctionOptions]) -> None:
        named = [(announced_as(queue, name), it.encode()) for name, it in options.items()]
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
