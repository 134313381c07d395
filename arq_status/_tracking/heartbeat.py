"""A worker's sign of life, from a thread of its own: an event loop that a job blocks sends none."""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from functools import partial
from random import random
from time import monotonic
from typing import Any

from redis.asyncio import Redis

from arq_status._arq.worker import ArqWorker
from arq_status._model.options import FunctionOptions
from arq_status._redis.connection import CONNECTION_ERRORS, close, for_background
from arq_status._redis.recovery import recover_orphans
from arq_status._redis.store import Store
from arq_status._tracking.attempts import Attempts
from arq_status._tracking.outbox import Outbox
from arq_status._tracking.writer import Writer, deliver

logger = logging.getLogger("arq_status")

#: Seconds between heartbeats, before the next one where Redis is away, so that the worker does not
#: pass for dead when it is back, between looks at whether the event loop still writes, and between
#: looks for jobs that are to stop.
_INTERVAL = 2.0
_RETRY = 0.3
_LOOK = 0.15
_STOPS = 0.4
#: Seconds without a turn after which an event loop counts as blocked.
_BLOCKED = 2 * _LOOK
#: Seconds between looks at what has expired and at what dead workers left behind.
_TIDYING = 30.0
#: Sweeps that such a look makes at most.
_BITES = 100


class Heartbeat:
    """Sends heartbeats, and for a blocked event loop what its jobs reported."""

    def __init__(
        self,
        redis: Redis,
        name: str,
        worker: ArqWorker,
        options: Mapping[str, FunctionOptions],
        writer: Writer,
        outbox: Outbox,
        attempts: Attempts,
    ) -> None:
        self._beside = redis
        self._worker = name
        self._queue = worker.queue
        self._in_progress_ms = worker.in_progress_ms
        self._options = options
        self._writer = writer
        self._outbox = outbox
        self._attempts = attempts
        #: jobs that arq had begun at the last look, and those of them that Redis was told of
        self._begun: set[str] = set()
        self._told: set[str] = set()
        self._tried = asyncio.Event()
        #: when the event loop was last known to run
        self._heard = monotonic()
        self._home = asyncio.get_running_loop()
        self._leaving = threading.Event()
        #: wakes the thread, once its event loop runs
        self._wake: Callable[[], object] = _nothing
        self._ended = asyncio.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="arq-status heartbeat", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def wait_announced(self, patience: float) -> None:
        """Wait until Redis knows the worker, though not for ever."""
        waiting = self._home.create_task(self._tried.wait())
        await asyncio.wait((waiting,), timeout=patience)
        waiting.cancel()

    async def stop(self) -> None:
        """Deregister the worker and end the thread."""
        self._leaving.set()
        with suppress(RuntimeError):  # its event loop has just been closed
            self._wake()
        await self._ended.wait()
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._beat_until_leaving())
        finally:
            self._ask(self._ended.set)

    async def _beat_until_leaving(self) -> None:
        redis = for_background(self._beside)
        store = Store(redis, clock=self._outbox.clock)
        beat_due = stops_due = 0.0
        woken = asyncio.Event()
        self._wake = partial(asyncio.get_running_loop().call_soon_threadsafe, woken.set)
        # not at once: workers that start together need not all do it
        tidying_due = monotonic() + _TIDYING * random()  # noqa: S311
        try:
            # an event loop that was closed on the way takes no callbacks any more
            while not self._leaving.is_set() and not self._home.is_closed():
                now = monotonic()
                self._ask(self._hear)
                if now >= beat_due:
                    await self._try(self._beat(store))
                    beat_due = now + (_RETRY if self._failing else _INTERVAL)
                    self._ask(self._tried.set)
                await self._try(self._stand_in(store))
                if self._attempts and now >= stops_due:
                    stops_due = now + _STOPS
                    await self._try(self._apply_stop_requests(store))
                if now >= tidying_due:
                    tidying_due = now + _TIDYING
                    await self._try(_tidy(store))
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK):
                        await woken.wait()
            await self._try(self._leave(store))
        finally:
            await close(redis)

    def _ask(self, callback: Callable[[], None]) -> None:
        with suppress(RuntimeError):
            self._home.call_soon_threadsafe(callback)

    def _hear(self) -> None:
        self._heard = monotonic()

    async def _beat(self, store: Store) -> None:
        # a job that arq was just taking when its event loop was blocked is not in its books yet
        blocked_ms = round((monotonic() - self._heard) * 1000)
        await store.beat(self._worker, self._queue, self._in_progress_ms, self._options, blocked_ms)
        self._failing = False

    async def _stand_in(self, store: Store) -> None:
        """Do what the event loop would have done since the last look, if a job blocks it."""
        begun = self._attempts.unrecorded()
        await self._tell_begun(store, begun & self._begun)
        self._begun = begun
        blocked = monotonic() - self._heard > _BLOCKED
        if blocked and self._outbox and not self._writer.sending:
            await deliver(store, self._outbox, progress=True)

    async def _tell_begun(self, store: Store, job_ids: set[str]) -> None:
        if job_ids != self._told:
            await store.begun(self._worker, self._in_progress_ms, job_ids)
            self._told = job_ids

    async def _apply_stop_requests(self, store: Store) -> None:
        self._attempts.apply_stop_requests(await store.stops())

    async def _leave(self, store: Store) -> None:
        await self._tell_begun(store, self._attempts.unrecorded())
        await store.leave(self._worker)

    async def _try(self, attempt: Coroutine[Any, Any, object]) -> None:
        try:
            await attempt
        except CONNECTION_ERRORS as error:
            if not self._failing:
                logger.warning("no heartbeat of worker %s: %r", self._worker, error)
            self._failing = True
        except Exception:
            # whatever it is, without heartbeats all jobs of this worker would pass for lost
            logger.exception("worker %s could not do all that its heartbeat does", self._worker)


async def _tidy(store: Store) -> None:
    await recover_orphans(store)
    # in bites, and not so many that the next heartbeat is late
    for _ in range(_BITES):
        if not await store.sweep():
            break


def _nothing() -> None:
    """Wake nobody."""
