"""The URLs of an app."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote, urlencode

from arq_status._model.query import Query
from arq_status._model.status import Status
from arq_status.web.insight_tables import TABLES
from arq_status.web.parameters import moment_text

_DEFAULT = Query()

#: Sorts whose first click orders from A to Z; the others start with the newest or highest.
_ALPHABETICAL = frozenset({"function", "status", "message", "args", "queue"})
#: Parameters that change the order or the page, not which jobs match.
_DISPLAY = ("sort", "direction", "page", "per_page")
#: Parameters for which the form above the list has a control.
_CONTROLS = ("search", "function", "queue", "tag", "since", "sort", "direction", "page")


Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Links:
    """The URLs of an app below the path at which it is mounted.

    Attributes:
        root_path: where the app is mounted, as given by ASGI.
        per_page: how many jobs a page of the list has by default.
    """

    root_path: str
    per_page: int

    @property
    def root(self) -> str:
        """The path at which the app is mounted, without a trailing slash."""
        # a single leading slash: two would start a host name
        return quote("/" + self.root_path.strip("/")) if self.root_path.strip("/") else ""

    def sections(self) -> Pairs:
        """Return the names and URLs of the sections of the app."""
        return [("Jobs", self.list()), *((it.title, self.section(it.name)) for it in TABLES)]

    def section(self, name: str, pairs: Pairs = ()) -> str:
        """Return the URL of a section with some parameters."""
        return f"{self.root}/{name}{'?' if pairs else ''}{urlencode(pairs)}"

    def static(self, name: str) -> str:
        """Return the URL of a static file."""
        return f"{self.root}/static/{name}"

    def job(self, job_id: str) -> str:
        """Return the URL of a job."""
        # browsers resolve dot segments, and no Starlette route matches a newline
        if job_id in {".", ".."} or "\n" in job_id:
            return f"{self.root}/statuses/?{urlencode({'id': job_id})}"
        return f"{self.root}/statuses/{quote(job_id, safe='')}"

    def group(self, group_id: str) -> str:
        """Return the URL of a group."""
        return f"{self.root}/groups/{quote(group_id, safe='')}"

    def list(self, query: Query | None = None) -> str:
        """Return the URL of the list; without a query, of the first page of all jobs."""
        return self.section("statuses", [] if query is None else self.pairs(query))

    def list_of(self, **filters: str | Sequence[str] | None) -> str:
        """Return the URL of the list with only these parameters, leaving out empty ones."""
        return self.section(
            "statuses",
            [
                (name, value)
                for name, values in filters.items()
                for value in ([values] if isinstance(values, str) else values or ())
                if value
            ],
        )

    def change(self, query: Query, **changes: object) -> str:
        """Return the URL of the list's first page with some parameters changed.

        ``None`` removes a parameter.
        """
        pairs = [(name, value) for name, value in self.pairs(query) if name not in changes]
        pairs += [(name, str(value)) for name, value in changes.items() if value is not None]
        keeps_page = "page" in changes
        return self.section("statuses", [it for it in pairs if it[0] != "page" or keeps_page])

    def with_status(self, query: Query, status: Status) -> str:
        """Return the URL of the list that also shows jobs of this status."""
        return self.list(replace(query, statuses=(*query.statuses, status), page=1))

    def without(self, query: Query, name: str, value: str) -> str:
        """Return the URL of the list without one of its filters."""
        removed = {(name, value), ("page", str(query.page))}
        return self.section("statuses", [it for it in self.pairs(query) if it not in removed])

    def sorted_by(self, query: Query, sort: str) -> str:
        """Return the URL of the list in this order; if it is the current one, reversed."""
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
            ("since", moment_text(query.since)),
            ("until", moment_text(query.until)),
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
        """Return the parameters for which the form above the list has no control."""
        return [it for it in self.pairs(query) if it[0] not in _CONTROLS]
