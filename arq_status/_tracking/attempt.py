"""One try of a job in its worker: what it reported, what is not yet in Redis, how it ended."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from threading import Lock
from time import monotonic
from types import TracebackType
from typing import Any, Protocol

from arq_status._arq.worker import ArqWorker
from arq_status._model.errors import JobStopped
from arq_status._model.history import LEVELS
from arq_status._model.labels import check_tag_count, checked_tag
from arq_status._model.record import State, StoredRecord, encode_completed
from arq_status._model.text import shorten
from arq_status._model.validation import LARGEST, amount, encode_fields
from arq_status._redis.batch import AnyRow, CompletedRow, Row
from arq_status._redis.clock import RedisClock
from arq_status._redis.history import encode_try
from arq_status._tracking.attempt_data import AttemptData, in_parts
from arq_status._tracking.attempt_log import AttemptLog
from arq_status._tracking.estimate import Estimate
from arq_status._tracking.outcome import Outcome
from arq_status._tracking.record_template import RecordTemplate

logger = logging.getLogger("arq_status")

#: Characters of a message that are kept.
MESSAGE_LIMIT = 2_000
_NOWHERE, _PROGRESS, _URGENT = range(3)
#: The clock of attempts without a worker: never corrected, so it is this host's clock.
_HOST_CLOCK = RedisClock()
#: Held while something is created on first use, so that only one thread creates it.
_creation_lock = Lock()


class Recipient(Protocol):
    """Accepts attempts that have something to write."""

    clock: RedisClock
    #: monotonic time until which writes wait for the next batch; later ones are sent at once
    busy_until: float

    def add(self, attempt: "Attempt", *, urgent: bool) -> None:
        """Add an attempt; an urgent one goes with the next batch, without waiting for the tick."""


class Attempt:
    """One try of a job: its record, how much of it is written, and how it ended.

    The job's thread or event loop changes it and the writer takes rows from it, without waiting
    for each other. The writer marks it as not queued before it reads it, so that a change made
    meanwhile queues it again and is not lost.
    """

    # Defaults are on the class, because every job has an attempt and few change many of them.

    #: the record is created from it on first access; ``None`` if the attempt was given a record.
    #: Jobs that complete at once and report nothing never need one.
    template: RecordTemplate | None = None
    enqueued_ms = 0
    job_try = 1
    due: int | None = None
    args = ""
    #: start and end by Redis' clock, set by ``complete``
    started_ms: int | None = None
    ended_ms: int | None = None
    #: monotonic times of its start and end; ``None`` if that was not in this worker
    started_at: float | None = None
    ended_at: float | None = None
    #: True once its first row is in Redis
    first_row_written: bool = False
    #: monotonic time of Redis' last reply to one of its rows
    answered_at: float = 0.0
    #: True while its function may be running: only then do tracker calls raise
    running: bool = True
    #: True once arq has called its function
    entered: bool = False
    #: True once its record has the outcome and accepts no more progress
    closed: bool = False
    #: True if arq will not run the job again
    final: bool = False
    #: True once the job itself has reported something
    reported: bool = False
    #: True once it was asked to stop
    stopping: bool = False
    #: True once its task was cancelled to force the stop
    force_stopped: bool = False
    #: the exception that the job raised, or that arq will raise over its return value
    raised: BaseException | None = None
    #: its traceback, from the job's own first frame on
    raised_traceback: TracebackType | None = None
    #: True if its task was cancelled from outside
    cancelled: bool = False
    #: True if it was cancelled by ``Job.abort``
    aborted: bool = False
    #: True if it was cancelled by the worker's shutdown
    shut_down: bool = False
    #: epoch ms of the next try, unless that is due at the same time as this one
    retry_due: int | None = None
    #: the result that arq stores
    result: Mapping[str, Any] | None = None
    #: how it ended, once that is known
    outcome: Outcome | None = None
    #: the lowest level of `logging` messages that go into its log
    log_level: int | None = None
    #: the formatted traceback of ``raised``
    traceback: str | None = None
    #: the encoded try with that traceback, stored in addition to the record
    _ended_try: str | None = None
    #: its stored fields and its log lines, created on first use
    data: AttemptData | None = None
    log: AttemptLog | None = None

    _queued_as = _NOWHERE
    _told_to_stop = False
    _total_given = False
    _estimate: Estimate | None = None

    def __init__(
        self,
        job_id: str,
        record: StoredRecord | None,
        outbox: Recipient | None,
        payload: Mapping[str, Any] | None = None,
        worker: ArqWorker | None = None,
    ) -> None:
        self.job_id: str = job_id
        self._record = record
        #: arq's payload of the job, under arq's names
        self.payload: Mapping[str, Any] = payload or {}
        #: the worker that runs it; ``None`` outside a worker
        self.worker = worker
        #: receives it when there is something to write; ``None`` if nothing is to be written
        self.outbox = outbox
        self._clock = _HOST_CLOCK if outbox is None else outbox.clock

    @property
    def record(self) -> StoredRecord:
        """The record of the attempt.

        Created on first access, under a lock; times and version are set when a row is taken.
        """
        if self._record is None:
            with _creation_lock:
                self._record = self._record or self._new_record()
        return self._record

    @property
    def function(self) -> str | None:
        """The name under which arq knows the function."""
        return self.payload.get("f")

    @property
    def stopped(self) -> bool:
        """True if it raised because it was asked to stop; arq is then made to end the job."""
        if not self.stopping:
            return False
        if isinstance(self.raised, asyncio.CancelledError):
            # after an abort arq expects this exception, after a shutdown it runs the job again
            return not self.aborted and not self.shut_down
        return isinstance(self.raised, Exception)

    def at(self, at: float, message: str | None) -> None:
        """Set the progress, and the message if one is given."""
        try:
            if type(at) is not int or not 0 <= at <= LARGEST:
                at = amount(at, "at")
            record = self._record or self.record
            if message is not None and message is not record.message:
                if not isinstance(message, str):
                    raise TypeError(f"message must be a str, not {type(message).__name__}")
                if not self.closed:
                    record.message = shorten(message, MESSAGE_LIMIT)
        except (TypeError, ValueError) as error:
            self._refuse(error)
            return
        if not self.closed:
            record.at = at
        self.queue_report()

    def advance(self, step: float, message: str | None) -> None:
        """Add to the progress."""
        try:
            step = amount(step, "step")
        except (TypeError, ValueError) as error:
            self._refuse(error)
            return
        self.at(self.record.at + step, message)

    def total(self, total: float) -> None:
        """Set the total."""
        try:
            total = amount(total, "total")
        except (TypeError, ValueError) as error:
            self._refuse(error)
            return
        if not self.closed:
            self.record.total = total
        self._total_given = True
        self.queue_report()

    def start_over(self, iterable: object, message: str | None, total: float | None) -> None:
        """Start counting the items of an iterable."""
        if total is None:
            try:
                total = len(iterable)  # type: ignore[arg-type]
            except Exception:  # ``__len__`` may raise anything
                total = self.record.total if self._total_given else 0
        self.total(total)
        self.at(0, message)

    def store(self, fields: Mapping[str, Any]) -> None:
        """Set fields of the job's data."""
        with _creation_lock:
            self.data = self.data or AttemptData()
        try:
            self.data.update(encode_fields(fields))
        except (TypeError, ValueError) as error:
            self._refuse(error)
            return
        self.queue_report()
        if self.closed:
            # unlike progress, data may still come from `after_job_end`
            self.queue_urgently()

    def add_line(self, message: str, level: str, logger: str | None = None) -> None:
        """Append a line to the job's log."""
        if self.log is None:
            with _creation_lock:
                self.log = self.log or AttemptLog()
        self.log.append(message, level, logger)
        self.queue_report()
        if self.closed:
            self.queue_urgently()

    def log_line(self, message: str, level: str) -> None:
        """Append a line that the job itself logs."""
        try:
            if not isinstance(message, str):
                raise TypeError(f"message must be a str, not {type(message).__name__}")
            if level not in LEVELS:
                raise ValueError(f"unknown log level {level!r}: one of {', '.join(LEVELS)}")
        except (TypeError, ValueError) as error:
            self._refuse(error)
            return
        self.add_line(message, level)

    def tag(self, tag: str) -> None:
        """Give the job a tag."""
        try:
            tags = tuple(dict.fromkeys((*self.record.tags, checked_tag(tag))))
            check_tag_count(tags)
        except (TypeError, ValueError) as error:
            self._refuse(error)
            return
        self.record.tags = tags
        self.queue_report()
        if self.closed:
            self.queue_urgently()

    def close(self, *, final: bool) -> None:
        """Accept no more progress; ``final`` means that arq will not run the job again."""
        self.record.remaining = None
        self.closed, self.final = True, final
        self.ended_at = monotonic()

    def complete(self) -> CompletedRow | None:
        """Close it as complete and return its whole life as one row, if it reported nothing.

        Returns:
            ``None`` if its record has been created before: call ``close`` instead.
        """
        template = self.template
        with _creation_lock:
            if self.reported or self._record is not None or template is None:
                return None
            self.closed = self.final = True
        self._queued_as = _NOWHERE
        self.ended_at = ended = monotonic()
        self.ended_ms = ended_ms = self._clock.ms_at(ended)
        self.started_ms = started_ms = ended_ms - round((ended - (self.started_at or 0.0)) * 1000)
        common = template.encoded_when_complete
        text = encode_completed(self.enqueued_ms, common, self.args, self.due, started_ms, ended_ms)
        return CompletedRow(self.job_id, text, ended_ms, template.options.expires)

    def raise_if_stopping(self) -> None:
        """Raise if the job was asked to stop, while its function runs; hooks are not interrupted.

        Raises:
            JobStopped: the first time.
            asyncio.CancelledError: after that, for jobs that catch every ``Exception``.
        """
        if self.stopping and self.running:
            if self._told_to_stop:
                raise asyncio.CancelledError("stopped")
            self._told_to_stop = True
            raise JobStopped("stopped")

    def queue_report(self) -> None:
        """Note that the job has reported something and queue it, unless it is closed."""
        self.reported = True
        if not self._queued_as and self.outbox is not None and not self.closed:
            self._queued_as = _PROGRESS
            self.outbox.add(self, urgent=False)

    def queue_urgently(self) -> None:
        """Queue it ahead of progress, even if it is closed, unless its record has expired."""
        if self._queued_as is _URGENT or self.outbox is None:
            return
        if not self.closed or not self._has_expired():
            self._queued_as = _URGENT
            self.outbox.add(self, urgent=True)

    def take_row(self) -> Row | CompletedRow:
        """Return the row to write now and mark the attempt as not queued.

        Increases the version of its record and sets its times.
        """
        self._queued_as = _NOWHERE
        record = self.record
        record.version += 1
        if self.reported and not self.closed:
            self._estimate = self._estimate or Estimate()
            record.remaining = self._estimate.remaining_ms(monotonic(), record.at, record.total)
        self.set_times(record)
        ended = record.ended
        fields = self.data.to_send() if self.data is not None else {}
        is_more = self.first_row_written or fields or self.log or record.tags
        if ended and record.state is State.COMPLETE and not is_more:
            return CompletedRow(self.job_id, record.encode(), ended, record.expires_after_ms)
        row = Row(
            self.job_id, not self.first_row_written, record.encode(), fields, self._try_to_keep(),
            due=self._due_of_try(record),
        )  # fmt: skip
        if self.log is not None:
            lines = self.log.unsent(record.job_try, self._clock)
            row = row._replace(lines=lines, log_id=self.log.log_id)
        return row

    def take_rows(self) -> Sequence[Row | CompletedRow]:
        """Like ``take_row``, but return several rows if its data is too large for one.

        The end comes with the last row, so that whoever sees it sees all the data.
        """
        row = self.take_row()
        if isinstance(row, CompletedRow) or not row.fields:
            return (row,)
        *parts, last = in_parts(row.fields)
        rows: list[Row] = []
        for part in parts:
            unfinished = replace(self.record, state=State.WORKING, ended=None)
            rows.append(Row(self.job_id, row.is_first, unfinished.encode(), part, due=row.due))
            self.record.version += 1
        return (*rows, row._replace(record=self.record.encode(), fields=last))

    def mark_sent(self, row: AnyRow) -> None:
        """Drop the fields and log lines of a written row, except fields set again since.

        Until then every row repeats them: rows may overtake each other, and the newest one counts.
        """
        if self.log is not None and isinstance(row, Row):
            self.log.mark_sent(row.lines)
        if self.data is not None:
            self.data.mark_sent(row.fields)

    def drop(self) -> None:
        """Mark it as not queued, until it reports more."""
        self._queued_as = _NOWHERE

    def _new_record(self) -> StoredRecord:
        assert self.template is not None
        record = self.template.new_record(
            self.enqueued_ms, self.job_try, self.due, self.args, complete=self.final
        )
        if self.ended_ms is not None:
            record.started, record.updated = self.started_ms, self.ended_ms
            record.ended = record.updated
        return record

    def set_times(self, record: StoredRecord) -> None:
        """Set the times of a record, converted to Redis' clock as known so far."""
        clock = self._clock
        if record.ended is not None:
            # keep them even if the clock was corrected since: expiry counts from the stored end
            return
        if self.started_at is not None:
            record.started = clock.ms_at(self.started_at)
        record.updated = clock.now_ms() if self.ended_at is None else clock.ms_at(self.ended_at)
        if self.final:
            record.ended = record.updated

    def _due_of_try(self, record: StoredRecord) -> int | None:
        """Return when this try was due, in ms after the enqueue, if the record has the next one."""
        if self.due is None or record.state is not State.RETRYING:
            return None
        return self.due - record.enqueued_ms

    def _try_to_keep(self) -> str | None:
        """Return the try with its traceback; the same string each time, so Redis keeps it once."""
        if self._ended_try is None and self.traceback is not None:
            self._ended_try = encode_try(self.record, self.traceback)
        return self._ended_try

    def _has_expired(self) -> bool:
        """Return True if its record has expired."""
        ended = self.ended_at
        return ended is not None and (monotonic() - ended) * 1000 >= self.record.expires_after_ms

    def _refuse(self, error: Exception) -> None:
        """Raise the error of an invalid call, or only log it outside the job's function.

        An exception in a hook would end arq's worker.
        """
        if self.running:
            raise error
        logger.warning(
            "ignored an invalid tracker call while job %r was not running: %s", self.job_id, error
        )
