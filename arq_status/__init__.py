"""Status, progress and data of arq jobs: tracked in Redis, queried with await.

In the worker, decorate the settings with ``track_status``; each job then finds its ``JobTracker``
in ``ctx["status"]``:

    @track_status
    class WorkerSettings:
        functions = [import_rows]

    async def import_rows(ctx, rows):
        await ctx["status"].at(5, "Almost done")

Anywhere else, ask and act, on the Redis that ``configure`` sets, or with a ``StatusClient``:

    await arq_status.status(job_id)

* One job: ``status``, ``job``, ``get``, ``get_all``, ``tries``, ``logs``, ``is_working`` etc.
* Many jobs: ``jobs``, ``list_jobs``, ``counts``; ``group`` and ``group_status`` for one bar.
* Following: ``watch``, ``wait``, ``watch_many``, ``watch_group``, ``changes``.
* Control: ``stop``, ``cancel``, ``retry``, ``delete``, ``store``, ``tag``, ``retry_jobs`` etc.
* Insight: ``functions``, ``activity``, ``queues``, ``workers``, ``crons``.

``arq_status.web`` has the dashboard and a progress bar for customers, ``arq_status.testing`` runs
jobs in tests, and ``arq-status --help`` shows the commands for the terminal.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arq_status._client.client import StatusClient as StatusClient
    from arq_status._client.enqueueing import JobGroup as JobGroup
    from arq_status._client.enqueueing import enqueue_job as enqueue_job
    from arq_status._client.functions import activity as activity
    from arq_status._client.functions import at as at
    from arq_status._client.functions import cancel as cancel
    from arq_status._client.functions import cancel_jobs as cancel_jobs
    from arq_status._client.functions import changes as changes
    from arq_status._client.functions import configure as configure
    from arq_status._client.functions import counts as counts
    from arq_status._client.functions import crons as crons
    from arq_status._client.functions import delete as delete
    from arq_status._client.functions import delete_jobs as delete_jobs
    from arq_status._client.functions import elapsed as elapsed
    from arq_status._client.functions import ended_at as ended_at
    from arq_status._client.functions import enqueued_at as enqueued_at
    from arq_status._client.functions import eta as eta
    from arq_status._client.functions import functions as functions
    from arq_status._client.functions import get as get
    from arq_status._client.functions import get_all as get_all
    from arq_status._client.functions import group as group
    from arq_status._client.functions import group_status as group_status
    from arq_status._client.functions import is_complete as is_complete
    from arq_status._client.functions import is_deferred as is_deferred
    from arq_status._client.functions import is_failed as is_failed
    from arq_status._client.functions import is_interrupted as is_interrupted
    from arq_status._client.functions import is_queued as is_queued
    from arq_status._client.functions import is_retrying as is_retrying
    from arq_status._client.functions import is_stopped as is_stopped
    from arq_status._client.functions import is_working as is_working
    from arq_status._client.functions import job as job
    from arq_status._client.functions import jobs as jobs
    from arq_status._client.functions import list_jobs as list_jobs
    from arq_status._client.functions import logs as logs
    from arq_status._client.functions import message as message
    from arq_status._client.functions import pct_complete as pct_complete
    from arq_status._client.functions import queues as queues
    from arq_status._client.functions import retry as retry
    from arq_status._client.functions import retry_jobs as retry_jobs
    from arq_status._client.functions import started_at as started_at
    from arq_status._client.functions import status as status
    from arq_status._client.functions import stop as stop
    from arq_status._client.functions import stop_jobs as stop_jobs
    from arq_status._client.functions import store as store
    from arq_status._client.functions import tag as tag
    from arq_status._client.functions import total as total
    from arq_status._client.functions import tries as tries
    from arq_status._client.functions import unschedule as unschedule
    from arq_status._client.functions import updated_at as updated_at
    from arq_status._client.functions import wait as wait
    from arq_status._client.functions import wait_group as wait_group
    from arq_status._client.functions import watch as watch
    from arq_status._client.functions import watch_group as watch_group
    from arq_status._client.functions import watch_many as watch_many
    from arq_status._client.functions import workers as workers
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

    __all__: list[str]
else:
    #: Modules are imported when one of their names is first used: importing the package costs
    #: next to nothing, and a program that only queries never loads what a worker needs.
    _HOMES = {
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
        "current_tracker": "_tracking.tracker",
        "enqueue_job": "_client.enqueueing",
        "status_options": "_model.options",
        "track_status": "_tracking.settings",
    }

    def __getattr__(name: str) -> object:
        if name in _HOMES:
            found = getattr(_import_module(f"{__name__}.{_HOMES[name]}"), name)
        elif name == "__all__":
            found = sorted([*_HOMES, *_function_names()])
        elif not name.startswith("_") and name in _function_names():
            found = getattr(_functions(), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), "__all__", *_HOMES, *_function_names()})

    def _functions() -> object:
        return _import_module(f"{__name__}._client.functions")

    def _function_names() -> list[str]:
        home = _functions()
        return [
            name
            for name, it in vars(home).items()
            if getattr(it, "__module__", "") == home.__name__ and not name.startswith("_")
        ]
