"""The stream of changes of all matching jobs."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import suppress
from datetime import UTC, datetime

from arq_status._client.feed import Feed, end_is_unconfirmed, is_group
from arq_status._client.listing import newest
from arq_status._model.builder import build_record, decode_data
from arq_status._model.query import Query
from arq_status._model.snapshot import JobRecord, has_changed
from arq_status._redis.store import Store

#: How many records are remembered, to detect changes.
_REMEMBERED = 20_000
#: Seconds for which changes are collected before they are read.
_COLLECTING = 0.04


async def changes(store: Store, feed: Feed, query: Query) -> AsyncGenerator[JobRecord]:
    """Yield the records of jobs that changed and match, from now on."""
    async with feed.follow(others=True) as following:
        log = _ChangeLog(store, query)
        await log.begin()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_COLLECTING if log.ending else None):
                    await following.changed()
                    await asyncio.sleep(_COLLECTING)
            mentioned, following.mentioned = following.mentioned, set()
            missed_some, following.missed_some = following.missed_some, False
            for record in await log.read(mentioned, missed_some=missed_some):
                yield record


class _ChangeLog:
    """The last known records of jobs, to detect which have changed."""

    def __init__(self, store: Store, query: Query) -> None:
        self._store = store
        self._query = query
        self._known: OrderedDict[str, JobRecord] = OrderedDict()
        self._began = datetime.now(UTC)
        #: jobs whose end was recorded, but which arq has not stored yet
        self.ending: set[str] = set()

    async def begin(self) -> None:
        """Remember the current records of the newest jobs, to detect later changes."""
        found, now = await newest(self._store, self._query)
        self._began = now
        await self._records(found)

    async def read(self, mentioned: set[str], *, missed_some: bool) -> list[JobRecord]:
        """Return the records of those jobs that changed and match.

        Args:
            mentioned: the jobs and groups that were reported to have changed.
            missed_some: True if others may have changed as well.
        """
        changed = {it for it in mentioned if not is_group(it)} | self.ending
        looked_at: list[str] = []
        if missed_some:
            looked_at, _ = await newest(self._store, self._query)
        records = await self._records([*changed, *(it for it in looked_at if it not in changed)])
        return [
            record
            for record, before in records
            if (before is None or has_changed(before, record))
            and (before is not None or record.job_id in changed or self._is_new(record))
            and self._query.matches(record, self._began)
        ]

    async def _records(self, job_ids: list[str]) -> list[tuple[JobRecord, JobRecord | None]]:
        """Return the records of jobs, each with its previously known one."""
        found = []
        self.ending = set()
        for facts, fields in await self._store.facts(job_ids, with_data=True):
            record = build_record(facts, decode_data(fields))
            before = self._known.pop(facts.job_id, None)
            if record is not None:
                self._known[record.job_id] = record
                found.append((record, before))
            if end_is_unconfirmed(facts):
                self.ending.add(facts.job_id)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return found

    def _is_new(self, record: JobRecord) -> bool:
        return record.updated_at is not None and record.updated_at >= self._began
