"""The URLs of an app, and the parameters in which a list's URL says what it shows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar
from urllib.parse import quote, urlencode

from arq_status._model.moment import parse_moment
from arq_status._model.query import MOST_PER_PAGE, SORTS, Moment, Query
from arq_status._model.status import Status

T = TypeVar("T")
_DEFAULT = Query()

#: Sorts whose first click orders from A to Z; the others begin with the newest or highest.
_ALPHABETICAL = frozenset({"function", "status", "message", "args", "queue"})
_STATUSES = {status.value: status for status in Status}
_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
_DIRECTIONS = {"asc": False, "desc": True}
#: The statuses behind the figures of the last hour.
_FAILED = (Status.FAILED, Status.INTERRUPTED)
_ENDED = (Status.COMPLETE, *_FAILED, Status.STOPPED)
_DUE = (Status.QUEUED, Status.RETRYING)
_LATELY = timedelta(hours=1)
#: Parameters that change the order or the page, not which jobs match.
_DISPLAY = ("sort", "direction", "page", "per_page")
#: Parameters for which the form above the list has a control.
_CONTROLS = ("search", "function", "queue", "tag", "since", "sort", "direction", "page")


class QueryError(ValueError):
    """A parameter of the URL that cannot be used; the text is a sentence for its author."""


def read_query(params: Iterable[tuple[str, str]], per_page: int) -> Query:
    """Return the query that the parameters of a URL ask for.

    Raises:
        QueryError: one of them cannot be used.
    """
    pairs = [(name, value.strip()) for name, value in params if value.strip()]
    values = dict(pairs)
    statuses = [_one_of("status", value, _STATUSES) for name, value in pairs if name == "status"]
    return Query(
        statuses=tuple(dict.fromkeys(statuses)),
        function=values.get("function"),
        queue=values.get("queue"),
        tag=values.get("tag"),
        group=values.get("group"),
        search=values.get("search"),
        since=_moment("since", values.get("since")),
        until=_moment("until", values.get("until")),
        sort=_one_of("sort", values.get("sort", _DEFAULT.sort), {it: it for it in SORTS}),
        descending=_one_of("direction", values.get("direction", "desc"), _DIRECTIONS),
        page=_number("page", values.get("page", "1"), None),
        per_page=_number("per_page", values.get("per_page", str(per_page)), MOST_PER_PAGE),
    )


def _one_of(name: str, text: str, values: Mapping[str, T]) -> T:
    if text not in values:
        raise QueryError(f"Unknown {name} {text!r}: use one of {', '.join(values)}.")
    return values[text]


def _number(name: str, text: str, most: int | None) -> int:
    # ten digits are more pages than Redis holds jobs; int() would accept underscores and signs
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else 0
    if number < 1 or (most is not None and number > most):
        bounds = "1 or more" if most is None else f"1 to {most}"
        raise QueryError(f"{name} must be a number, {bounds}, not {text!r}.")
    return number


def _moment(name: str, text: str | None) -> Moment | None:
    if text is None:
        return None
    try:
        return parse_moment(text)
    except ValueError as error:
        raise QueryError(f"The parameter {name}: {error}.") from None


def _moment_text(moment: Moment | None) -> str:
    if moment is None:
        return ""
    if not isinstance(moment, timedelta):
        return moment.isoformat()
    seconds = int(moment.total_seconds())
    unit, size = next((unit, size) for unit, size in _UNITS if seconds % size == 0)
    return f"{seconds // size}{unit}"


Pairs = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Links:
    """The URLs of an app below the path at which it is mounted.

    Attributes:
        root_path: where the app is mounted, as ASGI tells it.
        per_page: how many jobs a page of the list has by default.
    """

    root_path: str
    per_page: int

    @property
    def root(self) -> str:
        """Return the path at which the app is mounted, without a slash at its end."""
        # one slash at the beginning: two would begin the name of a host
        return quote("/" + self.root_path.strip("/")) if self.root_path.strip("/") else ""

    def sections(self) -> Pairs:
        """Return the names and URLs of the sections of the app."""
        pages = ("Functions", "Queues", "Workers", "Cron")
        return [("Jobs", self.list()), *((it, self.section(it.lower())) for it in pages)]

    def section(self, name: str) -> str:
        """Return the URL of a section other than the list."""
        return f"{self.root}/{name}"

    def static(self, name: str) -> str:
        """Return the URL of a static file."""
        return f"{self.root}/static/{name}"

    def job(self, job_id: str) -> str:
        """Return the URL of a job."""
        # browsers resolve a segment of dots, and no route of Starlette matches a newline
        if job_id in {".", ".."} or "\n" in job_id:
            return f"{self.root}/statuses/?{urlencode({'id': job_id})}"
        return f"{self.root}/statuses/{quote(job_id, safe='')}"

    def group(self, group_id: str) -> str:
        """Return the URL of a group."""
        return f"{self.root}/groups/{quote(group_id, safe='')}"

    def list(self, query: Query | None = None) -> str:
        """Return the URL of the list; without a query of the first page of all jobs."""
        return self._list([] if query is None else self.pairs(query))

    def list_of(self, **filters: str) -> str:
        """Return the URL of the list with these filters alone."""
        return self._list([*filters.items()])

    def ended_lately(self) -> str:
        """Return the URL of the list of jobs that ended in the last hour."""
        return self.list(Query(statuses=_ENDED, since=_LATELY, per_page=self.per_page))

    def failed_lately(self) -> str:
        """Return the URL of the list of jobs that failed in the last hour."""
        return self.list(Query(statuses=_FAILED, since=_LATELY, per_page=self.per_page))

    def oldest_due(self) -> str:
        """Return the URL of the list of jobs that are due, the one due longest first."""
        return self.list(Query(statuses=_DUE, descending=False, per_page=self.per_page))

    def change(self, query: Query, **changes: object) -> str:
        """Return the URL of the list with some parameters changed, at its first page.

        ``None`` removes a parameter.
        """
        pairs = [(name, value) for name, value in self.pairs(query) if name not in changes]
        pairs += [(name, str(value)) for name, value in changes.items() if value is not None]
        return self._list([it for it in pairs if it[0] != "page" or "page" in changes])

    def also(self, query: Query, status: Status) -> str:
        """Return the URL of the list with jobs of one more status."""
        return self.list(replace(query, statuses=(*query.statuses, status), page=1))

    def without(self, query: Query, name: str, value: str) -> str:
        """Return the URL of the list without one of its filters."""
        removed = {(name, value), ("page", str(query.page))}
        return self._list([it for it in self.pairs(query) if it not in removed])

    def sorted_by(self, query: Query, sort: str) -> str:
        """Return the URL of the list in another order; in the present one, reversed."""
        same = query.sort == sort
        descending = not query.descending if same else sort not in _ALPHABETICAL
        return self.change(
            query,
            sort=None if sort == _DEFAULT.sort else sort,
            direction=None if descending else "asc",
        )

    def pairs(self, query: Query) -> Pairs:
        """Return the parameters of a query that differ from the default."""
        pairs = [
            *(("status", status.value) for status in query.statuses),
            ("function", query.function or ""),
            ("queue", query.queue or ""),
            ("tag", query.tag or ""),
            ("group", query.group or ""),
            ("search", query.search or ""),
            ("since", _moment_text(query.since)),
            ("until", _moment_text(query.until)),
            ("sort", "" if query.sort == _DEFAULT.sort else query.sort),
            ("direction", "" if query.descending else "asc"),
            ("page", "" if query.page == 1 else str(query.page)),
            ("per_page", "" if query.per_page == self.per_page else str(query.per_page)),
        ]
        return [(name, value) for name, value in pairs if value]

    def filters(self, query: Query) -> Pairs:
        """Return the parameters that decide which jobs match."""
        return [it for it in self.pairs(query) if it[0] not in _DISPLAY]

    def kept(self, query: Query) -> Pairs:
        """Return the parameters that the form above the list keeps without a control."""
        return [it for it in self.pairs(query) if it[0] not in _CONTROLS]

    def _list(self, pairs: Pairs) -> str:
        return f"{self.root}/statuses{'?' if pairs else ''}{urlencode(pairs)}"
