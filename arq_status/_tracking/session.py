"""One running worker: its jobs' trackers, its writer, its heartbeat."""

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Coroutine, Mapping
from contextvars import ContextVar
from time import monotonic
from typing import Any, TypeVar

from arq.utils import args_to_string, timestamp_ms, to_unix_ms

from arq_status._arq.worker import ArqWorker
from arq_status._model.builder import shown_worker
from arq_status._model.options import FunctionOptions
from arq_status._model.record import State, StoredRecord
from arq_status._model.text import clean, render_args, shorten
from arq_status._redis.connection import CONNECTION_ERRORS
from arq_status._tracking.attempt import Attempt
from arq_status._tracking.attempts import Attempts
from arq_status._tracking.outbox import Outbox
from arq_status._tracking.outcome import COMPLETE, Circumstances, Outcome, judge
from arq_status._tracking.pace import Pace
from arq_status._tracking.redis_uplink import RedisUplink
from arq_status._tracking.tracker import JobTracker, current

#: Seconds that the start of a job waits for its record at most.
_START_PATIENCE = 0.1
#: Seconds that a retry waits for Redis, and a worker's end for what is being written, at most.
_PATIENCE = 1.0
_NAME_LIMIT = 300
_UNKNOWN = "<unknown>"

logger = logging.getLogger("arq_status")

T = TypeVar("T")


#: The try of the job, in the task in which arq runs its hooks and in the job's own.
attempt_var: ContextVar[Attempt | None] = ContextVar("arq_status_attempt", default=None)
#: What the deserializer read last: the job that the next ``on_job_start`` is about.
payload_var: ContextVar[Mapping[str, Any] | None] = ContextVar("arq_status_payload", default=None)


