"""Changes of jobs, pushed: one pub/sub connection and one reader, however many follow."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Collection, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol

from arq_status._model.builder import build_record, decode_data
from arq_status._model.facts import Facts
from arq_status._model.snapshot import JobRecord, has_changed
from arq_status._redis.connection import CONNECTION_ERRORS, beside, close
from arq_status._redis.lookup import Fields
from arq_status._redis.store import Store

logger = logging.getLogger("arq_status")

#: Seconds between looks at all that is followed: for what publishes nothing, as a worker's death.
CHECK = 2.0
#: Seconds for which changes are gathered before they are read.
_GATHERING = 0.04
#: Until so many ms after the recorded end of a job arq may still be at it.
_ENDING_MS = 1_000
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
_LISTENING = 60.0


class Following:
    """The jobs that one reader of a feed follows, and what is new of them."""

    def __init__(self, feed: "Feed", *, others: bool) -> None:
        self._feed = feed
        self._others = others
        self._job_ids: frozenset[str] = frozenset()
        #: jobs of which it was told nothing yet
        self._untold: set[str] = set()
        self._records: dict[str, JobRecord | None] = {}
        self._news = asyncio.Event()

    @property
    def job_ids(self) -> frozenset[str]:
        """The jobs whose records it gets; of those that are added the present ones at once."""
        return self._job_ids

    @job_ids.setter
    def job_ids(self, job_ids: Iterable[str]) -> None:
        before, self._job_ids = self._job_ids, frozenset(job_ids)
        self._untold = (self._untold | (self._job_ids - before)) & self._job_ids
        self._records = {it: known for it, known in self._records.items() if it in self._job_ids}
        self._feed.attend(self, self._job_ids - before, before - self._job_ids)

    async def changed(self) -> dict[str, JobRecord | None]:
        """Wait for a change; the newest records of the jobs that changed since the last call.

        ``None`` stands for a job that is not known any more. With ``others`` the answer may be
        empty: something changed in the lists.
        """
        await self._news.wait()
        self._news.clear()
        records, self._records = self._records, {}
        return records

    def tell(self, job_id: str, record: JobRecord | None, *, has_changed: bool) -> None:
        """Take in what was read of a job."""
        if has_changed or job_id in self._untold:
            self._untold.discard(job_id)
            self._records[job_id] = record
            self._news.set()

    def notify(self) -> None:
        """Take in that something changed of any job."""
        if self._others:
            self._news.set()


class FactsReader(Protocol):
    """Where a feed looks at what changed."""

    async def facts(
        self, job_ids: Sequence[str], *, with_data: bool = False
    ) -> list[tuple[Facts, Fields]]:
        """What decides about each job, and its stored fields."""


class Feed:
    """Reads what changed, once for all that follow; somebody has to tell it when to look."""

    def __init__(self, reader: FactsReader) -> None:
        self._reader = reader
        self._followers: dict[Following, None] = {}
        self._followers_of: dict[str, dict[Following, None]] = {}
        self._known: dict[str, JobRecord | None] = {}
        #: jobs to look at
        self._due: set[str] = set()
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def follow(
        self, job_ids: Iterable[str] = (), *, others: bool = False
    ) -> AsyncGenerator[Following]:
        """Follow jobs, first as they are; with ``others`` hear of every change of any job."""
        following = Following(self, others=others)
        self._followers[following] = None
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(work, name="arq-status feed") for work in self._works()
            ]
        following.job_ids = job_ids
        try:
            yield following
        finally:
            following.job_ids = ()
            del self._followers[following]
            if not self._followers:
                await self.aclose()

    async def aclose(self) -> None:
        """Close the connection; it opens again when somebody follows."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def attend(
        self, following: Following, added: Collection[str], removed: Collection[str]
    ) -> None:
        """Note that somebody follows other jobs from now on."""
        for job_id in added:
            self._followers_of.setdefault(job_id, {})[following] = None
        for job_id in removed:
            followers = self._followers_of[job_id]
            del followers[following]
            if not followers:
                del self._followers_of[job_id]
                self._known.pop(job_id, None)
        self._look_at(added)

    def hear(self, job_ids: Iterable[str]) -> None:
        """Note that these jobs changed."""
        self._look_at(job_id for job_id in job_ids if job_id in self._followers_of)
        self._tell_of_others()

    def mark_all_stale(self) -> None:
        """Note that any job may have changed."""
        self._look_at(self._followers_of)
        self._tell_of_others()

    def _tell_of_others(self) -> None:
        for following in self._followers:
            following.notify()

    def _works(self) -> list[Coroutine[Any, Any, None]]:
        return [self._read()]

    def _look_at(self, job_ids: Iterable[str]) -> None:
        self._due.update(job_ids)
        if self._due:
            self._wake.set()

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        check = loop.time() + CHECK
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(check):
                    await self._wake.wait()
            if loop.time() >= check:
                self.mark_all_stale()
                check = loop.time() + CHECK
            await asyncio.sleep(_GATHERING)
            self._wake.clear()
            due, self._due = self._due & self._followers_of.keys(), set()
            try:
                await self._tell(list(due))
            except Exception as error:
                if not isinstance(error, CONNECTION_ERRORS):
                    # who follows is to hear of the next change all the same
                    logger.exception("what changed is not told")
                self._look_at(due)
                await asyncio.sleep(_LONGEST_PAUSE / 4)

    async def _tell(self, job_ids: list[str]) -> None:
        for facts, fields in await self._reader.facts(job_ids, with_data=True):
            job_id = facts.job_id
            record = build_record(facts, decode_data(fields))
            changed = job_id not in self._known or has_changed(self._known[job_id], record)
            for following in self._followers_of.get(job_id, ()):
                following.tell(job_id, record, has_changed=changed)
            if job_id in self._followers_of:
                self._known[job_id] = record
            if _is_ending(facts):
                self._look_at([job_id])


class RedisFeed(Feed):
    """Hears of changes by pub/sub."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._store = store

    def _works(self) -> list[Coroutine[Any, Any, None]]:
        return [self._listen(), *super()._works()]

    async def _listen(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            redis = beside(self._store.redis, decode_responses=False)
            try:
                async with redis.pubsub() as pubsub:
                    await pubsub.subscribe(self._store.channel)
                    while True:
                        self._hear(await pubsub.get_message(timeout=_LISTENING))
                        pause = _FIRST_PAUSE
            except CONNECTION_ERRORS as error:
                if pause == _FIRST_PAUSE:
                    logger.warning("no changes are heard: %r", error)
            finally:
                await close(redis)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _hear(self, message: dict[str, object] | None) -> None:
        if message is None:
            # nothing for a long time
            return
        if message["type"] != "message":
            # subscribed, perhaps again: what was published before was not heard
            self.mark_all_stale()
            return
        try:
            self.hear(json.loads(message["data"]))  # type: ignore[arg-type]
        except (ValueError, TypeError):
            self.mark_all_stale()


def _is_ending(facts: Facts) -> bool:
    """Whether the end of the job is recorded, and arq about to follow."""
    ended = facts.stored_record.ended if facts.stored_record is not None else None
    return facts.live and ended is not None and abs(facts.now - ended) < _ENDING_MS
