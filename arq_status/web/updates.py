"""What streams show: a job or a list as it changes, in the frames of an event stream."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from typing import Any

from arq_status._client.client import StatusClient
from arq_status._model.json import counts_object, encode, job_object
from arq_status._model.query import Query
from arq_status._model.snapshot import JobRecord, Page, without_durations
from arq_status._model.status import Status

#: Seconds between two moments at least, so that a browser gets five updates a second at most.
PACE = 0.2
#: Seconds after which a list is looked at though nothing was heard: enqueueing tells nobody.
PERIOD = 1.0
#: A list that takes long to work out is worked out less often: at most a fifth of the time.
_EASE = 4


def frame(event: str, value: Any) -> bytes:
    """An event."""
    return b"event: %b\ndata: %b\n\n" % (event.encode(), encode(value))


class Gone:
    """A job that is unknown by now."""

    def since(self, _: object) -> bytes:
        """What tells it."""
        return frame("gone", {})


class Job:
    """A job at one moment."""

    def __init__(self, record: JobRecord) -> None:
        self._frames = frame("job", job_object(record))
        if record.ended_at is not None:
            self._frames += frame("end", {})

    def since(self, _: object) -> bytes:
        """What tells it."""
        return self._frames


class Listing:
    """A page of the list and the counts at one moment."""

    def __init__(self, page: Page, counts: Mapping[Status, int], version: int) -> None:
        self._version = version
        # what changes with time alone viewers count for themselves
        self._rows = {record.job_id: (without_durations(record), record) for record in page.items}
        self._page = {
            "ids": [record.job_id for record in page.items],
            "total": page.total,
            "page": page.page,
            "per_page": page.per_page,
            "truncated": page.truncated,
        }
        self._counts = counts_object(counts)
        self._since: dict[int, bytes] = {}

    def since(self, seen: "Listing | None") -> bytes:
        """What tells it to those who saw an earlier one; worked out once for all of them."""
        version = 0 if seen is None else seen._version
        if version not in self._since:
            self._since[version] = self._difference(seen)
        return self._since[version]

    def _difference(self, seen: "Listing | None") -> bytes:
        rows = seen._rows if seen else {}
        frames = [
            frame("job", job_object(record))
            for job_id, (lasting, record) in self._rows.items()
            if job_id not in rows or rows[job_id][0] != lasting
        ]
        if seen is None or seen._page != self._page:
            frames.append(frame("page", self._page))
        if seen is None or seen._counts != self._counts:
            frames.append(frame("counts", self._counts))
        return b"".join(frames)


async def job_updates(client: StatusClient, job_id: str) -> AsyncGenerator[Job | Gone]:
    """The job now and at every change, up to its end."""
    record = None
    async with aclosing(client.watch(job_id)) as records:
        async for record in records:
            yield Job(record)
            await asyncio.sleep(PACE)
    if record is None or record.ended_at is None:
        yield Gone()


async def list_updates(client: StatusClient, query: Query) -> AsyncGenerator[Listing]:
    """The list now and whenever something may have changed."""
    loop = asyncio.get_running_loop()
    version = 0
    async with (await client.feed()).follow(others=True) as following:
        while True:
            begun = loop.time()
            page, counts, _ = await client._overview(query)
            version += 1
            yield Listing(page, counts, version)
            took = loop.time() - begun
            await asyncio.sleep(max(PACE, _EASE * took))
            with suppress(TimeoutError):
                async with asyncio.timeout(max(PERIOD, 2 * _EASE * took)):
                    await following.changed()
