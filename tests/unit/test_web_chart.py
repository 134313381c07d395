"""Charts of how jobs ended, and the failure rate as text."""

import pytest

from arq_status import Status
from arq_status.web.chart import Chart, Ends, failure_rate


@pytest.mark.parametrize(
    ("ended", "failed", "rate"),
    [
        (0, 0, ""), (8, 0, "0 %"), (2_000, 1, "< 0.1 %"), (1_000, 21, "2.1 %"), (3, 1, "33 %"),
        (1_000, 999, "99 %"), (3, 3, "100 %"),
    ],
)  # fmt: skip
def test_the_failure_rate_in_words(ended: int, failed: int, rate: str) -> None:
    """Only exact values are shown as 0 % and 100 %."""
    assert failure_rate(failed, ended) == rate


def test_a_chart_stacks_outcomes() -> None:
    """Failures are at the bottom; one of many is visible, and nothing overflows."""
    chart = Chart((Ends(failed=2, stopped=1, complete=1), Ends(), Ends(1, 1, 998)))
    found = dict(chart.bars)
    assert [*found] == [Status.FAILED, Status.STOPPED, Status.COMPLETE]
    assert found[Status.FAILED] == "M0 32v-1h3v1zM8 32v-1h3v1z"
    assert found[Status.STOPPED] == "M0 31v-1h3v1zM8 31v-1h3v1z"
    assert found[Status.COMPLETE] == "M0 30v-1h3v1zM8 30v-30h3v30z"
    assert (chart.size, chart.peak, chart.ended, chart.failed) == ((12, 32), 1_000, 1_004, 3)


def test_a_chart_of_nothing_is_empty() -> None:
    """A time in which no job ended has no bars."""
    assert Chart((Ends(),)).bars == []
    assert (Chart(()).peak, Chart(()).ended, Chart(()).failed) == (0, 0, 0)
