"""Status, progress and data of arq jobs: tracked in Redis, asked with await.

``track_status`` decorates the settings of a worker, and its jobs then find a ``JobTracker`` in
``ctx["status"]``. Anywhere else ``await arq_status.status(job_id)`` and the other functions ask;
``configure`` says which Redis.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arq_status._client.client import StatusClient
    from arq_status._client.functions import (
        at,
        cancel,
        configure,
        counts,
        delete,
        elapsed,
        ended_at,
        enqueued_at,
        eta,
        get,
        get_all,
        is_complete,
        is_deferred,
        is_failed,
        is_interrupted,
        is_queued,
        is_retrying,
        is_stopped,
        is_working,
        job,
        jobs,
        list_jobs,
        message,
        pct_complete,
        retry,
        started_at,
        status,
        stop,
        store,
        total,
        unschedule,
        updated_at,
        wait,
        watch,
    )
    from arq_status._model.errors import JobStopped
    from arq_status._model.options import status_options
    from arq_status._model.snapshot import JobRecord, Page
    from arq_status._model.status import Status
    from arq_status._tracking.settings import track_status
    from arq_status._tracking.tracker import JobTracker, current_tracker

#: Where the names are. Each module is imported when one of its names is first used: who only asks
#: need not load what a worker takes.
_HOMES = {
    "StatusClient": "_client.client",
    "at": "_client.functions",
    "cancel": "_client.functions",
    "configure": "_client.functions",
    "counts": "_client.functions",
    "delete": "_client.functions",
    "elapsed": "_client.functions",
    "ended_at": "_client.functions",
    "enqueued_at": "_client.functions",
    "eta": "_client.functions",
    "get": "_client.functions",
    "get_all": "_client.functions",
    "is_complete": "_client.functions",
    "is_deferred": "_client.functions",
    "is_failed": "_client.functions",
    "is_interrupted": "_client.functions",
    "is_queued": "_client.functions",
    "is_retrying": "_client.functions",
    "is_stopped": "_client.functions",
    "is_working": "_client.functions",
    "job": "_client.functions",
    "jobs": "_client.functions",
    "list_jobs": "_client.functions",
    "message": "_client.functions",
    "pct_complete": "_client.functions",
    "retry": "_client.functions",
    "started_at": "_client.functions",
    "status": "_client.functions",
    "stop": "_client.functions",
    "store": "_client.functions",
    "total": "_client.functions",
    "unschedule": "_client.functions",
    "updated_at": "_client.functions",
    "wait": "_client.functions",
    "watch": "_client.functions",
    "JobStopped": "_model.errors",
    "status_options": "_model.options",
    "JobRecord": "_model.snapshot",
    "Page": "_model.snapshot",
    "JobTracker": "_tracking.tracker",
    "current_tracker": "_tracking.tracker",
    "Status": "_model.status",
    "track_status": "_tracking.settings",
}

__all__ = [
    "JobRecord",
    "JobStopped",
    "JobTracker",
    "Page",
    "Status",
    "StatusClient",
    "at",
    "cancel",
    "configure",
    "counts",
    "current_tracker",
    "delete",
    "elapsed",
    "ended_at",
    "enqueued_at",
    "eta",
    "get",
    "get_all",
    "is_complete",
    "is_deferred",
    "is_failed",
    "is_interrupted",
    "is_queued",
    "is_retrying",
    "is_stopped",
    "is_working",
    "job",
    "jobs",
    "list_jobs",
    "message",
    "pct_complete",
    "retry",
    "started_at",
    "status",
    "status_options",
    "stop",
    "store",
    "total",
    "track_status",
    "unschedule",
    "updated_at",
    "wait",
    "watch",
]


if not TYPE_CHECKING:  # pragma: no branch - a checker is to know which names there are

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found: object = getattr(_import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
