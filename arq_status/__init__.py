"""Status, progress and data of arq jobs: tracked in Redis, asked with await.

``track_status`` decorates the settings of a worker, and its jobs then find a ``JobTracker`` in
``ctx["status"]``. Anywhere else ``await arq_status.status(job_id)`` and the other functions ask;
``configure`` says which Redis.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arq_status._client import (
        StatusClient,
    )
    from arq_status._default import (
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
    from arq_status._errors import (
        JobStopped,
    )
    from arq_status._options import (
        status_options,
    )
    from arq_status._record import (
        JobRecord,
        Page,
    )
    from arq_status._tracker import (
        JobTracker,
        current_tracker,
    )
    from arq_status._truth import (
        Status,
    )
    from arq_status._worker import (
        track_status,
    )

#: Where the names are. Each module is imported when one of its names is first used: who only asks
#: need not load what a worker takes.
_HOMES = {
    "StatusClient": "_client",
    "at": "_default",
    "cancel": "_default",
    "configure": "_default",
    "counts": "_default",
    "delete": "_default",
    "elapsed": "_default",
    "ended_at": "_default",
    "enqueued_at": "_default",
    "eta": "_default",
    "get": "_default",
    "get_all": "_default",
    "is_complete": "_default",
    "is_deferred": "_default",
    "is_failed": "_default",
    "is_interrupted": "_default",
    "is_queued": "_default",
    "is_retrying": "_default",
    "is_stopped": "_default",
    "is_working": "_default",
    "job": "_default",
    "jobs": "_default",
    "list_jobs": "_default",
    "message": "_default",
    "pct_complete": "_default",
    "retry": "_default",
    "started_at": "_default",
    "status": "_default",
    "stop": "_default",
    "store": "_default",
    "total": "_default",
    "unschedule": "_default",
    "updated_at": "_default",
    "wait": "_default",
    "watch": "_default",
    "JobStopped": "_errors",
    "status_options": "_options",
    "JobRecord": "_record",
    "Page": "_record",
    "JobTracker": "_tracker",
    "current_tracker": "_tracker",
    "Status": "_truth",
    "track_status": "_worker",
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
