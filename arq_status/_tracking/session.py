"""One running worker: its hooks, its jobs' attempts, its connections to Redis."""

import asyncio
import logging
import os
import pickle
import secrets
import socket
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from typing import Any

from arq.worker import Worker

from arq_status._arq.worker import ArqWorker, running_job
from arq_status._model.durations import format_duration
from arq_status._model.options import FunctionOptions
from arq_status._model.text import clean
from arq_status._tracking.attempt import Attempt
from arq_status._tracking.attempts import Attempts
from arq_status._tracking.beginning import Beginning
from arq_status._tracking.counters import Counters
from arq_status._tracking.ending import Ending
from arq_status._tracking.functions import OptionsTable, is_tracked, tracked
from arq_status._tracking.log_capture import stop_capturing_logs
from arq_status._tracking.outbox import Outbox
from arq_status._tracking.pace import Pace
from arq_status._tracking.tracker import JobTracker, attempt_here, job_var
from arq_status._tracking.uplink import Uplink

Hook = Callable[[dict[str, Any]], Coroutine[Any, Any, Any]]

#: The hooks of arq's worker that tracking uses.
HOOKS = ("on_startup", "on_shutdown", "on_job_start", "on_job_end")
_ATTRIBUTE = "_arq_status_session"

logger = logging.getLogger("arq_status")


class HookOwner:
    """Has methods that replace a user's hooks."""

    def __init__(self, given: Mapping[str, Hook | None]) -> None:
        #: the user's own hooks
        self.given = given


async def open_session(worker: Worker, options: OptionsTable, *, late: bool) -> "Session":
    """Return the open session of a worker; open a new one if there is none or it has ended.

    Args:
        worker: arq's worker, connected to Redis.
        options: the options of its functions.
        late: whether the worker may have started jobs already.
    """
    session = current_session(worker)
    if session is None:
        session = Session(worker, options, late=late)
        setattr(worker, _ATTRIBUTE, session)
        await session.open()
    return session


def current_session(worker: Worker) -> "Session | None":
    """Return the session of a worker, unless it has none or it has ended."""
    session: Session | None = getattr(worker, _ATTRIBUTE, None)
    return None if session is None or session.has_ended else session


async def join(options: OptionsTable, ctx: dict[str, Any]) -> Attempt | None:
    """Start the attempt of a job that was started without our hooks, and track its worker.

    Returns ``None`` if no worker of this event loop runs the job.
    """
    found = running_job(ctx)
    if found is None:
        logger.warning(
            "job %s is not tracked: the arq worker that runs it was not found", ctx["job_id"]
        )
        return None
    session = await open_session(found.worker, options, late=True)
    await session.begin(ctx, found.payload)
    return attempt_here(ctx["job_id"])


