"""What is done to many jobs, and told of many, at once."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime

from arq_status._client import control
from arq_status._client.changes import changes
from arq_status._client.connections import Connections
from arq_status._client.listing import candidates
from arq_status._model.builder import build_record
from arq_status._model.facts import Facts
from arq_status._model.query import Moment, Query, as_statuses
from arq_status._model.snapshot import JobRecord, has_changed
from arq_status._model.status import Status

StatusFilter = Status | str | Iterable[Status | str] | None


class ManyJobs(ABC):
    """What ``StatusClient`` does to many jobs and tells of many."""

    _connections: Connections

    @abstractmethod
    async def jobs(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """Return snapshots of several jobs."""

    async def stop_jobs(
        self,
        status: StatusFilter = None,
        function: str | None = None,
        queue: str | None = None,
        tag: str | None = None,
        group: str | None = None,
        search: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        *,
        force: bool = False,
    ) -> int:
        """Ask the jobs that match to stop, as ``stop`` does. Returns how many were asked.

            await client.stop_jobs(group="import-7")

        At least one filter is needed. Of more than 10,000 jobs it reaches the newest.

        Args:
            status: only jobs of this status or of one of these.
            function: only jobs of the function with this name.
            queue: only jobs of the queue with this name.
            tag: only jobs with this tag.
            group: only jobs of the group with this id.
            search: only jobs that ``list_jobs`` finds with this text.
            since: only jobs updated at or after this moment.
            until: only jobs updated at or before this moment.
            force: also cancel running jobs at their next ``await``.

        Raises:
            TypeError: there is no filter, or a filter is of a wrong type.
            ValueError: a filter is not possible, as in ``list_jobs``.
        """
        query = _query(status, function, queue, tag, group, search, since, until)
        return await self._act_on_matching(control.force_stop if force else control.stop, query)

    async def cancel_jobs(
        self,
        status: StatusFilter = None,
        function: str | None = None,
        queue: str | None = None,
        tag: str | None = None,
        group: str | None = None,
        search: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
    ) -> int:
        """Take the jobs that match out of their queues, as ``cancel`` does. Returns how many.

        The filters ``status function queue tag group search since until``, of which at least one is
        needed, and the errors are those of ``stop_jobs``.
        """
        query = _query(status, function, queue, tag, group, search, since, until)
        return await self._act_on_matching(control.cancel, query)

    async def retry_jobs(
        self,
        status: StatusFilter = None,
        function: str | None = None,
        queue: str | None = None,
        tag: str | None = None,
        group: str | None = None,
        search: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
    ) -> int:
        """Run the jobs that match again, as ``retry`` does. Returns how many will be run.

            await client.retry_jobs(status="failed", function="transcode")

        The filters ``status function queue tag group search since until``, of which at least one is
        needed, and the errors are those of ``stop_jobs``.
        """
        query = _query(status, function, queue, tag, group, search, since, until)
        return await self._act_on_matching(control.retry, query)

    async def delete_jobs(
        self,
        status: StatusFilter = None,
        function: str | None = None,
        queue: str | None = None,
        tag: str | None = None,
        group: str | None = None,
        search: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
    ) -> int:
        """Delete the tracking data of the jobs that match, as ``delete`` does. Returns how many.

        The filters ``status function queue tag group search since until``, of which at least one is
        needed, and the errors are those of ``stop_jobs``.
        """
        query = _query(status, function, queue, tag, group, search, since, until)
        return await self._act_on_matching(control.delete, query)

    async def changes(
        self,
        status: StatusFilter = None,
        function: str | None = None,
        queue: str | None = None,
        tag: str | None = None,
        group: str | None = None,
        search: str | None = None,
    ) -> AsyncGenerator[JobRecord]:
        """Yield, from now on, the record of every job that changed and matches. It never ends.

            async for record in client.changes(status="failed", tag="tenant:42"):
                await notify(record)

        More than some twenty changes of a job a second are merged. A job that plain arq enqueued
        or that became due is noticed within 2 s.

        Args:
            status: only jobs that have this status now, or one of these.
            function: only jobs of the function with this name.
            queue: only jobs of the queue with this name.
            tag: only jobs with this tag.
            group: only jobs of the group with this id.
            search: only jobs that ``list_jobs`` finds with this text.

        Raises:
            ValueError: the status is unknown.
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

    async def watch_many(self, job_ids: Sequence[str]) -> AsyncGenerator[JobRecord]:
        """Yield the records of several jobs now and at every change, until all have ended.

            async for record in client.watch_many(job_ids):
                print(record.job_id, record.status, record.pct_complete)

        Unknown jobs are left out, and one that is deleted is followed no further. See ``watch``.

        Args:
            job_ids: arq's ids of the jobs.
        """
        # no job has an id of another type
        ids = dict.fromkeys(it for it in job_ids if isinstance(it, str))
        found = await self.jobs(list(ids))
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

    async def _act_on_matching(self, plan: control.Plan, query: Query) -> int:
        store = await self._connections.open()

        def matches(facts: Facts) -> bool:
            record = build_record(facts)
            now = datetime.fromtimestamp(facts.now / 1000, UTC)
            return record is not None and query.matches(record, now)

        return await control.act(store, plan, await candidates(store, query), matches)


def _query(
    status: StatusFilter,
    function: str | None,
    queue: str | None,
    tag: str | None,
    group: str | None,
    search: str | None,
    since: Moment | None,
    until: Moment | None,
) -> Query:
    """Return which jobs are meant.

    Raises:
        TypeError: all would be.
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
    )
    if not query.statuses and not query.is_filtered:
        raise TypeError(
            "say which jobs: at least one of status, function, queue, tag, group, search, since"
            " and until"
        )
    return query
