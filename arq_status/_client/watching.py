"""Following jobs and groups until they end."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, aclosing
from datetime import datetime
from time import monotonic
from typing import Protocol, TypeVar

from arq_status._client.changes import changes
from arq_status._client.connections import Connections
from arq_status._client.feed import Feed
from arq_status._client.following import Following
from arq_status._client.jobs import JobQueries, possible_ids
from arq_status._model.query import Query, StatusFilter, as_statuses
from arq_status._model.snapshot import JobRecord, has_changed
from arq_status._model.validation import require_number


class WatchQueries(JobQueries):
    """The methods of ``StatusClient`` that follow jobs."""

    def watch(self, job_id: str, heartbeat: float | None = None) -> AsyncGenerator[JobRecord]:
        """Yield the job's record now, at every change, and finally when it has ended.

            async for record in client.watch(job_id):
                print(record.status, record.pct_complete, record.message)

        If there are more than about twenty changes a second, some are merged. An interrupted job
        that arq will run again has not ended. The iteration ends without an end state if the job is
        deleted, and at once if it is unknown. A client opens one connection for all the jobs that
        it watches; if that is lost, the iteration waits until it is restored.

        Args:
            job_id: arq's id of the job.
            heartbeat: seconds without a change after which the last record is yielded again; by
                default it is not.

        Raises:
            ValueError: ``heartbeat`` is not positive.
        """
        return watch(
            self._connections,
            lambda: self.job(job_id),
            lambda feed: feed.follow([job_id]),
            has_changed,
            heartbeat,
        )

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
            timeout: seconds to wait at most, even if Redis does not answer; ``None`` waits forever,
                0 checks once.

        Raises:
            TimeoutError: the job has not ended by then.
        """
        return await wait_for_end(self.watch(job_id), timeout)

    async def watch_many(self, job_ids: Iterable[str]) -> AsyncGenerator[JobRecord]:
        """Yield the records of several jobs now and at every change, until all have ended.

            async for record in client.watch_many(job_ids):
                print(record.job_id, record.status, record.pct_complete)

        Unknown and deleted jobs are left out. See ``watch``.

        Args:
            job_ids: arq's ids of the jobs.

        Raises:
            TypeError: ``job_ids`` is a single id.
        """
        found = await self.jobs(possible_ids(job_ids))
        known = [record for record in found if record is not None]
        for record in known:
            yield record
        live = {record.job_id: record for record in known if record.ended_at is None}
        if not live:
            return
        feed = (await self._connections.open()).feed
        async with feed.follow(live) as following:
            while live:
                for job_id, latest in (await following.changed()).items():
                    if latest is not None and has_changed(live[job_id], latest):
                        yield latest
                    if latest is None or latest.ended_at is not None:
                        del live[job_id]
                    else:
                        live[job_id] = latest
                if len(live) < len(following.subjects):
                    following.subjects = frozenset(live)

    async def changes(
        self,
        status: StatusFilter = None,
        function: str | None = None,
        queue: str | None = None,
        tag: str | None = None,
        group: str | None = None,
        search: str | None = None,
    ) -> AsyncGenerator[JobRecord]:
        """Yield the record of every matching job that changes from now on. Never ends.

            async for record in client.changes(status="failed", tag="tenant:42"):
                await notify(record)

        If a job changes more than about twenty times a second, some changes are merged. A job that
        is enqueued by arq alone, or that becomes due, is noticed within 2 s.

        The filters ``status function queue tag group search`` are those of ``list_jobs``; without
        one, every change of every job is reported.

        Raises:
            ValueError: the status is unknown.
            TypeError: a filter is not a string.
        """
        query = Query(
            statuses=as_statuses(status),
            function=function,
            queue=queue,
            tag=tag,
            group=group,
            search=search,
        )
        connection = await self._connections.open()
        async with aclosing(changes(connection, connection.feed, query)) as records:
            async for record in records:
                yield record


class _HasEnd(Protocol):
    @property
    def ended_at(self) -> datetime | None: ...


Record = TypeVar("Record", bound=_HasEnd)

#: Seconds allowed for reading the first record, however short the timeout.
SHORTEST_LOOK = 0.2


async def watch(
    connections: Connections,
    read: Callable[[], Awaitable[Record | None]],
    follow: Callable[[Feed], AbstractAsyncContextManager[Following[Record]]],
    has_changed: Callable[[Record, Record], bool],
    heartbeat: float | None,
) -> AsyncGenerator[Record]:
    """Yield a record now, at every change, and finally when it has ended."""
    if heartbeat is not None:
        require_number(heartbeat, "heartbeat")
        if not heartbeat > 0:
            raise ValueError(f"heartbeat must be positive, not {heartbeat!r}")
    record = await read()
    if record is None:
        return
    yield record
    if record.ended_at is not None:
        return
    async with follow((await connections.open()).feed) as following:
        while record.ended_at is None:
            try:
                async with asyncio.timeout(heartbeat):
                    [latest] = (await following.changed()).values()
            except TimeoutError:
                yield record
                continue
            if latest is None:
                return
            if has_changed(record, latest):
                yield latest
            record = latest


async def wait_for_end(records: AsyncGenerator[Record], timeout: float | None) -> Record | None:
    """Return the first record that has ended; ``None`` if there is none.

    Raises:
        TimeoutError: none has ended in time.
        TypeError: the timeout is not a number.
    """
    if timeout is not None:
        require_number(timeout, "timeout")
    began = monotonic()
    async with aclosing(records):
        async with asyncio.timeout(None if timeout is None else max(timeout, SHORTEST_LOOK)):
            first = await anext(records, None)
        if first is None or first.ended_at is not None:
            return first
        async with asyncio.timeout(None if timeout is None else timeout - (monotonic() - began)):
            async for record in records:
                if record.ended_at is not None:
                    return record
    return None
