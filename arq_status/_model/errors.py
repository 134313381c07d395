"""The exceptions of arq-status."""

import asyncio
from typing import Any

from arq.worker import JobExecutionFailed


class JobStopped(JobExecutionFailed):
    """The job was asked to stop.

        try:
            await status.advance()
        except JobStopped:
            await roll_back()
            raise

    Raised inside the job by its next progress call or ``checkpoint()``. Let it propagate: the job
    then ends as ``stopped`` and is not retried. Arq stores ``asyncio.CancelledError`` instead,
    so that ``Job.result()`` works in processes without arq-status, and logs no traceback.
    """

    # arq's class defines __eq__, which would make this one unhashable
    __hash__ = Exception.__hash__

    def __reduce__(self) -> tuple[type[BaseException], tuple[Any, ...]]:
        return asyncio.CancelledError, self.args
