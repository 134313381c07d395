"""The only module that speaks Redis: reads facts, writes records, keeps the indexes."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from arq.utils import timestamp_ms
from redis.asyncio import Redis

from arq_status import _keys, _scripts
from arq_status._options import FunctionOptions
from arq_status._payload import (
    JobPayload,
    ResultPayload,
    enqueued_ms_of_tail,
    read_job,
    read_result,
)
from arq_status._scripts import Argument
from arq_status._track import Track
from arq_status._truth import DeadWorker, Facts

#: A worker without a heartbeat for so long is dead.
DEAD_AFTER_MS = 10_000
#: How long a worker's description outlives the last in-progress key that it may have set.
_WORKER_EXPIRES_MS = 60_000
#: Bytes of a payload that are read to find function and arguments.
_HEAD = 65_536
#: The same for a job in a long list, and where the user's own deserializer needs the whole.
_SHORT_HEAD = 1_024
_WHOLE = 1_048_576
#: Jobs in one call of a script, so that no call holds Redis up.
_CHUNK = 250
#: Late writes of an ended job are refused for at least so long after a delete.
_TOMBSTONE_MS = 60_000
_LAST_SCORE = 10**14
#: What arq gives a payload to live by default.
_PAYLOAD_EXPIRES_MS = 86_400_000

Fields = Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Row:
    """A record on its way to Redis."""

    job_id: str
    #: the first write of a try
    first: bool
    track: str
    #: stored fields, encoded
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Special:
    """A job whose place in its queue does not tell its status."""

    job_id: str
    #: "running": in the index of a living worker; "lost": of a dead one; "pending": waits for a try
    kind: str
    live: bool
    queue: str | None
    due: int | None


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue and how many jobs are in it."""

    name: str
    jobs: int
    due: int


@dataclass(frozen=True, slots=True)
class EndedSet:
    """The ended jobs of one status and one expiry."""

    name: str
    jobs: int
    #: the ends of those that wait for another run
    again: list[int]

    @property
    def status(self) -> str:
        """The status of the jobs in it."""
        return self.name.partition(":")[0]

    @property
    def expires(self) -> int:
        """Their expiry in ms."""
        return _integer(self.name.rpartition(":")[2].encode()) or 0


@dataclass(frozen=True, slots=True)
class Census:
    """What the indexes hold at one moment."""

    now: int
    queues: list[Queue]
    ended: list[EndedSet]
    specials: list[Special]
    dead: list[DeadWorker]


@dataclass(frozen=True, slots=True)
class Source:
    """A part of an index, by its scores, without the members that do not count there."""

    key: str
    min: str
    max: str
    skipped: list[int] = field(default_factory=list)


