"""Where a client has its answers from."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, Protocol

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from arq_status._client.feed import Feed, RedisFeed
from arq_status._client.listing import count, overview, page_of
from arq_status._model.facts import Facts
from arq_status._model.query import Query
from arq_status._model.record import StoredRecord
from arq_status._model.snapshot import Page
from arq_status._model.status import Status
from arq_status._redis.connection import close
from arq_status._redis.lookup import Fields
from arq_status._redis.store import Store

#: Seconds between sweeps of the indexes by a client that lists or counts.
_SWEEP_INTERVAL = 20.0


class Source(Protocol):
    """What a client asks, and tells what it wants done."""

    @property
    def feed(self) -> Feed:
        """What changes."""

    async def facts(
        self, job_ids: Sequence[str], *, with_data: bool = False
    ) -> list[tuple[Facts, Fields]]:
        """What decides about each job, and its stored fields."""

    async def status(self, job_id: str) -> Status | None:
        """What the job is doing."""

    async def page(self, query: Query) -> Page:
        """A page of the list."""

    async def counts(self) -> dict[Status, int]:
        """How many jobs there are of each status."""

    async def overview(self, query: Query) -> tuple[Page, dict[Status, int], list[str]]:
        """Both, and the names of the functions that there are."""

    async def stop(self, job_id: str, run: int, *, force: bool) -> bool:
        """Ask a running job to stop; False where that run does not run."""

    async def cancel(self, facts: Facts, last: StoredRecord, *, drop_key: bool) -> bool:
        """Take a job that waits out of its queue; False where something of it changed."""

    async def retry(self, facts: Facts, waiting: StoredRecord) -> bool:
        """Have an ended job run again; False where that cannot be."""

    async def store(self, job_id: str, waiting: StoredRecord, fields: Mapping[str, str]) -> bool:
        """Add fields from outside the job; False where it is not known."""

    async def delete(self, job_id: str, tombstone: StoredRecord) -> None:
        """Forget what was tracked of a job; of one that is not live this stands in its place."""

    async def aclose(self) -> None:
        """Close what is open for it."""


class RedisSource(Store):
    """Redis, for one client in one event loop."""

    def __init__(
        self,
        redis: Redis,
        *,
        owned: bool,
        queues: Sequence[str] | None,
        expires: int,
        deserializer: Callable[[bytes], Any] | None,
    ) -> None:
        super().__init__(redis, queues=queues, expires=expires, deserializer=deserializer)
        self.feed: Feed = RedisFeed(self)
        self._owned = owned
        self._swept = 0.0

    async def page(self, query: Query) -> Page:
        """A page of the list."""
        await self._sweep_at_times()
        return await page_of(self, query)

    async def counts(self) -> dict[Status, int]:
        """How many jobs there are of each status."""
        await self._sweep_at_times()
        return await count(self)

    async def overview(self, query: Query) -> tuple[Page, dict[Status, int], list[str]]:
        """Both, of one look at the indexes, and the functions that workers have announced."""
        await self._sweep_at_times()
        page, counts = await overview(self, query)
        return page, counts, await self.functions()

    async def aclose(self) -> None:
        """Close its connections, but for those of a client that was given."""
        await self.feed.aclose()
        if self._owned:
            await close(self.redis)

    async def _sweep_at_times(self) -> None:
        if monotonic() - self._swept > _SWEEP_INTERVAL:
            self._swept = monotonic()
            # a replica takes no writes, and shows nothing that has expired all the same
            with suppress(ResponseError):
                await self.sweep()
