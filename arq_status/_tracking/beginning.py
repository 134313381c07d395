"""The start of an attempt: its tracker, its record, and the first write."""

import logging
from collections.abc import Callable, Coroutine, Mapping
from time import monotonic
from typing import Any

from arq.utils import to_unix_ms

from arq_status._arq.worker import ArqWorker
from arq_status._model.labels import checked_tags
from arq_status._model.options import FunctionOptions
from arq_status._model.record import State, StoredRecord
from arq_status._model.text import error_text, render_args
from arq_status._tracking.attempt import Attempt
from arq_status._tracking.attempts import Attempts
from arq_status._tracking.counters import Counters
from arq_status._tracking.log_capture import capture_logs
from arq_status._tracking.outbox import Outbox
from arq_status._tracking.pace import Pace
from arq_status._tracking.record_template import RecordTemplate
from arq_status._tracking.tracker import JobTracker, job_var
from arq_status._tracking.uplink import Uplink
from arq_status._tracking.waiting import finish_despite_cancellation, none_on_failure

#: The most seconds that the start of a job waits for its record to be written.
_START_TIMEOUT = 0.1

logger = logging.getLogger("arq_status")


class Beginning:
    """Starts the attempts of a worker."""

    def __init__(
        self,
        worker: ArqWorker,
        name: str,
        track: Callable[[str], FunctionOptions],
        outbox: Outbox,
        uplink: Uplink,
        pace: Pace,
        attempts: Attempts,
        counters: Counters,
    ) -> None:
        """Start the attempts of one worker.

        Args:
            worker: arq's worker.
            name: the worker's name.
            track: tracks a function if it is not tracked yet, and returns its options.
            outbox: receives attempts that have something to write.
            uplink: the worker's own connections to Redis.
            pace: when the worker's event loop last got a turn.
            attempts: the running attempts.
            counters: the worker's counters.
        """
        self._worker = worker
        self._functions = worker.functions
        self._name = name
        self._track = track
        self._outbox = outbox
        self._uplink = uplink
        self._pace = pace
        self._attempts = attempts
        self._counters = counters
        self._templates: dict[str | None, RecordTemplate] = {}
        self._cron_jobs = frozenset(it.name for it in worker.cron_jobs)
        #: functions whose tags were found invalid
        self._without_tags: set[str | None] = set()

    def begin(
        self, ctx: dict[str, Any], payload: Mapping[str, Any]
    ) -> Coroutine[Any, Any, None] | None:
        """Start the attempt of a job and put its tracker into ``ctx["status"]``.

        If tracking fails, the tracker writes nothing.

        Returns:
            A coroutine to await before the job's function is called, or ``None``.
        """
        try:
            attempt = self._new_attempt(ctx, payload)
        except Exception:
            logger.exception("job %s is not tracked", ctx["job_id"])
            record = StoredRecord(enqueued_ms=0, job_try=ctx["job_try"])
            attempt = Attempt(ctx["job_id"], record, None, payload, self._worker)
        attempt.running = False
        outbox = attempt.outbox
        tracker = JobTracker(attempt, None if outbox is None else self._uplink, self._pace)
        job_var.set(tracker)
        ctx["status"] = tracker
        if outbox is None:
            return None
        template = attempt.template
        if template is not None and template.options.tags is not None:
            attempt.record.tags = self._tags(attempt, template.options, ctx)
        self._attempts.running[attempt.job_id] = attempt
        began = attempt.started_at or 0.0
        if attempt.job_try > 1 or began > outbox.busy_until:
            return self._record_start(attempt)
        attempt.queue_urgently()
        return None

    async def _record_start(self, attempt: Attempt) -> None:
        """Have the start written: at once, or with the next batch while the writer is busy."""
        try:
            if attempt.job_try > 1:
                await finish_despite_cancellation(self._take_over(attempt), attempt)
            if monotonic() > self._outbox.busy_until:
                # before the job's function, which may block this loop or end this process
                await finish_despite_cancellation(
                    self._uplink.flush(attempt, _START_TIMEOUT), attempt
                )
            else:
                attempt.queue_urgently()
        except Exception:
            logger.exception("could not record the start of job %s", attempt.job_id)

    def _new_attempt(self, ctx: Mapping[str, Any], payload: Mapping[str, Any]) -> Attempt:
        name, enqueued = payload.get("f"), payload.get("et")
        template = self._templates.get(name)
        if template is None or template.function is not self._functions.get(name or ""):
            template = self._templates[name] = self._new_template(name)
        options = template.options
        outbox = self._outbox if options.track else None
        attempt = Attempt(ctx["job_id"], None, outbox, payload, self._worker)
        attempt.template = template
        attempt.enqueued_ms = enqueued if type(enqueued) is int else to_unix_ms(ctx["enqueue_time"])
        attempt.job_try, attempt.due = ctx["job_try"], ctx["score"]
        if payload.get("a") or payload.get("k"):
            # now, because the job may change them
            attempt.args = rendered_args(payload, options)
        if options.record_logs is not None:
            attempt.log_level = options.record_logs
            capture_logs(self._name)
        attempt.started_at = monotonic()
        if template.is_cron and options.track:
            self._counters.note_cron_job(attempt, name)
        return attempt

    def _new_template(self, name: str | None) -> RecordTemplate:
        options = self._track(name or "")
        return RecordTemplate(
            name,
            self._functions.get(name or ""),
            options,
            queue=self._worker.queue,
            worker=self._name,
            is_cron=name in self._cron_jobs,
        )

    def _tags(
        self, attempt: Attempt, options: FunctionOptions, ctx: dict[str, Any]
    ) -> tuple[str, ...]:
        """Return the tags that a job gets from the options of its function."""
        tags = options.tags or ()
        try:
            if callable(tags):
                payload = attempt.payload
                given = tags(ctx, *(payload.get("a") or ()), **(payload.get("k") or {}))
            else:
                given = tags
            return checked_tags(given)
        except Exception as error:  # the user's function may raise anything
            if attempt.function not in self._without_tags:
                self._without_tags.add(attempt.function)
                # the error message may contain the arguments
                hides = not options.record_args
                logger.warning(
                    "could not determine the tags of %s jobs: %s",
                    attempt.function,
                    type(error).__name__ if hides else error_text(error),
                    exc_info=None if hides else error,
                )
            return ()

    async def _take_over(self, attempt: Attempt) -> None:
        """Take over message and total from an earlier try."""
        earlier = await earlier_record(self._uplink, attempt.job_id, attempt.enqueued_ms)
        if earlier is not None:
            attempt.record.message, attempt.record.total = earlier.message, earlier.total


async def earlier_record(uplink: Uplink, job_id: str, enqueued_ms: int) -> StoredRecord | None:
    """Return the record of an earlier try of the same run.

    ``enqueued_ms=0`` (unknown) matches any run.
    """
    earlier = await none_on_failure(uplink.stored_record(job_id))
    if earlier is None or earlier.ended is not None or earlier.state is State.DELETED:
        return None
    same_run = enqueued_ms in (0, earlier.enqueued_ms) or earlier.enqueued_ms == 0
    return earlier if same_run else None


def rendered_args(payload: Mapping[str, Any], options: FunctionOptions) -> str:
    """Return a job's arguments as stored in its record."""
    if not options.record_args:
        return ""
    return render_args(payload.get("a") or (), payload.get("k") or {}, options.record_args)
