"""Runs jobs inside the code that enqueues them, each by the worker of its queue."""

import asyncio
from contextvars import Context, ContextVar
from dataclasses import dataclass, field

from arq_status.testing.worker import InlineWorker

#: How deep jobs that enqueue jobs may be nested.
_MAX_DEPTH = 100
#: Seconds between checks for jobs that running jobs have enqueued.
_INTERVAL = 0.02


@dataclass(slots=True)
class Enclosing:
    """The job in which some code runs."""

    #: how deep it is nested, counted from 1
    depth: int
    #: exceptions of the jobs that it enqueued, by job id
    failures: dict[str, BaseException] = field(default_factory=dict)


#: The job in whose task and context this code runs.
enclosing_var: ContextVar[Enclosing | None] = ContextVar("arq_status_enclosing", default=None)


class Runner:
    """Runs the jobs of one ``inline`` with its workers.

    Args:
        raises: whether to raise the exceptions of failed jobs.
        at_once: whether to run a job as soon as it is enqueued.
    """

    def __init__(self, *, raises: bool, at_once: bool) -> None:
        self._raises = raises
        self.at_once = at_once
        self._loop = asyncio.get_running_loop()
        #: by queue
        self._workers: dict[str, InlineWorker] = {}
        #: nesting depth of each waiting job
        self._depths: dict[str, int] = {}
        #: jobs whose result another job has awaited, so that it was raised there
        self._awaited: set[str] = set()

    def add(self, worker: InlineWorker) -> None:
        """Add a worker, which runs the jobs of its queue.

        Raises:
            ValueError: another worker has the same queue.
        """
        if worker.queue_name in self._workers:
            raise ValueError(
                f"two of the settings have the queue {worker.queue_name!r}: give each a queue_name"
            )
        self._workers[worker.queue_name] = worker

    async def shut_down(self, worker: InlineWorker) -> None:
        """Shut a worker down.

        Raises:
            RuntimeError: this is another event loop.
        """
        self.require_own_loop()
        await worker.shut_down()

    def require_own_loop(self) -> None:
        """Refuse to run jobs outside the event loop in which their worker has started.

        Raises:
            RuntimeError: this is another event loop.
        """
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError(
                "inline() was entered in another event loop, and jobs can only run in that one:"
                " enter it where it is used. With pytest-asyncio give the fixture and the"
                ' test the same loop_scope, as in @pytest_asyncio.fixture(loop_scope="session") and'
                ' @pytest.mark.asyncio(loop_scope="session")'
            )

    def next_depth(self) -> int:
        """Return the nesting depth of a job that is enqueued here.

        Raises:
            RuntimeError: the limit is exceeded.
        """
        enclosing = enclosing_var.get()
        if enclosing is None:
            return 1
        if enclosing.depth == _MAX_DEPTH:
            raise RuntimeError(
                f"jobs that enqueue jobs are nested {_MAX_DEPTH} deep; inline runs each at once,"
                " deferred or not, and a job that always enqueues the next would never end"
            )
        return enclosing.depth + 1

    def note_enqueued(self, job_id: str, depth: int) -> None:
        """Remember a job that was enqueued, with its nesting depth."""
        self._depths[job_id] = depth
        self._awaited.discard(job_id)

    def note_awaited(self, job_id: str) -> None:
        """Remember a job whose result was awaited, if that was inside another job."""
        if enclosing_var.get() is not None:
            self._awaited.add(job_id)

    async def run(self, job_id: str, queue: str) -> None:
        """Run a job to its end if one of the workers has its queue, and raise what it raised.

        Exceptions are raised only outside all jobs, not inside another job.
        """
        self.require_own_loop()
        worker = self._workers.get(queue)
        if worker is not None:
            self._raise_first(await self._failures_of(worker, job_id))

    async def run_again(self, job_id: str) -> None:
        """Run a job that ``retry`` has queued to its end; only its record shows if it failed."""
        self.require_own_loop()
        for worker in self._workers.values():
            await self._failures_of(worker, job_id)

    async def run_queued(self) -> int:
        """Run all queued jobs and the jobs that they enqueue; return how many ran.

        Each worker runs up to its ``max_jobs`` concurrently.
        """
        self.require_own_loop()
        ran = 0
        failures: dict[str, BaseException] = {}
        running: set[asyncio.Task[dict[str, BaseException]]] = set()
        try:
            while running := running | await self._start_queued():
                done, running = await asyncio.wait(
                    running, timeout=_INTERVAL, return_when=asyncio.FIRST_COMPLETED
                )
                ran += len(done)
                for task in done:
                    failures |= task.result()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        self._raise_first(failures)
        return ran

    async def _start_queued(self) -> set["asyncio.Task[dict[str, BaseException]]"]:
        started = set()
        for worker in self._workers.values():
            free = worker.max_jobs - len(worker.running) if worker.ready else 0
            for job_id in (await worker.queued())[: max(0, free)]:
                started.add(asyncio.create_task(self._failures_of(worker, job_id)))
        if started:
            await asyncio.sleep(0)  # let them enter `running`
        return started

    async def _failures_of(self, worker: InlineWorker, job_id: str) -> dict[str, BaseException]:
        """Run a job; return its exception and those of jobs that it enqueued, by job id."""
        enclosing = Enclosing(self._depths.pop(job_id, 1))

        def enter(context: Context) -> None:
            context.run(enclosing_var.set, enclosing)

        failure = await worker.run_to_end(job_id, enter)
        return enclosing.failures if failure is None else {job_id: failure} | enclosing.failures

    def _raise_first(self, failures: dict[str, BaseException]) -> None:
        enclosing = enclosing_var.get()
        if enclosing is not None:
            enclosing.failures |= failures
        elif self._raises:
            for job_id, failure in failures.items():
                if job_id not in self._awaited:
                    raise failure
