"""The attempts of a worker with reports that are not yet in Redis."""

from collections import deque
from collections.abc import Callable, Iterable
from math import inf

from arq_status._redis.batch import AnyRow, CompletedRow
from arq_status._redis.clock import RedisClock
from arq_status._tracking.attempt import Attempt

#: Rows to write, each with its attempt; ``None`` once the attempt needs nothing more.
Batch = list[tuple[Attempt | None, AnyRow]]

#: The most attempts in a batch, so that none takes long.
BATCH_LIMIT = 250


class Outbox:
    """The attempts with something to write. Adding and taking are thread-safe."""

    def __init__(self, clock: RedisClock | None = None) -> None:
        #: Redis' clock, to which the times of attempts are converted
        self.clock: RedisClock = clock or RedisClock()
        #: oldest first
        self.progress: dict[Attempt, None] = {}
        self.urgent: dict[Attempt, None] = {}
        self.completed: deque[CompletedRow] = deque()
        self.busy_until: float = -inf
        #: called when there is something to write, unless ``noted`` is set
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
        """Add the whole life of an attempt that has no row in Redis yet."""
        self.urgent.pop(attempt, None)
        self.completed.append(row)
        if not self.noted:
            self.noted = True
            self.notify()

    def take(self, limit: int = BATCH_LIMIT, *, progress: bool, ended: bool = True) -> Batch:
        """Take the rows of a batch; those of one attempt stay in order.

        Args:
            limit: the most attempts to take.
            progress: also take attempts that only made progress.
            ended: also take attempts that have ended.
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
        """Put back attempts that could not be sent; their rows are created anew next time."""
        now = self.clock.now_ms()
        for attempt, row in taken:
            if attempt is not None:
                attempt.queue_urgently()
            elif isinstance(row, CompletedRow) and row.ended + row.expires_after_ms > now:
                self.completed.append(row)

    def shrink(self, limit: int) -> int:
        """Drop attempts beyond ``limit``; return how many.

        Those that only made progress are dropped first, because they will report again; of them,
        the oldest.
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
        """Move attempts from a queue into a batch; return how many more it has room for."""
        for attempt in list(queue):
            if not limit:
                break
            # pop returns the attempt itself if another thread has taken it
            if (ended or not attempt.closed) and queue.pop(attempt, attempt) is None:
                taken += [(attempt, row) for row in attempt.take_rows()]
                limit -= 1
        return limit

    @property
    def size(self) -> int:
        """The number of attempts with something to write."""
        return len(self.urgent) + len(self.progress) + len(self.completed)


def _nothing() -> None:
    """Do nothing: the outbox has no writer yet."""
