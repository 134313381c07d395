"""Redis' clock as a process tells it."""

from time import monotonic, time

from arq_status._redis.clock import RedisClock


def test_before_the_first_answer_it_is_the_hosts_own() -> None:
    """Nothing else is known then."""
    assert abs(RedisClock().now_ms() - time() * 1000) < 1_000


def test_it_goes_by_redis_whatever_the_host_says() -> None:
    """An answer sets it, and a monotonic clock carries it on."""
    clock = RedisClock()
    clock.correct(5_000_000)
    assert 5_000_000 <= clock.now_ms() < 5_001_000
    assert abs(clock.ms_at(monotonic() - 2) - (clock.now_ms() - 2_000)) <= 1


def test_of_answers_the_quickest_counts() -> None:
    """A late one does not set it back; one that tells of a clock set back or forward does."""
    clock = RedisClock()
    clock.correct(5_000_000)
    clock.correct(4_999_500)
    assert clock.now_ms() >= 5_000_000
    clock.correct(5_000_700)
    assert clock.now_ms() >= 5_000_700
    clock.correct(4_000_000)
    assert 4_000_000 <= clock.now_ms() < 4_001_000
