"""Which jobs a list shows, and in which order."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from arq_status._model.snapshot import JobRecord
from arq_status._model.status import Status

SORT_KEYS: Mapping[str, Callable[[JobRecord], Any]] = {
    "updated_at": lambda record: record.updated_at,
    "enqueued_at": lambda record: record.enqueued_at,
    "started_at": lambda record: record.started_at,
    "ended_at": lambda record: record.ended_at,
    "function": lambda record: record.function,
    "status": lambda record: record.status.value,
    "progress": lambda record: record.pct_complete,
    "message": lambda record: record.message,
    "args": lambda record: record.args or None,
    "elapsed": lambda record: record.elapsed,
    "eta": lambda record: record.eta,
}
SORTS = tuple(SORT_KEYS)
MOST_PER_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which jobs a list shows, and in which order.

    Raises:
        ValueError: the status or the sort is unknown, or a number is out of its bounds.
    """

    status: Status | None = None
    function: str | None = None
    search: str | None = None
    sort: str = "updated_at"
    descending: bool = True
    page: int = 1
    per_page: int = 25

    def __post_init__(self) -> None:
        if self.status is not None and self.status not in list(Status):
            raise ValueError(f"unknown status {self.status!r}: one of {', '.join(Status)}")
        if self.sort not in SORTS:
            raise ValueError(f"unknown sort {self.sort!r}: one of {', '.join(SORTS)}")
        if type(self.page) is not int or self.page < 1:
            raise ValueError(f"page must be 1 or more, not {self.page!r}")
        if type(self.per_page) is not int or not 1 <= self.per_page <= MOST_PER_PAGE:
            raise ValueError(f"per_page must be 1 to {MOST_PER_PAGE}, not {self.per_page!r}")

    @property
    def is_indexed(self) -> bool:
        """Whether the indexes answer it alone."""
        return self.function is None and not self.search and self.sort == "updated_at"

    def matches(self, record: JobRecord) -> bool:
        """Whether a job belongs in the list."""
        if self.status is not None and record.status is not self.status:
            return False
        if self.function is not None and record.function != self.function:
            return False
        if not self.search or record.job_id == self.search:
            return True
        return self.search.casefold() in (record.function or "").casefold()
