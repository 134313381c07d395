"""The methods of the default client as functions of the package.

They are written out so that editors and type checkers know them; a test compares them with
``StatusClient``.
"""

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Any

from arq_status._client.client import StatusClient
from arq_status._client.default import default_client, set_default_client
from arq_status._client.enqueueing import JobGroup
from arq_status._model.group import GroupRecord
from arq_status._model.history import LogLine, Try
from arq_status._model.insight import (
    ActivityPoint,
    CronRecord,
    FunctionStats,
    QueueRecord,
    WorkerRecord,
)
from arq_status._model.options import Expires
from arq_status._model.query import Moment
from arq_status._model.snapshot import JobRecord, Page
from arq_status._model.status import Status
from arq_status._redis.connection import RedisLike


def configure(
    redis: RedisLike | None = None,
    *,
    queues: Sequence[str] | None = None,
    expires: Expires = 1800,
    job_deserializer: Callable[[bytes], Any] | None = None,
) -> StatusClient:
    """Set which Redis the functions of this package ask; by default one on localhost.

        arq_status.configure("redis://localhost/1", expires=timedelta(days=1))

    Args:
        redis: an ``ArqRedis`` or ``redis.asyncio.Redis``, arq's ``RedisSettings`` or a DSN; by
            default a Redis on localhost.
        queues: the queues to look for live jobs in; by default arq's default queue and all queues
            that a tracked worker has announced.
        expires: how long a job that completed without a record is shown: seconds or a
            ``timedelta``; 1800, half an hour, by default.
        job_deserializer: the workers' deserializer, if it is not arq's default.

    Returns:
        The new default client, for ``aclose``. The earlier one stays open.

    Raises:
        ValueError: ``expires`` is not positive, or the DSN is malformed.
        TypeError: ``redis`` is none of these, ``queues`` is a single name, or ``expires`` is not a
            duration.
    """
    client = StatusClient(redis, queues=queues, expires=expires, job_deserializer=job_deserializer)
    set_default_client(client)
    return client


async def status(job_id: str) -> Status | None:
    """Return the status of the job; ``None`` if it is unknown or expired.

    See ``StatusClient.status``.
    """
    return await default_client().status(job_id)


async def is_deferred(job_id: str) -> bool:
    """Return whether the job is in the queue and due later.

    See ``StatusClient.is_deferred``.
    """
    return await default_client().is_deferred(job_id)


async def is_queued(job_id: str) -> bool:
    """Return whether the job is in the queue and due.

    See ``StatusClient.is_queued``.
    """
    return await default_client().is_queued(job_id)


async def is_working(job_id: str) -> bool:
    """Return whether a worker is running the job.

    See ``StatusClient.is_working``.
    """
    return await default_client().is_working(job_id)


async def is_retrying(job_id: str) -> bool:
    """Return whether the job ended with ``Retry`` and is in the queue for its next try.

    See ``StatusClient.is_retrying``.
    """
    return await default_client().is_retrying(job_id)


async def is_complete(job_id: str) -> bool:
    """Return whether the job has returned.

    See ``StatusClient.is_complete``.
    """
    return await default_client().is_complete(job_id)


async def is_failed(job_id: str) -> bool:
    """Return whether the job raised, timed out or could not be run.

    See ``StatusClient.is_failed``.
    """
    return await default_client().is_failed(job_id)


async def is_stopped(job_id: str) -> bool:
    """Return whether the job was stopped, cancelled or aborted.

    See ``StatusClient.is_stopped``.
    """
    return await default_client().is_stopped(job_id)


async def is_interrupted(job_id: str) -> bool:
    """Return whether the job was cut off when its worker died or shut down.

    See ``StatusClient.is_interrupted``.
    """
    return await default_client().is_interrupted(job_id)


async def job(job_id: str) -> JobRecord | None:
    """Return a snapshot of the job; ``None`` if it is unknown or expired.

    See ``StatusClient.job``.
    """
    return await default_client().job(job_id)


async def jobs(job_ids: Sequence[str]) -> list[JobRecord | None]:
    """Return snapshots of several jobs, in the order of their ids; ``None`` for unknown ones.

    See ``StatusClient.jobs``.
    """
    return await default_client().jobs(job_ids)


async def tries(job_id: str) -> list[Try]:
    """Return the tries of the job, oldest first; an empty list if it is unknown.

    See ``StatusClient.tries``.
    """
    return await default_client().tries(job_id)


async def logs(job_id: str) -> list[LogLine]:
    """Return the log of the job, oldest line first; an empty list if it is unknown.

    See ``StatusClient.logs``.
    """
    return await default_client().logs(job_id)


async def get_all(job_id: str) -> dict[str, Any]:
    """Return the fields of ``JobRecord`` and the job's own data in one dict; empty if unknown.

    See ``StatusClient.get_all``.
    """
    return await default_client().get_all(job_id)


