"""``record_logs``: copies what jobs log with `logging` into their own logs."""

import logging
from threading import Lock

from arq_status._model.history import LINE_LIMIT, level_name
from arq_status._model.text import render_message
from arq_status._tracking.attempt import Attempt
from arq_status._tracking.tracker import JobTracker, job_var

#: Loggers of arq and of this package, which say nothing about what a job does.
_SKIPPED = ("arq", "arq_status")


class _JobLogHandler(logging.Handler):
    """Adds messages that are logged in a job's tasks and threads to its log."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter())

    def handle(self, record: logging.LogRecord) -> bool:
        """Add a line, without the lock that stream handlers need."""
        tracker = job_var.get(None)
        if isinstance(tracker, JobTracker):
            attempt = tracker._attempt
            if attempt.log_level is not None and record.levelno >= attempt.log_level:
                self._add(attempt, record)
        return True

    def _add(self, attempt: Attempt, record: logging.LogRecord) -> None:
        name = str(record.name)
        if attempt.closed or name.partition(".")[0] in _SKIPPED:
            return
        formatted = record.exc_text
        try:
            has_more = record.exc_info or record.exc_text or record.stack_info
            message = self.format(record) if has_more else record.getMessage()
        except Exception:
            # other handlers report the invalid call
            message = render_message((record.msg,), LINE_LIMIT)
        # later handlers may format it differently
        record.exc_text = formatted
        attempt.add_line(message, level_name(record.levelno), name)


_handler = _JobLogHandler()
_lock = Lock()
#: the workers of this process that need the handler
_workers: set[str] = set()


def capture_logs(worker: str) -> None:
    """Capture messages that reach the root logger, for as long as a worker needs them.

    Called for each job, because `logging.config` may have removed the handler since.
    """
    if worker not in _workers or _handler not in logging.root.handlers:
        with _lock:
            _workers.add(worker)
            logging.root.addHandler(_handler)


def stop_capturing_logs(worker: str) -> None:
    """Remove the handler from the root logger, unless another worker needs it."""
    if worker in _workers:
        with _lock:
            _workers.discard(worker)
            if not _workers:
                logging.root.removeHandler(_handler)
