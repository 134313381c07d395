"""A tracker that belongs to no worker."""

from contextvars import Token
from types import TracebackType
from typing import Any, Self

from arq.utils import timestamp_ms

from arq_status._model.builder import build_record, decode_data
from arq_status._model.facts import Facts
from arq_status._model.record import StoredRecord
from arq_status._model.snapshot import JobRecord
from arq_status._tracking.attempt import Attempt
from arq_status._tracking.tracker import JobTracker, job_var


def tracker(job_id: str = "job", job_try: int = 1) -> "StandaloneTracker":
    """Return a tracker that belongs to no worker, for calling a job's function directly.

        status = tracker()
        await import_rows({"status": status}, "rows.csv")
        assert status.record.pct_complete == 100

    Args:
        job_id: the ``job_id`` that the function sees; ``"job"`` by default.
        job_try: the ``job_try`` that it sees; 1 by default.
    """
    return StandaloneTracker(job_id, job_try)


class StandaloneTracker(JobTracker):
    """A ``JobTracker`` whose reports are read from ``record``.

        with tracker() as status:
            await import_rows({"status": status}, "rows.csv")
            assert current_tracker() is status

    In a ``with`` statement it is also what ``current_tracker()`` gives.
    """

    def __init__(self, job_id: str, job_try: int) -> None:
        now = timestamp_ms()
        stored = StoredRecord(enqueued_ms=now, job_try=job_try, due=now, started=now, updated=now)
        super().__init__(Attempt(job_id, stored, None))
        self._tokens: list[Token[Any]] = []

    @property
    def record(self) -> JobRecord:
        """The record that a query would return while the job is running."""
        row = self._attempt.take()
        stored = StoredRecord.decode(row.record.encode())
        facts = Facts(
            job_id=self.job_id,
            now=timestamp_ms(),
            queue=self._attempt.record.queue,
            ongoing=True,
            stored_record=stored,
            worker_alive=True,
        )
        fields = {name.encode(): text.encode() for name, text in row.fields.items()}
        record = build_record(facts, decode_data(fields))
        assert record is not None
        return record

    def stop(self) -> None:
        """Have the next progress call or ``checkpoint`` raise ``JobStopped``.

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
