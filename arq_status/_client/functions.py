"""The default client, and its queries as functions of the package.

They are written out so that editors and type checkers show what each takes and gives; a test holds
their words to those of ``StatusClient``.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Any

from arq_status._client.client import StatusClient
from arq_status._client.default import default_client, set_default_client
from arq_status._model.options import Expires
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
    """Say which Redis the functions of this package ask.

        arq_status.configure("redis://localhost/1", expires=timedelta(days=1))

    Without it they ask one on localhost.

    Args:
        redis: an ``ArqRedis`` or ``redis.asyncio.Redis``, arq's ``RedisSettings`` or a DSN; by
            default a Redis on localhost.
        queues: the queues in which to look for live jobs; by default arq's own and all that a
            tracked worker has announced.
        expires: how long a job that ended without a record is shown: seconds or a ``timedelta``;
            1800, half an hour, by default.
        job_deserializer: that of the workers, where it is not arq's default.

    Returns:
        The new default client, for ``aclose``. The one before stays open.

    Raises:
        ValueError: ``expires`` is not positive, or the DSN cannot be read.
        TypeError: ``redis`` is none of these, ``queues`` is a single name, or ``expires`` is no
            time.
    """
    client = StatusClient(redis, queues=queues, expires=expires, job_deserializer=job_deserializer)
    set_default_client(client)
    return client


async def status(job_id: str) -> Status | None:
    """What the job is doing; ``None`` if it is unknown or expired."""
    return await default_client().status(job_id)


async def is_deferred(job_id: str) -> bool:
    """Whether the job is in the queue and due later."""
    return await default_client().is_deferred(job_id)


async def is_queued(job_id: str) -> bool:
    """Whether the job is in the queue and due."""
    return await default_client().is_queued(job_id)


async def is_working(job_id: str) -> bool:
    """Whether a worker runs the job."""
    return await default_client().is_working(job_id)


async def is_retrying(job_id: str) -> bool:
    """Whether the job waits for its next try."""
    return await default_client().is_retrying(job_id)


async def is_complete(job_id: str) -> bool:
    """Whether the job returned."""
    return await default_client().is_complete(job_id)


async def is_failed(job_id: str) -> bool:
    """Whether the job raised, timed out or could not be run."""
    return await default_client().is_failed(job_id)


async def is_stopped(job_id: str) -> bool:
    """Whether the job was stopped, cancelled or aborted."""
    return await default_client().is_stopped(job_id)


async def is_interrupted(job_id: str) -> bool:
    """Whether the job's worker died or was shut down in the middle of it."""
    return await default_client().is_interrupted(job_id)


async def job(job_id: str) -> JobRecord | None:
    """All that is known of the job at this moment; ``None`` if it is unknown or expired."""
    return await default_client().job(job_id)


async def jobs(job_ids: Sequence[str]) -> list[JobRecord | None]:
    """All that is known of many jobs, in the order of their ids; ``None`` for unknown ones.

    It takes no more round trips than one job does, up to 250 ids in each.

    Args:
        job_ids: arq's ids of the jobs.
    """
    return await default_client().jobs(job_ids)


async def get_all(job_id: str) -> dict[str, Any]:
    """The fields of ``JobRecord`` and the job's own data in one dict; empty if unknown.

        fields = await arq_status.get_all(job_id)
        print(fields["status"], fields["at"], fields["vino"])

    Times are datetimes and durations timedeltas, as in ``JobRecord``.
    """
    return await default_client().get_all(job_id)


async def get(job_id: str, name: str) -> Any:
    """One field, built in or of the job's own data; ``None`` if there is none.

    Args:
        job_id: arq's id of the job.
        name: a field of ``JobRecord``, or what it is called in ``store``.
    """
    return await default_client().get(job_id, name)


async def at(job_id: str) -> float | None:
    """How far the job got, in the unit of its total; ``None`` if it is unknown."""
    return await default_client().at(job_id)


async def total(job_id: str) -> float | None:
    """How far the job has to go, 100 unless it says otherwise; ``None`` if it is unknown.

    The unit is the job's own. 0 means that nobody knows.
    """
    return await default_client().total(job_id)


async def message(job_id: str) -> str | None:
    """The job's last message; ``None`` if it gave none or is unknown."""
    return await default_client().message(job_id)


async def pct_complete(job_id: str) -> int | None:
    """How many hundredths of its total the job has done, 0 to 100; ``None`` if it is unknown.

    Rounded down; 100 for a job that is complete, whatever it reported.
    """
    return await default_client().pct_complete(job_id)


