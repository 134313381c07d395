"""Workers for processes of their own, of which there are many or which run for long."""

from arq_status import track_status
from tests.benchmarks.jobs import REDIS, chatty, noop


@track_status
class Noop:
    """It shares its queue with many."""

    functions = [chatty]
    redis_settings = REDIS
    poll_delay = 0.05


@track_status(expires=10)
class Soak:
    """Its jobs are soon forgotten, so that the number of records stays the same."""

    functions = [chatty]
    redis_settings = REDIS
    poll_delay = 0.01
    keep_result = 5


@track_status
class Idle:
    """It takes nothing from the queue and only keeps the indexes clean."""

    functions = [noop]
    redis_settings = REDIS
    queue_name = "arq:idle"
