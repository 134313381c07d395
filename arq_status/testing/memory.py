"""Jobs in memory: what arq's keys and our records would hold, for tests that run without Redis."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from arq.utils import timestamp_ms

from arq_status._arq.payload import read_job, read_result
from arq_status._client.feed import Feed
from arq_status._client.listing import page_from
from arq_status._model.builder import build_record, decode_data
from arq_status._model.facts import Facts
from arq_status._model.options import FunctionOptions
from arq_status._model.query import Query
from arq_status._model.record import State, StoredRecord
from arq_status._model.snapshot import JobRecord, Page
from arq_status._model.status import Status
from arq_status._model.truth import decide
from arq_status._redis.batch import CompletedRow, Row
from arq_status._redis.lookup import Fields
from arq_status.testing.entry import Entry

#: What is left of an in-progress key of arq's: here it goes when the try ends, at the latest.
_KEY_LEFT = 86_400_000


class Reporter(Protocol):
    """A worker's uplink: it keeps what jobs report until somebody asks."""

    #: the options of its functions
    announced: Mapping[str, FunctionOptions]

    def pull(self) -> None:
        """Write what jobs have reported."""

    def stop(self, job_id: str, run: int, *, force: bool) -> None:
        """Ask a running job to stop."""


class Memory:
    """Jobs in memory: a ``Source`` for clients, and what a worker's uplink writes to."""

    def __init__(self, deserializer: Callable[[bytes], Any] | None) -> None:
        self._deserializer = deserializer
        self._entries: dict[str, Entry] = {}
        #: the options of the functions, once a tracked worker has announced them
        self.options: Mapping[str, FunctionOptions] = {}
        self._uplink: Reporter | None = None
        self.feed = Feed(self)
        #: runs a job that is queued to its end
        self.run: Callable[[str], Awaitable[object]] = _nobody

    def entry(self, job_id: str) -> Entry:
        """The job with this id."""
        entry = self._entries.setdefault(job_id, Entry(job_id=job_id))
        entry.expire(timestamp_ms())
        return entry

    def entries(self) -> list[Entry]:
        """All jobs."""
        return [self.entry(job_id) for job_id in list(self._entries)]

    # a worker's side

    def attach(self, uplink: Reporter) -> None:
        """Take in what an uplink brings."""
        self._uplink, self.options = uplink, uplink.announced

    def detach(self) -> None:
        """Take in that the worker has ended."""
        self._uplink = None

    def write(self, row: Row | CompletedRow) -> None:
        """Write a record, unless the job was deleted since it ended."""
        new = StoredRecord.decode(row.record.encode())
        assert new is not None
        entry = self.entry(row.job_id)
        old = entry.track
        if old is not None and old.enqueued_ms == new.enqueued_ms and old.state is State.DELETED:
            return
        if old is not None and old.enqueued_ms != new.enqueued_ms:
            entry.forget()
        entry.fields |= _encoded(row.fields)
        entry.put(new)
        if new.state is State.COMPLETE:
            entry.kept = None
        else:
            entry.keep_payload()

    # a client's side

    async def facts(
        self, job_ids: Sequence[str], *, with_data: bool = False
    ) -> list[tuple[Facts, Fields]]:
        """What decides about each job, and its stored fields."""
        del with_data  # they cost nothing
        self.pull()
        entries = [
            self.entry(job_id) if job_id in self._entries else Entry(job_id=job_id)
            for job_id in job_ids
        ]
        return [(self._facts(entry), dict(entry.fields)) for entry in entries]

    async def status(self, job_id: str) -> Status | None:
        """What the job is doing."""
        [(facts, _)] = await self.facts([job_id])
        return decide(facts)

    def pull(self) -> None:
        """Take what jobs have reported since the last look."""
        if self._uplink is not None:
            self._uplink.pull()

    async def page(self, query: Query) -> Page:
        """A page of the list."""
        return page_from(await self._records(), query)

    async def counts(self) -> dict[Status, int]:
        """How many jobs there are of each status."""
        counts = dict.fromkeys(Status, 0)
        for record in await self._records():
            counts[record.status] += 1
        return counts

    async def overview(self, query: Query) -> tuple[Page, dict[Status, int], list[str]]:
        """Both, and the functions of the settings."""
        return await self.page(query), await self.counts(), [name for name in self.options if name]

    async def stop(self, job_id: str, run: int, *, force: bool) -> bool:
        """Ask a running job to stop."""
        # nothing has happened since it was seen running, with a record
        assert self._uplink is not None
        self._uplink.stop(job_id, run, force=force)
        return True

    async def cancel(self, facts: Facts, last: StoredRecord, *, drop_key: bool) -> bool:
        """Take a job that waits out of its queue."""
        del drop_key  # nobody else looks at it
        entry = self.entry(facts.job_id)
        if facts.current_record is None:
            entry.forget()
        entry.keep_payload()
        entry.payload = None
        entry.put(last)
        self.feed.hear([entry.job_id])
        return True

    async def retry(self, facts: Facts, waiting: StoredRecord) -> bool:
        """Run an ended job again; False where its payload was not kept."""
        entry = self.entry(facts.job_id)
        payload = entry.kept
        if payload is None:
            return False
        entry.forget()
        entry.payload, entry.kept, entry.result = payload, payload, None
        entry.queue, entry.due, entry.tries = waiting.queue, waiting.due or 0, 0
        entry.put(waiting)
        self.feed.hear([entry.job_id])
        await self.run(entry.job_id)
        return True

    async def store(self, job_id: str, waiting: StoredRecord, fields: Mapping[str, str]) -> bool:
        """Add fields from outside the job; False where it is not known."""
        entry = self.entry(job_id)
        if self._facts(entry).current_record is None:
            if not entry.live:
                return False
            entry.forget()
            entry.put(waiting)
        entry.fields |= _encoded(fields)
        self.feed.hear([job_id])
        return True

    async def delete(self, job_id: str, tombstone: StoredRecord) -> None:
        """Forget what was tracked of a job; of one that is not live this stands in its place."""
        entry = self.entry(job_id)
        entry.forget()
        if not entry.live:
            entry.put(tombstone)
        self.feed.hear([job_id])

    async def aclose(self) -> None:
        """Nothing is open."""

    async def _records(self) -> list[JobRecord]:
        found = await self.facts(list(self._entries))
        records = (build_record(facts, decode_data(fields)) for facts, fields in found)
        return [record for record in records if record is not None]

    def _facts(self, entry: Entry) -> Facts:
        payload = result = None
        if entry.payload is not None:
            payload = self._shown(read_job(entry.payload, b"", self._deserializer))
        elif entry.result is not None:
            result = self._shown(read_result(entry.result, b"", self._deserializer))
            track = entry.track
            if track is not None and track.ended and track.enqueued_ms == result.enqueued_ms:
                result = None
        read = payload or result
        options = self._options_of(read.function if read else None)
        return Facts(
            job_id=entry.job_id,
            now=timestamp_ms(),
            payload=payload,
            queue=entry.queue if entry.live else None,
            due=entry.due if entry.live else None,
            ongoing=entry.ongoing,
            key_left=_KEY_LEFT,
            tries=entry.tries if entry.ongoing else None,
            stored_record=entry.track,
            stored_text=entry.stored,
            worker_alive=self._uplink is not None,
            result=result,
            options=options,
        )

    def _shown(self, read: Any) -> Any:
        shows = self._options_of(read.function).record_args
        return read if shows else replace(read, args="")

    def _options_of(self, function: str | None) -> FunctionOptions:
        default = self.options.get("", FunctionOptions())
        return self.options.get(function or "", default)


async def _nobody(job_id: str) -> None:
    """There is no worker, or none yet."""


def _encoded(fields: Mapping[str, str]) -> dict[bytes, bytes]:
    return {name.encode(): text.encode() for name, text in fields.items()}
