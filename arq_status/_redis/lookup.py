"""Reads the facts about jobs, all of them at one moment."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from redis.asyncio import Redis

from arq_status._arq.payload import enqueued_ms_of_tail, read_payload, read_result, read_returned
from arq_status._model.facts import Facts, JobPayload, ResultPayload
from arq_status._model.options import FunctionOptions
from arq_status._model.record import State, StoredRecord
from arq_status._model.status import Status
from arq_status._model.truth import decide, ended_status, queue_status
from arq_status._redis import scripts
from arq_status._redis.announcements import AnnouncedOptions, decode_options
from arq_status._redis.clock import by_redis_clock
from arq_status._redis.dead_workers import NO_WORKERS, DeadWorkers
from arq_status._redis.replies import dead_workers, integer, pairs, score_ms, text
from arq_status._redis.scripts import Argument

#: Jobs in one call of the script; it answers for fewer if they are large.
_CHUNK = 250

Fields = Mapping[bytes, bytes]
_NO_FIELDS: Fields = {}


class Lookup:
    """Looks up jobs in the given queues or else in all queues that tracked workers announced."""

    def __init__(
        self,
        redis: Redis,
        queues: Sequence[str] | None,
        expires: int,
        deserializer: Callable[[bytes], Any] | None,
    ) -> None:
        self._redis = redis
        self._given_queues = None if queues is None else [queue.encode() for queue in queues]
        self._default = FunctionOptions.merged({"expires": expires})
        self._deserializer = deserializer
        # what workers announced, and its version; "?": nothing read yet
        self._version = b"?"
        self._announced_queues: list[bytes] = []
        self._announced = AnnouncedOptions()

    async def facts(
        self,
        job_ids: Sequence[str],
        *,
        with_data: bool = False,
        with_returned: bool = False,
        short: bool = False,
    ) -> list[tuple[Facts, Fields]]:
        """Return the facts about each job, and its stored fields.

        Args:
            job_ids: ids of jobs.
            with_data: also read the stored fields.
            with_returned: also read the return values of complete jobs, if arq keeps them.
            short: read only as much of a payload as a long list needs.
        """
        words = {"fields": with_data, "returned": with_returned, "short": short}
        how = self._how(*(word for word, is_asked in words.items() if is_asked))
        answers: list[tuple[Facts, Fields] | None] = [None] * len(job_ids)
        pending, now = list(range(len(job_ids))), 0
        while pending:
            chunks = [pending[start : start + _CHUNK] for start in range(0, len(pending), _CHUNK)]
            pending = []
            calls: list[tuple[Argument, ...]] = [
                (self._version, how, *(job_ids[place] for place in chunk)) for chunk in chunks
            ]
            for chunk, reply in zip(
                chunks, await scripts.facts.many(self._redis, calls), strict=True
            ):
                _, moment, rows, *more = reply
                # one moment for all: running jobs are sorted by how long they have been running
                now = now or moment
                workers = self._update_announced(moment, *more) if more else NO_WORKERS
                for place, row in zip(chunk, rows, strict=False):
                    answers[place] = self._answer(job_ids[place], now, workers, row)
                pending += chunk[len(rows) :]
        return [answer for answer in answers if answer is not None]

    async def status(self, job_id: str) -> Status | None:
        """Return only the status, which is cheaper than ``facts``; ``None`` for an unknown job."""
        found = await scripts.facts(self._redis, self._version, self._how("status"), job_id)
        match found:
            case [b"ended", state]:
                return ended_status(text(state))
            case [b"waiting", due, now]:
                return queue_status(score_ms(due), now)
            case [b"facts", now, [row], *more]:
                workers = self._update_announced(now, *more) if more else NO_WORKERS
                return decide(self._answer(job_id, now, workers, row)[0])
        return None

    def _how(self, *words: str) -> bytes:
        queues = self._given_queues
        if queues is None:
            words, queues = (*words, "follow"), self._announced_queues
        if self._deserializer is not None:
            words = (*words, "whole")
        return b"\xff".join((" ".join(words).encode(), *queues))

    def _update_announced(
        self,
        now: int,
        dead: list[bytes],
        announced: tuple[bytes, list[bytes], list[bytes]] | None,
    ) -> DeadWorkers:
        """Cache what workers announced, if the reply contains it; return the dead workers."""
        if announced:
            self._version, self._announced_queues, options = announced
            self._announced = decode_options(options)
        return DeadWorkers(now, dead_workers(dead))

    def _answer(
        self, job_id: str, now: int, workers: DeadWorkers, row: list[Any]
    ) -> tuple[Facts, Fields]:
        match row:
            case [b"ended", raw, fields, returned]:
                stored = StoredRecord.decode(raw)
                options = self._options(None, None, None, stored)
                return Facts(
                    job_id=job_id,
                    now=now,
                    stored_record=stored,
                    stored_text=raw,
                    options=options,
                    returned=self._returned(returned, options),
                ), pairs(fields)
            case [b"waiting", job, queue, due]:
                return self._waiting(job_id, now, job, queue, due), _NO_FIELDS
            case [b"open", raw, fields, *rest]:
                return self._open(job_id, now, workers, raw or b"", *rest), pairs(fields)
        return Facts(job_id=job_id, now=now, options=self._default), _NO_FIELDS

    def _open(
        self, job_id: str, now: int, workers: DeadWorkers, raw: bytes,
        job: int, job_head: bytes, job_tail: bytes, in_queue: bytes | None, due: bytes | None,
        in_progress_ttl_ms: int, tries: bytes | None, lost: bytes | None,
        result: int, result_head: bytes, result_tail: bytes, result_left: int, beat: bytes | None,
        returned: bytes | None,
    ) -> Facts:  # fmt: skip
        stored = StoredRecord.decode(raw) if raw else None
        queue = text(in_queue) if in_queue else None
        payload = self._payload(job_head, job_tail, queue, stored) if job else None
        answer = self._result(result_head, result_tail) if result else None
        options = self._options(payload, answer, queue, stored)
        lost_worker = text(lost) if lost else workers.lost(queue, in_progress_ttl_ms)
        return Facts(
            job_id=job_id,
            now=now,
            payload=payload,
            queue=queue,
            due=score_ms(due),
            in_progress=in_progress_ttl_ms != -2,
            in_progress_expires_at=in_progress_ttl_ms
            if in_progress_ttl_ms < 0
            else workers.now + in_progress_ttl_ms,
            in_progress_ttl_ms=in_progress_ttl_ms,
            tries_begun=integer(tries),
            stored_record=stored,
            stored_text=raw,
            worker_alive=workers.is_alive(score_ms(beat)),
            # an untracked job never has a record, so a missing one means nothing
            lost_worker=lost_worker if options.track else None,
            result=answer and by_redis_clock(answer, options.keep_result, result_left, now),
            options=options,
            returned=self._returned(returned, options),
        )

    def _waiting(self, job_id: str, now: int, job: bytes, queue: bytes, due: bytes) -> Facts:
        name = text(queue)
        payload = self._payload(job, b"", name, None) if job else None
        return Facts(
            job_id=job_id,
            now=now,
            payload=payload,
            queue=name,
            due=score_ms(due),
            options=self._options(payload, None, name, None),
        )

    def _payload(
        self, head: bytes, tail: bytes, queue: str | None, stored: StoredRecord | None
    ) -> JobPayload:
        # the record of a waiting job may lack its arguments: only workers know whether they may be
        # recorded
        record_has_rest = stored is not None and (stored.args or stored.state is not State.WAITING)
        if stored is not None and record_has_rest and stored.function is not None:
            enqueued = enqueued_ms_of_tail(tail or head)
            if enqueued is not None and enqueued == stored.enqueued_ms:
                # the record has the rest
                return JobPayload(function=None, args="", enqueued_ms=enqueued, job_try=None)
        deserializer = None if tail else self._deserializer
        return read_payload(head, tail, deserializer, queue, self._args_limit)

    def _result(self, head: bytes, tail: bytes) -> ResultPayload:
        return read_result(head, tail, None if tail else self._deserializer, self._args_limit)

    def _returned(self, result: bytes | None, options: FunctionOptions) -> str | None:
        return (
            read_returned(result, self._deserializer) if result and options.record_result else None
        )

    def _args_limit(self, function: str | None, queue: str | None) -> int:
        return (self._announced.options(function, queue) or self._default).record_args

    def _options(
        self,
        payload: JobPayload | None,
        result: ResultPayload | None,
        queue: str | None,
        stored: StoredRecord | None,
    ) -> FunctionOptions:
        """Return the announced options of the job's function, else those of its record."""
        function = payload.function if payload else None
        if payload is None and result is not None:
            function, queue = result.function, result.queue
        elif function is None and stored is not None:
            function, queue = stored.function, queue or stored.queue
        announced = self._announced.options(function, queue)
        if announced is None and stored is not None:
            return FunctionOptions.merged({"expires": stored.expires_after_ms})
        return announced or self._default
