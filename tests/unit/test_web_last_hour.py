"""The figures of the strip over the list, and its chart."""

from datetime import UTC, datetime, timedelta

import pytest

from arq_status import Status
from arq_status._model.insight import ActivityPoint
from arq_status.web.last_hour import LastHour

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


def hour(*minutes: ActivityPoint) -> LastHour:
    """The figures of some minutes."""
    return LastHour(
        minutes=minutes, run_p95=timedelta(seconds=1), oldest_due_at=None, alive=1, lost=0
    )


@pytest.mark.parametrize(
    ("ended", "failed", "rate"),
    [
        (0, 0, ""), (8, 0, "0 %"), (2_000, 1, "< 0.1 %"), (1_000, 21, "2.1 %"), (3, 1, "33 %"),
        (1_000, 999, "99 %"), (3, 3, "100 %"),
    ],
)  # fmt: skip
def test_the_failure_rate_in_words(ended: int, failed: int, rate: str) -> None:
    """Neither no failure nor failures alone are said of what is only nearly so."""
    point = ActivityPoint(time=NOW, complete=ended - failed, failed=failed)
    assert hour(point).rate == rate


def test_the_chart_stacks_outcomes() -> None:
    """Failures at the bottom; one of many is still seen, and nothing stands out."""
    found = dict(
        hour(
            ActivityPoint(time=NOW, complete=1, failed=1, interrupted=1, stopped=1),
            ActivityPoint(time=NOW),
            ActivityPoint(time=NOW, complete=998, failed=1, stopped=1),
        ).chart
    )
    assert [*found] == [Status.FAILED, Status.STOPPED, Status.COMPLETE]
    assert found[Status.FAILED] == "M0 32v-1h3v1zM8 32v-1h3v1z"
    assert found[Status.STOPPED] == "M0 31v-1h3v1zM8 31v-1h3v1z"
    assert found[Status.COMPLETE] == "M0 30v-1h3v1zM8 30v-30h3v30z"


def test_a_chart_of_nothing_is_empty() -> None:
    """Of an hour in which no job ended."""
    assert hour(ActivityPoint(time=NOW)).chart == []
    assert (hour().peak, hour().ended, hour().failed) == (0, 0, 0)