class Store:
    """Arq's keys and ours, behind one Redis client."""

    def __init__(
        self,
        redis: Redis,
        *,
        queues: Sequence[str] | None = None,
        expires: int = FunctionOptions().expires,
        deserializer: Callable[[bytes], Any] | None = None,
    ) -> None:
        #: redis-py's own types do not tell what a command answers
        self.redis: Any = redis
        self._queues = () if queues is None else tuple(dict.fromkeys(queues))
        self._expires = expires
        self._deserializer = deserializer
        self._options: dict[str, FunctionOptions] = {}
        self._options_version = ""
        database = redis.connection_pool.connection_kwargs.get("db") or 0
        #: dead workers whose jobs without a record were looked for
        self.searched: set[str] = set()
        self.channel = _keys.changes(int(database))

    # reading

    async def facts(
        self, job_ids: Sequence[str], *, with_data: bool = False, short: bool = False
    ) -> list[tuple[Facts, Fields]]:
        """What decides about each job, and its stored fields; ``short`` for long lists."""
        if not job_ids:
            return []
        head = _SHORT_HEAD if short else _HEAD
        if self._deserializer is not None:
            head = _WHOLE
        chunks = [job_ids[start : start + _CHUNK] for start in range(0, len(job_ids), _CHUNK)]
        how = f"{head} {DEAD_AFTER_MS} {int(with_data)} {len(self._queues)}"
        calls: list[tuple[Argument, ...]] = [
            (self._options_version, how, *self._queues, *chunk) for chunk in chunks
        ]
        answers: list[tuple[Facts, Fields]] = []
        found = await _scripts.facts.many(self.redis, calls)
        # one moment for all: jobs that run are sorted by how long they do
        now = timestamp_ms()
        for chunk, (server_now, version, options, rows, dead) in zip(chunks, found, strict=True):
            if options is not None:
                self._learn_options(version, options)
            workers = _Workers(server_now, _dead_workers(dead))
            answers += [
                (self._facts(job_id, now, workers, row), _pairs(row[12]))
                for job_id, row in zip(chunk, rows, strict=True)
            ]
        return answers

    async def field(self, job_id: str, name: str) -> bytes | None:
        """One stored field, encoded."""
        value = await self.redis.execute_command(
            "HGET", _keys.DATA + job_id, name, NEVER_DECODE=True
        )
        return value if isinstance(value, bytes) else None

    async def options(self, function: str) -> FunctionOptions | None:
        """What a worker has announced of a function."""
        raw = await self.redis.execute_command("HGET", _keys.FUNCTIONS, function, NEVER_DECODE=True)
        return FunctionOptions.decode(raw) if isinstance(raw, bytes) else None

    async def track(self, job_id: str) -> Track | None:
        """The tracking record alone."""
        raw = await self.redis.execute_command("GET", _keys.TRACK + job_id, NEVER_DECODE=True)
        return Track.decode(raw) if raw else None

    async def functions(self) -> list[str]:
        """The names of the functions that tracked workers announced."""
        names = await self.redis.execute_command("HKEYS", _keys.FUNCTIONS, NEVER_DECODE=True)
        return sorted(name.decode(errors="replace") for name in names)

    def _learn_options(self, version: bytes, raw: list[bytes]) -> None:
        self._options_version = version.decode(errors="replace")
        self._options = {
            name.decode(errors="replace"): FunctionOptions.decode(options)
            for name, options in _pairs(raw).items()
        }

    def _facts(self, job_id: str, now: int, workers: "_Workers", row: list[Any]) -> Facts:
        raw, queue, score, ongoing, tries, job, job_head, job_tail, result, *rest = row
        track = Track.decode(raw) if raw else None
        payload = self._payload(job_head, job_tail, track) if job else None
        answer = self._result(*rest[:2]) if result else None
        function = payload.function if payload else answer.function if answer else None
        options = self._options.get(function or "")
        queue = queue.decode(errors="replace") if queue else None
        lost = rest[4].decode(errors="replace") if rest[4] else workers.lost(queue, ongoing)
        return Facts(
            job_id=job_id,
            now=now,
            payload=payload,
            queue=queue,
            due=_score(score),
            ongoing=ongoing != -2,
            key_expires=ongoing if ongoing < 0 else workers.now + ongoing,
            key_left=ongoing,
            tries=_integer(tries),
            track=track,
            stored=raw or b"",
            worker_alive=workers.is_alive(_score(rest[2])),
            # of a job that is not tracked nothing is written either
            lost_worker=None if options and not options.track else lost,
            result=answer,
            expires=options.expires if options else self._expires,
        )

    def _payload(self, head: bytes, tail: bytes, track: Track | None) -> JobPayload:
        if track is not None and track.function is not None:
            enqueued = enqueued_ms_of_tail(tail or head)
            if enqueued is not None and enqueued == track.run:
                # the record tells the rest
                return JobPayload(function=None, args="", enqueued_ms=enqueued, job_try=None)
        deserializer = None if tail else self._deserializer
        payload = read_job(head, tail, deserializer)
        return payload if self._shows_args(payload.function) else replace(payload, args="")

    def _result(self, head: bytes, tail: bytes) -> ResultPayload:
        result = read_result(head, tail, None if tail else self._deserializer)
        return result if self._shows_args(result.function) else replace(result, args="")

    def _shows_args(self, function: str | None) -> bool:
        options = self._options.get(function or "")
        return options is None or options.record_args

    # lists

    async def census(self, limit: int) -> Census:
        """What the indexes hold; at most ``limit`` special jobs are named."""
        now = timestamp_ms()
        queues, ended, specials, dead = await _scripts.census(
            self.redis, now, DEAD_AFTER_MS, limit, *self._queues
        )
        return Census(
            now=now,
            queues=[Queue(name.decode(errors="replace"), jobs, due) for name, jobs, due in queues],
            ended=[
                EndedSet(name.decode(errors="replace"), jobs, [_score(it) or 0 for it in again])
                for name, jobs, again, _ in ended
            ],
            specials=[
                Special(
                    job_id.decode(errors="replace"),
                    kind.decode(),
                    bool(live),
                    queue.decode(errors="replace") if queue else None,
                    _score(score),
                )
                for job_id, kind, live, queue, score in specials
            ],
            dead=_dead_workers(dead),
        )

    async def newest(
        self, sources: Sequence[Source], merged: Mapping[str, int], offset: int, count: int
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
        highest, skip, found = await _scripts.page(self.redis, json.dumps(spec))
        top = int(highest)
        stretch = [(score, job_id) for job_id, score in merged.items() if 0 <= score <= top]
        stretch += [(score, job_id) for job_id, score in _scored(found) if job_id not in merged]
        stretch.sort(reverse=True)
        return [job_id for _, job_id in stretch[skip : skip + count]]

    async def front(self, queue: str, limit: int) -> list[str]:
        """The jobs of a queue that are due first, among them those that run."""
        found = await _scripts.front(self.redis, queue, limit)
        return [job_id.decode(errors="replace") for job_id in found]

    async def due_later(self, queues: Sequence[str], limit: int) -> dict[str, int]:
        """The jobs that are due later and when, at most ``limit`` of each queue."""
        found = await _scripts.later(self.redis, timestamp_ms(), limit, *queues)
        return dict(_scored(found))

    # writing

    async def write(self, rows: Sequence[Row]) -> set[str]:
        """Write records, each unless a newer one stands there; which jobs are to stop."""
        encoded = [(row.job_id, int(row.first), row.track, _flat(row.fields)) for row in rows]
        stopping = await _scripts.write(
            self.redis, self.channel, json.dumps(encoded, ensure_ascii=False)
        )
        return {job_id.decode(errors="replace") for job_id in stopping}

    async def stops(self) -> dict[str, str]:
        """The running jobs that are to stop: their runs, with "!" behind them to force it."""
        found = await self.redis.execute_command("HGETALL", _keys.STOPS, NEVER_DECODE=True)
        pairs = found.items() if isinstance(found, dict) else _pairs(found).items()
        return {job.decode(errors="replace"): run.decode(errors="replace") for job, run in pairs}

    async def stop(self, job_id: str, run: int, *, force: bool) -> bool:
        """Ask a running job to stop; False where that run has no record or does not run."""
        asked = f"{run}!" if force else str(run)
        return bool(await _scripts.stop(self.redis, job_id, run, asked))

    async def cancel(self, facts: Facts, last: Track, *, drop_key: bool) -> bool:
        """Take a job that waits out of its queue; False where something of it changed."""
        return bool(
            await _scripts.cancel(
                self.redis, self.channel, facts.job_id, facts.stored, facts.key_expires,
                int(drop_key), last.encode(), *self._queues,
            )
        )  # fmt: skip

    async def retry(self, facts: Facts, waiting: Track) -> bool:
        """Put an ended job back into its queue; False where that cannot be."""
        assert waiting.due is not None
        return bool(
            await _scripts.retry(
                self.redis, self.channel, facts.job_id, facts.stored, waiting.queue,
                waiting.due, _PAYLOAD_EXPIRES_MS, waiting.encode(), *self._queues,
            )
        )  # fmt: skip

    async def store(self, job_id: str, waiting: Track, fields: Mapping[str, str]) -> bool:
        """Add fields from outside the job; False where it is not known."""
        stored: int = await _scripts.store(
            self.redis, self.channel, job_id, waiting.encode(),
            json.dumps(_flat(fields), ensure_ascii=False), *self._queues,
        )  # fmt: skip
        return bool(stored)

    async def delete(self, job_id: str, tombstone: Track) -> None:
        """Forget what was tracked of a job; of one that is not live this stands in its place."""
        expires = max(_TOMBSTONE_MS, tombstone.expires)
        await _scripts.delete(
            self.redis, self.channel, job_id, tombstone.encode(), expires, *self._queues
        )

    async def sweep(self, budget: int = 1_000) -> bool:
        """Drop expired entries from the indexes; True where there is more to do."""
        return bool(await _scripts.sweep(self.redis, timestamp_ms(), budget, DEAD_AFTER_MS))

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
            {"queue": queue, "in_progress_ms": in_progress_ms, "blocked_ms": blocked_ms}
        )
        announced = [part for name, it in options.items() for part in (name, it.encode())]
        await _scripts.beat(
            self.redis, worker, in_progress_ms + _WORKER_EXPIRES_MS, described, queue,
            uuid4().hex, *announced,
        )  # fmt: skip

    async def begun(self, worker: str, in_progress_ms: int, job_ids: Collection[str]) -> None:
        """Tell which jobs arq began in a worker that did not come as far as a record."""
        await _scripts.begun(self.redis, worker, in_progress_ms + _WORKER_EXPIRES_MS, *job_ids)

    async def leave(self, worker: str) -> None:
        """Tell that a worker has ended."""
        await _scripts.leave(self.redis, worker)


