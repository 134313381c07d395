"""The attempts of a worker whose reports are not yet in Redis."""

from collections import deque
from collections.abc import Callable, Iterable
from math import inf

from arq_status._redis.batch import AnyRow, CompletedRow
from arq_status._redis.clock import RedisClock
from arq_status._tracking.attempt import Attempt

#: What is to be written, and of which attempt; of one that is over with it nothing is kept.
Batch = list[tuple[Attempt | None, AnyRow]]

#: Attempts in a batch, so that none takes long.
BATCH_LIMIT = 250


class Outbox:
    """The attempts with something to write. Adding and taking are safe from any thread."""

    def __init__(self, clock: RedisClock | None = None) -> None:
        #: Redis' clock, by which attempts tell their times
        self.clock: RedisClock = clock or RedisClock()
        #: oldest first
        self.progress: dict[Attempt, None] = {}
        self.urgent: dict[Attempt, None] = {}
        self.completed: deque[CompletedRow] = deque()
        self.busy_until: float = -inf
        #: called when there is something to write, unless that was noted before
        self.notify: Callable[[], None] = _nothing
        self.noted: bool = False

    def __bool__(self) -> bool:
        return bool(self.urgent or self.progress or self.completed)

    def add(self, attempt: Attempt, *, urgent: bool) -> None:
        """Add an attempt that has something to write."""
        if urgent:
            self.progress.pop(attempt, None)
            self.urgent[attempt] = None
        else:
            self.progress[attempt] = None
        if not self.noted:
            self.noted = True
            self.notify()

    def complete(self, attempt: Attempt, row: CompletedRow) -> None:
        """Add the whole life of an attempt of which nothing is written yet."""
        self.urgent.pop(attempt, None)
        self.completed.append(row)
        if not self.noted:
            self.noted = True
            self.notify()

    def take(self, limit: int = BATCH_LIMIT, *, progress: bool, ended: bool = True) -> Batch:
        """Take the rows of a batch, each attempt's in their order.

        Args:
            limit: of how many attempts at most.
            progress: take attempts that only made progress as well.
            ended: take attempts that have ended as well.
        """
        taken: Batch = []
        limit = self._take(self.urgent, taken, limit, ended=ended)
        while ended and limit and self.completed:
            taken.append((None, self.completed.popleft()))
            limit -= 1
        if progress:
            self._take(self.progress, taken, limit, ended=ended)
        return taken

    def give_back(self, taken: Iterable[tuple[Attempt | None, AnyRow]]) -> None:
        """Put back what could not be sent; it is taken again as it is then."""
        now = self.clock.now_ms()
        for attempt, row in taken:
            if attempt is not None:
                attempt.queue_urgently()
            elif isinstance(row, CompletedRow) and row.ended + row.expires > now:
                self.completed.append(row)

    def shrink(self, limit: int) -> int:
        """Drop attempts beyond ``limit``; return how many.

        Those that only made progress go first, for they will report more, and the oldest first.
        """
        dropped = 0
        while self.size > limit:
            dropped += 1
            if self.progress or self.urgent:
                queue = self.progress or self.urgent
                attempt = next(iter(queue))
                del queue[attempt]
                attempt.drop()
            else:
                self.completed.popleft()
        return dropped

    @staticmethod
    def _take(queue: dict[Attempt, None], taken: Batch, limit: int, *, ended: bool) -> int:
        """Move attempts from a queue into a batch; return how many more it may have."""
        for attempt in list(queue):
            if not limit:
                break
            # unless another thread has taken it
            if (ended or not attempt.closed) and queue.pop(attempt, attempt) is None:
                taken += [(attempt, row) for row in attempt.take_rows()]
                limit -= 1
        return limit

    @property
    def size(self) -> int:
        """How many attempts have something to write."""
        return len(self.urgent) + len(self.progress) + len(self.completed)


def _nothing() -> None:
    """Notify nobody: the outbox has no writer."""
