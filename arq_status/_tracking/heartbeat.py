"""A worker's heartbeat, in its own thread, because an event loop blocked by a job sends nothing."""

import asyncio
import atexit
import logging
import threading
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from random import random
from time import monotonic
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from arq_status._arq.worker import ArqWorker
from arq_status._model.options import FunctionOptions
from arq_status._redis.connection import (
    CONNECTION_ERRORS,
    background_client,
    close,
    missing_permission,
)
from arq_status._redis.recovery import recover_orphans
from arq_status._redis.store import Store
from arq_status._redis.workers import encode_details
from arq_status._tracking.attempts import Attempts
from arq_status._tracking.counters import Counters
from arq_status._tracking.delivery import Delivery
from arq_status._tracking.outbox import Outbox
from arq_status._tracking.permissions import PermissionLog

logger = logging.getLogger("arq_status")

#: Seconds between heartbeats.
_BEAT_INTERVAL = 2.0
#: The same while Redis is away, so that the worker does not count as dead when Redis is back.
_RETRY_INTERVAL = 0.3
#: Seconds between checks of whether the event loop runs.
_CHECK_INTERVAL = 0.2
#: Seconds between checks for jobs that were asked to stop.
_STOP_INTERVAL = 0.4
#: Seconds without a turn after which an event loop counts as blocked.
_BLOCKED_AFTER = 0.25
#: Seconds without running after which an event loop counts as ended.
_LOST_AFTER = 5.0
#: The most seconds that the exiting process waits for the thread.
_EXIT_TIMEOUT = 3.0
#: Seconds between sweeps of expired entries and of what dead workers left behind.
_SWEEP_INTERVAL = 30.0
#: The most sweeps in a row, so that no heartbeat is late.
_SWEEPS = 100


