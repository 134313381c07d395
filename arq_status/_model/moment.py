"""Parsing of moments as written in command line arguments and URLs."""

import re
from datetime import UTC, datetime, timedelta

_AGO = re.compile(r"(\d{1,9})(s|m|min|h|d|w)", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_moment(text: str) -> datetime | timedelta:
    """Parse how long ago, as in ``30m``, ``1h`` or ``7d``, or a date or time in ISO 8601.

    Times without a UTC offset are in UTC.

    Raises:
        ValueError: the text is neither.
    """
    try:
        if ago := _AGO.fullmatch(text):
            return timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is not a time: use 30m, 1h, 7d, or 2026-11-26T08:00 in ISO 8601"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