async def enqueued_at(job_id: str) -> datetime | None:
    """When the job was enqueued, in UTC; ``None`` if that is not known."""
    return await default_client().enqueued_at(job_id)


async def started_at(job_id: str) -> datetime | None:
    """When the job's last try began, in UTC; ``None`` before the first."""
    return await default_client().started_at(job_id)


async def updated_at(job_id: str) -> datetime | None:
    """When something of the job last changed, in UTC; ``None`` if it is unknown."""
    return await default_client().updated_at(job_id)


async def ended_at(job_id: str) -> datetime | None:
    """When the job ended for good, in UTC; ``None`` until then."""
    return await default_client().ended_at(job_id)


async def elapsed(job_id: str) -> timedelta | None:
    """How long the job's last try has been running or ran; ``None`` before the first."""
    return await default_client().elapsed(job_id)


async def eta(job_id: str) -> timedelta | None:
    """How much longer the job runs at the present pace; ``None`` where nobody can tell.

    It takes a running job with a total, and some progress.
    """
    return await default_client().eta(job_id)


async def list_jobs(
    status: Status | str | None = None,
    function: str | None = None,
    search: str | None = None,
    sort: str = "updated_at",
    descending: bool = True,
    page: int = 1,
    per_page: int = 25,
) -> Page:
    """A page of the live jobs of the client's queues and of the ended jobs.

        page = await arq_status.list_jobs(status=Status.FAILED, function="import_rows")
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
    return await default_client().list_jobs(
        status, function, search, sort, descending, page, per_page
    )


async def counts() -> dict[Status, int]:
    """How many jobs there are of each status; 0 for one that no job has.

        print((await arq_status.counts())[Status.WORKING])

    What changed is counted within 0.2 s.
    """
    return await default_client().counts()


async def delete(job_id: str) -> int:
    """Forget what was tracked of the job; 1 where it was known, else 0.

    A live job goes on, and what it reports from here on is tracked.
    """
    return await default_client().delete(job_id)


async def store(job_id: str, /, **fields: Any) -> bool:
    """Set fields of the job's data from outside it; False for an unknown job.

        await arq_status.store(job_id, reviewed_by="ann", rows=[1, 2])

    Other fields stay. An ended job keeps its place in the lists, and expires when it would.

    Args:
        job_id: arq's id of the job.
        fields: any JSON values, up to 64 KiB each.

    Raises:
        TypeError: JSON cannot hold a value.
        ValueError: a name is that of a built-in field, or a value takes more than 64 KiB.
    """
    return await default_client().store(job_id, **fields)


async def watch(job_id: str) -> AsyncGenerator[JobRecord]:
    """Follow the job: its record now, at every change, and at last as it ended.

        async for record in arq_status.watch(job_id):
            print(record.status, record.pct_complete, record.message)

    Changes that come faster than some twenty a second are told as one. A job that a shutdown
    or a dead worker interrupted has not ended as long as arq will run it again. The iteration
    ends without an end state where the job is deleted, and at once for one that is unknown.
    However many jobs a client watches, it takes one connection for it; while that is lost the
    iteration waits for it to come back.
    """
    async with aclosing(default_client().watch(job_id)) as records:
        async for record in records:
            yield record


async def wait(job_id: str, timeout: float | None = None) -> JobRecord | None:
    """Wait until the job has ended; its final record, ``None`` if it is unknown or deleted.

        try:
            record = await arq_status.wait(job_id, timeout=30)
        except TimeoutError:
            await arq_status.stop(job_id)

    A job that arq will run again has not ended.

    Args:
        job_id: arq's id of the job.
        timeout: seconds to wait at most; by default for ever.

    Raises:
        TimeoutError: it has not ended by then.
    """
    return await default_client().wait(job_id, timeout)


async def stop(job_id: str, *, force: bool = False) -> bool:
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
    return await default_client().stop(job_id, force=force)


async def cancel(job_id: str) -> bool:
    """Take a job that is not running out of its queue for good; whether that was done.

    Its status is ``stopped`` from then on. False for a job that runs, ended or is unknown.
    """
    return await default_client().cancel(job_id)


async def unschedule(job_id: str) -> bool:
    """Another name of ``cancel``."""
    return await default_client().cancel(job_id)


async def retry(job_id: str) -> bool:
    """Run an ended job again, under its id, with the arguments it had; whether it will be.

    For jobs that failed, were stopped or were interrupted for good: what they were enqueued
    with is kept as long as their record, up to 1 MiB. Arq's earlier result goes, and the job
    starts anew without its message, progress and data. False for a job that is live, that is
    complete, that is unknown, or whose payload is gone.
    """
    return await default_client().retry(job_id)