class Heartbeat:
    """Sends heartbeats and, for a blocked event loop, what its jobs have reported."""

    def __init__(
        self,
        redis: Redis,
        name: str,
        worker: ArqWorker,
        options: Mapping[str, FunctionOptions],
        give_back_unanswered: Callable[[], None],
        outbox: Outbox,
        attempts: Attempts,
        counters: Counters,
        permissions: PermissionLog,
    ) -> None:
        self._worker_redis = redis
        self._name = name
        self._worker = worker
        self._options = options
        self._give_back_unanswered = give_back_unanswered
        self._outbox = outbox
        self._attempts = attempts
        self._counters = counters
        self._started = monotonic()
        self._started_ms = 0
        self._permissions = permissions
        #: jobs without an attempt at the last check
        self._begun: set[str] = set()
        #: those of them that Redis knows
        self._noted_begun: set[str] = set()
        #: when the event loop was last known to run
        self._loop_last_ran = monotonic()
        #: True once its batch in flight is back in the outbox
        self._unanswered_given_back = False
        self._failing = self._publish_checked = False
        self._worker_loop = asyncio.get_running_loop()
        self._first_heartbeat_tried = asyncio.Event()
        self._ended = asyncio.Event()
        #: True once the thread must end
        self._stopping = False
        #: True if the worker's event loop ended without calling ``stop``
        self._abandoned = False
        self._stopped_since: float | None = None
        self._wake: Callable[[], object] = _nothing
        self._thread = threading.Thread(target=self._run, name="arq-status heartbeat", daemon=True)
        self._task: asyncio.Task[None] | None = None

    @property
    def lost(self) -> bool:
        """True if it ended because the worker's event loop had ended."""
        return self._abandoned

    def start(self) -> None:
        """Start the thread."""
        try:
            self._thread.start()
            # arq skips `on_shutdown` if it is cancelled while it stores the end of a job
            atexit.register(self._stop_at_exit)
        except RuntimeError as error:
            logger.warning(
                "worker %s counts as dead while a job blocks its event loop: %s", self._name, error
            )
            self._task = self._worker_loop.create_task(self._beat_until_stopped())

    async def wait_announced(self, timeout: float) -> None:
        """Wait until the worker is announced, or that failed, for at most ``timeout`` s."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._first_heartbeat_tried.wait()

    async def stop(self) -> None:
        """Deregister the worker and end the thread."""
        self._stopping = True
        self._wake()
        if self._task is not None:
            await self._task
        else:
            await self._ended.wait()
            self._thread.join()

    def _stop_at_exit(self) -> None:
        self._abandoned = self._stopping = True
        self._wake()
        self._thread.join(_EXIT_TIMEOUT)

    def _run(self) -> None:
        try:
            asyncio.run(self._beat_until_stopped())
        finally:
            atexit.unregister(self._stop_at_exit)
            self._call_in_worker_loop(self._ended.set)

    async def _beat_until_stopped(self) -> None:
        redis = background_client(self._worker_redis)
        store = Store(redis, clock=self._outbox.clock)
        stop_asked = self._watch_for_stop()
        beat_due = stops_due = 0.0
        # not at once: workers that start together should not all sweep
        sweep_due = monotonic() + _SWEEP_INTERVAL * random()  # noqa: S311
        try:
            while not self._stopping and not self._worker_loop_has_ended():
                now = monotonic()
                self._call_in_worker_loop(self._note_loop_ran)
                if now >= beat_due:
                    await self._run_logging_errors(self._beat(store))
                    if not self._failing:
                        await self._run_logging_errors(self._counters.send(store, self._name))
                    beat_due = now + (_RETRY_INTERVAL if self._failing else _BEAT_INTERVAL)
                    self._call_in_worker_loop(self._first_heartbeat_tried.set)
                if not self._failing:
                    await self._run_logging_errors(self._act_for_blocked_loop(store))
                if not self._failing and now >= stops_due:
                    stops_due = now + _STOP_INTERVAL
                    await self._run_logging_errors(self._apply_stop_requests(store))
                if not self._failing and now >= sweep_due:
                    sweep_due = now + _SWEEP_INTERVAL
                    await self._run_logging_errors(_sweep(store))
                with suppress(TimeoutError):
                    async with asyncio.timeout(_CHECK_INTERVAL):
                        await stop_asked.wait()
            if self._abandoned:
                await self._run_logging_errors(self._send_rest(store))
            await self._run_logging_errors(self._counters.send(store, self._name))
            await self._run_logging_errors(self._leave(store))
        finally:
            await close(redis)

    def _watch_for_stop(self) -> asyncio.Event:
        """Return an event that is set by ``stop``."""
        loop, stop_asked = asyncio.get_running_loop(), asyncio.Event()
        self._wake = lambda: _call_soon(loop, stop_asked.set)
        return stop_asked

    def _worker_loop_has_ended(self) -> bool:
        """Return True if the worker's event loop has ended, as after ``SystemExit`` in a job.

        Then also sets ``_abandoned``.
        """
        if self._worker_loop.is_running():
            self._stopped_since = None
        elif self._stopped_since is None:
            # arq's worker runs its loop twice: for the jobs, and to close the worker
            self._stopped_since = monotonic()
        stopped = self._stopped_since is not None and (
            self._worker_loop.is_closed() or monotonic() - self._stopped_since > _LOST_AFTER
        )
        self._abandoned = self._abandoned or stopped
        return stopped

    def _call_in_worker_loop(self, callback: Callable[[], None]) -> None:
        _call_soon(self._worker_loop, callback)

    def _note_loop_ran(self) -> None:
        self._loop_last_ran = monotonic()
        self._unanswered_given_back = False

    async def _beat(self, store: Store) -> None:
        # a job that was being started when the loop got blocked is not in ``worker.tasks`` yet
        blocked_ms = round((monotonic() - self._loop_last_ran) * 1000)
        await store.beat(
            self._name, self._worker.queue, self._worker.in_progress_ms, self._options, blocked_ms,
            self._about,
        )  # fmt: skip
        self._failing = False
        if not self._publish_checked:
            self._publish_checked = True
            await self._warn_if_publish_is_denied(store)

    def _about(self) -> str:
        """Return the worker's description of itself, which is sent with its heartbeats."""
        # convert it only once, because the clock gets more exact over time
        self._started_ms = self._started_ms or self._outbox.clock.ms_at(self._started)
        return encode_details(
            started_ms=self._started_ms,
            max_jobs=self._worker.max_jobs,
            functions=[name for name in self._options if name],
            cron_jobs=self._worker.cron_jobs,
        )

    async def _warn_if_publish_is_denied(self, store: Store) -> None:
        """Log a warning if the Redis user may not publish; the scripts work without it."""
        try:
            await store.publish([])
        except ResponseError as error:
            logger.warning(
                "changes of jobs are not pushed: the Redis user lacks the permission %s (%s)",
                missing_permission(error) or "+publish",
                error,
            )

    async def _act_for_blocked_loop(self, store: Store) -> None:
        """Note jobs begun without a record; send for the event loop if a job blocks it."""
        begun = self._attempts.unrecorded()
        await self._note_begun(store, begun & self._begun)
        self._begun = begun
        if monotonic() - self._loop_last_ran < _BLOCKED_AFTER:
            return
        if not self._unanswered_given_back:
            self._unanswered_given_back = True
            self._give_back_unanswered()
        if self._outbox:
            # skip ended jobs: arq has not stored their end yet, and may run them again
            await Delivery(store, self._outbox).send(progress=True, ended=False)

    async def _note_begun(self, store: Store, job_ids: set[str]) -> None:
        if job_ids != self._noted_begun:
            await store.begun(self._name, self._worker.in_progress_ms, job_ids)
            self._noted_begun = job_ids

    async def _apply_stop_requests(self, store: Store) -> None:
        if self._attempts.may_miss_stop(_STOP_INTERVAL):
            self._attempts.apply_stop_requests(await store.stops())

    async def _send_rest(self, store: Store) -> None:
        self._give_back_unanswered()
        delivery = Delivery(store, self._outbox)
        while await delivery.send(progress=True):
            pass

    async def _leave(self, store: Store) -> None:
        await self._note_begun(store, self._attempts.unrecorded())
        await store.leave(self._name)

    async def _run_logging_errors(self, work: Coroutine[Any, Any, object]) -> None:
        try:
            await work
        except CONNECTION_ERRORS as error:
            if not self._permissions.note(error) and not self._failing:
                logger.warning("background work of worker %s failed: %r", self._name, error)
            self._failing = True
        except Exception:
            # go on in any case: without heartbeats all jobs of this worker would count as lost
            logger.exception("unexpected error in the heartbeat of worker %s", self._name)


async def _sweep(store: Store) -> None:
    await recover_orphans(store)
    for _ in range(_SWEEPS):
        if not await store.sweep():
            break


def _nothing() -> None:
    """Do nothing: the thread has not started yet."""


def _call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    """Call something in an event loop of another thread, unless the loop is closed."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(callback)
