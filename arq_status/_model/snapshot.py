"""Query results: a frozen snapshot of a job, and a page of snapshots."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any

from arq_status._model.record import DEFAULT_TOTAL
from arq_status._model.status import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """A snapshot of a job. Times are aware UTC datetimes; unknown values are ``None``.

        record = await arq_status.job(job_id)
        if record is not None and record.ended_at is not None:
            print(record.status, record.elapsed, record.error, record.data.get("vino"))

    Attributes:
        job_id: its arq job id.
        status: its status.
        function: the name of its function, as enqueued.
        queue: the queue that it is or was in.
        args: its arguments as text, cut to 80 characters or to ``record_args``; empty if they may
            not be shown.
        job_try: the number of its current or last try, starting at 1; ``None`` before the first.
        at: its progress, in units of ``total``.
        total: what ``at`` counts up to: 100 until the job sets it, 0 if the job does not know.
        message: its last message, cut to 2,000 characters.
        pct_complete: ``at`` as a percentage of ``total``, 0 to 100, rounded down; 100 for a
            complete job.
        enqueued_at: when it was enqueued.
        due_at: when it is due, while it waits; ``None`` once it runs.
        started_at: when its current or last try started.
        updated_at: when it last changed.
        ended_at: when it ended for good; ``None`` while arq runs it or will run it again.
        elapsed: how long its current or last try has been running or ran.
        waited: how long that try had been due when it started; for a waiting job, how long it has
            been due.
        eta: the estimated remaining time at its current pace; ``None`` if unknown, for example
            before its second progress report.
        error: why it is not complete, such as ``ValueError: no rows`` or ``timed out after 300s``.
        returned: its return value as text, cut to 1,000 characters, for as long as arq keeps it;
            ``None`` in lists.
        tags: its tags, in the order in which they were added.
        group: the id of the group that it was enqueued in.
        worker: HOST:PID of the worker of its current or last try, for display.
        data: the data stored with ``store``, by name; empty in lists.
        expires_at: when this record expires; ``None`` until the job has ended.
    """

    job_id: str
    status: Status
    function: str | None = None
    queue: str | None = None
    args: str = ""
    job_try: int | None = None
    at: float = 0
    total: float = DEFAULT_TOTAL
    message: str | None = None
    pct_complete: int = 0
    enqueued_at: datetime | None = None
    due_at: datetime | None = None
    started_at: datetime | None = None
    updated_at: datetime | None = None
    ended_at: datetime | None = None
    elapsed: timedelta | None = None
    waited: timedelta | None = None
    eta: timedelta | None = None
    error: str | None = None
    returned: str | None = None
    tags: tuple[str, ...] = ()
    group: str | None = None
    worker: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    expires_at: datetime | None = None

    @property
    def ended(self) -> bool:
        """True if the job has ended for good: arq will not run it again."""
        return self.ended_at is not None


#: Names that ``store`` rejects, because they are fields of the record.
BUILT_IN = frozenset(("ended", *(item.name for item in fields(JobRecord))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of a list of jobs.

    Attributes:
        items: the jobs of this page, in order.
        total: how many jobs match, on all pages.
        page: the number of this page, starting at 1.
        per_page: the maximum number of jobs on a page.
        truncated: True if the list covers only the newest 10,000 jobs, because no index can answer
            the query and there are more.
    """

    items: list[JobRecord]
    total: int
    page: int
    per_page: int
    truncated: bool = False

    @property
    def pages(self) -> int:
        """The number of pages, at least one."""
        return max(1, -(-self.total // self.per_page))


def has_changed(old: JobRecord | None, new: JobRecord | None) -> bool:
    """Return True if two records differ in more than the time that has passed."""
    if old is None or new is None:
        return old is not new
    return without_durations(old) != without_durations(new)


def without_durations(record: JobRecord) -> JobRecord:
    """Return the record without the values that change just because time passes."""
    return replace(record, elapsed=None, waited=None, eta=None)