class Session:
    """What a worker keeps for tracking while it runs."""

    def __init__(
        self,
        redis: Any,
        settings: Mapping[str, Any],
        options: Mapping[str, FunctionOptions],
    ) -> None:
        self._options = options
        self._outbox = Outbox()
        self._endings: set[asyncio.Task[None]] = set()
        self.worker = ArqWorker(settings, redis)
        self._attempts = Attempts(self.worker)
        #: new at every start, for a container's host and process id are not
        self.name = clean(f"{socket.gethostname()}:{os.getpid()}:{secrets.token_urlsafe(3)}")
        self._pace = Pace(asyncio.get_running_loop())
        self._uplink = RedisUplink(
            redis, self.name, self.worker, options, self._outbox, self._attempts
        )

    async def open(self) -> None:
        """Announce the worker, without waiting long for it."""
        await self._uplink.open()

    async def settle(self) -> None:
        """Wait for the records of jobs that arq gave up, though not for ever."""
        if self._endings:
            await asyncio.wait(self._endings, timeout=_PATIENCE)

    async def drain(self) -> None:
        """Have the records of all jobs that have ended written, though not for ever."""
        await self.settle()
        await self._uplink.drain()

    async def close(self) -> None:
        """Write what is pending and take leave."""
        await self.settle()
        await self._uplink.close()

    def options_of(self, function: str | None) -> FunctionOptions:
        """The options of a function, also of one that this worker does not know."""
        return self._options.get(function or "") or self._options[""]

    async def begin(self, ctx: dict[str, Any]) -> None:
        """A try begins: give it its tracker, one that writes nothing if ours fails."""
        try:
            attempt = self._begin(ctx)
            if attempt is None:
                return
            if attempt.record.job_try > 1:
                await _finish_despite_cancellation(self._take_over(attempt), again=True)
            if self._uplink.idle:
                # before the job's first line, which may block this loop or end this process
                await _finish_despite_cancellation(
                    self._uplink.flush(attempt, _START_PATIENCE), again=True
                )
            else:
                attempt.mark_urgent()
        except Exception:
            logger.exception("job %s is not tracked", ctx["job_id"])
            untracked = StoredRecord(enqueued_ms=0, job_try=ctx["job_try"])
            ctx["status"] = JobTracker(Attempt(ctx["job_id"], untracked, None))

    def _begin(self, ctx: dict[str, Any]) -> Attempt | None:
        """Give a try its tracker; its run, if anything is to be written of it."""
        payload = payload_var.get() or {}
        job_id, function, enqueued = ctx["job_id"], payload.get("f"), payload.get("et")
        options = self.options_of(function)
        now = timestamp_ms()
        track = StoredRecord(
            enqueued_ms=enqueued if type(enqueued) is int else to_unix_ms(ctx["enqueue_time"]),
            job_try=ctx["job_try"],
            due=ctx["score"],
            function=None if function is None else shorten(str(function), _NAME_LIMIT),
            args=_args(payload, options),
            queue=self.worker.queue,
            started=now,
            updated=now,
            worker=self.name,
            expires=options.expires,
        )
        attempt = Attempt(job_id, track, self._outbox if options.track else None, function)
        tracker = JobTracker(attempt, self._uplink if options.track else None, self._pace)
        attempt_var.set(attempt)
        current.set(tracker)
        ctx["status"] = tracker
        if not options.track:
            return None
        self._attempts.running[job_id] = attempt
        return attempt

    async def _take_over(self, attempt: Attempt) -> None:
        """Keep what an earlier try said."""
        earlier = await self._earlier(attempt.job_id, attempt.record.enqueued_ms)
        if earlier is not None:
            attempt.record.message, attempt.record.total = earlier.message, earlier.total

    async def _earlier(self, job_id: str, run: int) -> StoredRecord | None:
        """The record of an earlier try of the run; of any run where arq does not know which."""
        earlier = await _or_none(self._uplink.record(job_id))
        if earlier is None or earlier.ended is not None or earlier.state is State.DELETED:
            return None
        return earlier if run in (0, earlier.enqueued_ms) or earlier.enqueued_ms == 0 else None

    async def end(self) -> None:
        """A try has ended: record it before arq forgets the job."""
        try:
            attempt = attempt_var.get()
            if attempt is None or not attempt.tracked:
                return
            self._attempts.running.pop(attempt.job_id, None)
            result, options = attempt.result, self.options_of(attempt.function)
            if result is not None and result.get("s"):
                _close(attempt, COMPLETE, result, options)
                if not attempt.reported:
                    # until the next batch arq's own result tells as much
                    attempt.mark_urgent()
                    return
            else:
                attempt.shut_down = self.worker.is_shutting_down(attempt.job_id)
                if not attempt.entered and result is None:
                    attempt.raised = self._why_not_entered(attempt)
                outcome = judge(attempt.raised, result, self._circumstances(attempt))
                _close(attempt, outcome, result, options)
            # in a shutdown as well: the job has ended all the same, and arq is to book that
            await _finish_despite_cancellation(self._uplink.flush(attempt), again=False)
        except Exception:
            logger.exception("the end of a job is not tracked")

    def _why_not_entered(self, attempt: Attempt) -> BaseException:
        """What kept arq from a job that it had begun, where it stores no result that tells."""
        payload, timeout = payload_var.get() or {}, self.worker.timeout(attempt.function)
        try:
            # as arq does for its log
            args_to_string(tuple(payload.get("a") or ()), dict(payload.get("k") or {}))
        except Exception as error:
            return error
        if timeout is not None and timeout <= 0:
            return TimeoutError()
        # its task was cancelled, and only that
        attempt.aborted = not attempt.force_stopped
        return asyncio.CancelledError()

    def _circumstances(self, attempt: Attempt) -> Circumstances:
        return Circumstances(
            retry_jobs=self.worker.retries,
            aborted=attempt.aborted,
            shutdown=attempt.shut_down,
            cancelled=attempt.cancelled,
            seconds=round(monotonic() - attempt.began, 1),
            timeout=self.worker.timeout(attempt.function),
        )

    def end_without_hook(self, result: Mapping[str, Any]) -> None:
        """Arq gave a job up without starting it: it expired, has no tries left, is unknown..."""
        function = None if result.get("f") == _UNKNOWN else result.get("f")
        if self.options_of(function).track:
            ending = asyncio.get_running_loop().create_task(self._give_up(function, result))
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)

    async def _give_up(self, function: str | None, result: Mapping[str, Any]) -> None:
        try:
            await self._record_end(function, result)
        except Exception:
            logger.exception("the end of a job is not tracked")

    async def _record_end(self, function: str | None, result: Mapping[str, Any]) -> None:
        job_id, run = result["id"], result.get("et") or 0
        options = await self._announced_options(function)
        track = await self._earlier(job_id, run)
        if track is None:
            track = StoredRecord(enqueued_ms=run, job_try=0)
        if not track.function and function is not None:
            track.function, track.args = clean(function), _args(result, options)
        track.job_try = result.get("t") or track.job_try
        track.queue = self.worker.queue
        ending = Attempt(job_id, track, self._outbox)
        _close(ending, judge(None, result, Circumstances()), result, options)
        # with no tick between arq's end and ours, though nobody waits for it
        await self._uplink.flush(ending, 0)

    async def _announced_options(self, function: str | None) -> FunctionOptions:
        """The options of a function, also of one that only other workers know."""
        if function is None or function in self._options:
            return self.options_of(function)
        return await _or_none(self._uplink.options(function)) or self.options_of(function)


async def _or_none(question: Coroutine[Any, Any, T | None]) -> T | None:
    """What Redis answers; ``None`` where it does not, or not in time."""
    try:
        return await asyncio.wait_for(question, _PATIENCE)
    except CONNECTION_ERRORS:
        return None


async def _finish_despite_cancellation(work: Coroutine[Any, Any, T], *, again: bool) -> T:
    """Await the work to its end, also where a shutdown cancels this task.

    It is cancelled ``again`` when it awaits next: arq heeds that once the job runs, while before
    it would end the whole worker and leave the job's in-progress key behind.
    """
    working, task, cut = asyncio.ensure_future(work), asyncio.current_task(), False
    while not working.done():
        try:
            await asyncio.wait((working,))
        except asyncio.CancelledError:
            cut = True
    if cut and again and task is not None:
        task.uncancel()
        asyncio.get_running_loop().call_soon(task.cancel)
    return working.result()


def _args(payload: Mapping[str, Any], options: FunctionOptions) -> str:
    if not options.record_args:
        return ""
    return render_args(payload.get("a") or (), payload.get("k") or {}, options.record_args)


def _close(
    attempt: Attempt,
    outcome: Outcome,
    result: Mapping[str, Any] | None,
    options: FunctionOptions,
) -> None:
    """Put the outcome into the record, which takes no progress from here on."""
    attempt.closed = True
    track = attempt.record
    track.state, track.error = outcome.state, outcome.error
    track.updated = (result or {}).get("ft") or timestamp_ms()
    if outcome.final:
        track.ended, track.worker = track.updated, shown_worker(track.worker)
        track.expires = options.expires_after(track.state)
