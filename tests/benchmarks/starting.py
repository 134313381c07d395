"""P10: the time that tracking adds to the start and shutdown of a worker."""

from statistics import median
from time import perf_counter

from arq.connections import ArqRedis, RedisSettings
from arq.worker import create_worker

from arq_status import track_status
from tests.benchmarks.jobs import noop
from tests.benchmarks.measuring import Result, Side, compare

ROUNDS = 30
AIM = 20


async def measure(pool: ArqRedis) -> list[Result]:
    """Measure the wall-clock time of a burst worker without jobs, tracked and untracked."""
    await pool.flushdb()
    redis = RedisSettings(port=pool.connection_pool.connection_kwargs["port"])
    found = await compare(_burst(redis, track=True), _burst(redis, track=False), ROUNDS)
    more = 1000 * (median(found.ours) - median(found.theirs))
    detail = f"{1000 * median(found.ours):.1f} ms, {1000 * median(found.theirs):.1f} ms"
    what = "start and end of a burst worker without jobs, ms more than untracked"
    return [Result("P10", what, more, None, f"<= {AIM}", more <= AIM, detail)]


def _burst(redis: RedisSettings, *, track: bool) -> Side:
    settings = {"functions": [noop]}

    async def side() -> float:
        began = perf_counter()
        worker = create_worker(
            track_status(settings) if track else settings,
            redis_settings=redis, burst=True, poll_delay=0.001, handle_signals=False,
        )  # fmt: skip
        await worker.async_run()
        await worker.close()
        return perf_counter() - began

    return side
