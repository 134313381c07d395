"""The URL parameters that select what is shown."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TypeVar

from arq_status._model.moment import parse_moment
from arq_status._model.query import MOST_PER_PAGE, SORTS, Moment, Query
from arq_status._model.status import Status

T = TypeVar("T")
_DEFAULT = Query()
_STATUSES = {status.value: status for status in Status}
_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
#: The parameters of a list.
PARAMETERS = (
    "status", "function", "queue", "tag", "group", "search", "since", "until", "sort", "direction",
    "page", "per_page",
)  # fmt: skip
#: Values of the parameter ``direction``.
DIRECTIONS = {"asc": False, "desc": True}


class QueryError(ValueError):
    """An invalid URL parameter; the message is a sentence for the author of the URL."""


def read_query(params: Iterable[tuple[str, str]], per_page: int) -> Query:
    """Return the query that the parameters of a URL ask for.

    Raises:
        QueryError: a parameter is invalid.
    """
    pairs = [(name, value.strip()) for name, value in params if value.strip()]
    values = dict(pairs)
    statuses = [one_of("status", value, _STATUSES) for name, value in pairs if name == "status"]
    return Query(
        statuses=tuple(dict.fromkeys(statuses)),
        function=values.get("function"),
        queue=values.get("queue"),
        tag=values.get("tag"),
        group=values.get("group"),
        search=values.get("search"),
        since=read_moment("since", values.get("since")),
        until=read_moment("until", values.get("until")),
        sort=one_of("sort", values.get("sort", _DEFAULT.sort), {it: it for it in SORTS}),
        descending=one_of("direction", values.get("direction", "desc"), DIRECTIONS),
        page=_number("page", values.get("page", "1"), None),
        per_page=_number("per_page", values.get("per_page", str(per_page)), MOST_PER_PAGE),
    )


def one_of(name: str, text: str, values: Mapping[str, T]) -> T:
    """Return the value that a parameter names."""
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


def read_moment(name: str, text: str | None) -> Moment | None:
    """Return the moment, or the time ago, that a parameter gives."""
    if text is None:
        return None
    try:
        return parse_moment(text)
    except ValueError as error:
        raise QueryError(f"The parameter {name}: {error}.") from None


def moment_text(moment: Moment | None) -> str:
    """Return the parameter for a moment; empty for ``None``."""
    if moment is None:
        return ""
    if not isinstance(moment, timedelta):
        return moment.isoformat()
    seconds = int(moment.total_seconds())
    unit, size = next((unit, size) for unit, size in _UNITS if seconds % size == 0)
    return f"{seconds // size}{unit}"
