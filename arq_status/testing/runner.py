"""Runs jobs inside the code that enqueues them, each by the worker of its queue."""

import asyncio
from contextvars import Context, ContextVar
from dataclasses import dataclass, field

from arq_status.testing.worker import InlineWorker

#: How deep jobs may be nested that enqueue one another.
_DEEPEST = 100
#: Seconds between checks for jobs that running ones have enqueued.
_INTERVAL = 0.02


@dataclass(slots=True)
class Enclosing:
    """The job around some code."""

    #: how deep it is nested, counted from 1
    depth: int
    #: what the jobs that it enqueued failed with, by their ids
    failures: dict[str, BaseException] = field(default_factory=dict)


#: The job around this code, in whose task and context it runs.
enclosing_var: ContextVar[Enclosing | None] = ContextVar("arq_status_enclosing", default=None)


class Runner:
    """The workers of one ``inline``.

    Args:
        raises: whether what a job failed with is raised.
        at_once: whether a job runs while it is enqueued.
    """

    def __init__(self, *, raises: bool, at_once: bool) -> None:
        self._raises = raises
        self.at_once = at_once
        self._loop = asyncio.get_running_loop()
        #: by their queues
        self._workers: dict[str, InlineWorker] = {}
        #: how deep each waiting job is nested
        self._depths: dict[str, int] = {}
        #: jobs whose result another job has asked for, and which raised there
        self._asked: set[str] = set()

    def add(self, worker: InlineWorker) -> None:
        """Have a worker run the jobs of its queue.

        Raises:
            ValueError: another one does.
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
        """Refuse to run jobs where their worker has not started.

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
        """Return how deep a job is nested that is enqueued here.

        Raises:
            RuntimeError: it is too deep.
        """
        enclosing = enclosing_var.get()
        if enclosing is None:
            return 1
        if enclosing.depth == _DEEPEST:
            raise RuntimeError(
                f"jobs that enqueue jobs are nested {_DEEPEST} deep; inline runs each at once,"
                " deferred or not, and a job that always enqueues the next would never end"
            )
        return enclosing.depth + 1

    def note_enqueued(self, job_id: str, depth: int) -> None:
        """Remember a job that was enqueued, and how deep it is nested."""
        self._depths[job_id] = depth
        self._asked.discard(job_id)

    def note_asked(self, job_id: str) -> None:
        """Remember that the job around this code, if any, has asked for the result of this one."""
        if enclosing_var.get() is not None:
            self._asked.add(job_id)

    async def run(self, job_id: str, queue: str) -> None:
        """Run a job to its end, if it is queued for one of the workers, and raise what it raised.

        Nothing is raised into another job, only into the code that runs the outermost one.
        """
        self.require_own_loop()
        worker = self._workers.get(queue)
        if worker is not None:
            self._raise_first(await self._failures_of(worker, job_id))

    async def run_again(self, job_id: str) -> None:
        """Run a job that ``retry`` has queued to its end; its record tells what it failed with."""
        self.require_own_loop()
        for worker in self._workers.values():
            await self._failures_of(worker, job_id)

    async def run_queued(self) -> int:
        """Run all jobs that are queued, and those that they enqueue. Returns how many ran.

        They run concurrently, up to the ``max_jobs`` of each worker.
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
        """Run a job; return what it and those that it enqueued failed with, by their ids."""
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
                if job_id not in self._asked:
                    raise failure
