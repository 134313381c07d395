"""Pushed changes of jobs: one pub/sub connection and one reader for any number of followers."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Collection, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

from arq_status._client import subscription
from arq_status._client.following import Followed, Following
from arq_status._model.builder import build_record, decode_data
from arq_status._model.facts import Facts
from arq_status._model.group import GroupRecord, group_has_changed
from arq_status._model.snapshot import JobRecord, has_changed
from arq_status._model.text import clean
from arq_status._redis.connection import CONNECTION_ERRORS
from arq_status._redis.groups import read_group
from arq_status._redis.keys import GROUP_SUBJECT
from arq_status._redis.store import Store

logger = logging.getLogger("arq_status")

#: Seconds between reads of everything followed: the death of a worker is not published.
POLL_INTERVAL = 2.0
#: Seconds for which changes are collected before they are read.
_COLLECTING = 0.04
#: Seconds before a failed read is retried.
_RETRY_DELAY = 0.5
#: Arq may store the end of a job up to this many ms after it was recorded.
_ENDING_MS = 1_000
#: Minimum time between two reads of a group: in seconds, and as a multiple of the time that a read
#: takes.
_GROUP_INTERVAL, _GROUP_SHARE = 0.1, 10


class Feed:
    """Reads each changed job once for all its followers. Pub/sub announces which have changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._followings: dict[Following[Any], None] = {}
        self._followed: dict[str, Followed] = {}
        #: jobs and groups to read
        self._stale: set[str] = set()
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def follow(
        self, job_ids: Iterable[str] = (), *, others: bool = False
    ) -> AsyncGenerator[Following[JobRecord]]:
        """Follow jobs, starting with their current records.

        With ``others``, also notify the follower of changes of all other jobs.
        """
        following = Following[JobRecord](self, others=others)
        async with self._following(following, job_ids):
            yield following

    @asynccontextmanager
    async def follow_group(self, group_id: str) -> AsyncGenerator[Following[GroupRecord]]:
        """Follow a group, starting with its current record."""
        following = Following[GroupRecord](self, others=False)
        async with self._following(following, [f"{GROUP_SUBJECT}{clean(group_id)}"]):
            yield following

    @asynccontextmanager
    async def _following(
        self, following: Following[Any], subjects: Iterable[str]
    ) -> AsyncGenerator[None]:
        self._followings[following] = None
        if not self._tasks:
            listening = subscription.listen(self._store.redis, self._store.channel, self.notify)
            self._tasks = [
                asyncio.create_task(work, name="arq-status feed")
                for work in (listening, self._read())
            ]
        following.subjects = subjects
        try:
            yield
        finally:
            following.subjects = ()
            del self._followings[following]
            if not self._followings:
                await self.aclose()

    async def aclose(self) -> None:
        """Close the connection; the next follower opens it again."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def update_followed(
        self, following: Following[Any], added: Collection[str], removed: Collection[str]
    ) -> None:
        """Add and remove jobs and groups that a follower follows; added ones are read at once."""
        for subject in added:
            self._followed.setdefault(subject, Followed()).followers[following] = None
        for subject in removed:
            followers = self._followed[subject].followers
            del followers[following]
            if not followers:
                del self._followed[subject]
        self._mark_stale(added)

    def notify(self, subjects: Collection[str] | None) -> None:
        """Have these changed jobs and groups read again; ``None``: all that are followed."""
        self._mark_stale(self._followed if subjects is None else subjects)
        for following in self._followings:
            following.notify(subjects)

    def _mark_stale(self, subjects: Iterable[str]) -> None:
        self._stale.update(it for it in subjects if it in self._followed)
        if self._stale:
            self._wake.set()

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        next_poll = loop.time() + POLL_INTERVAL
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(next_poll):
                    await self._wake.wait()
            if loop.time() >= next_poll:
                self.notify(None)
                next_poll = loop.time() + POLL_INTERVAL
            await asyncio.sleep(_COLLECTING)
            self._wake.clear()
            stale, self._stale = self._stale, set()
            try:
                # a read that waits for a dead connection is retried on another one
                async with asyncio.timeout(subscription.SILENCE):
                    await self._deliver_jobs([it for it in stale if not is_group(it)])
                    await self._deliver_groups([it for it in stale if is_group(it)])
            except Exception as error:
                if not isinstance(error, CONNECTION_ERRORS):
                    # a bug; followers must still get the next change
                    logger.exception("could not deliver updates of jobs")
                self._mark_stale(stale)
                await asyncio.sleep(_RETRY_DELAY)

    async def _deliver_jobs(self, job_ids: list[str]) -> None:
        # followers that leave during the read get nothing delivered
        followed = self._followed_of(job_ids)
        read = await self._store.facts([*followed], with_data=True, with_returned=True)
        for (job_id, job), (facts, fields) in zip(followed.items(), read, strict=True):
            job.deliver(job_id, build_record(facts, decode_data(fields)), has_changed)
            if end_is_unconfirmed(facts):
                self._mark_stale([job_id])

    async def _deliver_groups(self, subjects: list[str]) -> None:
        clock = asyncio.get_running_loop().time
        for subject, followed in self._followed_of(subjects).items():
            began = clock()
            if began < followed.due:
                # the reader comes back to it in its next round
                self._mark_stale([subject])
                continue
            record = await read_group(self._store, subject.removeprefix(GROUP_SUBJECT))
            pause = max(_GROUP_INTERVAL, (clock() - began) * _GROUP_SHARE)
            followed.due = began + pause
            followed.deliver(subject, record, group_has_changed)

    def _followed_of(self, subjects: list[str]) -> dict[str, Followed]:
        return {it: self._followed[it] for it in subjects if it in self._followed}


def is_group(subject: str) -> bool:
    """Return True if the subject is a group, not a job."""
    return subject.startswith(GROUP_SUBJECT)


def end_is_unconfirmed(facts: Facts) -> bool:
    """Return True if the end was recorded less than 1 s ago and arq has not stored it yet."""
    ended = facts.stored_record.ended if facts.stored_record is not None else None
    return facts.live and ended is not None and abs(facts.now - ended) < _ENDING_MS
