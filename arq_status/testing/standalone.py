"""A tracker without a worker."""

from contextvars import Token
from types import TracebackType
from typing import Any, Self

from arq.utils import timestamp_ms

from arq_status._model.record import StoredRecord
from arq_status._tracking.attempt import Attempt
from arq_status._tracking.tracker import JobTracker, job_var


def tracker(job_id: str = "job", job_try: int = 1) -> "StandaloneTracker":
    """Return a tracker without a worker, for calling a job's function directly.

        status = tracker()
        await import_rows({"status": status}, "rows.csv")
        assert status.record.pct_complete == 100

    Args:
        job_id: the ``job_id`` of the tracker; ``"job"`` by default.
        job_try: the ``job_try`` of the tracker; 1 by default.
    """
    return StandaloneTracker(job_id, job_try)


class StandaloneTracker(JobTracker):
    """A ``JobTracker`` without a worker; ``record`` contains what was reported.

        with tracker() as status:
            await import_rows({"status": status}, "rows.csv")
            assert current_tracker() is status

    Inside a ``with`` statement, ``current_tracker()`` returns it, too.
    """

    def __init__(self, job_id: str, job_try: int) -> None:
        now = timestamp_ms()
        stored = StoredRecord(enqueued_ms=now, job_try=job_try, due=now, started=now, updated=now)
        super().__init__(Attempt(job_id, stored, None))
        self._tokens: list[Token[Any]] = []

    def stop(self) -> None:
        """Make the next progress call or ``checkpoint`` raise ``JobStopped``.

            status = tracker()
            status.stop()
            with pytest.raises(JobStopped):
                await import_rows({"status": status}, "rows.csv")

        ``arq_status.stop`` does the same to a running job.
        """
        self._attempt.stopping = True

    def __enter__(self) -> Self:
        self._tokens.append(job_var.set(self))
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        job_var.reset(self._tokens.pop())
