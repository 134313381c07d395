"""What the jobs of a function have in common in one worker."""

from typing import Any

from arq_status._model.builder import shown_worker
from arq_status._model.options import FunctionOptions
from arq_status._model.record import State, StoredRecord, common_text
from arq_status._model.text import shorten

_NAME_LIMIT = 300


class RecordTemplate:
    """What the jobs of a function have in common, worked out when the first one begins."""

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
        #: the name under which arq knows the function; ``None`` if that is not known
        self.name = name
        #: arq's function or cron job, if the worker has it
        self.function = function
        self.options = options
        #: whether its last job is noted, for it runs by a schedule
        self.is_cron = is_cron
        self._common: dict[str, Any] = {
            "function": None if name is None else shorten(str(name), _NAME_LIMIT),
            "queue": queue,
            "worker": worker,
            "expires": options.expires,
            "hides_args": not options.record_args,
        }
        self._common_when_complete = self._common | {"worker": shown_worker(worker)}
        #: what the texts of completed jobs share
        self.encoded_when_complete: str = common_text(**self._common_when_complete)

    def new_record(
        self, enqueued_ms: int, job_try: int, due: int | None, args: str, *, complete: bool
    ) -> StoredRecord:
        """Return the record of a try that runs, or of one that has completed."""
        return StoredRecord(
            enqueued_ms=enqueued_ms,
            job_try=job_try,
            state=State.COMPLETE if complete else State.WORKING,
            due=due,
            args=args,
            **(self._common_when_complete if complete else self._common),
        )
