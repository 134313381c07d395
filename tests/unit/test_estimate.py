"""How long a job will still take."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arq_status._tracking.estimate import Estimate


def last_estimate(progress: Callable[[float], float], seconds: int, total: float) -> float | None:
    """Return what is foreseen at last, in seconds, of a job that reports ten times a second."""
    estimate = Estimate()
    remaining = None
    for tick in range(seconds * 10 + 1):
        remaining = estimate.remaining_ms(1000 + tick / 10, progress(tick / 10), total)
    return None if remaining is None else remaining / 1000


@pytest.mark.parametrize("seconds", [1, 5, 60])
def test_a_steady_job(seconds: int) -> None:
    """It takes what is left at its pace, wherever it began to count."""
    assert last_estimate(lambda at: at, seconds, 100) == pytest.approx(100 - seconds, rel=0.01)
    assert last_estimate(lambda at: 900 + at, seconds, 1000) == pytest.approx(
        100 - seconds, rel=0.01
    )


def test_one_report_tells_no_pace() -> None:
    """Nor do two of the same progress, or a total that is not known."""
    estimate = Estimate()
    assert estimate.remaining_ms(0, 900, 1000) is None
    assert estimate.remaining_ms(1, 900, 1000) is None
    assert estimate.remaining_ms(2, 902, 0) is None
    assert estimate.remaining_ms(2, 902, 1000) == 98_000


def test_the_recent_counts() -> None:
    """A job that has become ten times slower is soon judged by that."""

    def slower(at: float) -> float:
        return 10 * at if at < 30 else 300 + (at - 30)

    foreseen = last_estimate(slower, 90, 1000)
    assert foreseen is not None
    assert foreseen > 500
    foreseen = last_estimate(slower, 150, 1000)
    assert foreseen == pytest.approx(1000 - 420, rel=0.05)


def test_counting_again_from_the_beginning() -> None:
    """The pace is that of the new count."""
    estimate = Estimate()
    for at in range(50):
        estimate.remaining_ms(at, at * 100, 5000)
    assert estimate.remaining_ms(60, 0, 5000) is None
    assert estimate.remaining_ms(61, 1, 101) == 100_000


def test_beyond_the_total() -> None:
    """Nothing is left."""
    estimate = Estimate()
    estimate.remaining_ms(0, 0, 10)
    assert estimate.remaining_ms(1, 20, 10) == 0


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e300), st.floats(0, 1e300))))
def test_it_is_never_absurd(reports: list[tuple[float, float, float]]) -> None:
    """It is not negative, and at most a thousand years."""
    estimate, now = Estimate(), 0.0
    for step, at, total in reports:
        now += step
        remaining = estimate.remaining_ms(now, at, total)
        assert remaining is None or 0 <= remaining < 31_536_000_000_000
