"""One try of a job in its worker: what it reported, what is not yet in Redis, how it ended."""

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import Any, Protocol

from arq.utils import timestamp_ms

from arq_status._model.errors import JobStopped
from arq_status._model.record import State, StoredRecord
from arq_status._model.text import shorten
from arq_status._model.validation import LARGEST, amount, encode_fields
from arq_status._redis.batch import CompletedRow, Row

#: Characters of a message that are kept.
MESSAGE_LIMIT = 2_000
_NOWHERE, _PROGRESS, _URGENT = range(3)


class Recipient(Protocol):
    """Takes in attempts that have something to write."""

    def add(self, attempt: "Attempt", *, urgent: bool) -> None:
        """Take one in; an urgent one is written with the next batch, whatever the tick."""


class Attempt:
    """One try of a job: its record, how much of it is written, and how it ended.

    The job's thread or event loop changes it, the writer takes rows from it; neither waits for
    the other. A change marks the run before the writer looks, so that none is lost.
    """

    def __init__(
        self,
        job_id: str,
        record: StoredRecord,
        outbox: "Recipient | None",
        function: str | None = None,
    ) -> None:
        self.job_id: str = job_id
        self.record: StoredRecord = record
        self.function: str | None = function
        #: monotonic time at which it began
        self.began: float = monotonic()
        #: its first row is in Redis
        self.begun: bool = False
        #: it has ended: later progress is none
        self.closed: bool = False
        #: it said something of its own
        self.reported: bool = False
        #: what this try stored, encoded
        self.fields: dict[str, str] = {}
        #: the names of the stored fields that are not known to be in Redis
        self.unsent: dict[str, None] = {}
        #: it was asked to stop
        self.stopping: bool = False
        self._outbox = outbox
        #: where in the outbox it stands: nowhere, with those that made progress, with the urgent
        self._queued_as = _NOWHERE
        self._told_to_stop = False
        self._total_given = False
        #: the task of the job was cancelled because a stop was forced
        self.force_stopped: bool = False
        #: arq called the job function
        self.entered: bool = False
        #: what the job raised, or what arq will find wrong with what it returned
        self.raised: BaseException | None = None
        #: it was cancelled from outside, and by ``Job.abort``
        self.cancelled: bool = False
        self.aborted: bool = False
        #: the worker's shutdown cut it off
        self.shut_down: bool = False
        #: what arq stores as its result
        self.result: Mapping[str, Any] | None = None

    @property
    def stopped(self) -> bool:
        """Whether what it raised is due to a stop, so that arq ends the job for good."""
        if not self.stopping:
            return False
        if isinstance(self.raised, asyncio.CancelledError):
            # arq waits for this one after an abort, and runs the job again after a shutdown
            return not self.aborted and not self.shut_down
        return isinstance(self.raised, Exception)

    @property
    def tracked(self) -> bool:
        """Whether anything of it is written."""
        return self._outbox is not None

    def at(self, at: float, message: str | None) -> None:
        """Set how far the job is."""
        if type(at) is not int or not 0 <= at <= LARGEST:
            at = amount(at, "at")
        if message is not None:
            self._say(message)
        if not self.closed:
            self.record.at = at
        self.mark()

    def advance(self, step: float, message: str | None) -> None:
        """Set how much further the job is."""
        self.at(self.record.at + amount(step, "step"), message)

    def total(self, total: float) -> None:
        """Set how far the job has to go."""
        total = amount(total, "total")
        if not self.closed:
            self.record.total = total
        self._total_given = True
        self.mark()

    def start_over(self, iterable: object, message: str | None, total: float | None) -> None:
        """Begin to count the items of an iterable."""
        if total is None:
            try:
                total = len(iterable)  # type: ignore[arg-type]
            except Exception:  # whatever its length says
                total = self.record.total if self._total_given else 0
        self.total(total)
        self.at(0, message)

    def raise_if_stopping(self) -> None:
        """End the job here if it was asked to stop.

        Raises:
            JobStopped: the first time.
            asyncio.CancelledError: from then on, for a job that catches every ``Exception``.
        """
        if self.stopping:
            if self._told_to_stop:
                raise asyncio.CancelledError("stopped")
            self._told_to_stop = True
            raise JobStopped("stopped")

    def store(self, fields: Mapping[str, Any]) -> None:
        """Set fields."""
        encoded = encode_fields(fields)
        self.fields.update(encoded)
        self.unsent.update(dict.fromkeys(encoded))
        self.mark()
        if self.closed:
            # data may still come from ``after_job_end``, unlike progress
            self.mark_urgent()

    def mark(self) -> None:
        """Have what changed written with the next batch."""
        self.reported = True
        if not self._queued_as and self._outbox is not None and not self.closed:
            self._queued_as = _PROGRESS
            self._outbox.add(self, urgent=False)

    def mark_urgent(self) -> None:
        """Have it written even if it is closed, and not only as often as progress is."""
        if self._queued_as is not _URGENT and self._outbox is not None and not self._has_expired():
            self._queued_as = _URGENT
            self._outbox.add(self, urgent=True)

    @property
    def is_pending(self) -> bool:
        """Whether it has something to write."""
        return bool(self._queued_as)

    def take(self) -> Row | CompletedRow:
        """What is to be written now."""
        self._queued_as = _NOWHERE
        record = self.record
        record.version += 1
        ended = record.ended
        if ended is None:
            record.updated = timestamp_ms()
        elif record.state is State.COMPLETE and not self.begun and not self.unsent:
            return CompletedRow(self.job_id, record.encode(), ended, record.expires)
        fields = {name: self.fields[name] for name in self.unsent.copy()} if self.unsent else {}
        return Row(self.job_id, not self.begun, record.encode(), fields)

    def settle(self, fields: Mapping[str, str]) -> None:
        """Note that these fields need not be written any more, but for what was set since.

        Until then every row has them: rows may overtake each other, and the newest one counts.
        """
        for name, text in fields.items():
            if self.fields[name] is text:
                self.unsent.pop(name, None)

    def drop(self, *, urgent: bool) -> bool:
        """Have it not written after all, until it says more; False where it waits elsewhere."""
        if self._queued_as is not (_URGENT if urgent else _PROGRESS):
            return False
        self._queued_as = _NOWHERE
        return True

    def _has_expired(self) -> bool:
        """Whether nothing of it is to be shown any more."""
        ended = self.record.ended
        return ended is not None and ended + self.record.expires <= timestamp_ms()

    def _say(self, message: str) -> None:
        if message is self.record.message:
            return
        if not isinstance(message, str):
            raise TypeError(f"message must be a str, not {type(message).__name__}")
        if not self.closed:
            self.record.message = shorten(message, MESSAGE_LIMIT)