class Session(HookOwner):
    """Tracks the jobs of one running worker.

    Replaces the hooks and serializers of the running worker, and wraps its untracked functions, so
    that it does not matter which parts of the tracked settings reached the worker.
    """

    def __init__(self, worker: Worker, options: OptionsTable, *, late: bool) -> None:
        super().__init__({name: given_hook(getattr(worker, name)) for name in HOOKS})
        self._options = options
        self._arq = worker
        self._loop = asyncio.get_running_loop()
        self._late = late
        self._closed = False
        #: the result that the last call of ``serialize`` failed on
        self._not_serialized: object = None
        self.worker = ArqWorker(worker)
        #: new at every start, because hostname and process id may repeat in containers
        self.name = clean(f"{socket.gethostname()}:{os.getpid()}:{secrets.token_urlsafe(3)}")
        self._given_codecs = _given_codecs(worker)
        self._serialize = self._given_codecs[0] or pickle.dumps
        self._deserialize = self._given_codecs[1] or pickle.loads
        self._take_over(worker)
        outbox, self._attempts = Outbox(), Attempts(self.worker)
        cron_jobs = frozenset(it.name for it in self.worker.cron_jobs)
        counters = Counters(self.worker.queue, options, cron_jobs, outbox.clock)
        self._uplink = Uplink(
            worker.ctx["redis"],
            self.name,
            self.worker,
            self._announced(),
            outbox,
            self._attempts,
            counters,
        )
        self._beginning = Beginning(
            self.worker,
            self.name,
            self._track_begun,
            outbox,
            self._uplink,
            Pace(self._loop),
            self._attempts,
            counters,
        )
        self._ending = Ending(self.worker, options, outbox, self._uplink, counters)

    def _announced(self) -> dict[str, FunctionOptions]:
        """Return the options of its functions, completed by arq's own settings for each."""
        return {
            name: replace(
                options,
                keep_result=self.worker.keep_result_ms(name),
                max_tries=self.worker.max_tries(name),
            )
            for name, options in self._options.announced().items()
        }

    @property
    def has_ended(self) -> bool:
        """True if the session cannot be used: closed, deregistered or of another event loop."""
        other_loop = self._loop is not asyncio.get_running_loop()
        return self._closed or other_loop or self._uplink.lost

    async def open(self) -> None:
        """Announce the worker; waits for Redis for a limited time."""
        if self._late:
            logger.warning(
                "worker %s is tracked only from its first job on, because its on_startup is not"
                " that of track_status: jobs that arq gave up on earlier are not recorded, and"
                " hooks of the first jobs may have had no tracker",
                self.name,
            )
        self._log_start()
        await self._uplink.open()

    async def drain(self) -> None:
        """Write the records of all jobs that have ended; waits for a limited time."""
        await self._ending.wait_for_given_up()
        await self._uplink.drain()

    async def close(self) -> None:
        """Write what is pending and deregister the worker."""
        if not self._closed:
            self._closed = True
            # if the worker runs again, its new pool must get the user's own
            self._arq.job_serializer, self._arq.job_deserializer = self._given_codecs
            await self._ending.wait_for_given_up()
            await self._uplink.close()
            stop_capturing_logs(self.name)

    async def begin(self, ctx: dict[str, Any], payload: Mapping[str, Any]) -> None:
        """Start an attempt: create its tracker and have its record written."""
        start = self._beginning.begin(ctx, payload)
        if start is not None:
            await start

    # called by arq's worker

    async def on_startup(self, ctx: dict[str, Any]) -> None:
        """Track the worker from here on, then call the user's hook."""
        await open_session(self._arq, self._options, late=False)
        await self.run_given("on_startup", ctx)

    async def on_shutdown(self, ctx: dict[str, Any]) -> None:
        """Call the user's hook, then write what is pending."""
        try:
            await self.run_given("on_shutdown", ctx)
        finally:
            await self.close()

    async def on_job_start(self, ctx: dict[str, Any]) -> None:
        """Create the tracker of a try, then call the user's hook."""
        noted = job_var.get(None)
        payload = {} if noted is None or isinstance(noted, JobTracker) else noted
        start = self._beginning.begin(ctx, payload)
        if start is not None:
            await start
        if self.given["on_job_start"] is not None:
            await self.given["on_job_start"](ctx)

    async def on_job_end(self, ctx: dict[str, Any]) -> None:
        """Call the user's hook, then record the end before arq forgets the job."""
        # by its id if only the task of its function knows it
        attempt = attempt_here(ctx["job_id"]) or self._attempts.running.get(ctx["job_id"])
        try:
            if self.given["on_job_end"] is not None:
                if attempt is not None:
                    attempt.outcome = self._ending.determine_outcome(attempt)
                await self.given["on_job_end"](ctx)
        finally:
            if attempt is not None and attempt.outbox is not None:
                self._attempts.remove(attempt)
                if not self._ending.record_completed(attempt):
                    await self._ending.record_end(attempt)

    def serialize(self, data: Any) -> bytes:
        """Serialize a result for arq, and keep it: it contains the outcome that arq decided."""
        try:
            raw = self._serialize(data)
        except Exception:
            # arq tries again at once, with a message in place of this result
            self._not_serialized = data["r"]
            raise
        reason, self._not_serialized = self._not_serialized, None
        attempt = attempt_here(data["id"]) or self._attempts.running.get(data["id"])
        if attempt is not None:
            attempt.result = data
        elif isinstance(reason, BaseException):
            # many serializers reject exceptions
            self._ending.record_given_up({**data, "r": reason})
        else:
            self._ending.record_given_up(data)
        return raw

    def deserialize(self, raw: bytes) -> Any:
        """Deserialize a job, and keep its payload for ``on_job_start``."""
        data = self._deserialize(raw)
        if isinstance(data, dict) or isinstance(data, Mapping):  # noqa: SIM101 - the expensive check last
            job_var.set(data)
        return data

    async def run_given(self, name: str, ctx: dict[str, Any]) -> None:
        """Call one of the user's hooks, if it exists."""
        hook = self.given[name]
        if hook is not None:
            await hook(ctx)

    def _log_start(self) -> None:
        functions, default = self._arq.functions, self._options.other
        logger.info(
            "arq-status %s tracks %d of %d functions of the queue %s as worker %s;"
            " ended jobs are shown for %s, failed ones for %s",
            version("arq-status"),
            sum(self._options.of(name).track for name in functions),
            len(functions),
            self.worker.queue,
            self.name,
            format_duration(default.expires / 1000),
            format_duration(default.expires_failed / 1000),
        )

    def _take_over(self, worker: Worker) -> None:
        for name in HOOKS:
            setattr(worker, name, getattr(self, name))
        worker.job_serializer, worker.job_deserializer = self.serialize, self.deserialize
        for name in worker.functions:
            self._track(name, in_place=self._late)

    def _track_begun(self, name: str) -> FunctionOptions:
        """Track the function of a job that has started; return its options."""
        self._track(name, in_place=True)
        return self._options.of(name)

    def _track(self, name: str, *, in_place: bool) -> None:
        """Track a function of the worker if it is not tracked; ``in_place`` if a job runs it."""
        function = self._arq.functions.get(name)
        if function is None or is_tracked(function):
            return
        ours = tracked(function, self._options, partial(join, self._options))
        if in_place:
            # the job that has started holds this very object
            function.coroutine = ours.coroutine
        self._arq.functions[name] = ours


def given_hook(hook: Hook | None) -> Hook | None:
    """Return the user's hook that one of ours replaces; any other hook as it is."""
    owner = getattr(hook, "__self__", None)
    return owner.given.get(hook.__name__) if isinstance(owner, HookOwner) and hook else hook


def _given_codecs(worker: Worker) -> tuple[Any, Any]:
    """Return the user's own serializer and deserializer, if any."""
    owner = getattr(worker.job_serializer, "__self__", None)
    if isinstance(owner, Session):
        return owner._given_codecs
    return worker.job_serializer, worker.job_deserializer
