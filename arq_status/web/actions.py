"""What can be done with jobs: one table for forms, dialogs and requests."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from arq_status._client.client import StatusClient
from arq_status._client.listing import NEWEST
from arq_status._model.query import MOST_PER_PAGE, Query
from arq_status._model.snapshot import JobRecord
from arq_status._model.status import Status

#: Jobs of which Redis is asked at the same time.
_AT_ONCE = 50

Perform = Callable[[StatusClient, str], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """An action on a job, or on many.

    Attributes:
        permission: the action that ``authorize`` is asked about.
        label: the text of its button.
        consequence: what it does, for the dialog that asks; empty: one job is done without asking.
        done: what to say when it was done to one job.
        done_to_many: what to say after the number of jobs it was done to.
        perform: does it to one job; true if it was done.
    """

    permission: str
    label: str
    consequence: str = ""
    done: str
    done_to_many: str
    perform: Perform


ACTIONS: Mapping[str, Action] = {
    "stop": Action(
        permission="stop",
        label="Stop",
        consequence="A running job ends at its next progress call and is not tried again.",
        done="The job was asked to stop.",
        done_to_many="asked to stop",
        perform=StatusClient.stop,
    ),
    "force-stop": Action(
        permission="stop",
        label="Force stop",
        consequence="A running job is cancelled at its next await, whatever it waits for, and is"
        " not tried again.",
        done="The job was asked to stop at once.",
        done_to_many="asked to stop at once",
        perform=partial(StatusClient.stop, force=True),
    ),
    "cancel": Action(
        permission="cancel",
        label="Cancel",
        consequence="A job that waits is taken out of its queue for good.",
        done="The job is cancelled.",
        done_to_many="cancelled",
        perform=StatusClient.cancel,
    ),
    "retry": Action(
        permission="retry",
        label="Retry",
        done="The job runs again.",
        done_to_many="enqueued again",
        perform=StatusClient.retry,
    ),
    "delete": Action(
        permission="delete",
        label="Delete",
        consequence="Status, progress and data are forgotten. A job that runs goes on.",
        done="The job is deleted.",
        done_to_many="deleted",
        perform=StatusClient.delete,
    ),
}
PERMISSIONS = tuple(dict.fromkeys(action.permission for action in ACTIONS.values()))


def applicable(record: JobRecord) -> tuple[str, ...]:
    """Return the names of the actions that the state of a job permits."""
    if record.ended_at is None:
        return ("stop", "force-stop") if record.status is Status.WORKING else ("cancel",)
    return ("delete",) if record.status is Status.COMPLETE else ("retry", "delete")


def texts() -> dict[str, dict[str, str]]:
    """Return what the dialogs of the pages say about each action."""
    return {
        name: {
            "label": action.label,
            "consequence": action.consequence,
            "done": action.done,
            "doneToMany": action.done_to_many,
        }
        for name, action in ACTIONS.items()
    }


async def matching_ids(client: StatusClient, query: Query) -> list[str]:
    """Return the ids of the jobs that match, at most as many as a list covers."""
    job_ids: list[str] = []
    while len(job_ids) < NEWEST:
        number = len(job_ids) // MOST_PER_PAGE + 1
        found = replace(query, page=number, per_page=MOST_PER_PAGE)
        page, _, _ = await client._overview(found)
        job_ids += [record.job_id for record in page.items]
        if number >= page.pages:
            break
    return job_ids


async def act_on_many(client: StatusClient, action: Action, job_ids: Sequence[str]) -> int:
    """Do something to many jobs; return to how many it was done."""
    done = 0
    for start in range(0, len(job_ids), _AT_ONCE):
        batch = job_ids[start : start + _AT_ONCE]
        outcomes = await asyncio.gather(*(action.perform(client, job_id) for job_id in batch))
        done += sum(map(bool, outcomes))
    return done
