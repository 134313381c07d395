"""Queries for jobs: one, several, and lists of them."""

from collections.abc import Iterable

from arq_status._client import history
from arq_status._client.connections import Connections
from arq_status._client.listing import count, overview, page_of
from arq_status._model.builder import build_record, decode_data
from arq_status._model.facts import Facts
from arq_status._model.history import LogLine, Try
from arq_status._model.query import Moment, Query, StatusFilter, as_statuses
from arq_status._model.snapshot import JobRecord, Page
from arq_status._model.status import Status
from arq_status._redis.announcements import AnnouncedOptions


class JobQueries:
    """The queries of ``StatusClient`` for jobs."""

    _connections: Connections

    async def status(self, job_id: str) -> Status | None:
        """Return the status of the job; ``None`` if it is unknown or expired."""
        if not is_id(job_id):
            return None
        connections = self._connections
        return await (connections.opened() or await connections.open()).status(job_id)

    async def job(self, job_id: str) -> JobRecord | None:
        """Return a snapshot of the job; ``None`` if it is unknown or expired."""
        [record] = await self.jobs([job_id])
        return record

    async def jobs(self, job_ids: Iterable[str]) -> list[JobRecord | None]:
        """Return snapshots of several jobs, in the order of their ids; ``None`` for unknown ones.

        Takes no more round trips than a single job, for up to 250 ids.

        Args:
            job_ids: arq's ids of the jobs.

        Raises:
            TypeError: ``job_ids`` is a single id.
        """
        asked = _listed(job_ids)
        known = possible_ids(asked)
        records: dict[str, JobRecord | None] = {}
        if known:
            store = await self._connections.open()
            for facts, fields in await store.facts(known, with_data=True, with_returned=True):
                records[facts.job_id] = build_record(facts, decode_data(fields))
        return [records.get(job_id) if is_id(job_id) else None for job_id in asked]

    async def tries(self, job_id: str) -> list[Try]:
        """Return the tries of the job, oldest first; an empty list if it is unknown.

            for it in await client.tries(job_id):
                print(it.job_try, it.status, it.error)

        The current or last try comes last. The first and the last 24 tries are kept, including
        those before a ``retry``.
        """
        return await history.tries(await self._connections.open(), job_id) if is_id(job_id) else []

    async def logs(self, job_id: str) -> list[LogLine]:
        """Return the log of the job, oldest line first; an empty list if it is unknown.

            for line in await client.logs(job_id):
                print(line.time, line.level, line.message)

        The newest 1,000 lines are kept, up to 256 KiB.
        """
        return await self._logs_after(job_id, 0)

    async def _logs_after(self, job_id: str, number: int) -> list[LogLine]:
        """Return the lines of the log after the one with this number."""
        if not is_id(job_id):
            return []
        return await history.logs(await self._connections.open(), job_id, number)

    async def list_jobs(
        self,
        status: StatusFilter = None,
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

        The records have no ``data``. If no index covers the query, as for a ``search``, the list
        covers the newest 10,000 jobs of the status; ``Page.truncated`` is true if there are more.

        Args:
            status: only jobs of this status or of one of these, as ``Status`` or by name.
            function: only jobs of the function with this name.
            queue: only jobs of the queue with this name.
            tag: only jobs with this tag.
            group: only jobs of the group with this id.
            search: only jobs whose id starts with this string, or whose function, arguments,
                message, error or tags contain it, ignoring case.
            since: only jobs updated at or after this moment: a ``datetime`` with a timezone, or a
                ``timedelta`` that is subtracted from now.
            until: only jobs updated at or before this moment, likewise.
            sort: ``updated_at enqueued_at started_at ended_at function queue status progress
                message args elapsed waited eta``; jobs without a value come last.
            descending: highest or newest first.
            page: the number of the page, counted from 1.
            per_page: jobs on a page, 1 to 500.

        Raises:
            ValueError: the status or sort is unknown, a number is out of range, or a
                ``datetime`` has no timezone.
            TypeError: ``since`` or ``until`` is neither a ``datetime`` nor a ``timedelta``, or
                ``function``, ``queue``, ``tag``, ``group`` or ``search`` is not a string.
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
        """Return the number of jobs of each status, including zeros.

            print((await client.counts())[Status.WORKING])

        May lag by up to 0.2 s.
        """
        store = await self._connections.open()
        await store.sweep_if_due()
        return await count(store)

    async def _overview(self, query: Query) -> tuple[Page, dict[Status, int], AnnouncedOptions]:
        """Return a page, the counts and the options that workers announced for functions."""
        store = await self._connections.open()
        await store.sweep_if_due()
        page, counts = await overview(store, query)
        return page, counts, await store.announced()

    async def _max_tries(self, record: JobRecord) -> int | None:
        """Return how many tries arq gives the job; ``None`` if that is not known."""
        announced = await (await self._connections.open()).announced()
        return announced.max_tries(record.function, record.queue)

    async def _facts(self, job_id: str) -> Facts | None:
        if not is_id(job_id):
            return None
        [(facts, _)] = await (await self._connections.open()).facts([job_id])
        return facts


def is_id(job_id: object) -> bool:
    if not isinstance(job_id, str) or not job_id:
        return False
    try:
        job_id.encode()
    except UnicodeEncodeError:
        return False
    return True


def possible_ids(job_ids: Iterable[str]) -> list[str]:
    """Return the ids that a job can have, without duplicates.

    Raises:
        TypeError: ``job_ids`` is a single id, or not iterable.
    """
    return list(dict.fromkeys(it for it in _listed(job_ids) if is_id(it)))


def _listed(job_ids: Iterable[str]) -> list[str]:
    # a string is an iterable of strings, too
    if isinstance(job_ids, str):
        raise TypeError(f"job_ids must be a list of ids, not a single id: [{job_ids!r}]")
    if not isinstance(job_ids, Iterable):
        raise TypeError(f"job_ids must be a list of ids, not {type(job_ids).__name__}")
    return list(job_ids)
