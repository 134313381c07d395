"""The one task of a worker that sends what its jobs reported."""

import asyncio
import logging
import threading
from time import monotonic

from redis.exceptions import ResponseError

from arq_status._redis.connection import CONNECTION_ERRORS
from arq_status._redis.store import Store
from arq_status._tracking.attempt import Attempt
from arq_status._tracking.outbox import Batch, Outbox

logger = logging.getLogger("arq_status")

#: Seconds between batches of progress, so that no job is written more than ten times a second, and
#: with a thousand jobs and more that report at once.
TICK, LONGEST_TICK = 0.1, 0.35
#: Rows in a batch, so that none holds Redis up.
BATCH = 250
#: Seconds that a job's end waits at most for Redis to come back.
FLUSH_TIMEOUT = 5.0
#: Runs that are kept while Redis is away.
CAPACITY = 10_000
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0


class Writer:
    """Sends the outbox: progress every tick, what somebody waits for at once, all in one batch."""

    def __init__(self, store: Store, outbox: Outbox) -> None:
        self._store = store
        self._outbox = outbox
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._event = asyncio.Event()
        self._hurry = asyncio.Event()
        self._waiters: list[asyncio.Future[None]] = []
        self._ticked = 0.0
        self._tick = TICK
        self._closing = False
        self._pause = 0.0
        self.sending = False
        outbox.notify = self.notify
        self._task = self._loop.create_task(self._work(), name="arq-status writer")

    @property
    def idle(self) -> bool:
        """Whether a write would go out at once, and not with the next tick's batch."""
        return not self.sending and monotonic() - self._ticked > self._tick

    def notify(self) -> None:
        """Have the outbox sent with the next tick. For any thread."""
        if self._event.is_set():
            return
        if threading.get_ident() == self._thread:
            self._event.set()
        else:
            self._loop.call_soon_threadsafe(self._event.set)

    async def flush(self, attempt: Attempt, timeout: float = FLUSH_TIMEOUT) -> None:
        """Have a run written now and wait for it, though not for ever."""
        attempt.mark_urgent()
        await self.drain(timeout)

    async def drain(self, timeout: float = FLUSH_TIMEOUT) -> None:
        """Have all that is urgent written now and wait for it, though not for ever."""
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        self._hurry.set()
        self._event.set()
        await asyncio.wait((waiter,), timeout=timeout)

    async def close(self) -> None:
        """Send what is pending, for at most as long as a job's end would wait, and end."""
        self._closing = True
        self._hurry.set()
        self._event.set()
        done, _ = await asyncio.wait((self._task,), timeout=FLUSH_TIMEOUT)
        if not done:
            logger.warning("Redis is away: dropping the tracking of %d jobs", self._outbox.size)
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def _work(self) -> None:
        while not (self._closing and not self._outbox):
            await self._event.wait()
            await self._wait_for_tick()
            self._event.clear()
            self._hurry.clear()
            self.sending = True
            await self._send()
            self.sending = False
            if self._outbox:
                self._event.set()
        self._release(self._waiters)

    async def _wait_for_tick(self) -> None:
        remaining = self._ticked + self._tick - monotonic()
        if remaining > 0 and not self._hurry.is_set():
            hurry = self._loop.create_task(self._hurry.wait())
            await asyncio.wait((hurry,), timeout=remaining)
            hurry.cancel()

    async def _send(self) -> None:
        waiters, self._waiters = self._waiters, []
        progress = self._closing or monotonic() - self._ticked >= self._tick
        if progress:
            self._ticked = monotonic()
            self._tick = min(TICK + len(self._outbox.progress) / 4_000, LONGEST_TICK)
        try:
            # what jobs report in the meantime is for the next tick
            remaining = self._outbox.size
            while remaining > 0 and (
                sent := await deliver(self._store, self._outbox, progress=progress)
            ):
                remaining -= sent
        except Exception as error:
            # not only trouble with Redis: a writer that ends leaves all jobs waiting
            await self._back_off(waiters, error)
            return
        if self._pause:
            logger.info("Redis is back: tracking goes on")
            self._pause = 0.0
        self._release(waiters)

    async def _back_off(self, waiters: list["asyncio.Future[None]"], error: BaseException) -> None:
        """Keep what could not be sent, for a while."""
        if not self._pause:
            logger.warning("tracking waits for Redis: %r", error)
        if dropped := self._outbox.shrink(CAPACITY):
            logger.warning("Redis is away: dropped the tracking of %d jobs", dropped)
        if isinstance(error, ResponseError) or not isinstance(error, CONNECTION_ERRORS):
            # it answers, but takes no writes: that may last, and no job is to wait for it
            self._release(waiters)
        else:
            self._waiters = waiters + self._waiters
        self._pause = min(max(self._pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
        await asyncio.sleep(self._pause)

    @staticmethod
    def _release(waiters: list["asyncio.Future[None]"]) -> None:
        for waiter in waiters:
            waiter.set_result(None)


async def deliver(store: Store, outbox: Outbox, *, progress: bool) -> int:
    """Send one batch; how many rows it had. What is not sent stays in the outbox.

    Raises:
        RedisError, OSError: Redis is away or takes no writes.
    """
    taken = outbox.take(BATCH, progress=progress)
    if not taken:
        return 0
    try:
        stopping = await store.write([row for _, row in taken])
    except (ResponseError, UnicodeError) as error:
        await _deliver_singly(store, outbox, taken, error)
    except BaseException:
        outbox.give_back(taken)
        raise
    else:
        _note_written(taken, stopping)
    return len(taken)


async def _deliver_singly(store: Store, outbox: Outbox, taken: Batch, error: Exception) -> None:
    """Find out whether one row spoils the batch or Redis takes no writes at all."""
    refused: Batch = []
    for position, (attempt, row) in enumerate(taken):
        try:
            stopping = await store.write([row])
        except (ResponseError, UnicodeError) as refusal:
            refused.append((attempt, row))
            error = refusal
        except BaseException:
            outbox.give_back(refused + taken[position:])
            raise
        else:
            _note_written([(attempt, row)], stopping)
    if len(refused) < len(taken) or isinstance(error, UnicodeError):
        for attempt, row in refused:
            attempt.settle(row.fields)
            logger.warning("dropped the tracking of job %r: %r", row.job_id, error)
    else:
        outbox.give_back(refused)
        raise error


def _note_written(taken: Batch, stopping: set[str]) -> None:
    for attempt, row in taken:
        attempt.begun = True
        if row.fields:
            attempt.settle(row.fields)
        if stopping and attempt.job_id in stopping:
            attempt.stopping = True
