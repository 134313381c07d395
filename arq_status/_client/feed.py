"""Changes of jobs, pushed: one pub/sub connection and one reader for any number of followers."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from redis.asyncio.client import PubSub

from arq_status._model.builder import build_record, decode_data
from arq_status._model.facts import Facts
from arq_status._model.group import GroupRecord, group_has_changed
from arq_status._model.snapshot import JobRecord, has_changed
from arq_status._model.text import clean
from arq_status._redis.connection import CONNECTION_ERRORS, beside, close
from arq_status._redis.groups import read_group
from arq_status._redis.keys import GROUP_SUBJECT
from arq_status._redis.store import Store

logger = logging.getLogger("arq_status")

#: Seconds between reads of all jobs that are followed: the death of a worker publishes nothing.
POLL_INTERVAL = 2.0
#: Seconds for which changes are collected before they are read.
_COLLECTING = 0.04
#: Arq's own end of a job may follow the recorded one by so many ms.
_ENDING_MS = 1_000
#: Seconds before the first and between later attempts to reconnect.
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 2.0
#: Seconds of silence after which the pub/sub connection is pinged, and a connection is taken for
#: dead.
_SILENCE = 10.0
#: Seconds between two reads of a group, and how often as long as one takes.
_GROUP_INTERVAL, _GROUP_SHARE = 0.1, 10
#: Changed jobs that are named to a follower of all jobs, before it is told that there were more.
_MOST_MENTIONED = 10_000


class Following:
    """The jobs that one follower of a feed follows, and their changes that it has not seen yet.

    Groups are followed under what ``group_subject`` makes of their ids.
    """

    def __init__(self, feed: "Feed", *, others: bool) -> None:
        self._feed = feed
        self._others = others
        self._job_ids: frozenset[str] = frozenset()
        #: jobs whose first record is still to come
        self._unseen: set[str] = set()
        self._records: dict[str, JobRecord | None] = {}
        self._groups: dict[str, GroupRecord | None] = {}
        #: with ``others``: the jobs that changed; or else more did, or nobody knows which
        self.mentioned: set[str] = set()
        self.missed_some: bool = False
        self._has_news = asyncio.Event()

    @property
    def job_ids(self) -> frozenset[str]:
        """The jobs to follow. One that is added delivers its present record first."""
        return self._job_ids

    @job_ids.setter
    def job_ids(self, job_ids: Iterable[str]) -> None:
        before, self._job_ids = self._job_ids, frozenset(job_ids)
        self._unseen = (self._unseen | (self._job_ids - before)) & self._job_ids
        self._records = {it: known for it, known in self._records.items() if it in self._job_ids}
        self._feed.attend(self, self._job_ids - before, before - self._job_ids)

    async def changed(self) -> dict[str, JobRecord | None]:
        """Wait for a change and return the records of the jobs that changed since the last call.

        ``None`` stands for a job that is not known any more. With ``others`` the dict may be empty:
        some other job changed.
        """
        await self._has_news.wait()
        self._has_news.clear()
        records, self._records = self._records, {}
        return records

    async def changed_groups(self) -> dict[str, GroupRecord | None]:
        """Wait for a change, and return the records of the groups that changed likewise."""
        await self._has_news.wait()
        self._has_news.clear()
        groups, self._groups = self._groups, {}
        return groups

    def deliver(self, job_id: str, record: JobRecord | None, *, changed: bool) -> None:
        """Take in the record of a job as it was just read."""
        if changed or job_id in self._unseen:
            self._unseen.discard(job_id)
            self._records[job_id] = record
            self._has_news.set()

    def deliver_group(self, subject: str, record: GroupRecord | None, *, changed: bool) -> None:
        """Take in the record of a group as it was just read."""
        if changed or subject in self._unseen:
            self._unseen.discard(subject)
            self._groups[subject] = record
            self._has_news.set()

    def notify(self, subjects: Collection[str] | None) -> None:
        """Take in which jobs and groups changed; ``None``: any of them may have."""
        if self._others:
            if subjects is None or len(self.mentioned) + len(subjects) > _MOST_MENTIONED:
                self.missed_some = True
            else:
                self.mentioned.update(subjects)
            self._has_news.set()


class Feed:
    """Reads each job that changed once for all its followers. Pub/sub tells which have changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._followers: dict[Following, None] = {}
        self._followers_of: dict[str, dict[Following, None]] = {}
        self._known: dict[str, JobRecord | None] = {}
        self._known_groups: dict[str, GroupRecord | None] = {}
        #: when groups may be read again
        self._group_due: dict[str, float] = {}
        #: jobs to read
        self._stale: set[str] = set()
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def follow(
        self, job_ids: Iterable[str] = (), *, others: bool = False
    ) -> AsyncGenerator[Following]:
        """Follow jobs, first as they are now; with ``others`` be notified of every other job."""
        following = Following(self, others=others)
        self._followers[following] = None
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(work, name="arq-status feed")
                for work in (self._listen(), self._read())
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
        """Close the connection; the next follower opens it again."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def attend(
        self, following: Following, added: Collection[str], removed: Collection[str]
    ) -> None:
        """Register which jobs a follower follows from now on."""
        for job_id in added:
            self._followers_of.setdefault(job_id, {})[following] = None
        for job_id in removed:
            followers = self._followers_of[job_id]
            del followers[following]
            if not followers:
                del self._followers_of[job_id]
                self._known.pop(job_id, None)
                self._known_groups.pop(job_id, None)
                self._group_due.pop(job_id, None)
        self._mark_stale(added)

    def notify(self, subjects: Collection[str]) -> None:
        """Have these jobs and groups, which changed, read again."""
        self._mark_stale(it for it in subjects if it in self._followers_of)
        self._notify_followers(subjects)

    def mark_all_stale(self) -> None:
        """Have all jobs read again, because any of them may have changed."""
        self._mark_stale(self._followers_of)
        self._notify_followers(None)

    def _notify_followers(self, subjects: Collection[str] | None) -> None:
        for following in self._followers:
            following.notify(subjects)

    def _mark_stale(self, job_ids: Iterable[str]) -> None:
        self._stale.update(job_ids)
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
                self.mark_all_stale()
                next_poll = loop.time() + POLL_INTERVAL
            await asyncio.sleep(_COLLECTING)
            self._wake.clear()
            stale, self._stale = self._stale & self._followers_of.keys(), set()
            try:
                # whoever waits for a dead connection is to get another one
                async with asyncio.timeout(_SILENCE):
                    await self._deliver([it for it in stale if not is_group(it)])
                    await self._deliver_groups([it for it in stale if is_group(it)])
            except Exception as error:
                if not isinstance(error, CONNECTION_ERRORS):
                    # a bug, which must not cost the followers the next change
                    logger.exception("could not deliver updates of jobs")
                self._mark_stale(stale)
                await asyncio.sleep(_LONGEST_DELAY / 4)

    async def _deliver(self, job_ids: list[str]) -> None:
        for facts, fields in await self._store.facts(job_ids, with_data=True, with_returned=True):
            job_id = facts.job_id
            record = build_record(facts, decode_data(fields))
            changed = job_id not in self._known or has_changed(self._known[job_id], record)
            for following in self._followers_of.get(job_id, ()):
                following.deliver(job_id, record, changed=changed)
            if job_id in self._followers_of:
                self._known[job_id] = record
            if is_ending(facts):
                self._mark_stale([job_id])

    async def _deliver_groups(self, subjects: list[str]) -> None:
        clock = asyncio.get_running_loop().time
        for subject in subjects:
            began = clock()
            if began < self._group_due.get(subject, 0):
                # the next round of this loop has it again
                self._mark_stale([subject])
                continue
            record = await read_group(self._store, subject.removeprefix(GROUP_SUBJECT))
            pause = max(_GROUP_INTERVAL, (clock() - began) * _GROUP_SHARE)
            self._group_due[subject] = began + pause
            known = self._known_groups
            changed = subject not in known or group_has_changed(known[subject], record)
            for following in self._followers_of.get(subject, ()):
                following.deliver_group(subject, record, changed=changed)
            if subject in self._followers_of:
                known[subject] = record

    async def _listen(self) -> None:
        delay = _FIRST_DELAY
        while True:
            redis = beside(self._store.redis, decode_responses=False)
            try:
                async with redis.pubsub() as pubsub:
                    await pubsub.subscribe(self._store.channel)
                    while True:
                        self._receive(await _next_message(pubsub))
                        delay = _FIRST_DELAY
            except CONNECTION_ERRORS as error:
                if delay == _FIRST_DELAY:
                    logger.warning("pub/sub connection lost, reconnecting: %r", error)
            finally:
                await close(redis)
            await asyncio.sleep(delay)
            delay = min(delay * 2, _LONGEST_DELAY)

    def _receive(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "subscribe":
            # perhaps again, and what was published before is lost
            self.mark_all_stale()
        elif message["type"] == "message":
            subjects = _subjects_in(message["data"])
            if subjects is None:
                self.mark_all_stale()
            else:
                self.notify(subjects)


def _subjects_in(data: bytes) -> list[str] | None:
    """Return which jobs and groups changed; ``None`` if the message is none of ours."""
    try:
        subjects = json.loads(data)
    except (ValueError, RecursionError):
        return None
    is_ours = isinstance(subjects, list) and all(isinstance(it, str) for it in subjects)
    return subjects if is_ours else None


async def _next_message(pubsub: PubSub) -> Mapping[str, Any]:
    """Wait for the next message.

    Raises:
        ConnectionError: nothing came for long, and no answer to a ping either. TCP alone does not
            notice that a host or a path to it is gone.
    """
    return _heard(await pubsub.get_message(timeout=_SILENCE) or await _answer_to_ping(pubsub))


async def _answer_to_ping(pubsub: PubSub) -> Mapping[str, Any] | None:
    await pubsub.ping(b"arq-status")
    message: Mapping[str, Any] | None = await pubsub.get_message(timeout=_SILENCE)
    return message


def _heard(message: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if message is None:
        raise ConnectionError(f"no answer for {_SILENCE:g} s")
    return message


def group_subject(group_id: str) -> str:
    """Return under what a group is followed."""
    return f"{GROUP_SUBJECT}{clean(group_id)}"


def is_group(subject: str) -> bool:
    """Return whether a group is followed under this, and not a job."""
    return subject.startswith(GROUP_SUBJECT)


def is_ending(facts: Facts) -> bool:
    """Return whether the end of the job is recorded, but not arq's own yet."""
    ended = facts.stored_record.ended if facts.stored_record is not None else None
    return facts.live and ended is not None and abs(facts.now - ended) < _ENDING_MS