async def get(job_id: str, name: str) -> Any:
    """Return one field, built in or of the job's own data; ``None`` if there is none.

    See ``StatusClient.get``.
    """
    return await default_client().get(job_id, name)


async def at(job_id: str) -> float | None:
    """Return how far the job got, in the unit of its total; ``None`` if it is unknown.

    See ``StatusClient.at``.
    """
    return await default_client().at(job_id)


async def total(job_id: str) -> float | None:
    """Return how far the job has to go; ``None`` if it is unknown.

    See ``StatusClient.total``.
    """
    return await default_client().total(job_id)


async def message(job_id: str) -> str | None:
    """Return the job's last message; ``None`` if it gave none or is unknown.

    See ``StatusClient.message``.
    """
    return await default_client().message(job_id)


async def pct_complete(job_id: str) -> int | None:
    """Return the progress in percent of the total, 0 to 100; ``None`` if the job is unknown.

    See ``StatusClient.pct_complete``.
    """
    return await default_client().pct_complete(job_id)


async def enqueued_at(job_id: str) -> datetime | None:
    """Return when the job was enqueued, in UTC; ``None`` if that is not known.

    See ``StatusClient.enqueued_at``.
    """
    return await default_client().enqueued_at(job_id)


async def started_at(job_id: str) -> datetime | None:
    """Return when the job's last try began, in UTC; ``None`` before the first.

    See ``StatusClient.started_at``.
    """
    return await default_client().started_at(job_id)


async def updated_at(job_id: str) -> datetime | None:
    """Return when the job last changed, in UTC; ``None`` if it is unknown.

    See ``StatusClient.updated_at``.
    """
    return await default_client().updated_at(job_id)


async def ended_at(job_id: str) -> datetime | None:
    """Return when the job ended for good, in UTC; ``None`` until then.

    See ``StatusClient.ended_at``.
    """
    return await default_client().ended_at(job_id)


async def elapsed(job_id: str) -> timedelta | None:
    """Return how long the job's last try has been running or ran; ``None`` before the first.

    See ``StatusClient.elapsed``.
    """
    return await default_client().elapsed(job_id)


async def eta(job_id: str) -> timedelta | None:
    """Return how much longer the job will run at its present pace; ``None`` if that is unknown.

    See ``StatusClient.eta``.
    """
    return await default_client().eta(job_id)


async def watch(job_id: str, heartbeat: float | None = None) -> AsyncGenerator[JobRecord]:
    """Yield the record of the job now, at every change, and at last as it ended.

    See ``StatusClient.watch``.
    """
    async with aclosing(default_client().watch(job_id, heartbeat)) as records:
        async for record in records:
            yield record


async def wait(job_id: str, timeout: float | None = None) -> JobRecord | None:
    """Wait until the job has ended, and return its final record.

    See ``StatusClient.wait``.
    """
    return await default_client().wait(job_id, timeout)


