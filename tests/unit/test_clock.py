"""The estimate of Redis' clock."""

from time import monotonic, time

from arq_status._redis.clock import RedisClock


def test_before_the_first_reply() -> None:
    """The host's own clock is used."""
    assert abs(RedisClock().now_ms() - time() * 1000) < 1_000


def test_redis_clock_is_used_whatever_the_hosts_clock() -> None:
    """A reply sets it, and a monotonic clock advances it."""
    clock = RedisClock()
    clock.correct(5_000_000)
    assert 5_000_000 <= clock.now_ms() < 5_001_000
    assert abs(clock.ms_at(monotonic() - 2) - (clock.now_ms() - 2_000)) <= 1


def test_the_fastest_reply_counts() -> None:
    """A slow reply does not set it back; one from a server whose clock was changed does."""
    clock = RedisClock()
    clock.correct(5_000_000)
    clock.correct(4_999_500)
    assert clock.now_ms() >= 5_000_000
    clock.correct(5_000_700)
    assert clock.now_ms() >= 5_000_700
    clock.correct(4_000_000)
    assert 4_000_000 <= clock.now_ms() < 4_001_000
