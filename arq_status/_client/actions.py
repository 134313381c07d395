"""Actions on single jobs, and on all jobs that match."""

from collections.abc import Sequence
from typing import Any

from arq_status._client import control
from arq_status._client.connections import Connections
from arq_status._client.jobs import is_id, possible_ids
from arq_status._client.listing import candidates
from arq_status._model.builder import build_record, utc_datetime
from arq_status._model.facts import Facts
from arq_status._model.labels import checked_tag
from arq_status._model.query import Moment, Query, StatusFilter, as_statuses
from arq_status._model.validation import encode_fields, require_flag


class JobActions:
    """The actions of ``StatusClient``."""

    _connections: Connections

    async def stop(self, job_id: str, *, force: bool = False) -> bool:
        """Ask the job to stop. Returns True if there was a job to ask.

        A running job raises ``JobStopped`` at its next progress call or ``checkpoint``. It ends as
        ``stopped`` whatever it raises then, and arq does not try it again; if it returns instead,
        it is ``complete``. A job that is not running is cancelled, as by ``cancel``. A running job
        that is not tracked cannot be stopped.

        Args:
            job_id: arq's id of the job.
            force: also cancel the job at its next ``await``, whatever it is waiting for.

        Raises:
            TypeError: ``force`` is not a bool.
        """
        return await self._act(_stop(force), job_id)

    async def cancel(self, job_id: str) -> bool:
        """Remove a job that is not running from its queue for good. Returns True if it did.

        Its status is then ``stopped``. Returns False for a job that is running, ended or unknown.
        """
        return await self._act(control.cancel, job_id)

    async def unschedule(self, job_id: str) -> bool:
        """Cancel the job; an alias of ``cancel``."""
        return await self.cancel(job_id)

    async def retry(self, job_id: str) -> bool:
        """Run an ended job again with the same id, function and arguments. Returns True if it will.

        Works for jobs that failed, were stopped or were interrupted for good: their payload is kept
        as long as their record, up to 1 MiB. Arq's earlier result is removed; the new run starts
        without a message or progress. Returns False for a job that is live, complete or unknown, or
        whose payload was not kept, as with ``record_args=False``.
        """
        return await self._act(control.retry, job_id)

    async def delete(self, job_id: str) -> int:
        """Delete the tracking data of the job. Returns 1 if it was known, else 0.

        A live job keeps running, and its next report starts a new record.
        """
        return int(await self._act(control.delete, job_id))

    async def store(self, job_id: str, /, **fields: Any) -> bool:
        """Set fields of the job's data from outside the job. Returns False for an unknown job.

            await client.store(job_id, reviewed_by="ann", rows=[1, 2])

        Other fields are kept. An ended job keeps its place in the lists and its expiry.

        Args:
            job_id: arq's id of the job.
            fields: JSON values of up to 64 KiB each, 1 MiB in all. Decimals, datetimes, UUIDs,
                enum members and numpy scalars are stored as the number or string that they
                represent.

        Raises:
            TypeError: a value cannot be represented in JSON.
            ValueError: a name is that of a ``JobRecord`` field or longer than 1,000 characters, or
                the data is too large.
        """
        encoded = encode_fields(fields)
        return is_id(job_id) and await control.store_fields(
            await self._connections.open(), job_id, encoded
        )

    async def tag(self, job_id: str, tag: str) -> bool:
        """Add a tag to the job from outside it. Returns False for an unknown job.

        The job is then found with ``list_jobs(tag=...)``. It keeps the tag in later tries and after
        ``retry``.

        Args:
            job_id: arq's id of the job.
            tag: a string of 1 to 100 characters; a job can have up to 20 tags.

        Raises:
            TypeError: the tag is not a string.
            ValueError: it is empty or too long, or the job has 20 other tags.
        """
        checked = checked_tag(tag)
        return is_id(job_id) and await control.tag(
            await self._connections.open(), job_id, (checked,)
        )

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
        """Ask the matching jobs to stop, as ``stop`` does. Returns how many were asked.

            await client.stop_jobs(group="import-7")

        The filters ``status function queue tag group search since until`` are those of
        ``list_jobs``; at least one is required. Acts on the newest 10,000 jobs at most, and on each
        only if it still matches.

        Args:
            force: also cancel running jobs at their next ``await``.

        Raises:
            TypeError: no filter is given, or a filter has the wrong type.
            ValueError: a filter is invalid, as in ``list_jobs``.
        """
        query = _query(status, function, queue, tag, group, search, since, until)
        return await self._act_on_matching(_stop(force), query)

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
        """Cancel the matching jobs, as ``cancel`` does. Returns how many were cancelled.

        The filters ``status function queue tag group search since until``, at least one of which
        is required, and the errors are those of ``stop_jobs``.
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
        """Run the matching jobs again, as ``retry`` does. Returns how many will run.

            await client.retry_jobs(status="failed", function="transcode")

        The filters ``status function queue tag group search since until``, at least one of which
        is required, and the errors are those of ``stop_jobs``.
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
        """Delete the data of the matching jobs, as ``delete`` does. Returns how many were deleted.

        The filters ``status function queue tag group search since until``, at least one of which
        is required, and the errors are those of ``stop_jobs``.
        """
        query = _query(status, function, queue, tag, group, search, since, until)
        return await self._act_on_matching(control.delete, query)

    async def _act(self, plan: control.Plan, job_id: str) -> bool:
        return await self._act_on_jobs(plan, [job_id]) > 0

    async def _act_on_jobs(self, plan: control.Plan, job_ids: Sequence[str]) -> int:
        known = possible_ids(job_ids)
        return await control.act(await self._connections.open(), plan, known) if known else 0

    async def _act_on_matching(self, plan: control.Plan, query: Query) -> int:
        store = await self._connections.open()

        def matches(facts: Facts) -> bool:
            record = build_record(facts)
            return record is not None and query.matches(record, utc_datetime(facts.now))

        return await control.act(store, plan, await candidates(store, query), matches)


def _stop(force: bool) -> control.Plan:
    require_flag(force, "force")
    return control.force_stop if force else control.stop


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
    """Return the query for these filters.

    Raises:
        TypeError: there is no filter.
        ValueError: a filter is empty; ignoring it would act on more jobs than intended.
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
            "at least one filter is required: status, function, queue, tag, group, search, since"
            " or until"
        )
    if status is not None and not query.statuses:
        raise ValueError("status is empty: omit it to select jobs of every status")
    if search == "":
        raise ValueError("search is empty: omit it to select jobs without searching")
    return query
