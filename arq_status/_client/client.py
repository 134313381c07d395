"""``StatusClient``: asks about jobs, and tells about them from outside."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self
from weakref import WeakKeyDictionary

from arq.connections import RedisSettings
from redis.asyncio import Redis

from arq_status._client import control
from arq_status._client.feed import Feed
from arq_status._client.source import RedisSource, Source
from arq_status._model.builder import build_record, decode_data
from arq_status._model.facts import Facts
from arq_status._model.options import Expires, expires_ms
from arq_status._model.query import Query
from arq_status._model.snapshot import BUILT_IN, JobRecord, Page, has_changed
from arq_status._model.status import Status
from arq_status._model.validation import encode_fields
from arq_status._redis.connection import RedisLike, beside, connect


class StatusClient:
    """Asks Redis what arq's jobs are doing.

        async with StatusClient("redis://localhost/1", queues=["imports"]) as client:
            print(await client.status(job_id))

    Jobs are named by arq's ids; one that nobody knows is no error. A client may be used in several
    event loops, one after the other. Its queries raise redis-py's own exceptions where Redis cannot
    be reached.

    Args:
        redis: an ``ArqRedis`` or ``redis.asyncio.Redis``, arq's ``RedisSettings`` or a DSN; by
            default a Redis on localhost. What the client opens itself ``aclose`` closes.
        queues: the queues in which it looks for live jobs; by default arq's own and all that a
            tracked worker has announced.
        expires: how long a job that ended without a record is shown: seconds or a ``timedelta``;
            1800, half an hour, by default.
        job_deserializer: that of the workers, where it is not arq's default. It is called with
            what is stored in Redis; without it nothing is, and nothing is unpickled.

    Raises:
        ValueError: ``expires`` is not positive, or the DSN cannot be read.
        TypeError: ``redis`` is none of these, ``queues`` is a single name, or ``expires`` is no
            time.
    """

    def __init__(
        self,
        redis: RedisLike | None = None,
        *,
        queues: Sequence[str] | None = None,
        expires: Expires = 1800,
        job_deserializer: Callable[[bytes], Any] | None = None,
    ) -> None:
        if not isinstance(redis, Redis | RedisSettings | str | None):
            raise TypeError(
                "redis must be an ArqRedis or redis.asyncio.Redis, RedisSettings or a DSN,"
                f" not {type(redis).__module__}.{type(redis).__qualname__}"
            )
        if isinstance(queues, str):
            raise TypeError(f"queues must be a list of names, not one: [{queues!r}]")
        if isinstance(redis, str):
            Redis.from_url(redis)  # a DSN that cannot be read is told now
        self._redis = redis
        self._queues = None if queues is None else list(queues)
        self._expires = expires_ms(expires)
        self._deserializer = job_deserializer
        # connections belong to the event loop in which they were opened
        self._sources: WeakKeyDictionary[asyncio.AbstractEventLoop, Source] = WeakKeyDictionary()
        self._given_loop: object = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections that this client opened in the running event loop.

        ``async with`` does so at its end. A Redis client that was given stays open.
        """
        source = self._sources.pop(asyncio.get_running_loop(), None)
        if source is not None:
            await source.aclose()

    # one job

    async def status(self, job_id: str) -> Status | None:
        """What the job is doing; ``None`` if it is unknown or expired."""
        if not _is_id(job_id):
            return None
        return await (self._open_source() or await self._opened_source()).status(job_id)

    async def is_deferred(self, job_id: str) -> bool:
        """Whether the job is in the queue and due later."""
        return await self.status(job_id) is Status.DEFERRED

    async def is_queued(self, job_id: str) -> bool:
        """Whether the job is in the queue and due."""
        return await self.status(job_id) is Status.QUEUED

    async def is_working(self, job_id: str) -> bool:
        """Whether a worker runs the job."""
        return await self.status(job_id) is Status.WORKING

    async def is_retrying(self, job_id: str) -> bool:
        """Whether the job waits for its next try."""
        return await self.status(job_id) is Status.RETRYING

    async def is_complete(self, job_id: str) -> bool:
        """Whether the job returned."""
        return await self.status(job_id) is Status.COMPLETE

    async def is_failed(self, job_id: str) -> bool:
        """Whether the job raised, timed out or could not be run."""
        return await self.status(job_id) is Status.FAILED

    async def is_stopped(self, job_id: str) -> bool:
        """Whether the job was stopped, cancelled or aborted."""
        return await self.status(job_id) is Status.STOPPED

    async def is_interrupted(self, job_id: str) -> bool:
        """Whether the job's worker died or was shut down in the middle of it."""
        return await self.status(job_id) is Status.INTERRUPTED

    async def job(self, job_id: str) -> JobRecord | None:
        """All that is known of the job at this moment; ``None`` if it is unknown or expired."""
        return (await self.jobs([job_id]))[0]

    async def jobs(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """All that is known of many jobs, in the order of their ids; ``None`` for unknown ones.

        It takes no more round trips than one job does, up to 250 ids in each.

        Args:
            job_ids: arq's ids of the jobs.
        """
        known = list(dict.fromkeys(job_id for job_id in job_ids if _is_id(job_id)))
        records: dict[str, JobRecord | None] = {}
        if known:
            source = await self._source()
            for facts, fields in await source.facts(known, with_data=True):
                records[facts.job_id] = build_record(facts, decode_data(fields))
        return [records.get(job_id) if _is_id(job_id) else None for job_id in job_ids]

    async def get_all(self, job_id: str) -> dict[str, Any]:
        """The fields of ``JobRecord`` and the job's own data in one dict; empty if unknown.

            fields = await client.get_all(job_id)
            print(fields["status"], fields["at"], fields["vino"])

        Times are datetimes and durations timedeltas, as in ``JobRecord``.
        """
        record = await self.job(job_id)
        if record is None:
            return {}
        return {name: getattr(record, name) for name in _PLAIN} | dict(record.data)

    async def get(self, job_id: str, name: str) -> Any:
        """One field, built in or of the job's own data; ``None`` if there is none.

        Args:
            job_id: arq's id of the job.
            name: a field of ``JobRecord``, or what it is called in ``store``.
        """
        record = await self.job(job_id)
        if record is None:
            return None
        return getattr(record, name) if name in BUILT_IN else record.data.get(name)

    async def at(self, job_id: str) -> float | None:
        """How far the job got, in the unit of its total; ``None`` if it is unknown."""
        record = await self.job(job_id)
        return None if record is None else record.at

    async def total(self, job_id: str) -> float | None:
        """How far the job has to go, 100 unless it says otherwise; ``None`` if it is unknown.

        The unit is the job's own. 0 means that nobody knows.
        """
        record = await self.job(job_id)
        return None if record is None else record.total

    async def message(self, job_id: str) -> str | None:
        """The job's last message; ``None`` if it gave none or is unknown."""
        record = await self.job(job_id)
        return None if record is None else record.message

    async def pct_complete(self, job_id: str) -> int | None:
        """How many hundredths of its total the job has done, 0 to 100; ``None`` if it is unknown.

        Rounded down; 100 for a job that is complete, whatever it reported.
        """
        record = await self.job(job_id)
        return None if record is None else record.pct_complete

    async def enqueued_at(self, job_id: str) -> datetime | None:
        """When the job was enqueued, in UTC; ``None`` if that is not known."""
        record = await self.job(job_id)
        return None if record is None else record.enqueued_at

    async def started_at(self, job_id: str) -> datetime | None:
        """When the job's last try began, in UTC; ``None`` before the first."""
        record = await self.job(job_id)
        return None if record is None else record.started_at

    async def updated_at(self, job_id: str) -> datetime | None:
        """When something of the job last changed, in UTC; ``None`` if it is unknown."""
        record = await self.job(job_id)
        return None if record is None else record.updated_at

    async def ended_at(self, job_id: str) -> datetime | None:
        """When the job ended for good, in UTC; ``None`` until then."""
        record = await self.job(job_id)
        return None if record is None else record.ended_at

    async def elapsed(self, job_id: str) -> timedelta | None:
        """How long the job's last try has been running or ran; ``None`` before the first."""
        record = await self.job(job_id)
        return None if record is None else record.elapsed

    async def eta(self, job_id: str) -> timedelta | None:
        """How much longer the job runs at the present pace; ``None`` where nobody can tell.

        It takes a running job with a total, and some progress.
        """
        record = await self.job(job_id)
        return None if record is None else record.eta

    async def watch(self, job_id: str) -> AsyncGenerator[JobRecord]:
        """Follow the job: its record now, at every change, and at last as it ended.

            async for record in client.watch(job_id):
                print(record.status, record.pct_complete, record.message)

        Changes that come faster than some twenty a second are told as one. A job that a shutdown
        or a dead worker interrupted has not ended as long as arq will run it again. The iteration
        ends without an end state where the job is deleted, and at once for one that is unknown.
        However many jobs a client watches, it takes one connection for it; while that is lost the
        iteration waits for it to come back.
        """
        record = await self.job(job_id)
        if record is None:
            return
        yield record
        if record.ended_at is None:
            async with (await self.feed()).follow([job_id]) as following:
                while record.ended_at is None:
                    latest = (await following.changed())[job_id]
                    if latest is None:
                        return
                    if has_changed(record, latest):
                        yield latest
                    record = latest

    async def wait(self, job_id: str, timeout: float | None = None) -> JobRecord | None:
        """Wait until the job has ended; its final record, ``None`` if it is unknown or deleted.

            try:
                record = await client.wait(job_id, timeout=30)
            except TimeoutError:
                await client.stop(job_id)

        A job that arq will run again has not ended.

        Args:
            job_id: arq's id of the job.
            timeout: seconds to wait at most; by default for ever.

        Raises:
            TimeoutError: it has not ended by then.
        """
        record = await self.job(job_id)
        if record is None or record.ended_at is not None:
            return record
        async with asyncio.timeout(timeout), aclosing(self.watch(job_id)) as records:
            async for record in records:
                if record.ended_at is not None:
                    return record
        return None

    # many jobs

    async def list_jobs(
        self,
        status: Status | str | None = None,
        function: str | None = None,
        search: str | None = None,
        sort: str = "updated_at",
        descending: bool = True,
        page: int = 1,
        per_page: int = 25,
    ) -> Page:
        """A page of the live jobs of the client's queues and of the ended jobs.

            page = await client.list_jobs(status=Status.FAILED, function="import_rows")
            for record in page.items:
                print(record.job_id, record.error)

        With a ``function``, a ``search`` or another sort than ``updated_at`` it covers the newest
        10,000 jobs of the status; ``Page.truncated`` says where there are more.

        Args:
            status: only jobs of this status, or of the one with this name.
            function: only jobs of the function with this name.
            search: only the job with this id, or jobs with this in their function's name.
            sort: ``updated_at enqueued_at started_at ended_at function status progress message
                args elapsed eta``; jobs without a value come last.
            descending: the highest or newest first.
            page: counted from 1.
            per_page: 1 to 500.

        Raises:
            ValueError: the status or sort is unknown, or a number is out of its bounds.
        """
        query = Query(
            status=_as_status(status),
            function=function,
            search=search,
            sort=sort,
            descending=descending,
            page=page,
            per_page=per_page,
        )
        return await (await self._source()).page(query)

    async def counts(self) -> dict[Status, int]:
        """How many jobs there are of each status; 0 for one that no job has.

            print((await client.counts())[Status.WORKING])

        What changed is counted within 0.2 s.
        """
        return await (await self._source()).counts()

    # from outside

    async def stop(self, job_id: str, *, force: bool = False) -> bool:
        """Stop the job; whether there was a live one that can be stopped.

        A running job raises ``JobStopped`` at its next progress call or ``checkpoint``. It ends as
        ``stopped`` whatever it raises then, and arq does not try it again; one that returns all
        the same is ``complete``. A job that is not running is cancelled, as by ``cancel``. A
        running job that is not tracked cannot be stopped.

        Args:
            job_id: arq's id of the job.
            force: cancel the job at its next ``await``, whatever it waits for; by default it is
                only told.
        """
        if not _is_id(job_id):
            return False
        return await control.stop(await self._source(), job_id, force=force)

    async def cancel(self, job_id: str) -> bool:
        """Take a job that is not running out of its queue for good; whether that was done.

        Its status is ``stopped`` from then on. False for a job that runs, ended or is unknown.
        """
        return _is_id(job_id) and await control.cancel(await self._source(), job_id)

    async def unschedule(self, job_id: str) -> bool:
        """Another name of ``cancel``."""
        return await self.cancel(job_id)

    async def retry(self, job_id: str) -> bool:
        """Run an ended job again, under its id, with the arguments it had; whether it will be.

        For jobs that failed, were stopped or were interrupted for good: what they were enqueued
        with is kept as long as their record, up to 1 MiB. Arq's earlier result goes, and the job
        starts anew without its message, progress and data. False for a job that is live, that is
        complete, that is unknown, or whose payload is gone.
        """
        return _is_id(job_id) and await control.retry(await self._source(), job_id)

    async def delete(self, job_id: str) -> int:
        """Forget what was tracked of the job; 1 where it was known, else 0.

        A live job goes on, and what it reports from here on is tracked.
        """
        return int(_is_id(job_id) and await control.delete(await self._source(), job_id))

    async def store(self, job_id: str, /, **fields: Any) -> bool:
        """Set fields of the job's data from outside it; False for an unknown job.

            await client.store(job_id, reviewed_by="ann", rows=[1, 2])

        Other fields stay. An ended job keeps its place in the lists, and expires when it would.

        Args:
            job_id: arq's id of the job.
            fields: any JSON values, up to 64 KiB each.

        Raises:
            TypeError: JSON cannot hold a value.
            ValueError: a name is that of a built-in field, or a value takes more than 64 KiB.
        """
        encoded = encode_fields(fields)
        return _is_id(job_id) and await control.store(await self._source(), job_id, encoded)

    # behind the scenes

    async def feed(self) -> Feed:
        """What ``watch`` listens to, in the running event loop."""
        return (await self._source()).feed

    async def _overview(self, query: Query) -> tuple[Page, dict[Status, int], list[str]]:
        """What the dashboard shows: a page, the counts, and the functions that there are."""
        return await (await self._source()).overview(query)

    async def _facts(self, job_id: str) -> Facts | None:
        if not _is_id(job_id):
            return None
        [(facts, _)] = await (await self._source()).facts([job_id])
        return facts

    async def _source(self) -> Source:
        return self._open_source() or await self._opened_source()

    def _open_source(self) -> Source | None:
        return self._sources.get(asyncio.get_running_loop())

    async def _opened_source(self) -> Source:
        loop = asyncio.get_running_loop()
        for gone in [it for it in self._sources if it.is_closed()]:
            # nothing can be closed properly in there any more
            del self._sources[gone]
        redis = await self._client_for(loop)
        fresh = RedisSource(
            redis,
            owned=redis is not self._redis,
            queues=self._queues,
            expires=self._expires,
            deserializer=self._deserializer,
        )
        # another task may have been first while this one connected
        source = self._sources.setdefault(loop, fresh)
        if source is not fresh:
            await fresh.aclose()
        return source

    async def _client_for(self, loop: asyncio.AbstractEventLoop) -> Redis:
        if not isinstance(self._redis, Redis):
            return await connect(self._redis)
        if self._given_loop is None:
            self._given_loop = loop
        return self._redis if self._given_loop is loop else beside(self._redis)


_PLAIN = sorted(BUILT_IN - {"data"})


def _is_id(job_id: object) -> bool:
    if not isinstance(job_id, str) or not job_id:
        return False
    try:
        job_id.encode()
    except UnicodeEncodeError:
        return False
    return True


def _as_status(status: Status | str | None) -> Status | None:
    if status is None:
        return None
    try:
        return Status(status)
    except ValueError:
        raise ValueError(f"unknown status {status!r}: one of {', '.join(Status)}") from None
