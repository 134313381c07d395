"""The task of a worker that sends what its jobs have reported."""

import asyncio
import logging
import threading
from math import inf
from time import monotonic

from redis.exceptions import ResponseError

from arq_status._redis.connection import CONNECTION_ERRORS
from arq_status._redis.store import Store
from arq_status._tracking.attempt import Attempt
from arq_status._tracking.delivery import Delivery
from arq_status._tracking.outbox import BATCH_LIMIT, Outbox
from arq_status._tracking.permissions import PermissionLog

logger = logging.getLogger("arq_status")

#: Seconds between batches of progress, so that no job is written more than ten times a second; the
#: longest applies from a thousand jobs that report at once.
TICK, LONGEST_TICK = 0.1, 0.35
#: The most seconds that a job's end waits for Redis to come back.
FLUSH_TIMEOUT = 5.0
#: The most attempts that are kept while Redis is away.
CAPACITY = 10_000
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0


class Writer:
    """Sends the outbox: progress every tick, awaited rows at once, everything in one batch."""

    def __init__(
        self, store: Store, outbox: Outbox, permissions: PermissionLog | None = None
    ) -> None:
        self.delivery = Delivery(store, outbox)
        self._outbox = outbox
        self._permissions = permissions or PermissionLog()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._event = asyncio.Event()
        self._hurry = asyncio.Event()
        self._waiters: list[asyncio.Future[None]] = []
        self._ticked = 0.0
        self._tick = TICK
        self._closing = False
        self._pause = 0.0
        #: True if Redis replies but refuses writes: that may last, and no job should wait for it
        self._refused = False
        outbox.notify, outbox.noted = self.notify, False
        self._task = self._loop.create_task(self._work(), name="arq-status writer")

    def notify(self) -> None:
        """Have the outbox sent with the next tick. Thread-safe."""
        if self._event.is_set():
            return
        if threading.get_ident() == self._thread:
            self._event.set()
        else:
            self._loop.call_soon_threadsafe(self._event.set)

    async def flush(self, attempt: Attempt, timeout: float = FLUSH_TIMEOUT) -> None:
        """Write an attempt now and wait for it, for at most ``timeout`` s."""
        attempt.queue_urgently()
        await self.drain(timeout)

    async def drain(self, timeout: float = FLUSH_TIMEOUT) -> None:
        """Write everything urgent now and wait for it, for at most ``timeout`` s."""
        if self._refused:
            return
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        self._hurry.set()
        self._event.set()
        await asyncio.wait((waiter,), timeout=timeout)

    async def close(self) -> None:
        """Send what is pending, for at most as long as a job's end would wait, then stop."""
        self._closing = True
        self._hurry.set()
        self._event.set()
        timeout = _LONGEST_PAUSE if self._refused else FLUSH_TIMEOUT
        done, _ = await asyncio.wait((self._task,), timeout=timeout)
        if not done:
            self._task.cancel()
            # the batch in flight is back in the outbox then
            await asyncio.wait((self._task,))
            why = "Redis refuses writes" if self._refused else "Redis is unreachable"
            logger.warning(
                "%s at shutdown: dropped unsent reports of %d jobs", why, self._outbox.size
            )

    async def _work(self) -> None:
        while not (self._closing and not self._outbox):
            await self._event.wait()
            self._outbox.busy_until = inf
            await self._wait_for_tick()
            self._event.clear()
            self._hurry.clear()
            self._outbox.noted = False
            await self._send()
            self._outbox.busy_until = inf if self._refused else self._ticked + self._tick
            if self._outbox:
                self._event.set()
        self._release(self._waiters)

    async def _wait_for_tick(self) -> None:
        remaining = self._ticked + self._tick - monotonic()
        if remaining > 0 and not self._hurry.is_set():
            timer = self._loop.call_later(remaining, self._hurry.set)
            await self._hurry.wait()
            timer.cancel()

    async def _send(self) -> None:
        waiters, self._waiters = self._waiters, []
        progress = self._closing or monotonic() - self._ticked >= self._tick
        if progress:
            self._ticked = monotonic()
            self._tick = min(TICK + len(self._outbox.progress) / 4_000, LONGEST_TICK)
        try:
            # what jobs report meanwhile waits for the next tick
            remaining = self._outbox.size
            while remaining > 0 and (sent := await self._send_batch(progress=progress)):
                remaining -= sent
        except Exception as error:
            # any error, not only from Redis: a writer that ends leaves all jobs waiting
            await self._back_off(waiters, error)
            return
        self._release(waiters)

    async def _send_batch(self, *, progress: bool) -> int:
        # while Redis refuses everything, one row is enough to see whether it still does
        sent = await self.delivery.send(
            progress=progress, limit=1 if self._refused else BATCH_LIMIT
        )
        if sent and self._pause:
            logger.info("sending reports again")
            self._pause, self._refused = 0.0, False
        return sent

    async def _back_off(self, waiters: list["asyncio.Future[None]"], error: BaseException) -> None:
        """Wait before the next attempt to send; limit what is kept until then."""
        if not self._permissions.note(error) and not self._pause:
            logger.warning("could not send reports, will retry: %r", error)
        if dropped := self._outbox.shrink(CAPACITY):
            logger.warning("too many unsent reports: dropped those of %d jobs", dropped)
        self._refused = isinstance(error, ResponseError) or not isinstance(error, CONNECTION_ERRORS)
        self._waiters = waiters + self._waiters
        if self._refused:
            waiters, self._waiters = self._waiters, []
            self._release(waiters)
        self._pause = min(max(self._pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
        await asyncio.sleep(self._pause)

    @staticmethod
    def _release(waiters: list["asyncio.Future[None]"]) -> None:
        for waiter in waiters:
            waiter.set_result(None)
