"""P4: the cost of a query."""

from statistics import median

from arq.connections import ArqRedis
from arq.jobs import Job
from arq.worker import create_worker

from arq_status import StatusClient, track_status
from tests.benchmarks.jobs import noop
from tests.benchmarks.measuring import Comparison, Result, compare, pinned, repeated

ROUNDS = 40
CALLS = 150


async def measure(pool: ArqRedis) -> list[Result]:
    """Measure the status of an ended and of a queued job, and many jobs at once."""
    await pool.flushdb()
    ids = [f"job {number}" for number in range(100)]
    for job_id in ids:
        await pool.enqueue_job("noop", _job_id=job_id)
    worker = create_worker(
        track_status({"functions": [noop]}),
        redis_pool=pool, burst=True, poll_delay=0.01, handle_signals=False,
    )  # fmt: skip
    await worker.async_run()
    await worker.close()
    await pool.enqueue_job("noop", _job_id="queued")
    async with StatusClient(pool) as client, pinned(pool):
        results = []
        for job_id in ("job 5", "queued"):
            found = await compare(
                repeated(lambda it=job_id: client.status(it), CALLS),  # type: ignore[misc]
                repeated(lambda it=job_id: Job(it, pool).status(), CALLS),  # type: ignore[misc]
                ROUNDS,
            )
            what = "an ended job" if job_id != "queued" else "a queued job"
            results.append(_result(f"`status` of {what} / arq's `Job.status()`", found, 0.95))
        single = repeated(lambda: client.status("job 5"), CALLS)
        many = repeated(lambda: client.jobs(ids), 10)

        async def per_job() -> float:
            return await many() / len(ids)

        found = await compare(per_job, single, ROUNDS)
        return [*results, _result("`jobs` of 100, per job / `status`", found, 0.25)]


def _result(what: str, found: Comparison, aim: float) -> Result:
    detail = f"{median(found.ours) * 1e6:.0f} µs, {median(found.theirs) * 1e6:.0f} µs"
    met = found.ratio <= aim
    return Result("P4", what, found.ratio, found.quartiles, f"<= {aim}", met, detail)
