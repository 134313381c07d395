"""The attempts of a worker whose reports are not yet in Redis."""

from collections import deque
from collections.abc import Iterable
from typing import Any

from arq_status._redis.batch import CompletedRow, Row
from arq_status._redis.clock import RedisClock
from arq_status._tracking.attempt import Attempt

#: Attempts, and what is to be written of each.
Batch = list[tuple[Attempt, Row | CompletedRow]]

#: Rows in a batch, and about how many bytes, so that none holds Redis up or is more than it takes.
BATCH_ROWS, BATCH_BYTES = 250, 262_144


class Outbox:
    """The attempts with something to write. Appending and taking are safe from any thread."""

    def __init__(self, clock: RedisClock | None = None) -> None:
        #: Redis' clock, by which attempts tell their times
        self.clock = clock or RedisClock()
        self.progress: deque[Attempt] = deque()
        self.urgent: deque[Attempt] = deque()
        self.notify: Any = _nothing

    def __bool__(self) -> bool:
        return bool(self.urgent or self.progress)

    def add(self, attempt: Attempt, *, urgent: bool) -> None:
        """Add an attempt that has something to write."""
        (self.urgent if urgent else self.progress).append(attempt)
        self.notify()

    def take(self, limit: int = BATCH_ROWS, *, progress: bool, ended: bool = True) -> Batch:
        """Take the rows of a batch, at most ``limit``.

        Args:
            limit: how many rows.
            progress: take the rows of attempts that only made progress as well.
            ended: take the rows of attempts that have ended as well.
        """
        taken: Batch = []
        kept: list[Attempt] = []
        size = 0
        for queue in (self.urgent, self.progress) if progress else (self.urgent,):
            while len(taken) < limit and size < BATCH_BYTES:
                try:
                    attempt = queue.popleft()
                except IndexError:
                    break
                if not attempt.is_pending:  # it was taken from the other queue
                    continue
                if attempt.closed and not ended:
                    kept.append(attempt)
                    continue
                row = attempt.take()
                if attempt.has_more:
                    queue.appendleft(attempt)
                size += _size(row)
                taken.append((attempt, row))
        self.urgent.extendleft(reversed(kept))
        return taken

    def give_back(self, taken: Iterable[tuple[Attempt, Row | CompletedRow]]) -> None:
        """Put back what could not be sent; it is taken again as it is then."""
        for attempt, _ in taken:
            attempt.give_back()

    def shrink(self, limit: int) -> int:
        """Drop attempts beyond ``limit``; return how many.

        Those that only made progress go first, for they will report more, and the oldest first.
        """
        dropped = 0
        while self.size > limit:
            queue = self.progress or self.urgent
            dropped += queue.popleft().drop(urgent=queue is self.urgent)
        return dropped

    @property
    def size(self) -> int:
        """How many attempts have something to write."""
        return len(self.urgent) + len(self.progress)


def _nothing() -> None:
    """Notify nobody: the outbox has no writer."""


def _size(row: Row | CompletedRow) -> int:
    """Return about how many bytes a row takes, and not fewer."""
    texts = (row.record, *row.fields, *row.fields.values()) if row.fields else (row.record,)
    return sum(len(text) if text.isascii() else 4 * len(text) for text in texts)
