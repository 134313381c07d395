"""Decoding of stored counts, no matter how damaged."""

from math import isfinite

from hypothesis import given
from hypothesis import strategies as st

from arq_status._model.tally import COUNTED, Tally
from arq_status._redis.tallies import decode_entry


def entry(*numbers: int) -> bytes:
    """Encode numbers like ``count.lua``."""
    encoded = bytearray()
    for number in numbers:
        while number >= 128:
            encoded.append(128 + number % 128)
            number //= 128  # noqa: PLW2901
        encoded.append(number)
    return bytes(encoded)


numbers = st.integers(min_value=0, max_value=2**70)
entries = st.binary() | st.lists(numbers, max_size=20).map(lambda it: entry(*it))


@given(entries)
def test_a_damaged_entry_yields_numbers(raw: bytes) -> None:
    """All estimates from it are finite."""
    moment, tally = decode_entry(raw)
    total = Tally()
    total.add(tally)
    total.add(tally, 1 / 3)
    estimates = [
        of(share) for of in (total.run_percentile, total.wait_percentile) for share in (0.5, 0.95)
    ]
    known = [it for it in (*estimates, total.run_max, *total.counts.values()) if it is not None]
    assert all(isfinite(it) for it in known)
    assert 0 <= moment <= 2**53


def test_buckets_beyond_the_last_one() -> None:
    """They count as the last one, the middle of which is a valid duration."""
    far = 2 * 10**6 + 1
    raw = entry(7, *[1] * len(COUNTED), 2**60, 4, 2, far, 2)
    moment, tally = decode_entry(raw)
    assert moment == 7
    assert tally.counts == dict.fromkeys(COUNTED, 1)
    found = tally.run_percentile(0.5)
    assert found is not None
    assert 8_000_000 < found < 16_000_000
