"""A follower's subscription to jobs or groups, and the changes that it has not seen yet."""

import asyncio
from collections.abc import Callable, Collection, Iterable
from typing import Any, Generic, Protocol, TypeVar

Record = TypeVar("Record")

#: Changed jobs that are named to a follower of all jobs, before it is told that there were more.
_MOST_MENTIONED = 10_000


class _Feed(Protocol):
    def update_followed(
        self, following: "Following[Any]", added: Collection[str], removed: Collection[str]
    ) -> None: ...


class Following(Generic[Record]):
    """The jobs or groups that one follower of a feed follows, and their changes that it has not
    seen yet."""

    def __init__(self, feed: _Feed, *, others: bool) -> None:
        self._feed = feed
        self._others = others
        self._subjects: frozenset[str] = frozenset()
        #: those whose first record is still to come
        self._unseen: set[str] = set()
        self._records: dict[str, Record | None] = {}
        #: only with ``others``: the jobs that changed; True if more changed than are listed, or it
        #: is unknown which
        self.mentioned: set[str] = set()
        self.missed_some: bool = False
        self._has_news = asyncio.Event()

    @property
    def subjects(self) -> frozenset[str]:
        """The jobs or groups to follow. One that is added delivers its present record first."""
        return self._subjects

    @subjects.setter
    def subjects(self, subjects: Iterable[str]) -> None:
        before, self._subjects = self._subjects, frozenset(subjects)
        self._unseen = (self._unseen | (self._subjects - before)) & self._subjects
        self._records = {it: known for it, known in self._records.items() if it in self._subjects}
        self._feed.update_followed(self, self._subjects - before, before - self._subjects)

    async def changed(self) -> dict[str, Record | None]:
        """Wait for a change and return the records of what changed since the last call.

        ``None`` stands for a job or group that is not known any more. With ``others`` the dict may
        be empty: some other job changed.
        """
        await self._has_news.wait()
        self._has_news.clear()
        records, self._records = self._records, {}
        return records

    def deliver(self, subject: str, record: Record | None, *, changed: bool) -> None:
        """Take in a record as it was just read."""
        if changed or subject in self._unseen:
            self._unseen.discard(subject)
            self._records[subject] = record
            self._has_news.set()

    def notify(self, subjects: Collection[str] | None) -> None:
        """Take in which jobs and groups changed; ``None``: any of them may have."""
        if self._others:
            if subjects is None or len(self.mentioned) + len(subjects) > _MOST_MENTIONED:
                self.missed_some = True
            else:
                self.mentioned.update(subjects)
            self._has_news.set()


class Followed:
    """A job or a group that is followed: by whom, and how they know it."""

    def __init__(self) -> None:
        #: in the order in which they came
        self.followers: dict[Following[Any], None] = {}
        self._was_read = False
        self._known: Any = None
        #: when it may be read again, by the clock of the event loop
        self.due = 0.0

    def deliver(self, subject: str, record: Any, has_changed: Callable[[Any, Any], bool]) -> None:
        """Give all followers the record as it was just read."""
        changed = not self._was_read or has_changed(self._known, record)
        self._was_read, self._known = True, record
        for following in self.followers:
            following.deliver(subject, record, changed=changed)
