"""What can be done with jobs: one table for forms, dialogs and requests."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

from arq_status._client.client import StatusClient
from arq_status._model.snapshot import JobRecord
from arq_status._model.status import Status

Perform = Callable[[StatusClient, str], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """An action on a job, or on many.

    Attributes:
        permission: the action that ``authorize`` is asked about.
        label: the text of its button.
        consequence: what it does, for the dialog that asks; empty: it is done without asking.
        confirm: the text of the button that confirms it.
        done: what to say of one job it was done to.
        perform: does it to one job; true if it was done.
    """

    permission: str
    label: str
    consequence: str = ""
    confirm: str = ""
    done: str
    perform: Perform


ACTIONS: Mapping[str, Action] = {
    "stop": Action(
        permission="stop",
        label="Stop",
        consequence="It ends at its next progress call and is not tried again.",
        confirm="Stop it",
        done="The job was asked to stop.",
        perform=StatusClient.stop,
    ),
    "force-stop": Action(
        permission="stop",
        label="Force stop",
        consequence="It is cancelled at its next await, whatever it waits for, and is not tried"
        " again.",
        confirm="Force it to stop",
        done="The job was asked to stop at once.",
        perform=partial(StatusClient.stop, force=True),
    ),
    "cancel": Action(
        permission="cancel",
        label="Cancel",
        consequence="It is taken out of its queue for good.",
        confirm="Cancel it",
        done="The job is cancelled.",
        perform=StatusClient.cancel,
    ),
    "retry": Action(
        permission="retry",
        label="Retry",
        done="The job runs again.",
        perform=StatusClient.retry,
    ),
    "delete": Action(
        permission="delete",
        label="Delete",
        consequence="Its status and data are forgotten.",
        confirm="Delete it",
        done="The job is deleted.",
        perform=StatusClient.delete,
    ),
}
PERMISSIONS = tuple(dict.fromkeys(action.permission for action in ACTIONS.values()))


def applicable(record: JobRecord) -> tuple[str, ...]:
    """Return the names of the actions that the state of a job permits."""
    if record.ended_at is None:
        return ("stop", "force-stop") if record.status is Status.WORKING else ("cancel",)
    return ("delete",) if record.status is Status.COMPLETE else ("retry", "delete")
