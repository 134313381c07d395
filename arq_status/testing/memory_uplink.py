"""What connects an inline worker's jobs with the memory: the counterpart of ``_redis_uplink``."""

import asyncio
from collections.abc import Mapping

from arq_status._model.options import FunctionOptions
from arq_status._model.record import StoredRecord
from arq_status._tracking.attempt import Attempt
from arq_status._tracking.attempts import Attempts
from arq_status._tracking.outbox import Outbox
from arq_status.testing.memory import Memory


class MemoryUplink:
    """Keeps what jobs report until somebody asks, and lets those who follow know."""

    #: nothing is ever waited for
    idle = True

    def __init__(
        self,
        memory: Memory,
        options: Mapping[str, FunctionOptions],
        outbox: Outbox,
        attempts: Attempts,
    ) -> None:
        self._memory = memory
        self.announced = options
        self._outbox = outbox
        self._attempts = attempts
        self._loop = asyncio.get_running_loop()

    async def open(self) -> None:
        """Begin to take what jobs report."""
        self._memory.attach(self)
        self._outbox.notify = self._notify

    async def close(self) -> None:
        """Take what is left."""
        self.pull()
        self._memory.detach()

    async def flush(self, attempt: Attempt, patience: float = 0) -> None:
        """Have a run written."""
        del patience
        attempt.mark_urgent()
        self.pull()

    async def record(self, job_id: str) -> StoredRecord | None:
        """The tracking record of a job."""
        return self._memory.entry(job_id).track

    async def field(self, job_id: str, name: str) -> bytes | None:
        """A stored field of a job, encoded."""
        return self._memory.entry(job_id).fields.get(name.encode())

    async def options(self, function: str) -> FunctionOptions | None:
        """What a worker has announced of a function: here there is no other."""
        del function
        return None

    def pull(self) -> None:
        """Take what jobs have reported."""
        while taken := self._outbox.take(100, progress=True):
            for run, row in taken:
                self._memory.write(row)
                run.begun = True
                run.settle(row.fields)

    def stop(self, job_id: str, run: int, *, force: bool) -> None:
        """Ask a running job to stop."""
        self._attempts.apply_stop_requests({job_id: f"{run}!" if force else str(run)})

    def _notify(self) -> None:
        # jobs report from threads as well
        self._loop.call_soon_threadsafe(self._memory.feed.mark_all_stale)
