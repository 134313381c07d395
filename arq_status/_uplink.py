"""What carries the reports of a worker's jobs to where readers find them."""

from typing import Protocol

from arq_status._options import FunctionOptions
from arq_status._run import Run
from arq_status._track import Track
from arq_status._writer import PATIENCE


class Uplink(Protocol):
    """What a session and its trackers report through."""

    @property
    def idle(self) -> bool:
        """Whether a write would go out at once, and not with a later batch."""

    async def open(self) -> None:
        """Announce the worker, without waiting long for it."""

    async def close(self) -> None:
        """Write what is pending and take leave."""

    async def flush(self, run: Run, patience: float = PATIENCE) -> None:
        """Have a run written now and wait for it, though not for ever."""

    async def track(self, job_id: str) -> Track | None:
        """The tracking record of a job."""

    async def field(self, job_id: str, name: str) -> bytes | None:
        """A stored field of a job, encoded."""

    async def options(self, function: str) -> FunctionOptions | None:
        """What a worker has announced of a function."""
