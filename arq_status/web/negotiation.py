"""Content negotiation: which media type an ``Accept`` header prefers."""

from enum import StrEnum

#: Characters of an ``Accept`` header that are read; browsers send about 150.
_ACCEPT_LIMIT = 1_024


class MediaType(StrEnum):
    """The media types in which a resource is available."""

    HTML = "text/html"
    JSON = "application/json"
    STREAM = "text/event-stream"


def preferred(accept: str) -> MediaType:
    """Return the media type that an ``Accept`` header prefers; HTML if it has no preference."""
    best, chosen = (0.0, 0), MediaType.HTML
    for part in accept[:_ACCEPT_LIMIT].lower().split(","):
        media_range, *parameters = (item.strip() for item in part.split(";"))
        for candidate in MediaType:
            if specificity := _specificity(media_range, candidate):
                rank = (_quality(parameters), specificity)
                if rank[0] > 0 and rank > best:
                    best, chosen = rank, candidate
    return chosen


def _specificity(media_range: str, media_type: MediaType) -> int:
    """Return how specifically a range matches the type; 0: not at all."""
    if media_range == media_type:
        return 3
    return 2 if media_range == f"{media_type.partition('/')[0]}/*" else media_range == "*/*"


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
