"""Queries for one field of a job, or for one status."""

from datetime import datetime, timedelta
from typing import Any

from arq_status._client.jobs import JobQueries
from arq_status._model.snapshot import BUILT_IN
from arq_status._model.status import Status

_PLAIN = sorted(BUILT_IN - {"data"})


class FieldQueries(JobQueries):
    """The queries of ``StatusClient`` that return a part of what ``status`` or ``job`` does."""

    async def is_deferred(self, job_id: str) -> bool:
        """Return True if the job is in the queue and due later."""
        return await self.status(job_id) is Status.DEFERRED

    async def is_queued(self, job_id: str) -> bool:
        """Return True if the job is in the queue and due."""
        return await self.status(job_id) is Status.QUEUED

    async def is_working(self, job_id: str) -> bool:
        """Return True if a worker is running the job."""
        return await self.status(job_id) is Status.WORKING

    async def is_retrying(self, job_id: str) -> bool:
        """Return True if the job ended with ``Retry`` and is in the queue for its next try."""
        return await self.status(job_id) is Status.RETRYING

    async def is_complete(self, job_id: str) -> bool:
        """Return True if the job has returned."""
        return await self.status(job_id) is Status.COMPLETE

    async def is_failed(self, job_id: str) -> bool:
        """Return True if the job raised, timed out or could not be run."""
        return await self.status(job_id) is Status.FAILED

    async def is_stopped(self, job_id: str) -> bool:
        """Return True if the job was stopped, cancelled or aborted."""
        return await self.status(job_id) is Status.STOPPED

    async def is_interrupted(self, job_id: str) -> bool:
        """Return True if the job was cut off when its worker died or shut down."""
        return await self.status(job_id) is Status.INTERRUPTED

    async def get_all(self, job_id: str) -> dict[str, Any]:
        """Return the fields of ``JobRecord`` and the job's own data in one dict; empty if unknown.

            fields = await client.get_all(job_id)
            print(fields["status"], fields["at"], fields["vino"])

        Times are datetimes and durations timedeltas, as in ``JobRecord``.
        """
        record = await self.job(job_id)
        if record is None:
            return {}
        return {name: getattr(record, name) for name in _PLAIN} | dict(record.data)

    async def get(self, job_id: str, name: str) -> Any:
        """Return a field of the record or of the job's own data; ``None`` if there is none.

        Args:
            job_id: arq's id of the job.
            name: a field of ``JobRecord``, or a name that was passed to ``store``.
        """
        record = await self.job(job_id)
        if record is None:
            return None
        return getattr(record, name) if name in BUILT_IN else record.data.get(name)

    async def at(self, job_id: str) -> float | None:
        """Return the job's progress, in the unit of its total; ``None`` for an unknown job."""
        record = await self.job(job_id)
        return None if record is None else record.at

    async def total(self, job_id: str) -> float | None:
        """Return the total of the job's progress; ``None`` for an unknown job.

        100 until the job sets another total; 0 if the job does not know it.
        """
        record = await self.job(job_id)
        return None if record is None else record.total

    async def message(self, job_id: str) -> str | None:
        """Return the job's last message; ``None`` if it set none or is unknown."""
        record = await self.job(job_id)
        return None if record is None else record.message

    async def pct_complete(self, job_id: str) -> int | None:
        """Return the progress in percent of the total, 0 to 100; ``None`` if the job is unknown.

        Rounded down; 100 for a complete job, whatever it reported.
        """
        record = await self.job(job_id)
        return None if record is None else record.pct_complete

    async def enqueued_at(self, job_id: str) -> datetime | None:
        """Return when the job was enqueued, in UTC; ``None`` if that is not known."""
        record = await self.job(job_id)
        return None if record is None else record.enqueued_at

    async def started_at(self, job_id: str) -> datetime | None:
        """Return when the job's last try began, in UTC; ``None`` before the first."""
        record = await self.job(job_id)
        return None if record is None else record.started_at

    async def updated_at(self, job_id: str) -> datetime | None:
        """Return when the job last changed, in UTC; ``None`` if it is unknown."""
        record = await self.job(job_id)
        return None if record is None else record.updated_at

    async def ended_at(self, job_id: str) -> datetime | None:
        """Return when the job ended for good, in UTC; ``None`` until then."""
        record = await self.job(job_id)
        return None if record is None else record.ended_at

    async def elapsed(self, job_id: str) -> timedelta | None:
        """Return how long the job's last try has been running or ran; ``None`` before the first."""
        record = await self.job(job_id)
        return None if record is None else record.elapsed

    async def eta(self, job_id: str) -> timedelta | None:
        """Return how much longer the job will run at its current pace; ``None`` if that is unknown.

        Only a running job that has a total and has made progress has an ETA.
        """
        record = await self.job(job_id)
        return None if record is None else record.eta