@dataclass(frozen=True, slots=True)
class _Workers:
    """Which workers live, by the server's clock."""

    now: int
    dead: list[DeadWorker]

    def is_alive(self, last_beat: int | None) -> bool:
        return last_beat is not None and self.now - last_beat < DEAD_AFTER_MS

    def lost(self, queue: str | None, expires_in: int) -> str | None:
        if expires_in >= 0:
            for worker in self.dead:
                if worker.may_have_begun(queue, self.now, expires_in):
                    return worker.name
        return None


def _dead_workers(flat: list[bytes]) -> list[DeadWorker]:
    found = []
    for name, beat, raw in zip(flat[::3], flat[1::3], flat[2::3], strict=True):
        try:
            described = json.loads(raw)
            worker = DeadWorker(
                name.decode(errors="replace"),
                str(described["queue"]),
                _score(beat) or 0,
                int(described["in_progress_ms"]),
                int(described.get("blocked_ms", 0)),
            )
        except (ValueError, TypeError, LookupError, OverflowError, RecursionError):
            continue
        found.append(worker)
    return found


def _flat(fields: Mapping[str, str]) -> list[str]:
    """Names and values in turn: an object of JSON would lose its order in Lua."""
    return [part for item in fields.items() for part in item] if fields else []


def _pairs(flat: list[bytes] | None) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True)) if flat else {}


def _scored(flat: list[bytes]) -> list[tuple[str, int]]:
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return [(job_id.decode(errors="replace"), _score(score) or 0) for job_id, score in pairs]


def _integer(raw: bytes | None) -> int | None:
    return int(raw) if raw and raw.isdigit() and len(raw) < 15 else None


def _score(raw: bytes | None) -> int | None:
    if not raw:
        return None
    score = float(raw)
    return int(score) if 0 <= score <= _LAST_SCORE else 0
