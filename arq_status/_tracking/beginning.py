"""How an attempt begins: its tracker, its record, and what is written before its first line."""

import logging
from collections.abc import Mapping
from functools import lru_cache
from time import monotonic
from typing import Any

from arq.utils import to_unix_ms

from arq_status._arq.worker import ArqWorker
from arq_status._model.options import FunctionOptions, Tags
from arq_status._model.record import State, StoredRecord
from arq_status._model.tags import checked_tags
from arq_status._model.text import error_text, render_args, shorten
from arq_status._tracking.attempt import Attempt
from arq_status._tracking.counters import Counters
from arq_status._tracking.functions import OptionsTable
from arq_status._tracking.log_capture import capture_logs
from arq_status._tracking.outbox import Outbox
from arq_status._tracking.pace import Pace
from arq_status._tracking.tracker import JobTracker, job_var
from arq_status._tracking.uplink import Uplink
from arq_status._tracking.waiting import finish_despite_cancellation, or_none

#: Seconds that the start of a job waits for its record at most.
_START_TIMEOUT = 0.1
_NAME_LIMIT = 300

logger = logging.getLogger("arq_status")


class Beginning:
    """Begins the attempts of a worker."""

    def __init__(
        self,
        worker: ArqWorker,
        name: str,
        options: OptionsTable,
        outbox: Outbox,
        uplink: Uplink,
        pace: Pace,
        counters: Counters,
    ) -> None:
        self._counters = counters
        self._worker = worker
        self._name = name
        self._options = options
        self._outbox = outbox
        self._uplink = uplink
        self._pace = pace
        #: functions whose tags were found wrong
        self._without_tags: set[str | None] = set()

    def new_attempt(self, ctx: dict[str, Any], payload: Mapping[str, Any]) -> Attempt:
        """Return a job's attempt; its tracker is in ``ctx`` and writes nothing if ours fails."""
        try:
            attempt = self._attempt(ctx, payload)
        except Exception:
            logger.exception("job %s is not tracked", ctx["job_id"])
            record = StoredRecord(enqueued_ms=0, job_try=ctx["job_try"])
            attempt = Attempt(ctx["job_id"], record, None, payload, self._worker)
        attempt.running = False
        tracker = JobTracker(attempt, self._uplink if attempt.tracked else None, self._pace)
        job_var.set(tracker)
        ctx["status"] = tracker
        options = self._options.of(attempt.function)
        if options.tags is not None and attempt.tracked:
            attempt.record.tags = self._tags(attempt, options.tags, ctx)
        return attempt

    async def record(self, attempt: Attempt) -> None:
        """Have the start written, at once if that delays the job by less than a batch would."""
        try:
            if attempt.record.job_try > 1:
                await finish_despite_cancellation(self._take_over(attempt), attempt)
            if self._uplink.idle:
                # before the job's first line, which may block this loop or end this process
                await finish_despite_cancellation(
                    self._uplink.flush(attempt, _START_TIMEOUT), attempt
                )
            else:
                attempt.mark_urgent()
        except Exception:
            logger.exception("the start of job %s is not tracked", attempt.job_id)

    def _attempt(self, ctx: Mapping[str, Any], payload: Mapping[str, Any]) -> Attempt:
        function, enqueued = payload.get("f"), payload.get("et")
        options = self._options.of(function)
        record = StoredRecord(
            enqueued_ms=enqueued if type(enqueued) is int else to_unix_ms(ctx["enqueue_time"]),
            job_try=ctx["job_try"],
            due=ctx["score"],
            function=None if function is None else _shown_name(str(function)),
            args=rendered_args(payload, options),
            queue=self._worker.queue,
            worker=self._name,
            expires=options.expires,
            hides_args=not options.record_args,
        )
        outbox = self._outbox if options.track else None
        attempt = Attempt(ctx["job_id"], record, outbox, payload, self._worker)
        attempt.began = monotonic()
        if options.record_logs is not None:
            attempt.log_level = options.record_logs
            capture_logs(self._name)
        if outbox is not None:
            self._counters.note_cron_job(attempt, function)
        return attempt

    def _tags(self, attempt: Attempt, tags: Tags, ctx: dict[str, Any]) -> tuple[str, ...]:
        """Return the tags that the options of its function give a job."""
        try:
            if callable(tags):
                payload = attempt.payload
                given = tags(ctx, *(payload.get("a") or ()), **(payload.get("k") or {}))
            else:
                given = tags
            return checked_tags(given)
        except Exception as error:  # whatever the user's function raises
            if attempt.function not in self._without_tags:
                self._without_tags.add(attempt.function)
                # what it says may be made of the arguments
                hides = attempt.record.hides_args
                logger.warning(
                    "jobs of %s have no tags: %s",
                    attempt.function,
                    type(error).__name__ if hides else error_text(error),
                    exc_info=None if hides else error,
                )
            return ()

    async def _take_over(self, attempt: Attempt) -> None:
        """Keep message and total of an earlier try."""
        earlier = await earlier_record(self._uplink, attempt.job_id, attempt.record.enqueued_ms)
        if earlier is not None:
            attempt.record.message, attempt.record.total = earlier.message, earlier.total


async def earlier_record(uplink: Uplink, job_id: str, enqueued_ms: int) -> StoredRecord | None:
    """Return the record of an earlier try of the run; of any run where 0 says it is not known."""
    earlier = await or_none(uplink.record(job_id))
    if earlier is None or earlier.ended is not None or earlier.state is State.DELETED:
        return None
    same_run = enqueued_ms in (0, earlier.enqueued_ms) or earlier.enqueued_ms == 0
    return earlier if same_run else None


@lru_cache(maxsize=256)
def _shown_name(function: str) -> str:
    return shorten(function, _NAME_LIMIT)


def rendered_args(payload: Mapping[str, Any], options: FunctionOptions) -> str:
    """Return a job's arguments as its record has them."""
    if not options.record_args:
        return ""
    return render_args(payload.get("a") or (), payload.get("k") or {}, options.record_args)