async def list_jobs(
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

    See ``StatusClient.list_jobs``.
    """
    return await default_client().list_jobs(
        status=status,
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


async def counts() -> dict[Status, int]:
    """Return how many jobs there are of each status, 0 included.

    See ``StatusClient.counts``.
    """
    return await default_client().counts()


async def functions(
    since: Moment = timedelta(hours=1), queue: str | None = None
) -> list[FunctionStats]:
    """Return how the jobs of each function ended lately, and how long they ran and waited.

    See ``StatusClient.functions``.
    """
    return await default_client().functions(since, queue)


async def activity(
    since: Moment = timedelta(hours=24),
    step: timedelta = timedelta(minutes=5),
    function: str | None = None,
    queue: str | None = None,
) -> list[ActivityPoint]:
    """Return how jobs ended over time, in steps from the oldest to the present one.

    See ``StatusClient.activity``.
    """
    return await default_client().activity(since, step, function, queue)


async def queues() -> list[QueueRecord]:
    """Return what is in each of the client's queues, and how long jobs wait there.

    See ``StatusClient.queues``.
    """
    return await default_client().queues()


async def workers() -> list[WorkerRecord]:
    """Return the tracked workers, those heard from last first.

    See ``StatusClient.workers``.
    """
    return await default_client().workers()


async def crons() -> list[CronRecord]:
    """Return the cron jobs that living workers announce, those that run next first.

    See ``StatusClient.crons``.
    """
    return await default_client().crons()


async def stop(job_id: str, *, force: bool = False) -> bool:
    """Ask the job to stop. Returns whether there was a job to ask.

    See ``StatusClient.stop``.
    """
    return await default_client().stop(job_id, force=force)


async def cancel(job_id: str) -> bool:
    """Remove a job that is not running from its queue for good. Returns whether it did.

    See ``StatusClient.cancel``.
    """
    return await default_client().cancel(job_id)


async def unschedule(job_id: str) -> bool:
    """Cancel the job; another name of ``cancel``.

    See ``StatusClient.unschedule``.
    """
    return await default_client().unschedule(job_id)


async def retry(job_id: str) -> bool:
    """Run an ended job again with the same id, function and arguments. Returns whether it will.

    See ``StatusClient.retry``.
    """
    return await default_client().retry(job_id)


async def delete(job_id: str) -> int:
    """Delete the tracking data of the job. Returns 1 if it was known, else 0.

    See ``StatusClient.delete``.
    """
    return await default_client().delete(job_id)


async def store(job_id: str, /, **fields: Any) -> bool:
    """Set fields of the job's data from outside it. Returns False for an unknown job.

    See ``StatusClient.store``.
    """
    return await default_client().store(job_id, **fields)


async def stop_jobs(
    status: Status | str | Iterable[Status | str] | None = None,
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

    See ``StatusClient.stop_jobs``.
    """
    return await default_client().stop_jobs(
        status,
        function,
        queue,
        tag,
        group,
        search,
        since,
        until,
        force=force,
    )


async def cancel_jobs(
    status: Status | str | Iterable[Status | str] | None = None,
    function: str | None = None,
    queue: str | None = None,
    tag: str | None = None,
    group: str | None = None,
    search: str | None = None,
    since: Moment | None = None,
    until: Moment | None = None,
) -> int:
    """Take the jobs that match out of their queues, as ``cancel`` does. Returns how many.

    See ``StatusClient.cancel_jobs``.
    """
    return await default_client().cancel_jobs(
        status,
        function,
        queue,
        tag,
        group,
        search,
        since,
        until,
    )


async def retry_jobs(
    status: Status | str | Iterable[Status | str] | None = None,
    function: str | None = None,
    queue: str | None = None,
    tag: str | None = None,
    group: str | None = None,
    search: str | None = None,
    since: Moment | None = None,
    until: Moment | None = None,
) -> int:
    """Run the jobs that match again, as ``retry`` does. Returns how many will be run.

    See ``StatusClient.retry_jobs``.
    """
    return await default_client().retry_jobs(
        status,
        function,
        queue,
        tag,
        group,
        search,
        since,
        until,
    )


async def delete_jobs(
    status: Status | str | Iterable[Status | str] | None = None,
    function: str | None = None,
    queue: str | None = None,
    tag: str | None = None,
    group: str | None = None,
    search: str | None = None,
    since: Moment | None = None,
    until: Moment | None = None,
) -> int:
    """Delete the tracking data of the jobs that match, as ``delete`` does. Returns how many.

    See ``StatusClient.delete_jobs``.
    """
    return await default_client().delete_jobs(
        status,
        function,
        queue,
        tag,
        group,
        search,
        since,
        until,
    )


async def changes(
    status: Status | str | Iterable[Status | str] | None = None,
    function: str | None = None,
    queue: str | None = None,
    tag: str | None = None,
    group: str | None = None,
    search: str | None = None,
) -> AsyncGenerator[JobRecord]:
    """Yield, from now on, the record of every job that changed and matches. It never ends.

    See ``StatusClient.changes``.
    """
    found = default_client().changes(status, function, queue, tag, group, search)
    async with aclosing(found) as records:
        async for record in records:
            yield record


async def watch_many(job_ids: Sequence[str]) -> AsyncGenerator[JobRecord]:
    """Yield the records of several jobs now and at every change, until all have ended.

    See ``StatusClient.watch_many``.
    """
    async with aclosing(default_client().watch_many(job_ids)) as records:
        async for record in records:
            yield record


async def tag(job_id: str, tag: str) -> bool:
    """Give the job a tag from outside it. Returns False for an unknown job.

    See ``StatusClient.tag``.
    """
    return await default_client().tag(job_id, tag)


def group(group_id: str | None = None, *, title: str | None = None) -> JobGroup:
    """Return a group to enqueue jobs in: one bar for many jobs.

    See ``StatusClient.group``.
    """
    return default_client().group(group_id, title=title)


async def group_status(group_id: str) -> GroupRecord | None:
    """Return how far the jobs of a group are; ``None`` if it is unknown or expired.

    See ``StatusClient.group_status``.
    """
    return await default_client().group_status(group_id)


async def watch_group(group_id: str, heartbeat: float | None = None) -> AsyncGenerator[GroupRecord]:
    """Yield the record of the group now, at every change, and at last as it ended.

    See ``StatusClient.watch_group``.
    """
    async with aclosing(default_client().watch_group(group_id, heartbeat)) as records:
        async for record in records:
            yield record


async def wait_group(group_id: str, timeout: float | None = None) -> GroupRecord | None:
    """Wait until the group is closed and all its jobs have ended, and return its record.

    See ``StatusClient.wait_group``.
    """
    return await default_client().wait_group(group_id, timeout)
