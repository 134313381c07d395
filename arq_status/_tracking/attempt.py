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
from arq_status._model.record import State, StoredRecord, encode_completed
from arq_status._model.tags import checked_tag, require_few
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
#: For attempts without a worker: never corrected, so it is this host's clock.
_HOST_CLOCK = RedisClock()
#: What is made when it is first needed is made in one thread.
_making = Lock()


class Recipient(Protocol):
    """Takes attempts that have something to write."""

    clock: RedisClock
    #: monotonic time from which on a write goes out at once, and not with a later batch
    busy_until: float

    def add(self, attempt: "Attempt", *, urgent: bool) -> None:
        """Add one; an urgent one is written with the next batch, without waiting for the tick."""


class Attempt:
    """One try of a job: its record, how much of it is written, and how it ended.

    The job's thread or event loop changes it, the writer takes rows from it; neither waits for
    the other. A change marks the attempt before the writer looks, so that none is lost.
    """

    # Defaults are on the class: an attempt is made for every job, and few change many of them.

    #: the record is created from it on first access; ``None`` if the attempt was given a record.
    #: Jobs that complete at once and report nothing never need one.
    template: RecordTemplate | None = None
    enqueued_ms = 0
    job_try = 1
    due: int | None = None
    args = ""
    #: the times of its end by Redis' clock, once they were told
    started_ms: int | None = None
    ended_ms: int | None = None
    #: monotonic times at which it began and ended; ``None`` if it did not in this worker
    started_at: float | None = None
    ended_at: float | None = None
    #: whether its first row is in Redis
    first_row_written: bool = False
    #: the monotonic time of Redis' last answer to one of its rows
    answered_at: float = 0.0
    #: whether its function may be running: only then a tracker call raises
    running: bool = True
    #: True once arq has called its function; True once its record has the outcome and takes no more
    #: progress
    entered: bool = False
    closed: bool = False
    #: whether arq will not run the job again
    final: bool = False
    #: whether it reported progress or data of its own
    reported: bool = False
    #: whether it was asked to stop, and its task cancelled to that end
    stopping: bool = False
    force_stopped: bool = False
    #: what the job raised, or what arq will find wrong with what it returned
    raised: BaseException | None = None
    raised_at: TracebackType | None = None
    #: True if its task was cancelled from outside; if by ``Job.abort``; if by the worker's shutdown
    cancelled: bool = False
    aborted: bool = False
    shut_down: bool = False
    #: when arq will run it again, where that is not when this try was due
    retry_due: int | None = None
    #: what arq stores as its result
    result: Mapping[str, Any] | None = None
    #: how it ended, once that is known
    outcome: Outcome | None = None
    #: the level from which on what it logs is recorded
    log_level: int | None = None
    #: what Python prints of what it raised, and with it the try as it is kept beside the record
    traceback: str | None = None
    _ended_try: str | None = None
    #: what it stored and what it logged, once it did
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
        #: what the job was enqueued with, under arq's names
        self.payload: Mapping[str, Any] = payload or {}
        #: the worker that runs it, if it is arq's
        self.worker = worker
        #: takes it when there is something to write; ``None`` if nothing of it is written
        self.outbox = outbox
        self._clock = _HOST_CLOCK if outbox is None else outbox.clock

    @property
    def record(self) -> StoredRecord:
        """The record of the attempt.

        Made on first access, under a lock; its times and version are set only when a row is taken.
        """
        if self._record is None:
            with _making:
                self._record = self._record or self._new_record()
        return self._record

    @property
    def function(self) -> str | None:
        """The name under which arq knows the function."""
        return self.payload.get("f")

    @property
    def stopped(self) -> bool:
        """Whether what it raised is due to a stop, so that arq ends the job for good."""
        if not self.stopping:
            return False
        if isinstance(self.raised, asyncio.CancelledError):
            # arq waits for this one after an abort, and runs the job again after a shutdown
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
        """Begin to count the items of an iterable."""
        if total is None:
            try:
                total = len(iterable)  # type: ignore[arg-type]
            except Exception:  # whatever its length raises
                total = self.record.total if self._total_given else 0
        self.total(total)
        self.at(0, message)

    def store(self, fields: Mapping[str, Any]) -> None:
        """Set fields."""
        with _making:
            self.data = self.data or AttemptData()
        try:
            self.data.update(encode_fields(fields))
        except (TypeError, ValueError) as error:
            self._refuse(error)
            return
        self.queue_report()
        if self.closed:
            # data may still come from `after_job_end`, unlike progress
            self.queue_urgently()

    def add_line(self, message: str, level: str, logger: str | None = None) -> None:
        """Append a line to the job's log."""
        if self.log is None:
            with _making:
                self.log = self.log or AttemptLog()
        self.log.append(message, level, logger)
        self.queue_report()
        if self.closed:
            self.queue_urgently()

    def log_line(self, message: str, level: str) -> None:
        """Append a line of the job's own."""
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
            require_few(tags)
        except (TypeError, ValueError) as error:
            self._refuse(error)
            return
        self.record.tags = tags
        self.queue_report()
        if self.closed:
            self.queue_urgently()

    def close(self, *, final: bool) -> None:
        """Take no progress from here on; if ``final`` arq will not run the job again."""
        self.record.remaining = None
        self.closed, self.final = True, final
        self.ended_at = monotonic()

    def complete(self) -> CompletedRow | None:
        """Close it as complete and return its whole life, if it reported nothing.

        Returns:
            ``None`` if its record was made before: then ``close`` is to be called.
        """
        template = self.template
        with _making:
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
        """End the job here if it was asked to stop. Its hooks and what outlives it go on.

        Raises:
            JobStopped: the first time.
            asyncio.CancelledError: from then on, for a job that catches every ``Exception``.
        """
        if self.stopping and self.running:
            if self._told_to_stop:
                raise asyncio.CancelledError("stopped")
            self._told_to_stop = True
            raise JobStopped("stopped")

    def queue_report(self) -> None:
        """Have what changed written with the next batch."""
        self.reported = True
        if not self._queued_as and self.outbox is not None and not self.closed:
            self._queued_as = _PROGRESS
            self.outbox.add(self, urgent=False)

    def queue_urgently(self) -> None:
        """Have it written even if it is closed, and sooner than progress is."""
        if self._queued_as is _URGENT or self.outbox is None:
            return
        if not self.closed or not self._has_expired():
            self._queued_as = _URGENT
            self.outbox.add(self, urgent=True)

    def take_row(self) -> Row | CompletedRow:
        """Return what is to be written now."""
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
            return CompletedRow(self.job_id, record.encode(), ended, record.expires)
        row = Row(
            self.job_id, not self.first_row_written, record.encode(), fields, self._try_to_keep(),
            due=self._due_of_try(record),
        )  # fmt: skip
        if self.log is not None:
            lines = self.log.unsent(record.job_try, self._clock)
            row = row._replace(lines=lines, log_id=self.log.log_id)
        return row

    def take_rows(self) -> Sequence[Row | CompletedRow]:
        """Return the same, in several rows if its data is more than Redis may take at once.

        The end comes with the last one: whoever sees it is to see all the data.
        """
        row = self.take_row()
        if isinstance(row, CompletedRow) or not row.fields:
            return (row,)
        *parts, last = in_parts(row.fields)
        rows: list[Row] = []
        for part in parts:
            unfinished = replace(self.record, state=State.WORKING, ended=None)
            rows.append(Row(self.job_id, row.first, unfinished.encode(), part, due=row.due))
            self.record.version += 1
        return (*rows, row._replace(record=self.record.encode(), fields=last))

    def mark_sent(self, row: AnyRow) -> None:
        """Note that what a row has beside the record is written, but for what was set since.

        Until then every row has it: rows may overtake each other, and the newest one counts.
        """
        if self.log is not None and isinstance(row, Row):
            self.log.mark_sent(row.lines)
        if self.data is not None:
            self.data.mark_sent(row.fields)

    def drop(self) -> None:
        """Note that it is in no queue any more, until it reports more."""
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
        """Put the times into its record: those of Redis' clock, as far as it is known by now."""
        clock = self._clock
        if record.ended is not None:
            # whatever the clock does by now: what was stored first tells when it expires
            return
        if self.started_at is not None:
            record.started = clock.ms_at(self.started_at)
        record.updated = clock.now_ms() if self.ended_at is None else clock.ms_at(self.ended_at)
        if self.final:
            record.ended = record.updated

    def _due_of_try(self, record: StoredRecord) -> int | None:
        """Return when this try was due, relative, if the record tells of the next one instead."""
        if self.due is None or record.state is not State.RETRYING:
            return None
        return self.due - record.enqueued_ms

    def _try_to_keep(self) -> str | None:
        """Return the try with its traceback; always the same text, by which Redis knows it."""
        if self._ended_try is None and self.traceback is not None:
            self._ended_try = encode_try(self.record, self.traceback)
        return self._ended_try

    def _has_expired(self) -> bool:
        """Return whether nothing of it is to be shown any more."""
        ended = self.ended_at
        return ended is not None and (monotonic() - ended) * 1000 >= self.record.expires

    def _refuse(self, error: Exception) -> None:
        """Raise what is wrong with a call, but not in a hook, for there it ends arq's worker."""
        if self.running:
            raise error
        logger.warning(
            "ignored an invalid tracker call while job %r was not running: %s", self.job_id, error
        )
