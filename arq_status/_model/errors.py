"""What arq-status raises."""

import asyncio
from typing import Any


class JobStopped(Exception):  # noqa: N818 - it names what happened to the job, as arq's Retry does
    """The job was asked to stop.

        try:
            await status.advance()
        except JobStopped:
            await roll_back()
            raise

    Raised inside the job by its next progress call or ``checkpoint()``. Let it pass: the job then
    ends as ``stopped`` and is not tried again. It pickles as ``asyncio.CancelledError``, so that
    arq's ``Job.result()`` works in processes that do not have arq-status.
    """

    def __reduce__(self) -> tuple[type[BaseException], tuple[Any, ...]]:
        return asyncio.CancelledError, self.args
