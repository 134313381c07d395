"""What carries the reports of a worker's jobs to where readers find them."""

from typing import Protocol

from arq_status._model.options import FunctionOptions
from arq_status._model.record import StoredRecord
from arq_status._tracking.attempt import Attempt
from arq_status._tracking.writer import PATIENCE


class Uplink(Protocol):
    """What a session and its trackers report through."""

    @property
    def idle(self) -> bool:
        """Whether a write would go out at once, and not with a later batch."""

    async def open(self) -> None:
        """Announce the worker, without waiting long for it."""

    async def close(self) -> None:
        """Write what is pending and take leave."""

    async def flush(self, attempt: Attempt, patience: float = PATIENCE) -> None:
        """Have a run written now and wait for it, though not for ever."""

    async def record(self, job_id: str) -> StoredRecord | None:
        """The tracking record of a job."""

    async def field(self, job_id: str, name: str) -> bytes | None:
        """A stored field of a job, encoded."""

    async def options(self, function: str) -> FunctionOptions | None:
        """What a worker has announced of a function."""
