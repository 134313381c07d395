"""What a list shows, as its URL says it, and the URLs of everything else."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar
from urllib.parse import quote, urlencode

from arq_status._model.query import MOST_PER_PAGE, SORTS, Query
from arq_status._model.status import Status

T = TypeVar("T")
_FIRST = Query()

#: Sorts whose first click gives A to Z; the others begin with the newest or highest.
_ALPHABETICAL = frozenset({"function", "queue", "status", "message", "args"})
_DIRECTIONS = {"asc": False, "desc": True}


class QueryError(ValueError):
    """A parameter of the URL cannot be heeded; the text is a sentence for whoever wrote it."""


def read_query(params: Mapping[str, str], per_page: int) -> Query:
    """The query that the parameters of a URL ask for.

    Raises:
        QueryError: one of them means nothing.
    """
    status = _one_of(params, "status", {it.value: it for it in Status})
    return Query(
        statuses=() if status is None else (status,),
        function=params.get("function") or None,
        search=params.get("search", "").strip() or None,
        sort=_one_of(params, "sort", {it: it for it in SORTS}) or _FIRST.sort,
        descending=_one_of(params, "direction", _DIRECTIONS) is not False,
        page=_number(params, "page", 1, None),
        per_page=_number(params, "per_page", per_page, MOST_PER_PAGE),
    )


def _one_of(params: Mapping[str, str], name: str, values: Mapping[str, T]) -> T | None:
    if not (text := params.get(name)):
        return None
    if text not in values:
        raise QueryError(f"There is no {name} {text!r}: it is one of {', '.join(values)}.")
    return values[text]


def _number(params: Mapping[str, str], name: str, default: int, most: int | None) -> int:
    if not (text := params.get(name)):
        return default
    # ten digits are more pages than Redis holds jobs; int() would take underscores and signs
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else 0
    if number < 1 or (most is not None and number > most):
        bounds = "1 or more" if most is None else f"1 to {most}"
        raise QueryError(f"The parameter {name} is a number, {bounds}, not {text!r}.")
    return number


class Links:
    """The URLs of the app, below the path at which it is mounted."""

    def __init__(self, root_path: str, per_page: int) -> None:
        # one slash: two would begin the name of a host
        self.root = quote("/" + root_path.strip("/")) if root_path.strip("/") else ""
        self._per_page = per_page

    def static(self, name: str) -> str:
        """A file of ours."""
        return f"{self.root}/static/{name}"

    def job(self, job_id: str) -> str:
        """The page of a job."""
        # browsers take a segment of dots for a way up, and no route of Starlette's takes a newline
        if job_id in {".", ".."} or "\n" in job_id:
            return f"{self.root}/statuses/?{urlencode({'id': job_id})}"
        return f"{self.root}/statuses/{quote(job_id, safe='')}"

    def list(self, query: Query | None = None) -> str:
        """The list; without a query as it is at first."""
        params = urlencode({} if query is None else self.params(query))
        return f"{self.root}/statuses{'?' if params else ''}{params}"

    def params(self, query: Query) -> dict[str, str]:
        """The parameters of a query that are not as they are at first."""
        params = {
            "status": query.status.value if query.status else "",
            "function": query.function or "",
            "search": query.search or "",
            "sort": "" if query.sort == _FIRST.sort else query.sort,
            "direction": "" if query.descending else "asc",
            "page": "" if query.page == 1 else str(query.page),
            "per_page": "" if query.per_page == self._per_page else str(query.per_page),
        }
        return {name: value for name, value in params.items() if value}

    def sorted_by(self, query: Query, sort: str) -> str:
        """The list sorted by a column; by the one it is sorted by, the other way round."""
        same = query.sort == sort
        descending = not query.descending if same else sort not in _ALPHABETICAL
        return self.list(replace(query, sort=sort, descending=descending, page=1))

    def with_status(self, query: Query, status: Status | None) -> str:
        """The list of one status, or of all."""
        return self.list(replace(query, statuses=() if status is None else (status,), page=1))

    def at_page(self, query: Query, page: int) -> str:
        """Another page of the list."""
        return self.list(replace(query, page=page))

    def with_size(self, query: Query, per_page: int) -> str:
        """The list with so many jobs on a page."""
        return self.list(replace(query, per_page=per_page, page=1))
