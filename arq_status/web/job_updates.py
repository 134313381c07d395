"""The state of a job, for its page and stream, and its changes."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

from arq_status._client.client import StatusClient
from arq_status._model.history import LogLine, Try
from arq_status._model.insight import ActivityPoint
from arq_status._model.serialization import job_object, line_object, try_object
from arq_status._model.snapshot import JobRecord
from arq_status.web.last_hour import none_if_refused
from arq_status.web.rendering import View, render_part
from arq_status.web.updates import PACE, Gone, Part, StreamState, frame

#: The parts of a job's page in order, and the fields that each shows besides the status.
JOB_PARTS: Mapping[str, tuple[str, ...]] = {
    "error": ("error",),
    "progress": ("at", "total", "message", "pct_complete"),
    "timeline": ("enqueued_at", "due_at", "started_at", "ended_at", "job_try"),
    "log": (),
    "result": ("returned",),
    "data": ("data",),
    "arguments": ("args",),
}
#: The number of days from which the usual run time of a function is computed.
_USUAL_DAYS = 7
_HEAD = {"head": ("function", "job_try", "due_at", "started_at", "ended_at", "expires_at")}
_PROPERTIES = {"properties": ("queue", "worker", "job_try", "updated_at", "expires_at")}


#: How jobs of a function usually run, and how many tries arq gives them, as far as known.
Expected = tuple[ActivityPoint | None, int | None]


class JobState(StreamState):
    """The state of a job, its tries and its log, with what is usual for its function."""

    def __init__(
        self,
        record: JobRecord,
        version: int,
        tries: Sequence[Try] = (),
        lines: Sequence[LogLine] = (),
        expected: Expected = (None, None),
    ) -> None:
        super().__init__(version)
        self._record = record
        self._expected = expected
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
            # later lines are sent separately
            return bool(self._lines)
        history = self._tries if name in ("error", "timeline") else None
        expected = self._expected if name in _HEAD else None
        return [
            self._record.status,
            history,
            expected,
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
            *self._expected,
        )

    def _html(self, seen: Any, view: View) -> Iterator[bytes]:
        yield from super()._html(seen, view)
        # viewers who saw no lines get the whole log as a part
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
        """True if the tries say more than the record: there are several, or a traceback."""
        return len(self._tries) > 1 or any(it.traceback for it in self._tries)

    def _lines_since(self, seen: "JobState | None") -> list[LogLine]:
        last = seen._lines[-1].number if seen is not None and seen._lines else 0
        return [line for line in self._lines if line.number > last]

    def _end(self) -> Iterator[bytes]:
        if self._record.ended_at is not None:
            yield frame("end", {})


async def expectations(client: StatusClient, record: JobRecord) -> Expected:
    """Return how jobs of the same function and queue ran recently, and the job's maximum tries."""
    day = timedelta(days=1)
    found = await none_if_refused(
        client._activity(_USUAL_DAYS * day, day, record.function or "", record.queue)
    )
    return found and found[1], await client._max_tries(record)


async def job_updates(
    client: StatusClient, job_id: str, is_page: bool = False
) -> AsyncGenerator[JobState | Gone]:
    """Yield the job now and at every change, up to its end.

    Args:
        client: where the job is.
        job_id: arq's id of the job.
        is_page: also read how such jobs usually run.
    """
    record, version = None, 0
    expected: Expected = (None, None)
    tries: Sequence[Try] = ()
    async with aclosing(client.watch(job_id)) as records:
        async for latest in records:
            if record is None or (latest.job_try, latest.status) != (record.job_try, record.status):
                tries = await client.tries(job_id)
                if is_page:
                    expected = await expectations(client, latest)
            record = latest
            version += 1
            yield JobState(record, version, tries, await client.logs(job_id), expected)
            await asyncio.sleep(PACE)
    if record is None or record.ended_at is None:
        yield Gone()
