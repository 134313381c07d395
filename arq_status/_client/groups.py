"""Queries for groups of jobs."""

from collections.abc import AsyncGenerator

from arq_status._client.connections import Connections
from arq_status._client.enqueueing import JobGroup
from arq_status._client.watching import wait_for_end, watch
from arq_status._model.group import GroupRecord, group_has_changed
from arq_status._redis.groups import read_group


class GroupQueries:
    """The queries of ``StatusClient`` for groups."""

    _connections: Connections

    def group(self, group_id: str | None = None, *, title: str | None = None) -> JobGroup:
        """Return a group; the jobs that are enqueued in it share one progress.

            async with client.group("import-7", title="accounts.csv") as group:
                for row in rows:
                    await group.enqueue_job(redis, "import_row", row)

        The group is closed at the end of the block; opening it again with the same id adds to it.
        An empty group is kept for a day.

        Args:
            group_id: the id of the group, 1 to 200 characters; by default a new one.
            title: its name in ``GroupRecord`` and on the dashboard.

        Raises:
            TypeError: the id or the title is not a string.
            ValueError: the id is empty or too long.
        """
        return JobGroup(self._connections, group_id, title)

    async def group_status(self, group_id: str) -> GroupRecord | None:
        """Return the combined progress of a group's jobs.

        ``None`` if the group is unknown or expired. Also ends the records of its lost jobs.

        Takes no longer with 100,000 ended jobs than with 100.

        Args:
            group_id: the id of the group.
        """
        if not isinstance(group_id, str) or not group_id:
            return None
        return await read_group(await self._connections.open(), group_id)

    def watch_group(
        self, group_id: str, heartbeat: float | None = None
    ) -> AsyncGenerator[GroupRecord]:
        """Yield the group's record now, at every change, and finally when it has ended.

            async for record in client.watch_group("import-7"):
                print(record.done, record.total, record.pct_complete)

        Ends when the group is closed and all its jobs have ended, early if the group expires, and
        at once if it is unknown.

        Args:
            group_id: the id of the group.
            heartbeat: seconds without a change after which the last record is yielded again; by
                default it is not.

        Raises:
            ValueError: ``heartbeat`` is not positive.
        """
        return watch(
            self._connections,
            lambda: self.group_status(group_id),
            lambda feed: feed.follow_group(group_id),
            group_has_changed,
            heartbeat,
        )

    async def wait_group(self, group_id: str, timeout: float | None = None) -> GroupRecord | None:
        """Wait until the group is closed and all its jobs have ended, and return its record.

        Returns ``None`` if the group is unknown, or expires while it waits.

        Args:
            group_id: the id of the group.
            timeout: seconds to wait at most; ``None`` waits forever, 0 checks once.

        Raises:
            TimeoutError: it has not ended by then.
        """
        return await wait_for_end(self.watch_group(group_id), timeout)
