"""Which form of an answer a request prefers."""

from enum import StrEnum


class Form(StrEnum):
    """The forms in which a page can be had, as media types."""

    HTML = "text/html"
    JSON = "application/json"
    STREAM = "text/event-stream"


def preferred(accept: str) -> Form:
    """The form that an ``Accept`` header asks for, and HTML where it does not matter."""
    best, form = (0.0, 0), Form.HTML
    for part in accept.lower().split(","):
        media, *parameters = (item.strip() for item in part.split(";"))
        for candidate in Form:
            if exactness := _exactness(media, candidate):
                rank = (_quality(parameters), exactness)
                if rank[0] > 0 and rank > best:
                    best, form = rank, candidate
    return form


def _exactness(media: str, form: Form) -> int:
    """How exactly a range of media types means this one; 0: not at all."""
    return 3 if media == form else 2 if media == f"{form.partition('/')[0]}/*" else media == "*/*"


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
