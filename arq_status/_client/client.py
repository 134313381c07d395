"""``StatusClient``: queries jobs and controls them."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from time import monotonic
from types import TracebackType
from typing import Any, Self

from arq.connections import RedisSettings
from redis.asyncio import Redis

from arq_status._client import control, history
from arq_status._client.connections import Connections
from arq_status._client.feed import Feed
from arq_status._client.fields import FieldQueries
from arq_status._client.groups import GroupQueries
from arq_status._client.insight import InsightQueries
from arq_status._client.listing import count, overview, page_of
from arq_status._client.many import ManyJobs
from arq_status._client.metrics import metrics
from arq_status._model.builder import build_record, decode_data
from arq_status._model.facts import Facts
from arq_status._model.history import LogLine, Try
from arq_status._model.options import Expires, expires_ms
from arq_status._model.query import Moment, Query, as_statuses
from arq_status._model.snapshot import JobRecord, Page, has_changed
from arq_status._model.status import Status
from arq_status._model.tags import checked_tag
from arq_status._model.validation import encode_fields
from arq_status._redis.connection import RedisLike
from arq_status._redis.store import Store


class StatusClient(FieldQueries, ManyJobs, GroupQueries, InsightQueries):
    """Queries and controls arq's jobs in Redis.

        async with StatusClient("redis://localhost/1", queues=["imports"]) as client:
            print(await client.status(job_id))

    Jobs go by arq's ids; an unknown id is no error. A client may be used in several event loops,
    one after the other. If Redis cannot be reached, redis-py's own exceptions are raised.

    Args:
        redis: an ``ArqRedis`` or ``redis.asyncio.Redis``, arq's ``RedisSettings`` or a DSN; by
            default a Redis on localhost. ``aclose`` closes only connections that the client opened
            itself.
        queues: the queues to look for live jobs in; by default arq's default queue and all queues
            that a tracked worker has announced.
        expires: how long a job that completed without a record is shown: seconds or a
            ``timedelta``; 1800, half an hour, by default. Failed ones are shown for a day, or as
            long if that is longer.
        job_deserializer: the workers' deserializer, if it is not arq's default. It is called with
            payloads and results from Redis; without it nothing is unpickled or called.

    Raises:
        ValueError: ``expires`` is not positive, or the DSN is malformed.
        TypeError: ``redis`` is none of these, ``queues`` is a single name, or ``expires`` is not a
            duration.
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
            Redis.from_url(redis)  # raise now if it is malformed
        self._connections = Connections(
            redis,
            queues=None if queues is None else list(queues),
            expires=expires_ms(expires),
            deserializer=job_deserializer,
        )

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

        ``async with`` does so on exit. A Redis client that was passed in stays open.
        """
        await self._connections.aclose()

    # one job

    async def status(self, job_id: str) -> Status | None:
        """Return the status of the job; ``None`` if it is unknown or expired."""
        if not _is_id(job_id):
            return None
        connections = self._connections
        return await (connections.opened() or await connections.open()).status(job_id)

    async def job(self, job_id: str) -> JobRecord | None:
        """Return a snapshot of the job; ``None`` if it is unknown or expired."""
        [record] = await self.jobs([job_id])
        return record

    async def jobs(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """Return snapshots of several jobs, in the order of their ids; ``None`` for unknown ones.

        Takes as many round trips as one job does, for up to 250 ids.

        Args:
            job_ids: arq's ids of the jobs.
        """
        known = list(dict.fromkeys(job_id for job_id in job_ids if _is_id(job_id)))
        records: dict[str, JobRecord | None] = {}
        if known:
            store = await self._connections.open()
            for facts, fields in await store.facts(known, with_data=True, with_returned=True):
                records[facts.job_id] = build_record(facts, decode_data(fields))
        return [records.get(job_id) if _is_id(job_id) else None for job_id in job_ids]

    async def tries(self, job_id: str) -> list[Try]:
        """Return the tries of the job, oldest first; an empty list if it is unknown.

            for it in await client.tries(job_id):
                print(it.job_try, it.status, it.error)

        The present or last try comes at the end. Of many tries the first and the last 24 are kept,
        with those of earlier runs before a ``retry``.
        """
        return await history.tries(await self._connections.open(), job_id) if _is_id(job_id) else []

    async def logs(self, job_id: str) -> list[LogLine]:
        """Return the log of the job, oldest line first; an empty list if it is unknown.

            for line in await client.logs(job_id):
                print(line.time, line.level, line.message)

        The newest 1,000 lines are kept, up to 256 KiB.
        """
        return await self._logs_after(job_id, 0)

    async def _logs_after(self, job_id: str, number: int) -> list[LogLine]:
        """Return the lines of the log that come after one."""
        if not _is_id(job_id):
            return []
        return await history.logs(await self._connections.open(), job_id, number)

    async def watch(self, job_id: str, heartbeat: float | None = None) -> AsyncGenerator[JobRecord]:
        """Yield the record of the job now, at every change, and at last as it ended.

            async for record in client.watch(job_id):
                print(record.status, record.pct_complete, record.message)

        More than some twenty changes a second are merged. An interrupted job that arq will run
        again has not ended. The iteration ends without an end state if the job is deleted, and at
        once if it is unknown. A client opens one connection for all jobs that it watches; if that
        is lost, the iteration waits until it is back.

        Args:
            job_id: arq's id of the job.
            heartbeat: seconds without a change after which the last record is yielded again; by
                default it is not.

        Raises:
            ValueError: ``heartbeat`` is not positive.
        """
        if heartbeat is not None and not heartbeat > 0:
            raise ValueError(f"heartbeat must be positive, not {heartbeat!r}")
        record = await self.job(job_id)
        if record is None:
            return
        yield record
        if record.ended_at is None:
            async with (await self._feed()).follow([job_id]) as following:
                while record.ended_at is None:
                    try:
                        async with asyncio.timeout(heartbeat):
                            latest = (await following.changed())[job_id]
                    except TimeoutError:
                        yield record
                        continue
                    if latest is None:
                        return
                    if has_changed(record, latest):
                        yield latest
                    record = latest

    async def wait(self, job_id: str, timeout: float | None = None) -> JobRecord | None:
        """Wait until the job has ended, and return its final record.

            try:
                record = await client.wait(job_id, timeout=30)
            except TimeoutError:
                await client.stop(job_id)

        Returns ``None`` if the job is unknown, or deleted while it waits. An interrupted job that
        arq will run again has not ended.

        Args:
            job_id: arq's id of the job.
            timeout: seconds to wait at most, also for a Redis that does not answer; ``None`` waits
                for ever, 0 looks once.

        Raises:
            TimeoutError: the job has not ended by then.
        """
        began = monotonic()
        async with asyncio.timeout(None if timeout is None else max(timeout, _SHORTEST_LOOK)):
            record = await self.job(job_id)
        if record is None or record.ended_at is not None:
            return record
        left = None if timeout is None else timeout - (monotonic() - began)
        async with asyncio.timeout(left), aclosing(self.watch(job_id)) as records:
            async for record in records:
                if record.ended_at is not None:
                    return record
        return None

    # many jobs

    async def list_jobs(
        self,
        status: Status | str | Iterable[Status | str] | None = None,
        function: str | None = None,
        queue: str | None = None,
        tag: str | None = None,
        group: str | None = None,
        search: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        sort: str = "updated_at",
        descending: bool = True,
        page: int = 1,
        per_page: int = 25,
    ) -> Page:
        """Return a page of the live jobs of the client's queues and of the ended jobs.

            page = await client.list_jobs(status=Status.FAILED, function="import_rows")
            for record in page.items:
                print(record.job_id, record.error)

        The records have no ``data``. If no index answers the question, as for a ``search``, the
        list covers the newest 10,000 jobs of the status; ``Page.truncated`` tells if there are
        more.

        Args:
            status: only jobs of this status or of one of these, as ``Status`` or by name.
            function: only jobs of the function with this name.
            queue: only jobs of the queue with this name.
            tag: only jobs with this tag.
            group: only jobs of the group with this id.
            search: only jobs whose id begins with this text, or that have it in their function's
                name, arguments, message, error or tags, in small or capital letters.
            since: only jobs updated at or after this moment: a ``datetime`` with a timezone, or a
                ``timedelta`` for so long ago.
            until: only jobs updated at or before this moment, likewise.
            sort: ``updated_at enqueued_at started_at ended_at function queue status progress
                message args elapsed waited eta``; jobs without a value come last.
            descending: the highest or newest first.
            page: counted from 1.
            per_page: 1 to 500.

        Raises:
            ValueError: the status or sort is unknown, a number is out of its bounds, or a
                ``datetime`` has no timezone.
            TypeError: ``since`` or ``until`` is neither a ``datetime`` nor a ``timedelta``.
        """
        query = Query(
            statuses=as_statuses(status),
            function=function,
            queue=queue,
            tag=tag,
            group=group,
            search=search,
            since=since,
            until=until,
            sort=sort,
            descending=descending,
            page=page,
            per_page=per_page,
        )
        store = await self._connections.open()
        await store.sweep_if_due()
        return await page_of(store, query)

    async def counts(self) -> dict[Status, int]:
        """Return how many jobs there are of each status, 0 included.

            print((await client.counts())[Status.WORKING])

        May lag behind by 0.2 s.
        """
        store = await self._connections.open()
        await store.sweep_if_due()
        return await count(store)

    # control

    async def stop(self, job_id: str, *, force: bool = False) -> bool:
        """Ask the job to stop. Returns whether there was a job to ask.

        A running job raises ``JobStopped`` at its next progress call or ``checkpoint``. It ends as
        ``stopped`` whatever it raises then, and arq does not try it again; one that returns all
        the same is ``complete``. A job that is not running is cancelled, as by ``cancel``. A
        running job that is not tracked cannot be stopped.

        Args:
            job_id: arq's id of the job.
            force: also cancel the job at its next ``await``, whatever it waits for.
        """
        return await self._act(control.force_stop if force else control.stop, job_id)

    async def cancel(self, job_id: str) -> bool:
        """Remove a job that is not running from its queue for good. Returns whether it did.

        The status is ``stopped`` from then on. False for a job that is running, ended or unknown.
        """
        return await self._act(control.cancel, job_id)

    async def unschedule(self, job_id: str) -> bool:
        """Cancel the job; another name of ``cancel``."""
        return await self.cancel(job_id)

    async def retry(self, job_id: str) -> bool:
        """Run an ended job again with the same id, function and arguments. Returns whether it will.

        For jobs that failed, were stopped or were finally interrupted: arq's payload of those is
        kept as long as their record, up to 1 MiB. Arq's earlier result is removed; the new run
        starts without message and progress. False for a job that is live, complete or unknown, or
        whose payload was not kept, as with ``record_args=False``.
        """
        return await self._act(control.retry, job_id)

    async def delete(self, job_id: str) -> int:
        """Delete the tracking data of the job. Returns 1 if it was known, else 0.

        A live job goes on, and its next report starts a new record.
        """
        return int(await self._act(control.delete, job_id))

    async def store(self, job_id: str, /, **fields: Any) -> bool:
        """Set fields of the job's data from outside it. Returns False for an unknown job.

            await client.store(job_id, reviewed_by="ann", rows=[1, 2])

        Other fields stay. An ended job keeps its place in the lists and its expiry.

        Args:
            job_id: arq's id of the job.
            fields: JSON values of up to 64 KiB each, 1 MiB in all. Decimals, datetimes, UUIDs,
                enum members and numpy scalars are stored as the number or text that they stand
                for.

        Raises:
            TypeError: JSON cannot hold a value.
            ValueError: a name is that of a built-in field, or the data is too large.
        """
        encoded = encode_fields(fields)
        return _is_id(job_id) and await control.store_fields(
            await self._connections.open(), job_id, encoded
        )

    async def tag(self, job_id: str, tag: str) -> bool:
        """Give the job a tag from outside it. Returns False for an unknown job.

        The job is then found with ``list_jobs(tag=...)``. The tag stays through tries and
        ``retry``.

        Args:
            job_id: arq's id of the job.
            tag: a text of 1 to 100 characters; a job has up to 20.

        Raises:
            TypeError: the tag is not a text.
            ValueError: it is empty or too long, or the job has 20 others.
        """
        checked = checked_tag(tag)
        return _is_id(job_id) and await control.tag(
            await self._connections.open(), job_id, (checked,)
        )

    # internals

    async def _opened(self) -> Store:
        return await self._connections.open()

    async def _metrics(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return await metrics(await self._connections.open())

    async def _act(self, plan: control.Plan, job_id: str) -> bool:
        return await self._act_on_jobs(plan, [job_id]) > 0

    async def _act_on_jobs(self, plan: control.Plan, job_ids: Sequence[str]) -> int:
        known = list(dict.fromkeys(it for it in job_ids if _is_id(it)))
        return await control.act(await self._connections.open(), plan, known) if known else 0

    async def _feed(self) -> Feed:
        """Return what ``watch`` listens to in the running event loop."""
        return (await self._connections.open()).feed

    async def _overview(self, query: Query) -> tuple[Page, dict[Status, int], list[str]]:
        """Return a page, the counts and the names of the functions, for the dashboard."""
        store = await self._connections.open()
        await store.sweep_if_due()
        page, counts = await overview(store, query)
        return page, counts, sorted((await store.announced()).functions)

    async def _facts(self, job_id: str) -> Facts | None:
        if not _is_id(job_id):
            return None
        [(facts, _)] = await (await self._connections.open()).facts([job_id])
        return facts


#: Seconds that ``wait`` gives its first look at a job, whatever its timeout.
_SHORTEST_LOOK = 0.2


def _is_id(job_id: object) -> bool:
    if not isinstance(job_id, str) or not job_id:
        return False
    try:
        job_id.encode()
    except UnicodeEncodeError:
        return False
    return True
