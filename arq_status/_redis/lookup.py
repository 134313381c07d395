"""Reads what decides about jobs, all of it at one moment."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from arq.utils import timestamp_ms
from redis.asyncio import Redis

from arq_status._arq.payload import enqueued_ms_of_tail, read_job, read_result
from arq_status._model.facts import DEAD_AFTER_MS, DeadWorker, Facts, JobPayload, ResultPayload
from arq_status._model.options import FunctionOptions
from arq_status._model.record import StoredRecord
from arq_status._model.status import Status
from arq_status._model.truth import as_recorded, decide, in_queue
from arq_status._redis import scripts
from arq_status._redis.announcements import Announced, announced_in
from arq_status._redis.replies import dead_workers, integer, pairs, score, text
from arq_status._redis.scripts import Argument

#: How the script is to look, added up: with the stored fields; in the queues that it finds
#: announced, not only in those named; into the first bytes of a payload as for a long list; into
#: the whole, for a deserializer of the user's own; only for the status.
_FIELDS, _FOLLOW, _SHORT, _WHOLE, _STATUS = 1, 2, 4, 8, 16
#: Jobs in one call of the script, so that no call holds Redis up.
_CHUNK = 250

Fields = Mapping[bytes, bytes]
_NO_FIELDS: Fields = {}


class Lookup:
    """Looks jobs up in the queues that it was given, or in all that tracked workers announced."""

    def __init__(
        self,
        redis: Redis,
        queues: Sequence[str] | None,
        expires: int,
        deserializer: Callable[[bytes], Any] | None,
    ) -> None:
        self._redis = redis
        self._given_queues = None if queues is None else b"\xff".join(map(str.encode, queues))
        self._default = FunctionOptions.of({"expires": expires})
        self._deserializer = deserializer
        # what workers announced, and the version of that; "?" is none
        self._version = b"?"
        self._queues = b""
        self._announced = Announced()

    async def facts(
        self, job_ids: Sequence[str], *, with_data: bool = False, short: bool = False
    ) -> list[tuple[Facts, Fields]]:
        """What decides about each job, and its stored fields; ``short`` for long lists."""
        if not job_ids:
            return []
        version, how = self._version, self._how(with_data * _FIELDS + short * _SHORT)
        calls: list[tuple[Argument, ...]] = [
            (version, how, *job_ids[start : start + _CHUNK])
            for start in range(0, len(job_ids), _CHUNK)
        ]
        found = await scripts.facts.many(self._redis, calls)
        # one moment for all: jobs that run are sorted by how long they do
        now = timestamp_ms()
        answers: list[tuple[Facts, Fields]] = []
        remaining = iter(job_ids)
        for rows, *more in found:
            workers = self._learn(*more) if more else _NO_WORKERS
            for row, job_id in zip(rows, remaining, strict=False):
                fields = pairs(row[1]) if len(row) > 1 else _NO_FIELDS
                answers.append((self._facts(job_id, now, workers, row), fields))
        return answers

    async def status(self, job_id: str) -> Status | None:
        """What the job is doing, asked in fewer words than ``facts``."""
        found = await scripts.facts(self._redis, self._version, self._how(_STATUS), job_id)
        if len(found) == 1:
            return as_recorded(text(found[0])) if found[0] else None
        if len(found) == 2:
            return in_queue(score(found[1]), timestamp_ms())
        [row], *more = found
        return decide(self._facts(job_id, timestamp_ms(), self._learn(*more), row))

    def _how(self, how: int) -> bytes:
        queues = self._given_queues
        if queues is None:
            queues, how = self._queues, how + _FOLLOW
        if self._deserializer is not None:
            how += _WHOLE
        return b"%c%b" % (48 + how, queues)

    def _learn(
        self, now: int, dead: list[bytes], announced: tuple[bytes, list[bytes], list[bytes]] | None
    ) -> "_Workers":
        if announced:
            version, queues, options = announced
            self._version, self._queues = version, b"\xff".join(queues)
            self._announced = announced_in(options)
        return _Workers(now, dead_workers(dead))

    def _facts(self, job_id: str, now: int, workers: "_Workers", row: list[Any]) -> Facts:
        raw = row[0]
        stored = StoredRecord.decode(raw) if raw else None
        if len(row) < 3:  # the record tells all there is to tell
            return Facts(
                job_id=job_id,
                now=now,
                stored_record=stored,
                stored_text=raw or b"",
                options=self._options(None, None, None, stored),
            )
        if len(row) == 5:  # it waits for its first try
            return self._waiting(job_id, now, *row[2:])
        _, _, job, job_head, job_tail, queue, due, ongoing, tries, lost, *rest = row
        result, result_head, result_tail, beat = rest
        queue = text(queue) if queue else None
        payload = self._payload(job_head, job_tail, queue, stored) if job else None
        answer = self._result(result_head, result_tail) if result else None
        options = self._options(payload, answer, queue, stored)
        lost_worker = text(lost) if lost else workers.lost(queue, ongoing)
        return Facts(
            job_id=job_id,
            now=now,
            payload=payload,
            queue=queue,
            due=score(due),
            ongoing=ongoing != -2,
            key_expires=ongoing if ongoing < 0 else workers.now + ongoing,
            key_left=ongoing,
            tries=integer(tries),
            stored_record=stored,
            stored_text=raw or b"",
            worker_alive=workers.is_alive(score(beat)),
            # of a job that is not tracked nothing is written either
            lost_worker=lost_worker if options.track else None,
            result=answer,
            options=options,
        )

    def _waiting(self, job_id: str, now: int, job: bytes, queue: bytes, due: bytes) -> Facts:
        name = text(queue)
        payload = self._payload(job, b"", name, None) if job else None
        return Facts(
            job_id=job_id,
            now=now,
            payload=payload,
            queue=name,
            due=score(due),
            options=self._options(payload, None, name, None),
        )

    def _payload(
        self, head: bytes, tail: bytes, queue: str | None, stored: StoredRecord | None
    ) -> JobPayload:
        if stored is not None and stored.function is not None:
            enqueued = enqueued_ms_of_tail(tail or head)
            if enqueued is not None and enqueued == stored.enqueued_ms:
                # the record tells the rest
                return JobPayload(function=None, args="", enqueued_ms=enqueued, job_try=None)
        deserializer = None if tail else self._deserializer
        return read_job(head, tail, deserializer, queue, self._args_limit)

    def _result(self, head: bytes, tail: bytes) -> ResultPayload:
        return read_result(head, tail, None if tail else self._deserializer, self._args_limit)

    def _args_limit(self, function: str | None, queue: str | None) -> int:
        return (self._announced.options(function, queue) or self._default).record_args

    def _options(
        self,
        payload: JobPayload | None,
        result: ResultPayload | None,
        queue: str | None,
        stored: StoredRecord | None,
    ) -> FunctionOptions:
        """Return what a worker announced of the job's function, else what its record tells."""
        function = payload.function if payload else None
        if payload is None and result is not None:
            function, queue = result.function, result.queue
        elif function is None and stored is not None:
            function, queue = stored.function, queue or stored.queue
        announced = self._announced.options(function, queue)
        if announced is None and stored is not None:
            return FunctionOptions.of({"expires": stored.expires})
        return announced or self._default


class _Workers:
    """Which workers live, by the server's clock."""

    __slots__ = ("_dead", "now")

    def __init__(self, now: int, dead: list[DeadWorker]) -> None:
        self.now = now
        self._dead = dead

    def is_alive(self, last_beat: int | None) -> bool:
        return last_beat is not None and self.now - last_beat < DEAD_AFTER_MS

    def lost(self, queue: str | None, expires_in: int) -> str | None:
        if expires_in >= 0:
            for worker in self._dead:
                if worker.may_have_begun(queue, self.now, expires_in):
                    return worker.name
        return None


_NO_WORKERS = _Workers(0, [])
