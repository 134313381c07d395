"""What streams send: the state of a job or a list at one moment, and how it differs from another.

Scripts get JSON. The pages get the parts of themselves that changed, rendered by their templates.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from arq_status._client.client import StatusClient
from arq_status._model.history import LogLine, Try
from arq_status._model.insight import ActivityPoint
from arq_status._model.json import counts_object, encode, job_object, line_object, try_object
from arq_status._model.query import Query
from arq_status._model.snapshot import JobRecord, Page, without_durations
from arq_status._model.status import Status
from arq_status.web.last_hour import LastHour, LastHourReader
from arq_status.web.rendering import View, render_part

#: Seconds between updates, so that a browser gets five a second at most.
PACE = 0.2
#: Seconds after which a list is read although no change was published: enqueueing publishes none.
PERIOD = 1.0
#: A list that takes long to read is read less often: at most a fifth of the time.
_IDLE_FACTOR = 4

#: The parts of a job's page in their order, and the fields that each shows besides the status.
JOB_PARTS: Mapping[str, tuple[str, ...]] = {
    "error": ("error",),
    "progress": ("at", "total", "message", "pct_complete"),
    "timeline": ("enqueued_at", "due_at", "started_at", "ended_at", "job_try"),
    "log": (),
    "result": ("returned",),
    "data": ("data",),
    "arguments": ("args",),
}
#: Days of which is told how long such jobs usually take.
_USUAL_DAYS = 7
_HEAD = {"head": ("function", "job_try", "due_at", "started_at", "ended_at", "expires_at")}
_PROPERTIES = {"properties": ("queue", "worker", "job_try", "updated_at", "expires_at")}


def frame(name: str, value: Any) -> bytes:
    """Return an event of a stream."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), encode(value))


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a page.

    Attributes:
        key: what it shows; it has changed when this differs.
        render: renders it for a view.
    """

    key: object
    render: Callable[[View], str]


class Snapshot(ABC):
    """A state at one moment, with the events that lead to it from earlier ones."""

    def __init__(self, version: int) -> None:
        self._version = version
        self._events: dict[Hashable, bytes] = {}

    @abstractmethod
    def parts(self) -> Mapping[str, Part]:
        """Return the parts of its page."""
        ...

    @abstractmethod
    def _json(self, seen: Any) -> Iterator[bytes]: ...

    def since(self, seen: Any) -> bytes:
        """Return the events in JSON for those who saw an earlier snapshot."""
        return self._since(seen, None)

    def parts_since(self, seen: Any, view: View) -> bytes:
        """Return the events with the parts of the page that changed since, rendered for a view."""
        return self._since(seen, view)

    def _since(self, seen: Any, view: View | None) -> bytes:
        # worked out once for all viewers
        key = (0 if seen is None else seen._version, view)
        if key not in self._events:
            found = self._json(seen) if view is None else self._html(seen, view)
            self._events[key] = b"".join(found)
        return self._events[key]

    def _html(self, seen: Any, view: View) -> Iterator[bytes]:
        before = {} if seen is None else seen.parts()
        changed = {
            name: part.render(view)
            for name, part in self.parts().items()
            if name not in before or before[name].key != part.key
        }
        if changed:
            yield frame("parts", changed)


class Gone:
    """A job that is unknown by now."""

    def since(self, _: object) -> bytes:
        """Return the event that tells it."""
        return frame("gone", {})

    def parts_since(self, _: object, view: View) -> bytes:
        """Return the same: the page keeps what it shows."""
        return self.since(None)


class Job(Snapshot):
    """A job with its tries, its log and how jobs of its function usually run."""

    def __init__(
        self,
        record: JobRecord,
        version: int,
        tries: Sequence[Try] = (),
        lines: Sequence[LogLine] = (),
        usual: ActivityPoint | None = None,
    ) -> None:
        super().__init__(version)
        self._record = record
        self._usual = usual
        self._tries = tries
        self._lines = lines

    def parts(self) -> Mapping[str, Part]:
        """Return the parts of its page."""
        return {
            name: Part(self._key(name, fields), self._renderer(name))
            for name, fields in {**_HEAD, **JOB_PARTS, **_PROPERTIES}.items()
        }

    def _key(self, name: str, fields: tuple[str, ...]) -> object:
        if name == "log":
            # further lines are sent alone
            return bool(self._lines)
        history = self._tries if name in ("error", "timeline") else None
        usual = self._usual if name in _HEAD else None
        return [
            self._record.status,
            history,
            usual,
            *(getattr(self._record, it, None) for it in fields),
        ]

    def _renderer(self, name: str) -> Callable[[View], str]:
        return lambda view: render_part(
            "job_parts.html",
            name,
            self._record,
            view,
            datetime.now(UTC),
            self._tries,
            self._lines,
            self._usual,
        )

    def _html(self, seen: Any, view: View) -> Iterator[bytes]:
        yield from super()._html(seen, view)
        # those who saw none get the whole log as a part
        if seen is not None and seen._lines and (new := self._lines_since(seen)):
            yield frame("lines", render_part("job_parts.html", "log_lines", new))
        yield from self._end()

    def _json(self, seen: Any) -> Iterator[bytes]:
        if self._has_history and (seen is None or seen._tries != self._tries):
            yield frame("tries", [try_object(it) for it in self._tries])
        if new := self._lines_since(seen):
            yield frame("log", [line_object(line) for line in new])
        yield frame("job", job_object(self._record))
        yield from self._end()

    @property
    def _has_history(self) -> bool:
        """Return whether the tries tell more than the record."""
        return len(self._tries) > 1 or any(it.traceback for it in self._tries)

    def _lines_since(self, seen: "Job | None") -> list[LogLine]:
        last = seen._lines[-1].number if seen is not None and seen._lines else 0
        return [line for line in self._lines if line.number > last]

    def _end(self) -> Iterator[bytes]:
        if self._record.ended_at is not None:
            yield frame("end", {})


class Listing(Snapshot):
    """A page of the list with the counts and, where a person looks, the last hour."""

    def __init__(
        self,
        query: Query,
        page: Page,
        counts: Mapping[Status, int],
        version: int = 1,
        hour: LastHour | None = None,
    ) -> None:
        super().__init__(version)
        # nothing has happened yet on a first start
        self.hour = hour if hour is not None and (hour.ended or any(counts.values())) else None
        self.query = query
        self.page = page
        self.counts = counts
        # browsers count on by themselves what changes with time alone
        self._rows = {record.job_id: without_durations(record) for record in page.items}

    @property
    def statuses(self) -> tuple[Status, ...]:
        """Return the statuses that are listed; empty: all."""
        return self.query.statuses

    @property
    def tags(self) -> list[str]:
        """Return the tags of the jobs on the page, sorted."""
        return sorted({tag for record in self.page.items for tag in record.tags})

    @property
    def range(self) -> str:
        """Return which of the matching jobs are on the page, as in ``26 to 50 of 1,234``."""
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


async def usual_run(client: StatusClient, record: JobRecord) -> ActivityPoint:
    """Return how long jobs of the same function in the same queue ran lately."""
    day = timedelta(days=1)
    _, usual = await client._activity(_USUAL_DAYS * day, day, record.function or "", record.queue)
    return usual


async def job_updates(
    client: StatusClient, job_id: str, is_page: bool = False
) -> AsyncGenerator[Job | Gone]:
    """Yield the job now and at every change, up to its end.

    Args:
        client: where the job is.
        job_id: arq's id of the job.
        is_page: also tell how such jobs usually run.
    """
    record, version, usual = None, 0, None
    tries: Sequence[Try] = ()
    async with aclosing(client.watch(job_id)) as records:
        async for latest in records:
            if record is None or (latest.job_try, latest.status) != (record.job_try, record.status):
                tries = await client.tries(job_id)
                usual = await usual_run(client, latest) if is_page else None
            record = latest
            version += 1
            yield Job(record, version, tries, await client.logs(job_id), usual)
            await asyncio.sleep(PACE)
    if record is None or record.ended_at is None:
        yield Gone()


async def list_updates(
    client: StatusClient, query: Query, hours: LastHourReader | None = None
) -> AsyncGenerator[Listing]:
    """Yield the list now and whenever something may have changed.

    Args:
        client: where the jobs are.
        query: which of them.
        hours: reads the last hour, for pages.
    """
    loop = asyncio.get_running_loop()
    version = 0
    async with (await client.feed()).follow(others=True) as following:
        while True:
            begun = loop.time()
            page, counts, _ = await client._overview(query)
            hour = await hours.read(client) if hours else None
            version += 1
            yield Listing(query, page, counts, version, hour)
            took = loop.time() - begun
            await asyncio.sleep(max(PACE, _IDLE_FACTOR * took))
            with suppress(TimeoutError):
                async with asyncio.timeout(max(PERIOD, 2 * _IDLE_FACTOR * took)):
                    await following.changed()
