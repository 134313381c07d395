"""``/functions``, ``/queues``, ``/workers`` and ``/cron``."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from arq_status._client.client import StatusClient
from arq_status.web.broadcast import Broadcasts
from arq_status.web.dashboard import TIMEOUT, Dashboard, json_response, media_type
from arq_status.web.event_stream import event_stream, first_of
from arq_status.web.negotiation import MediaType
from arq_status.web.rendering import View, render_part
from arq_status.web.updates import Part, Snapshot, frame

#: Seconds between readings of an open page.
_PERIOD = 2.0

Read = Callable[[StatusClient], Awaitable[Sequence[Any]]]


@dataclass(frozen=True, slots=True)
class Section:
    """A page of records.

    Attributes:
        name: its name in URLs, events and templates.
        title: its heading.
        read: reads the records.
    """

    name: str
    title: str
    read: Read


SECTIONS = (
    Section("functions", "Functions", StatusClient.functions),
    Section("queues", "Queues", StatusClient.queues),
    Section("workers", "Workers", StatusClient.workers),
    Section("cron", "Cron", StatusClient.crons),
)


class Reading(Snapshot):
    """The records of a section at one moment."""

    def __init__(self, section: Section, records: Sequence[Any], version: int = 1) -> None:
        super().__init__(version)
        self._section = section
        self._records = records

    def parts(self) -> Mapping[str, Part]:
        """Return the parts of its page."""
        return {"records": Part(self._records, self.render)}

    def render(self, view: View) -> str:
        """Render the records."""
        return render_part(
            "insight_parts.html", self._section.name, self._records, view, datetime.now(UTC)
        )

    def objects(self) -> list[dict[str, Any]]:
        """Return the records as objects for JSON."""
        return [
            {it.name: getattr(record, it.name) for it in fields(record)} for record in self._records
        ]

    def _json(self, seen: Any) -> Iterator[bytes]:
        if seen is None or seen._records != self._records:
            yield frame(self._section.name, self.objects())


class InsightView:
    """The endpoint of a section."""

    def __init__(self, dashboard: Dashboard, section: Section) -> None:
        self._dashboard = dashboard
        self._section = section
        self._broadcasts: Broadcasts[Reading] = Broadcasts()

    async def show(self, request: Request) -> Response:
        """Answer ``GET``: a page, JSON or a stream."""
        dashboard, section = self._dashboard, self._section
        await dashboard.access.require(request, "view", None)
        client = await dashboard.clients.client()
        if media_type(request) is MediaType.STREAM:
            updates = self._broadcasts.follow(client, partial(_readings, section, client))
            async with asyncio.timeout(TIMEOUT):
                first = await first_of(updates)
            write = await dashboard.stream_writer(request, None)
            is_allowed = partial(dashboard.access.allows, request, "view", None)
            return event_stream(first, updates, is_allowed, write)
        async with asyncio.timeout(TIMEOUT):
            reading = Reading(section, await section.read(client))
        if media_type(request) is MediaType.JSON:
            return json_response({section.name: reading.objects()})
        view = await dashboard.view(request, None)
        return dashboard.page(
            request,
            "insight.html",
            section=section.title,
            records=reading.render(view),
        )


async def _readings(section: Section, client: StatusClient) -> AsyncGenerator[Reading]:
    version = 0
    while True:
        version += 1
        yield Reading(section, await section.read(client), version)
        await asyncio.sleep(_PERIOD)
