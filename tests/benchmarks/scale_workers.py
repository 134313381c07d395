"""Workers for separate processes, which are many or run for long."""

from arq_status import track_status
from tests.benchmarks.jobs import REDIS, chatty, noop


@track_status
class Noop:
    """Shares its queue with many other workers."""

    functions = [chatty]
    redis_settings = REDIS
    poll_delay = 0.05


@track_status(expires=10)
class Soak:
    """Keeps records only briefly, so that their number stays the same."""

    functions = [chatty]
    redis_settings = REDIS
    poll_delay = 0.01
    keep_result = 5


@track_status
class Idle:
    """Takes no jobs and only sweeps the indexes."""

    functions = [noop]
    redis_settings = REDIS
    queue_name = "arq:idle"
