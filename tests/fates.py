"""Two workers in the same trouble, one of them tracked: what becomes of them and of their jobs."""

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
#: Seconds between polls of a worker that is to meet with no trouble of its own.
NEVER = 3600


@dataclass(frozen=True)
class Fate:
    """What arq says of a job, and how its worker ended."""

    job: str
    job_try: int
    worker: str


class Pair:
    """A tracked worker and a plain one that run the same job, each of its own queue and id."""

    def __init__(self, workers: dict[str, WorkerProcess], release: Path) -> None:
        self._workers = workers
        self._release = release

    def steps(self, kind: str) -> int:
        """How far the job got, by its own word: no Redis is asked."""
        return self._workers[kind].log.count("step")

    def has_gone_on(self, kind: str, before: int) -> bool:
        """Whether the job got further than it was before."""
        return self.steps(kind) > before + 10

    def let_jobs_end(self) -> None:
        """Have the jobs return."""
        self._release.touch()

    async def fates(self, pool: ArqRedis, *, end: bool) -> dict[str, Fate]:
        """Let the jobs end, and the workers too: by themselves, or when they are told to."""
        self.let_jobs_end()
        return {kind: await self._fate(pool, kind, end) for kind in KINDS}

    async def _fate(self, pool: ArqRedis, kind: str, end: bool) -> Fate:
        worker = self._workers[kind]

        # told to end before, arq does so with an error
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
    """Both while they run a job that reports, if it can, until their fates are asked for."""
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
            # arq's first poll is over
            await until(partial(pool.exists, kind + health_check_key_suffix))
        yield pair


async def all_arrived(client: StatusClient) -> None:
    """The tracked job is complete in every query, with the last that it reported."""
    record = await client.job("tracked")
    assert record
    assert (record.status, record.message) == (Status.COMPLETE, f"step {record.at}")
    assert record.data == {"step": record.at}
