"""``/groups/<group id>``: the progress of a group and its failed jobs."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from arq_status._client.client import StatusClient
from arq_status._model.group import GroupRecord
from arq_status._model.serialization import record_object
from arq_status._model.snapshot import JobRecord
from arq_status._model.status import Status
from arq_status.web.broadcast import Broadcasts
from arq_status.web.clients import TIMEOUT
from arq_status.web.dashboard import Dashboard, json_response, media_type
from arq_status.web.negotiation import MediaType
from arq_status.web.rendering import View, render_part
from arq_status.web.updates import PACE, Gone, Part, StreamState, frame

_UNKNOWN = "There is no such group, or it has expired."
_FAILED = (Status.FAILED, Status.INTERRUPTED)
#: How many failed jobs the page lists.
_SHOWN = 10


class GroupState(StreamState):
    """The state of a group, with its latest failed jobs."""

    def __init__(self, record: GroupRecord, failed: Sequence[JobRecord], version: int = 1) -> None:
        super().__init__(version)
        self._record = record
        self._failed = failed

    def parts(self) -> Mapping[str, Part]:
        """Return the parts of its page."""
        lasting = replace(self._record, elapsed=None, eta=None)
        return {"group": Part((lasting, [it.job_id for it in self._failed]), self.render)}

    def render(self, view: View) -> str:
        """Render the group."""
        now = datetime.now(UTC)
        return render_part("group_parts.html", "group", self._record, self._failed, view, now)

    def object(self) -> dict[str, Any]:
        """Return the group as an object for JSON."""
        return record_object(self._record)

    def _html(self, seen: Any, view: View) -> Iterator[bytes]:
        yield from super()._html(seen, view)
        yield from self._end()

    def _json(self, seen: Any) -> Iterator[bytes]:
        yield frame("group", self.object())
        yield from self._end()

    def _end(self) -> Iterator[bytes]:
        if self._record.ended_at is not None:
            yield frame("end", {})


class GroupView:
    """The endpoint of a group."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._dashboard = dashboard
        self._broadcasts: Broadcasts[GroupState | Gone] = Broadcasts()

    async def show(self, request: Request) -> Response:
        """Answer ``GET``: a page, JSON or a stream."""
        dashboard = self._dashboard
        await dashboard.access.require(request, "view", None)
        group_id = request.path_params["subject_id"]
        client = await dashboard.clients.client()
        if media_type(request) is MediaType.STREAM:
            source = partial(_group_updates, client, group_id)
            updates = self._broadcasts.follow((client, group_id), source)
            return await dashboard.stream(request, updates, unknown=_UNKNOWN)
        async with asyncio.timeout(TIMEOUT):
            record = await client.group_status(group_id)
            if record is None:
                raise HTTPException(404, _UNKNOWN)
            group = GroupState(record, await _failed_jobs(client, group_id))
        if media_type(request) is MediaType.JSON:
            return json_response(group.object())
        html = group.render(await dashboard.view(request, None))
        return dashboard.page(request, "group.html", section="Jobs", group=record, html=html)


async def _failed_jobs(client: StatusClient, group_id: str) -> Sequence[JobRecord]:
    return (await client.list_jobs(status=_FAILED, group=group_id, per_page=_SHOWN)).items


async def _group_updates(client: StatusClient, group_id: str) -> AsyncGenerator[GroupState | Gone]:
    record, version = None, 0
    async with aclosing(client.watch_group(group_id)) as records:
        async for record in records:
            version += 1
            yield GroupState(record, await _failed_jobs(client, group_id), version)
            await asyncio.sleep(PACE)
    if record is None or record.ended_at is None:
        yield Gone()
