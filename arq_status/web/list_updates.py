"""The state of a page of the list, and its changes."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from arq_status._client.client import StatusClient
from arq_status._model.query import Query
from arq_status._model.serialization import counts_object, job_object
from arq_status._model.snapshot import JobRecord, Page, without_durations
from arq_status._model.status import Status
from arq_status._redis.announcements import AnnouncedOptions
from arq_status.web.last_hour import LastHour, LastHourReader
from arq_status.web.rendering import View, render_part
from arq_status.web.updates import PACE, Part, StreamState, frame

#: Seconds after which a list is read even if nothing was published: enqueueing publishes nothing.
PERIOD = 1.0
#: A list that takes long to read is read less often, for at most a fifth of the time.
_IDLE_FACTOR = 4


class ListState(StreamState):
    """The state of a page of the list, with the counts and, for browsers, the last hour."""

    def __init__(
        self,
        query: Query,
        page: Page,
        counts: Mapping[Status, int],
        version: int = 1,
        hour: LastHour | None = None,
        announced: AnnouncedOptions | None = None,
    ) -> None:
        super().__init__(version)
        # there is nothing to show yet after the first start
        is_shown = hour is not None and (hour.chart.ended or any(counts.values()))
        self.hour: LastHour | None = hour if is_shown else None
        self.query = query
        self.page = page
        self.counts = counts
        self.announced: AnnouncedOptions = announced or AnnouncedOptions()
        # browsers update what changes with time alone by themselves
        self._rows = {record.job_id: without_durations(record) for record in page.items}

    @property
    def statuses(self) -> tuple[Status, ...]:
        """The statuses that are listed; empty: all."""
        return self.query.statuses

    @property
    def tags(self) -> list[str]:
        """The tags of the jobs on the page, sorted."""
        return sorted({tag for record in self.page.items for tag in record.tags})

    @property
    def range(self) -> str:
        """Which of the matching jobs are on the page, as in ``26 to 50 of 1,234``."""
        page = self.page
        if not page.items:
            return f"0 of {page.total:,}" if page.total else "No jobs"
        first = (page.page - 1) * page.per_page + 1
        return f"{first:,} to {first + len(page.items) - 1:,} of {page.total:,}"

    def parts(self) -> Mapping[str, Part]:
        """Return the parts of its page; rows are named ``row:<job id>``."""
        page = (len(self._rows), self.page.total, self.page.truncated)
        keys = {
            "counts": self.counts,
            "truncated": self.page.truncated,
            "empty": not self._rows,
            "pager": page,
            "matching": page,
            "hour": self.hour,
        }
        parts = {name: Part(key, self._renderer(name)) for name, key in keys.items()}
        for record in self.page.items:
            row = Part(self._rows[record.job_id], self._row_renderer(record))
            parts[f"row:{record.job_id}"] = row
        return parts

    def _renderer(self, name: str) -> Callable[[View], str]:
        return lambda view: render_part("list_parts.html", name, self, view, datetime.now(UTC))

    def _row_renderer(self, record: JobRecord) -> Callable[[View], str]:
        return lambda view: render_part(
            "list_parts.html", "row", record, self, view, datetime.now(UTC)
        )

    def parameters(self, view: View) -> str:
        """Return the parameters of the URL that shows it."""
        return urlencode(view.links.pairs(self.query))

    def _html(self, seen: Any, view: View) -> Iterator[bytes]:
        yield from super()._html(seen, view)
        if seen is None or [*seen._rows] != [*self._rows]:
            yield frame("order", [*self._rows])

    def _json(self, seen: Any) -> Iterator[bytes]:
        rows = {} if seen is None else seen._rows
        for record in self.page.items:
            if rows.get(record.job_id) != self._rows[record.job_id]:
                yield frame("job", job_object(record))
        if seen is None or seen._page_object() != self._page_object():
            yield frame("page", self._page_object())
        if seen is None or seen.counts != self.counts:
            yield frame("counts", counts_object(self.counts))

    def _page_object(self) -> dict[str, Any]:
        return {
            "ids": [*self._rows],
            "total": self.page.total,
            "page": self.page.page,
            "per_page": self.page.per_page,
            "truncated": self.page.truncated,
        }


async def list_updates(
    client: StatusClient, query: Query, hours: LastHourReader | None = None
) -> AsyncGenerator[ListState]:
    """Yield the list now and whenever something may have changed.

    Args:
        client: where the jobs are.
        query: which of them.
        hours: reads the last hour; only for pages.
    """
    loop = asyncio.get_running_loop()
    version = 0
    async with (await client._feed()).follow(others=True) as following:
        while True:
            begun = loop.time()
            page, counts, announced = await client._overview(query)
            hour = await hours.read(client) if hours else None
            version += 1
            yield ListState(query, page, counts, version, hour, announced)
            took = loop.time() - begun
            await asyncio.sleep(max(PACE, _IDLE_FACTOR * took))
            with suppress(TimeoutError):
                async with asyncio.timeout(max(PERIOD, 2 * _IDLE_FACTOR * took)):
                    await following.changed()
