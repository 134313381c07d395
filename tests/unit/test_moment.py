"""Parsing of moments."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from arq_status._model.moment import parse_moment


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("30min", timedelta(minutes=30)),
        ("1h", timedelta(hours=1)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(days=14)),
        ("2026-11-26", datetime(2026, 11, 26, tzinfo=UTC)),
        ("2026-11-26T08:30", datetime(2026, 11, 26, 8, 30, tzinfo=UTC)),
        ("2026-11-26 08:30:00Z", datetime(2026, 11, 26, 8, 30, tzinfo=UTC)),
        (
            "2026-11-26T08:30+02:00",
            datetime(2026, 11, 26, 8, 30, tzinfo=timezone(timedelta(hours=2))),
        ),
    ],
)
def test_moments(text: str, moment: datetime | timedelta) -> None:
    """A number with a unit is that long ago; times without a UTC offset are in UTC."""
    assert parse_moment(text) == moment


@pytest.mark.parametrize("text", ["", "h", "1", "-1h", "1.5h", "1y", "now", "\u0661h", "9" * 99])
def test_invalid_moments(text: str) -> None:
    """The error shows what is possible."""
    with pytest.raises(ValueError, match="is not a time: use 30m, 1h, 7d"):
        parse_moment(text)


def test_the_longest_time_ago() -> None:
    """The maximum number of digits is still valid."""
    with pytest.raises(ValueError, match="is not a time"):
        parse_moment("999999999w")
    assert parse_moment("999999999d") == timedelta(days=999_999_999)
