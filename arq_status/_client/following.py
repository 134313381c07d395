"""A follower's subscription to jobs or groups, with the changes it has not seen yet."""

import asyncio
from collections.abc import Callable, Collection, Iterable
from typing import Any, Generic, Protocol, TypeVar

Record = TypeVar("Record")

#: The most changed jobs that are listed for a follower of all jobs; beyond that it has missed some.
_MOST_MENTIONED = 10_000


class _Feed(Protocol):
    def update_followed(
        self, following: "Following[Any]", added: Collection[str], removed: Collection[str]
    ) -> None: ...


class Following(Generic[Record]):
    """The jobs or groups that a follower of a feed follows, and the changes it has not seen."""

    def __init__(self, feed: _Feed, *, others: bool) -> None:
        self._feed = feed
        self._others = others
        self._subjects: frozenset[str] = frozenset()
        #: those whose first record has not been delivered yet
        self._unseen: set[str] = set()
        self._records: dict[str, Record | None] = {}
        #: only with ``others``: the jobs that changed
        self.mentioned: set[str] = set()
        #: only with ``others``: True if others may have changed that are not listed
        self.missed_some: bool = False
        self._has_news = asyncio.Event()

    @property
    def subjects(self) -> frozenset[str]:
        """The jobs or groups to follow. The current record of an added one is delivered first."""
        return self._subjects

    @subjects.setter
    def subjects(self, subjects: Iterable[str]) -> None:
        before, self._subjects = self._subjects, frozenset(subjects)
        self._unseen = (self._unseen | (self._subjects - before)) & self._subjects
        self._records = {it: known for it, known in self._records.items() if it in self._subjects}
        self._feed.update_followed(self, self._subjects - before, before - self._subjects)

    async def changed(self) -> dict[str, Record | None]:
        """Wait for a change, and return the records that changed since the last call.

        ``None`` stands for a job or group that is no longer known. With ``others`` the dict is
        empty if only other jobs changed.
        """
        await self._has_news.wait()
        self._has_news.clear()
        records, self._records = self._records, {}
        return records

    def deliver(self, subject: str, record: Record | None, *, changed: bool) -> None:
        """Receive a record that was just read."""
        if changed or subject in self._unseen:
            self._unseen.discard(subject)
            self._records[subject] = record
            self._has_news.set()

    def notify(self, subjects: Collection[str] | None) -> None:
        """Receive which jobs and groups changed; ``None``: any of them may have."""
        if self._others:
            if subjects is None or len(self.mentioned) + len(subjects) > _MOST_MENTIONED:
                self.missed_some = True
            else:
                self.mentioned.update(subjects)
            self._has_news.set()


class Followed:
    """A followed job or group: its followers, and the last record delivered to them."""

    def __init__(self) -> None:
        #: in the order in which they were added
        self.followers: dict[Following[Any], None] = {}
        self._was_read = False
        self._known: Any = None
        #: when it may be read again, by the event loop's clock
        self.due = 0.0

    def deliver(self, subject: str, record: Any, has_changed: Callable[[Any, Any], bool]) -> None:
        """Deliver a record that was just read to all followers."""
        changed = not self._was_read or has_changed(self._known, record)
        self._was_read, self._known = True, record
        for following in self.followers:
            following.deliver(subject, record, changed=changed)
