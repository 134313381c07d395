"""Two workers in the same trouble, one of them tracked: how they and their jobs end."""

import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from arq.connections import ArqRedis, RedisSettings
from arq.constants import health_check_key_suffix
from arq.jobs import Job

from arq_status import Status, StatusClient
from tests.conftest import until
from tests.verdicts import verdict
from tests.worker_process import WorkerProcess, worker_process

KINDS = ("tracked", "plain")
#: Seconds between polls of a worker whose polls should not run into the trouble.
NEVER = 3600


@dataclass(frozen=True)
class Fate:
    """What arq says about a job, and how its worker ended."""

    job: str
    job_try: int
    worker: str


class Pair:
    """A tracked and a plain worker that run the same job, with separate queues and job ids."""

    def __init__(self, workers: dict[str, WorkerProcess], release: Path) -> None:
        self._workers = workers
        self._release = release

    def steps(self, kind: str) -> int:
        """Return how far the job is according to its output, without asking Redis."""
        return self._workers[kind].log.count("step")

    def has_gone_on(self, kind: str, before: int) -> bool:
        """Return whether the job got further than ``before``."""
        return self.steps(kind) > before + 10

    def let_jobs_end(self) -> None:
        """Make the jobs return."""
        self._release.touch()

    async def fates(self, pool: ArqRedis, *, end: bool) -> dict[str, Fate]:
        """Let the jobs end, then the workers: by themselves if ``end``, or else by a signal."""
        self.let_jobs_end()
        return {kind: await self._fate(pool, kind, end) for kind in KINDS}

    async def _fate(self, pool: ArqRedis, kind: str, end: bool) -> Fate:
        worker = self._workers[kind]

        # if told to end before this, arq ends with an error
        await until(lambda: f"end of {kind}" in worker.log, 20)
        result = await Job(kind, pool, kind).result_info()
        assert result
        if end:
            await worker.gone()
        else:
            assert worker.runs, worker.log
            await worker.kill(signal.SIGTERM)
        return Fate(await verdict(pool, kind, kind), result.job_try, _end_of(worker))


def _end_of(worker: WorkerProcess) -> str:
    if not worker.exit_code:
        return "ended by a signal"
    error = worker.log.splitlines()[-1].partition(":")[0]
    # which one depends on where in arq's poll the connection was lost
    return "ended by its poll" if error.startswith("redis.exceptions.") else f"ended by {error}"


@asynccontextmanager
async def running_pair(
    pool: ArqRedis, redis: RedisSettings, folder: Path, poll_delay: float
) -> AsyncIterator[Pair]:
    """Run both with a job that reports if it is tracked, until their fates are asked for."""
    release = folder / "release"
    workers = {}
    for kind in KINDS:
        await pool.enqueue_job("report_until", str(release), _job_id=kind, _queue_name=kind)
    async with AsyncExitStack() as stack:
        for kind in KINDS:
            (folder / kind).mkdir()
            process = worker_process(
                redis,
                folder / kind,
                tracked=kind == "tracked",
                queue_name=kind,
                poll_delay=poll_delay,
            )
            workers[kind] = await stack.enter_async_context(process)
        pair = Pair(workers, release)
        for kind in KINDS:
            await until(partial(pair.steps, kind))
            # written at the end of arq's first poll
            await until(partial(pool.exists, kind + health_check_key_suffix))
        yield pair


async def all_arrived(client: StatusClient) -> None:
    """Check that the record of the tracked job is complete and has its last report."""
    record = await client.job("tracked")
    assert record
    assert (record.status, record.message) == (Status.COMPLETE, f"step {record.at}")
    assert record.data == {"step": record.at}
