"""Histograms of durations with exponential buckets, for percentile estimates."""

from collections.abc import Mapping
from itertools import accumulate
from math import log2

#: Buckets per doubling of the duration: each is 19 % wider than the previous one, so that its
#: middle is at most 9 % off.
PER_DOUBLING = 4
#: The bucket that starts at 1 ms. Bucket 0 holds everything shorter than 8 µs.
BUCKET_OF_1_MS = 29
#: The last bucket starts at 99 days.
LAST_BUCKET = BUCKET_OF_1_MS + 33 * PER_DOUBLING
_SHORTEST = 2.0**-17


def bucket_of(seconds: float) -> int:
    """Return the bucket of a duration."""
    if seconds < _SHORTEST:
        return 0
    bucket = int(log2(seconds * 1000) * PER_DOUBLING + BUCKET_OF_1_MS)
    return bucket if bucket < LAST_BUCKET else LAST_BUCKET


def middle_of(bucket: int) -> float:
    """Return the duration in seconds that represents a bucket."""
    if bucket <= 0:
        return 0.0
    doublings = (min(bucket, LAST_BUCKET) - BUCKET_OF_1_MS + 0.5) / PER_DOUBLING
    return float(2**doublings / 1000)


def percentile(weights: Mapping[int, float], share: float) -> float | None:
    """Estimate a percentile in seconds; ``None`` if there are no durations.

    Args:
        weights: number of durations per bucket.
        share: the percentile as a fraction; 0.5 is the median.
    """
    buckets = sorted(weights)
    up_to = list(accumulate(weights[it] for it in buckets))
    if not up_to or up_to[-1] <= 0:
        return None
    # sums of fractions are not exact
    least = share * up_to[-1] * (1 - 1e-9)
    return middle_of(next(it for it, sum_ in zip(buckets, up_to, strict=True) if sum_ >= least))
