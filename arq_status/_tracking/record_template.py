"""The part of a stored record that all jobs of a function have in common."""

from typing import Any

from arq_status._model.builder import shown_worker
from arq_status._model.options import FunctionOptions
from arq_status._model.record import State, StoredRecord, common_text
from arq_status._model.text import shorten

_NAME_LIMIT = 300


class RecordTemplate:
    """The part of a record that all jobs of a function have in common in one worker.

    Created when the first one begins.
    """

    def __init__(
        self,
        name: str | None,
        function: object,
        options: FunctionOptions,
        *,
        queue: str,
        worker: str,
        is_cron: bool,
    ) -> None:
        #: the name under which arq knows the function; ``None`` if it is unknown
        self.name = name
        #: arq's function or cron job, if the worker has it
        self.function = function
        self.options = options
        #: True if it runs on a schedule, so that its last job is noted
        self.is_cron = is_cron
        self._common: dict[str, Any] = {
            "function": None if name is None else shorten(str(name), _NAME_LIMIT),
            "queue": queue,
            "worker": worker,
            "expires_after_ms": options.expires,
            "hides_args": not options.record_args,
        }
        self._common_when_complete = self._common | {"worker": shown_worker(worker)}
        #: the common part of encoded records of completed jobs
        self.encoded_when_complete: str = common_text(**self._common_when_complete)

    def new_record(
        self, enqueued_ms: int, job_try: int, due: int | None, args: str, *, complete: bool
    ) -> StoredRecord:
        """Return the record of a running try, or of a completed one."""
        return StoredRecord(
            enqueued_ms=enqueued_ms,
            job_try=job_try,
            state=State.COMPLETE if complete else State.WORKING,
            due=due,
            args=args,
            **(self._common_when_complete if complete else self._common),
        )
