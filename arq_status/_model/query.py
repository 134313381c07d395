"""Queries: which jobs a list shows, and in which order."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from arq_status._model.snapshot import JobRecord
from arq_status._model.status import Status
from arq_status._model.validation import require_flag, require_string

SORT_KEYS: Mapping[str, Callable[[JobRecord], Any]] = {
    "updated_at": lambda record: record.updated_at,
    "enqueued_at": lambda record: record.enqueued_at,
    "started_at": lambda record: record.started_at,
    "ended_at": lambda record: record.ended_at,
    "function": lambda record: record.function,
    "queue": lambda record: record.queue,
    "status": lambda record: record.status.value,
    "progress": lambda record: record.pct_complete,
    "message": lambda record: record.message,
    "args": lambda record: record.args or None,
    "elapsed": lambda record: record.elapsed,
    "waited": lambda record: record.waited,
    "eta": lambda record: record.eta,
}
SORTS = tuple(SORT_KEYS)
MOST_PER_PAGE = 500

#: A moment, or how long ago it was.
Moment = datetime | timedelta
#: One status or several, or their names; ``None`` for all.
StatusFilter = Status | str | Iterable[Status | str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which jobs a list shows, and in which order.

    Raises:
        ValueError: the sort is unknown, a number is out of bounds, or a moment has no timezone.
        TypeError: a moment is neither a datetime nor a timedelta, a filter is not a string, or
            ``descending`` is not a bool.
    """

    #: only jobs with these statuses; empty for all
    statuses: tuple[Status, ...] = ()
    function: str | None = None
    queue: str | None = None
    tag: str | None = None
    group: str | None = None
    search: str | None = None
    #: bounds of ``updated_at``, inclusive
    since: Moment | None = None
    until: Moment | None = None
    sort: str = "updated_at"
    descending: bool = True
    page: int = 1
    per_page: int = 25

    def __post_init__(self) -> None:
        if self.sort not in SORTS:
            raise ValueError(f"unknown sort {self.sort!r}, must be one of {', '.join(SORTS)}")
        if type(self.page) is not int or self.page < 1:
            raise ValueError(f"page must be 1 or more, not {self.page!r}")
        if type(self.per_page) is not int or not 1 <= self.per_page <= MOST_PER_PAGE:
            raise ValueError(f"per_page must be 1 to {MOST_PER_PAGE}, not {self.per_page!r}")
        for name in ("function", "queue", "tag", "group", "search"):
            require_string(getattr(self, name), name)
        for name in ("since", "until"):
            check_moment(name, getattr(self, name))
        require_flag(self.descending, "descending")

    @property
    def status(self) -> Status | None:
        """The requested status if it is exactly one, else ``None``."""
        return self.statuses[0] if len(self.statuses) == 1 else None

    @property
    def is_indexed(self) -> bool:
        """True if the indexes alone can answer the query, without reading records."""
        if self.sort != "updated_at" or (self.tag is not None and self.group is not None):
            return False
        return not self.search and self._none_of(self.function, self.queue, self.since, self.until)

    @property
    def is_filtered(self) -> bool:
        """True if it filters by more than statuses."""
        return bool(self.search) or not self._none_of(
            self.function, self.queue, self.tag, self.group, self.since, self.until
        )

    @staticmethod
    def _none_of(*filters: object) -> bool:
        return all(it is None for it in filters)

    def wants(self, status: Status) -> bool:
        """Return True if jobs with this status belong in the list."""
        return not self.statuses or status in self.statuses

    def matches(self, record: JobRecord, now: datetime) -> bool:
        """Return True if a job belongs in the list."""
        return (
            self.wants(record.status)
            and self.function in (None, record.function)
            and self.queue in (None, record.queue)
            and (self.tag is None or self.tag in record.tags)
            and self.group in (None, record.group)
            and self._matches_time(record.updated_at, now)
            and (not self.search or _found_in(record, self.search, self.search.casefold()))
        )

    def _matches_time(self, updated: datetime | None, now: datetime) -> bool:
        if self.since is None and self.until is None:
            return True
        if updated is None:
            return False
        return (self.since is None or resolve(self.since, now) <= updated) and (
            self.until is None or updated <= resolve(self.until, now)
        )


def as_statuses(given: StatusFilter) -> tuple[Status, ...]:
    """Return the statuses that a user gave as one name or several.

    Raises:
        ValueError: one of them is unknown.
        TypeError: it is neither a name nor an iterable of names.
    """
    if given is None:
        return ()
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, Iterable):
        raise TypeError(f"status must be a status or a list of them, not {type(given).__name__}")
    return tuple(dict.fromkeys(_as_status(name) for name in names))


def _as_status(name: Status | str) -> Status:
    try:
        return Status(name)
    except ValueError:
        raise ValueError(f"unknown status {name!r}, must be one of {', '.join(Status)}") from None


def check_moment(name: str, moment: object) -> None:
    """Validate an optional moment.

    Raises:
        TypeError: it is neither a datetime nor a timedelta.
        ValueError: it is a datetime without a timezone.
    """
    if moment is None or isinstance(moment, timedelta):
        return
    if not isinstance(moment, datetime):
        raise TypeError(f"{name} must be a datetime or a timedelta, not {type(moment).__name__}")
    if moment.utcoffset() is None:
        raise ValueError(f"{name} must have a timezone, as in datetime.now(UTC)")


def resolve(moment: Moment, now: datetime) -> datetime:
    """Convert a moment to a datetime."""
    if not isinstance(moment, timedelta):
        return moment
    try:
        return now - moment
    except OverflowError:
        # outside the range of datetime
        return (datetime.min if moment > timedelta() else datetime.max).replace(tzinfo=UTC)


def _found_in(record: JobRecord, search: str, folded: str) -> bool:
    if record.job_id.startswith(search):
        return True
    texts = (record.function, record.args, record.message, record.error, *record.tags)
    return any(folded in text.casefold() for text in texts if text)
