"""The attempts of a worker whose reports are not yet in Redis."""

from collections import deque
from collections.abc import Iterable
from typing import Any

from arq_status._redis.batch import CompletedRow, Row
from arq_status._redis.clock import RedisClock
from arq_status._tracking.attempt import Attempt

#: Attempts, and what is to be written of each.
Batch = list[tuple[Attempt, Row | CompletedRow]]

#: Attempts in a batch, so that none takes long.
BATCH_LIMIT = 250


class Outbox:
    """The attempts with something to write. Appending and taking are safe from any thread."""

    def __init__(self, clock: RedisClock | None = None) -> None:
        #: Redis' clock, by which attempts tell their times
        self.clock: RedisClock = clock or RedisClock()
        self.progress: deque[Attempt] = deque()
        self.urgent: deque[Attempt] = deque()
        self.notify: Any = _nothing

    def __bool__(self) -> bool:
        return bool(self.urgent or self.progress)

    def add(self, attempt: Attempt, *, urgent: bool) -> None:
        """Add an attempt that has something to write."""
        (self.urgent if urgent else self.progress).append(attempt)
        self.notify()

    def take(self, limit: int = BATCH_LIMIT, *, progress: bool, ended: bool = True) -> Batch:
        """Take the rows of a batch, each attempt's in their order.

        Args:
            limit: of how many attempts at most.
            progress: take attempts that only made progress as well.
            ended: take attempts that have ended as well.
        """
        taken: Batch = []
        kept: list[Attempt] = []
        for queue in (self.urgent, self.progress) if progress else (self.urgent,):
            while limit:
                try:
                    attempt = queue.popleft()
                except IndexError:
                    break
                if attempt.closed and not ended:
                    kept.append(attempt)
                elif attempt.is_pending:  # else it was taken from the other queue
                    limit -= 1
                    taken += [(attempt, row) for row in attempt.take_rows()]
        self.urgent.extendleft(reversed(kept))
        return taken

    def give_back(self, taken: Iterable[tuple[Attempt, Row | CompletedRow]]) -> None:
        """Put back what could not be sent; it is taken again as it is then."""
        for attempt, _ in taken:
            attempt.mark_urgent()

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
