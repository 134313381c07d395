"""One try of a job as its worker sees it: what it reported, and what of it is not yet in Redis."""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from arq.utils import timestamp_ms

from arq_status._errors import JobStopped
from arq_status._given import LARGEST, amount, encode_fields
from arq_status._rows import Brief, Row
from arq_status._text import shorten
from arq_status._track import State, Track

#: Characters of a message that are kept.
MESSAGE_LIMIT = 2_000
_NOWHERE, _PROGRESS, _URGENT = range(3)


class Run:
    """A try of a job: its record, and how much of it is written.

    The job's thread or event loop changes it, the writer takes rows from it; neither waits for
    the other. A change marks the run before the writer looks, so that none is lost.
    """

    __slots__ = (
        "_outbox", "_told_to_stop", "_total_given", "_waits",
        "begun", "closed", "fields", "job_id", "reported", "stopping", "track", "unsent",
    )  # fmt: skip

    def __init__(self, job_id: str, track: Track, outbox: "Outbox | None") -> None:
        self.job_id: str = job_id
        self.track: Track = track
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
        self._waits = _NOWHERE
        self._told_to_stop = False
        self._total_given = False

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
            self.track.at = at
        self.mark()

    def advance(self, step: float, message: str | None) -> None:
        """Set how much further the job is."""
        self.at(self.track.at + amount(step, "step"), message)

    def total(self, total: float) -> None:
        """Set how far the job has to go."""
        total = amount(total, "total")
        if not self.closed:
            self.track.total = total
        self._total_given = True
        self.mark()

    def start_over(self, iterable: object, message: str | None, total: float | None) -> None:
        """Begin to count the items of an iterable."""
        if total is None:
            try:
                total = len(iterable)  # type: ignore[arg-type]
            except Exception:  # whatever its length says
                total = self.track.total if self._total_given else 0
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
        if not self._waits and self._outbox is not None and not self.closed:
            self._waits = _PROGRESS
            self._outbox.progress.append(self)
            self._outbox.notify()

    def mark_urgent(self) -> None:
        """Have it written even if it is closed, and not only as often as progress is."""
        if self._waits is not _URGENT and self._outbox is not None and not self._has_expired():
            self._waits = _URGENT
            self._outbox.urgent.append(self)
            self._outbox.notify()

    @property
    def waits(self) -> bool:
        """Whether it has something to write."""
        return bool(self._waits)

    def take(self) -> Row | Brief:
        """What is to be written now."""
        self._waits = _NOWHERE
        track = self.track
        track.version += 1
        ended = track.ended
        if ended is None:
            track.updated = timestamp_ms()
        elif track.state is State.COMPLETE and not self.begun and not self.unsent:
            return Brief(self.job_id, track.encode(), ended, track.expires)
        fields = {name: self.fields[name] for name in self.unsent.copy()} if self.unsent else {}
        return Row(self.job_id, not self.begun, track.encode(), fields)

    def settle(self, fields: Mapping[str, str]) -> None:
        """Note that these fields need not be written any more, but for what was set since.

        Until then every row has them: rows may overtake each other, and the newest one counts.
        """
        for name, text in fields.items():
            if self.fields[name] is text:
                self.unsent.pop(name, None)

    def drop(self, *, urgent: bool) -> bool:
        """Have it not written after all, until it says more; False where it waits elsewhere."""
        if self._waits is not (_URGENT if urgent else _PROGRESS):
            return False
        self._waits = _NOWHERE
        return True

    def _has_expired(self) -> bool:
        """Whether nothing of it is to be shown any more."""
        ended = self.track.ended
        return ended is not None and ended + self.track.expires <= timestamp_ms()

    def _say(self, message: str) -> None:
        if message is self.track.message:
            return
        if not isinstance(message, str):
            raise TypeError(f"message must be a str, not {type(message).__name__}")
        if not self.closed:
            self.track.message = shorten(message, MESSAGE_LIMIT)


#: Runs, and what is to be written of each.
Batch = list[tuple[Run, Row | Brief]]


class Outbox:
    """The runs with something to write. Appending and taking are safe from any thread."""

    def __init__(self) -> None:
        self.progress: deque[Run] = deque()
        self.urgent: deque[Run] = deque()
        self.notify: Any = _nothing

    def __bool__(self) -> bool:
        return bool(self.urgent or self.progress)

    def take(self, most: int, *, progress: bool) -> "Batch":
        """Take the rows of up to so many runs, those that only made progress if asked to."""
        taken: Batch = []
        for queue in (self.urgent, self.progress) if progress else (self.urgent,):
            while len(taken) < most:
                try:
                    run = queue.popleft()
                except IndexError:
                    break
                if run.waits:  # else it was taken from the other queue
                    taken.append((run, run.take()))
        return taken

    def give_back(self, taken: Iterable[tuple[Run, Row | Brief]]) -> None:
        """Put back what could not be sent; it is taken again as it stands then."""
        for run, _ in taken:
            run.mark_urgent()

    def shrink(self, most: int) -> int:
        """Drop runs beyond so many; how many that were.

        First those that only made progress, for they will say more, and the oldest first.
        """
        dropped = 0
        while self.size > most:
            queue = self.progress or self.urgent
            dropped += queue.popleft().drop(urgent=queue is self.urgent)
        return dropped

    @property
    def size(self) -> int:
        """How many runs have something to write."""
        return len(self.urgent) + len(self.progress)


def _nothing() -> None:
    """What an outbox without a writer tells."""
