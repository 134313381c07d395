"""The actions on jobs: one table for forms, dialogs and requests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from arq_status._client import control
from arq_status._client.client import StatusClient
from arq_status._model.query import Query
from arq_status._model.snapshot import JobRecord
from arq_status._model.status import Status

_DEFAULT = Query()


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """An action on a job, or on many.

    Attributes:
        permission: the action that ``authorize`` is asked about.
        label: the text of its button.
        consequence: what it does, shown in the confirmation dialog; if empty, a single job is acted
            on without confirmation.
        done: the message after it was done to one job.
        done_to_many: the message after it was done to many, without their number.
        plan: the plan that is carried out for each job.
    """

    permission: str
    label: str
    consequence: str = ""
    done: str
    done_to_many: str
    plan: control.Plan


ACTIONS: Mapping[str, Action] = {
    "stop": Action(
        permission="stop",
        label="Stop",
        consequence="A running job ends at its next progress call and is not tried again.",
        done="The job was asked to stop.",
        done_to_many="asked to stop",
        plan=control.stop,
    ),
    "force-stop": Action(
        permission="stop",
        label="Force stop",
        consequence="A running job is cancelled at its next await, whatever it is waiting for, and"
        " is not tried again.",
        done="The job was asked to stop at once.",
        done_to_many="asked to stop at once",
        plan=control.force_stop,
    ),
    "cancel": Action(
        permission="cancel",
        label="Cancel",
        consequence="A waiting job is removed from its queue for good.",
        done="The job was cancelled.",
        done_to_many="cancelled",
        plan=control.cancel,
    ),
    "retry": Action(
        permission="retry",
        label="Retry",
        done="The job was enqueued again.",
        done_to_many="enqueued again",
        plan=control.retry,
    ),
    "delete": Action(
        permission="delete",
        label="Delete",
        consequence="Its status, progress and data are deleted. A running job keeps running.",
        done="The job was deleted.",
        done_to_many="deleted",
        plan=control.delete,
    ),
}
PERMISSIONS = tuple(dict.fromkeys(action.permission for action in ACTIONS.values()))


def applicable(record: JobRecord) -> tuple[str, ...]:
    """Return the names of the actions that the state of a job allows."""
    if record.ended_at is None:
        return ("stop", "force-stop") if record.status is Status.WORKING else ("cancel",)
    return ("delete",) if record.status is Status.COMPLETE else ("retry", "delete")


def texts() -> dict[str, dict[str, str]]:
    """Return the texts of each action for the dialogs of the pages."""
    return {
        name: {
            "label": action.label,
            "consequence": action.consequence,
            "done": action.done,
            "doneToMany": action.done_to_many,
        }
        for name, action in ACTIONS.items()
    }


async def act_on_jobs(client: StatusClient, action: Action, job_ids: Sequence[str]) -> int:
    """Act on jobs; return for how many it succeeded."""
    return await client._act_on_jobs(action.plan, job_ids)


async def act_on_matching(client: StatusClient, action: Action, query: Query) -> int:
    """Act on all jobs that match, or on the newest if the list does not cover all."""
    jobs = replace(query, sort=_DEFAULT.sort, descending=_DEFAULT.descending, page=_DEFAULT.page)
    return await client._act_on_matching(action.plan, jobs)
