"""Status, progress and data of arq jobs: recorded in Redis, queried with await.

In the worker, decorate the settings with ``track_status``; each job then has a ``JobTracker`` in
``ctx["status"]``:

    @track_status
    class WorkerSettings:
        functions = [import_rows]

    async def import_rows(ctx, rows):
        await ctx["status"].at(5, "Almost done")

Anywhere else, query and control jobs in the Redis given to ``configure`` or a ``StatusClient``:

    await arq_status.status(job_id)

* One job: ``status``, ``job``, ``get``, ``get_all``, ``tries``, ``logs``, ``is_working`` etc.
* Many jobs: ``jobs``, ``list_jobs``, ``counts``; ``group`` and ``group_status`` for a batch.
* Following: ``watch``, ``wait``, ``watch_many``, ``watch_group``, ``changes``.
* Control: ``stop``, ``cancel``, ``retry``, ``delete``, ``store``, ``tag``, ``retry_jobs`` etc.
* Insight: ``functions``, ``activity``, ``queues``, ``workers``, ``crons``.

``arq_status.web`` contains the dashboard and a progress bar for web pages, ``arq_status.testing``
runs jobs in tests, and ``arq-status --help`` lists the commands for the terminal.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Final

    from arq_status._client.client import StatusClient as StatusClient
    from arq_status._client.default import configure as configure
    from arq_status._client.enqueueing import JobGroup as JobGroup
    from arq_status._client.enqueueing import enqueue_job as enqueue_job
    from arq_status._model.errors import JobStopped as JobStopped
    from arq_status._model.group import GroupRecord as GroupRecord
    from arq_status._model.history import LogLine as LogLine
    from arq_status._model.history import Try as Try
    from arq_status._model.insight import ActivityPoint as ActivityPoint
    from arq_status._model.insight import CronRecord as CronRecord
    from arq_status._model.insight import FunctionStats as FunctionStats
    from arq_status._model.insight import QueueRecord as QueueRecord
    from arq_status._model.insight import WorkerRecord as WorkerRecord
    from arq_status._model.options import status_options as status_options
    from arq_status._model.snapshot import JobRecord as JobRecord
    from arq_status._model.snapshot import Page as Page
    from arq_status._model.status import Status as Status
    from arq_status._tracking.settings import track_status as track_status
    from arq_status._tracking.tracker import JobTracker as JobTracker
    from arq_status._tracking.tracker import current_tracker as current_tracker

    _default_client = StatusClient()
    activity: Final = _default_client.activity
    at: Final = _default_client.at
    cancel: Final = _default_client.cancel
    cancel_jobs: Final = _default_client.cancel_jobs
    changes: Final = _default_client.changes
    counts: Final = _default_client.counts
    crons: Final = _default_client.crons
    delete: Final = _default_client.delete
    delete_jobs: Final = _default_client.delete_jobs
    elapsed: Final = _default_client.elapsed
    ended_at: Final = _default_client.ended_at
    enqueued_at: Final = _default_client.enqueued_at
    eta: Final = _default_client.eta
    functions: Final = _default_client.functions
    get: Final = _default_client.get
    get_all: Final = _default_client.get_all
    group: Final = _default_client.group
    group_status: Final = _default_client.group_status
    is_complete: Final = _default_client.is_complete
    is_deferred: Final = _default_client.is_deferred
    is_failed: Final = _default_client.is_failed
    is_interrupted: Final = _default_client.is_interrupted
    is_queued: Final = _default_client.is_queued
    is_retrying: Final = _default_client.is_retrying
    is_stopped: Final = _default_client.is_stopped
    is_working: Final = _default_client.is_working
    job: Final = _default_client.job
    jobs: Final = _default_client.jobs
    list_jobs: Final = _default_client.list_jobs
    logs: Final = _default_client.logs
    message: Final = _default_client.message
    pct_complete: Final = _default_client.pct_complete
    queues: Final = _default_client.queues
    retry: Final = _default_client.retry
    retry_jobs: Final = _default_client.retry_jobs
    started_at: Final = _default_client.started_at
    status: Final = _default_client.status
    stop: Final = _default_client.stop
    stop_jobs: Final = _default_client.stop_jobs
    store: Final = _default_client.store
    tag: Final = _default_client.tag
    total: Final = _default_client.total
    tries: Final = _default_client.tries
    unschedule: Final = _default_client.unschedule
    updated_at: Final = _default_client.updated_at
    wait: Final = _default_client.wait
    wait_group: Final = _default_client.wait_group
    watch: Final = _default_client.watch
    watch_group: Final = _default_client.watch_group
    watch_many: Final = _default_client.watch_many
    workers: Final = _default_client.workers

    __all__: list[str]
else:
    #: Modules are imported when one of their names is first used, so that importing the package
    #: costs next to nothing, and programs that only query never load what a worker needs.
    _MODULES = {
        "ActivityPoint": "_model.insight",
        "CronRecord": "_model.insight",
        "FunctionStats": "_model.insight",
        "GroupRecord": "_model.group",
        "JobGroup": "_client.enqueueing",
        "JobRecord": "_model.snapshot",
        "JobStopped": "_model.errors",
        "JobTracker": "_tracking.tracker",
        "LogLine": "_model.history",
        "Page": "_model.snapshot",
        "QueueRecord": "_model.insight",
        "Status": "_model.status",
        "StatusClient": "_client.client",
        "Try": "_model.history",
        "WorkerRecord": "_model.insight",
        "configure": "_client.default",
        "current_tracker": "_tracking.tracker",
        "enqueue_job": "_client.enqueueing",
        "status_options": "_model.options",
        "track_status": "_tracking.settings",
    }

    def __getattr__(name: str) -> object:
        if name in _MODULES:
            found = getattr(_import_module(f"{__name__}.{_MODULES[name]}"), name)
        elif name == "__all__":
            found = sorted([*_MODULES, *_default().METHODS])
        elif not name.startswith("_") and name in _default().METHODS:
            found = _default().as_function(name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), "__all__", *_MODULES, *_default().METHODS})

    def _default() -> object:
        return _import_module(f"{__name__}._client.default")
