"""Enqueues jobs with tags and in groups."""

import logging
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self
from uuid import uuid4
from weakref import WeakKeyDictionary

from arq.connections import ArqRedis
from arq.jobs import Job
from redis.asyncio import Redis

from arq_status._client.connections import Connections
from arq_status._model.labels import checked_group_id, checked_tags
from arq_status._model.text import clean, shorten
from arq_status._model.transitions import enqueued_record
from arq_status._model.validation import require_string
from arq_status._redis.connection import CONNECTION_ERRORS
from arq_status._redis.control import Call
from arq_status._redis.enqueueing import enqueue_with
from arq_status._redis.store import Store

logger = logging.getLogger("arq_status")

#: The most characters of a group's title that are kept.
_LONGEST_TITLE = 300

_stores: WeakKeyDictionary[Redis, Store] = WeakKeyDictionary()


async def enqueue_job(
    redis: ArqRedis, function: str, *args: Any, _tags: Iterable[str] = (), **kwargs: Any
) -> Job | None:
    """Enqueue a job with arq that has tags from the start.

        job = await arq_status.enqueue_job(redis, "import_rows", "a.csv", _tags=["tenant:42"])

    Args:
        redis: arq's pool.
        function: the name of the function.
        args: the job's arguments.
        _tags: its tags: up to 20 strings of 1 to 100 characters.
        kwargs: the job's keyword arguments, and those of arq's ``enqueue_job`` such as ``_job_id``
            and ``_defer_by``.

    Returns:
        As in arq: the job, or ``None`` if a job with this id exists.

    Raises:
        TypeError: ``redis`` is not arq's pool, or a tag is not a string.
        ValueError: a tag is empty or too long, or there are more than 20. Nothing is enqueued then.
    """
    _require_pool(redis)
    return await _enqueue(redis, function, args, kwargs, checked_tags(_tags), None)


class JobGroup:
    """A group to enqueue jobs in, as returned by ``arq_status.group``.

        async with arq_status.group("import-7", title="accounts.csv") as group:
            for row in rows:
                await group.enqueue_job(redis, "import_row", row)

    Attributes:
        group_id: its id, for ``group_status``.
        title: its title.
    """

    def __init__(self, connections: Connections, group_id: str | None, title: str | None) -> None:
        self.group_id: str = uuid4().hex if group_id is None else checked_group_id(group_id)
        require_string(title, "title")
        self.title: str | None = None if title is None else shorten(clean(title), _LONGEST_TITLE)
        self._connections = connections
        #: the stores in which the group is open
        self._stores: list[Store] = []
        self._is_open = False

    async def __aenter__(self) -> Self:
        self._is_open = True
        if self._connections.is_configured:
            # otherwise it opens in the Redis of its first job, so workers need not call `configure`
            await self._open(await self._connections.open())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_open = False
        errors: list[Exception] = []
        while self._stores:
            try:
                await self._stores.pop().set_group(self.group_id, closed=True)
            except CONNECTION_ERRORS as error:
                errors.append(error)
        if errors and exc is None:
            raise errors[0]
        if errors:
            # the block's own exception says more, and may have the same cause
            logger.warning("could not close group %s: %r", self.group_id, errors[0])

    async def enqueue_job(
        self,
        redis: ArqRedis,
        function: str,
        *args: Any,
        _tags: Iterable[str] = (),
        **kwargs: Any,
    ) -> Job | None:
        """Enqueue a job in this group, as ``arq_status.enqueue_job`` does.

        Takes the same arguments: ``redis``, ``function``, ``args``, ``_tags`` and ``kwargs``.

        Raises:
            TypeError, ValueError: as ``arq_status.enqueue_job``.
            RuntimeError: the group is closed.
        """
        if not self._is_open:
            raise RuntimeError("the group is closed: enqueue its jobs within `async with`")
        tags = checked_tags(_tags)
        _require_pool(redis)
        await self._open(_store_of(redis))
        return await _enqueue(redis, function, args, kwargs, tags, self.group_id)

    async def _open(self, store: Store) -> None:
        if all(it.redis is not store.redis for it in self._stores):
            await store.set_group(self.group_id, closed=False, title=self.title)
            self._stores.append(store)


async def _enqueue(
    redis: ArqRedis,
    function: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    tags: tuple[str, ...],
    group_id: str | None,
) -> Job | None:
    if not (tags or group_id):
        return await redis.enqueue_job(function, *args, **kwargs)
    require_string(kwargs.get("_queue_name"), "_queue_name")

    def tagging(job_id: str, queue: str) -> Call:
        record = enqueued_record(function, queue, tags, group_id)
        return _store_of(redis).tag_enqueueing(job_id, record)

    job, is_tagged = await enqueue_with(tagging, redis, function, args, kwargs)
    if job is None or is_tagged:
        return job
    store, record = _store_of(redis), enqueued_record(function, job._queue_name, tags, group_id)
    try:
        await store.run([store.tag_enqueued(job.job_id, record)])
    except CONNECTION_ERRORS as error:
        # the job is enqueued: an exception would make the caller enqueue it again
        logger.warning("job %s was enqueued without its tags and group: %r", job.job_id, error)
    return job


def _require_pool(redis: object) -> None:
    # easily forgotten, because arq's own `enqueue_job` is a method of the pool
    if not isinstance(redis, ArqRedis):
        kind = type(redis).__name__
        raise TypeError(f"the first argument must be arq's pool, an ArqRedis, not {kind}")


def _store_of(redis: Redis) -> Store:
    store = _stores.get(redis)
    if store is None:
        store = _stores[redis] = Store(redis)
    return store
