"""Durations in buckets, and estimates from them."""

import random
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arq_status._model.histogram import (
    BUCKET_OF_1_MS,
    LAST_BUCKET,
    PER_DOUBLING,
    bucket_of,
    middle_of,
    percentile,
)
from arq_status._model.tally import Tally


@given(st.floats(min_value=1e-5, max_value=8_000_000))
def test_the_middle_of_a_bucket_is_close_to_its_durations(seconds: float) -> None:
    """Within 10 %, from 10 µs to three months, and below the power of two used by ``count.lua``."""
    bucket = bucket_of(seconds)
    assert 0 < bucket <= LAST_BUCKET
    assert middle_of(bucket) == pytest.approx(seconds, rel=0.1)
    doubling = ceil((bucket - BUCKET_OF_1_MS + 1) / PER_DOUBLING)
    assert seconds <= 2**doubling / 1000 * (1 + 1e-9)


def test_durations_beyond_the_buckets() -> None:
    """Shorter ones count as 0, longer ones as the longest."""
    assert bucket_of(0) == bucket_of(-1) == bucket_of(1e-6) == 0
    assert middle_of(0) == 0
    assert bucket_of(1e12) == LAST_BUCKET


def test_percentiles() -> None:
    """They are the bucket that reaches the share; ``None`` if there are no durations."""
    assert percentile({}, 0.5) is None
    assert percentile({3: 0}, 0.5) is None
    weights = {bucket_of(1): 50, bucket_of(10): 45, bucket_of(100): 5}
    expected = {0.5: 1, 0.51: 10, 0.95: 10, 0.96: 100, 1: 100}
    for share, seconds in expected.items():
        assert percentile(weights, share) == pytest.approx(seconds, rel=0.1)


def test_shares_add_up() -> None:
    """A tally added in parts equals the whole."""
    generator, whole, parts = random.Random(1), Tally(), Tally()
    for _ in range(100):
        bucket = bucket_of(generator.lognormvariate(0, 1))
        whole.runs[bucket] = whole.runs.get(bucket, 0) + 1
        whole.counts["complete"] += 1
    whole.run_max = 100.0
    for _ in range(7):
        parts.add(whole, 1 / 7)
    assert parts.counts["complete"] == pytest.approx(100)
    assert parts.run_percentile(0.5) == whole.run_percentile(0.5)
    assert parts.run_percentile(0.95) == whole.run_percentile(0.95)
    assert parts.wait_percentile(0.5) is None


def test_no_estimate_is_above_the_longest() -> None:
    """The longest run is known exactly."""
    tally = Tally(runs={bucket_of(1.0): 3}, run_max=1.0)
    tally.run_max = middle_of(bucket_of(1.0)) * 0.99
    assert tally.run_percentile(0.95) == tally.run_max
