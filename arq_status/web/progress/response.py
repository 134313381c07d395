"""The progress of one job or group, as JSON or as a stream, and nothing else about it."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from arq_status._client.client import StatusClient
from arq_status._model.group import GroupRecord
from arq_status._model.serialization import encode, standard
from arq_status._model.snapshot import JobRecord
from arq_status.web.broadcast import Broadcasts
from arq_status.web.clients import TIMEOUT
from arq_status.web.event_stream import IsAllowed, event_stream, first_of
from arq_status.web.forms import read_form
from arq_status.web.negotiation import MediaType, preferred
from arq_status.web.progress.token import ACTIONS
from arq_status.web.security import is_same_site
from arq_status.web.updates import PACE, Gone, frame

_UNKNOWN = "There is no such {}, or it has expired."

HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept",
    "X-Content-Type-Options": "nosniff",
}


class ProgressUpdate:
    """The progress of a job at one moment, for a stream."""

    def __init__(self, progress: Mapping[str, Any]) -> None:
        self.progress = progress
        self._frames = frame("progress", progress)
        if progress["ended"]:
            self._frames += frame("end", progress)

    def since(self, _: object) -> bytes:
        """Return its events."""
        return self._frames


#: Shared per client: a job or group that several customers watch is read once for all of them.
_broadcasts: WeakKeyDictionary[StatusClient, Broadcasts[ProgressUpdate | Gone]] = (
    WeakKeyDictionary()
)


async def progress_response(
    request: Request,
    client: StatusClient,
    job_id: str | None = None,
    *,
    group: str | None = None,
    data: Iterable[str] = (),
    may_stop: bool = False,
    is_allowed: IsAllowed | None = None,
) -> Response:
    """Answer a request for the progress of a job or a group, as ``<job-progress>`` sends it.

        @app.api_route("/imports/{job_id}/progress", methods=["GET", "POST"])
        async def progress(request: Request, job_id: str):
            await check_owner(request, job_id)
            return await progress_response(request, client, job_id, data=("rows",), may_stop=True)

    The response is JSON, or with ``Accept: text/event-stream`` a stream of events ``progress`` and
    ``end``. It has the status, progress, message and times, and the named fields of the job's data.
    ``POST`` with ``action=stop`` stops the job, or the group's jobs, but only with ``may_stop``,
    and never for another site: browsers send the app's cookies with requests from there, too.

    Args:
        request: the request; the form of a ``POST`` is read from it.
        client: the client to use.
        job_id: arq's id of the job.
        group: the id of a group, instead of a job. ``at`` is how many of its jobs have ended, and
            the message its title.
        data: the names of the fields of the job's data that are shown; none by default.
        may_stop: the user may stop it, and the element shows its button.
        is_allowed: a coroutine function that returns True if the user may see the progress. It is
            called before anything else, and every 10 s by a stream, which ends at the first
            ``False``. Without it everyone may.

    Raises:
        HTTPException: 403 if ``is_allowed`` returns ``False``; a ``POST`` that is refused: 403 from
            another site, 405 without ``may_stop``, 400 for another action.
    """
    if is_allowed is not None and not await is_allowed():
        raise HTTPException(403, "You may not see this.")
    headers = {**HEADERS, "Allow": "GET, HEAD, POST" if may_stop else "GET, HEAD"}
    subject = Subject(job_id, group, tuple(data))
    if request.method == "POST":
        if not may_stop:
            raise HTTPException(405, headers=headers)
        if not is_same_site(request.headers, ()):
            raise HTTPException(403, "This request came from another site.")
        await read_action(request)
        return json_response({"ok": await subject.stop(client)})
    if request.method == "GET" and preferred(request.headers.get("accept", "")) is MediaType.STREAM:
        response = await _stream(client, subject, is_allowed or _always)
    else:
        async with asyncio.timeout(TIMEOUT):
            progress = await subject.progress(client)
        response = None if progress is None else json_response(progress)
    if response is None:
        response = json_response(
            {"error": _UNKNOWN.format("job" if group is None else "group")}, 404
        )
    response.headers.update(headers)
    return response


def progress_of(record: JobRecord, fields: Iterable[str]) -> dict[str, Any]:
    """Return what a customer may see of a job; times are in seconds."""
    return {
        "status": record.status.value,
        "at": record.at,
        "total": record.total,
        "pct_complete": record.pct_complete,
        "message": record.message,
        "elapsed": record.elapsed,
        "eta": record.eta,
        "ended": record.ended_at is not None,
        "data": standard({it: record.data[it] for it in fields if it in record.data}),
    }


def group_progress_of(record: GroupRecord) -> dict[str, Any]:
    """Return what a customer may see of a group; ``at`` and ``total`` count its jobs."""
    return {
        "status": record.status.value,
        "at": record.done,
        "total": record.total,
        "pct_complete": record.pct_complete,
        "message": record.title,
        "elapsed": record.elapsed,
        "eta": record.eta,
        "ended": record.ended_at is not None,
        "data": {},
    }


@dataclass(frozen=True, slots=True)
class Subject:
    """The job or group whose progress is shown, and the fields of a job's data to show."""

    job_id: str | None
    group: str | None
    fields: tuple[str, ...]

    async def progress(self, client: StatusClient) -> dict[str, Any] | None:
        """Return its progress; ``None`` if it is unknown."""
        if self.group is not None:
            record = await client.group_status(self.group)
            return None if record is None else group_progress_of(record)
        job = await client.job(self.job_id or "")
        return None if job is None else progress_of(job, self.fields)

    async def watch(self, client: StatusClient) -> AsyncGenerator[dict[str, Any]]:
        """Yield its progress now and at every change."""
        if self.group is not None:
            async with aclosing(client.watch_group(self.group)) as groups:
                async for record in groups:
                    yield group_progress_of(record)
        else:
            async with aclosing(client.watch(self.job_id or "")) as jobs:
                async for job in jobs:
                    yield progress_of(job, self.fields)

    async def stop(self, client: StatusClient) -> bool:
        """Stop the job, or the group's jobs; return True if there was one to stop."""
        async with asyncio.timeout(TIMEOUT):
            if self.group is not None:
                return await client.stop_jobs(group=self.group) > 0
            return await client.stop(self.job_id or "")


async def read_action(request: Request) -> str:
    """Return the ``action`` of a form.

    Raises:
        HTTPException: 400 for an unknown one.
    """
    fields, _ = await read_form(request)
    action = fields.get("action", [""])[-1]
    if action not in ACTIONS:
        raise HTTPException(400, f"action must be one of {', '.join(sorted(ACTIONS))}.")
    return action


async def _stream(client: StatusClient, subject: Subject, is_allowed: IsAllowed) -> Response | None:
    broadcasts = _broadcasts.setdefault(client, Broadcasts())
    updates = broadcasts.follow(subject, partial(_updates, client, subject))
    async with asyncio.timeout(TIMEOUT):
        first = await first_of(updates)
    if isinstance(first, Gone):
        await updates.aclose()
        return None
    return event_stream(first, updates, is_allowed)


async def _updates(client: StatusClient, subject: Subject) -> AsyncGenerator[ProgressUpdate | Gone]:
    """Yield the progress now and at every change, at most five times a second."""
    known = False
    async with aclosing(subject.watch(client)) as found:
        async for progress in found:
            known = True
            yield ProgressUpdate(progress)
            await asyncio.sleep(PACE)
    if not known:
        yield Gone()


async def _always() -> bool:
    return True


def json_response(value: Any, code: int = 200) -> Response:
    """Return a JSON response that is not cached and whose URL is not sent to other sites."""
    return Response(encode(value), code, HEADERS, "application/json")
