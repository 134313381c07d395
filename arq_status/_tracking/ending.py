"""The end of an attempt, and of jobs that arq gives up on without an attempt."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from time import monotonic
from typing import Any

from arq.utils import args_to_string

from arq_status._arq.worker import ArqWorker
from arq_status._model.builder import shown_worker, stopped_responding
from arq_status._model.options import FunctionOptions
from arq_status._model.record import State, StoredRecord
from arq_status._model.text import clean
from arq_status._tracking.attempt import Attempt
from arq_status._tracking.beginning import earlier_record, rendered_args
from arq_status._tracking.counters import Counters
from arq_status._tracking.functions import OptionsTable
from arq_status._tracking.outbox import Outbox
from arq_status._tracking.outcome import COMPLETE, Circumstances, Outcome, judge
from arq_status._tracking.tracebacks import traceback_of
from arq_status._tracking.uplink import Uplink
from arq_status._tracking.waiting import TIMEOUT, finish_despite_cancellation, none_on_failure

_UNKNOWN = "<unknown>"

logger = logging.getLogger("arq_status")


class Ending:
    """Records how the jobs of a worker end."""

    def __init__(
        self,
        worker: ArqWorker,
        options: OptionsTable,
        outbox: Outbox,
        uplink: Uplink,
        counters: Counters,
    ) -> None:
        self._counters = counters
        self._worker = worker
        self._options = options
        self._outbox = outbox
        self._uplink = uplink
        self._given_up: set[asyncio.Task[None]] = set()

    def record_completed(self, attempt: Attempt) -> bool:
        """Record the end of a job if it completed and reported nothing; otherwise return False.

        Nobody waits for it: until the next batch, arq's own result shows that it completed.
        """
        template, result = attempt.template, attempt.result
        if template is None or template.is_cron or result is None or not result.get("s"):
            return False
        row = attempt.complete()
        if row is None:
            return False
        self._counters.count_completed(template.name, attempt)
        self._outbox.complete(attempt, row)
        return True

    async def record_end(self, attempt: Attempt) -> None:
        """Record the end of an attempt, and wait for it unless arq's own result shows as much."""
        try:
            outcome = attempt.outcome or self.determine_outcome(attempt)
            _close(attempt, outcome, self._options.of(attempt.function))
            self._counters.count(attempt, attempt.function)
            if outcome is COMPLETE and attempt.result is not None and not attempt.reported:
                # until the next batch, arq's own result shows that it completed
                attempt.queue_urgently()
                return
            # also in a shutdown: the job has ended anyway, and arq must still store that
            await finish_despite_cancellation(self._uplink.flush(attempt), attempt)
        except Exception:
            logger.exception("could not record the end of job %s", attempt.job_id)

    def record_given_up(self, result: Mapping[str, Any]) -> None:
        """Record a job that arq ended without running it: expired, out of tries, unknown etc."""
        function = None if result.get("f") == _UNKNOWN else result.get("f")
        if self._options.of(function).track:
            task = asyncio.get_running_loop().create_task(self._record_given_up(function, result))
            self._given_up.add(task)
            task.add_done_callback(self._given_up.discard)

    async def wait_for_given_up(self) -> None:
        """Wait for the records of jobs that arq gave up on, for a limited time."""
        if self._given_up:
            await asyncio.wait(self._given_up, timeout=TIMEOUT)

    def determine_outcome(self, attempt: Attempt) -> Outcome:
        """Work out how an attempt ended, once arq has decided.

        Also sets its ``shut_down`` and, if its function was not called, ``raised`` and ``aborted``.
        """
        if attempt.result is not None and attempt.result.get("s"):
            return COMPLETE
        attempt.shut_down = self._worker.is_shutting_down(attempt.job_id)
        if not attempt.entered and attempt.result is None:
            attempt.raised = self._why_not_entered(attempt)
        circumstances = Circumstances(
            retry_jobs=self._worker.retries_jobs,
            aborted=attempt.aborted,
            shutdown=attempt.shut_down,
            cancelled=attempt.cancelled,
            seconds=None
            if attempt.started_at is None
            else round(monotonic() - attempt.started_at, 1),
            timeout=self._worker.timeout(attempt.function),
        )
        return judge(attempt.raised, attempt.result, circumstances)

    def _why_not_entered(self, attempt: Attempt) -> BaseException:
        """Return the exception that kept arq from calling the job's function and storing a result.

        Sets ``attempt.aborted``.
        """
        payload, timeout = attempt.payload, self._worker.timeout(attempt.function)
        try:
            # arq does the same for its log line, and may fail in it
            args_to_string(tuple(payload.get("a") or ()), dict(payload.get("k") or {}))
        except Exception as error:
            return error
        if timeout is not None and timeout <= 0:
            return TimeoutError()
        # nothing else is left: its task was cancelled
        attempt.aborted = not (attempt.force_stopped or attempt.shut_down)
        return asyncio.CancelledError()

    async def _record_given_up(self, function: str | None, result: Mapping[str, Any]) -> None:
        try:
            options = await self._announced_options(function)
            record = await self._last_record(function, result, options)
            attempt = Attempt(result["id"], record, self._outbox)
            outcome = judge(None, result, Circumstances())
            _close(attempt, _with_last_reason(outcome, record, result.get("t") or 0), options)
            self._counters.count(attempt, function)
            # at once, as arq stores its own result, but nobody waits for it
            await self._uplink.flush(attempt, 0)
        except Exception:
            logger.exception("could not record the end of job %s", result["id"])

    async def _last_record(
        self, function: str | None, result: Mapping[str, Any], options: FunctionOptions
    ) -> StoredRecord:
        run = result.get("et") or 0
        record = await earlier_record(self._uplink, result["id"], run)
        if record is None:
            record = StoredRecord(enqueued_ms=run, job_try=0)
        if not record.function and function is not None:
            record.function, record.args = clean(function), rendered_args(result, options)
        record.queue, record.hides_args = self._worker.queue, not options.record_args
        return record

    async def _announced_options(self, function: str | None) -> FunctionOptions:
        """Return the options of a function, even if only other workers know it."""
        known = self._options.of(function)
        if function is None or function in self._options:
            return known
        return await none_on_failure(self._uplink.options(function)) or known


def _with_last_reason(outcome: Outcome, record: StoredRecord, job_try: int) -> Outcome:
    """Add the error of the last try to the outcome of a job that arq gave up on.

    Also corrects ``record.job_try``: arq counts running out of tries as another try.
    """
    out_of_tries = outcome.error is not None and outcome.error.startswith("max ")
    record.job_try = max(record.job_try, job_try - 1) if out_of_tries else job_try or record.job_try
    reason = record.error
    if record.state is State.WORKING and record.worker is not None:
        reason = stopped_responding(record.worker)
    if reason is None or record.job_try == 0:
        return outcome
    return replace(outcome, error=f"{outcome.error}; last: {reason}")


def _close(attempt: Attempt, outcome: Outcome, options: FunctionOptions) -> None:
    """Put the outcome into the record and close the attempt."""
    record = attempt.record
    record.state, record.error = outcome.state, outcome.error
    if attempt.raised is not None and outcome.state is not State.COMPLETE:
        attempt.traceback = traceback_of(attempt.raised, attempt.raised_traceback)
    if outcome.final:
        record.worker = shown_worker(record.worker)
        record.expires_after_ms = options.expires_after(record.state)
    elif record.state is State.RETRYING and attempt.retry_due is not None:
        record.due = attempt.retry_due
    attempt.close(final=outcome.final)
