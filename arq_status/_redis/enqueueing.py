"""arq's ``enqueue_job``, with a script in the same transaction."""

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any
from uuid import uuid4
from weakref import WeakSet

from arq.connections import ArqRedis
from arq.jobs import Job
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import ExecAbortError, ResponseError

from arq_status._redis.control import Call


class _Addition:
    """A call of a script that joins the transaction in which arq enqueues a job."""

    def __init__(self, job_id: str, call: Callable[[str, str], Call], *, is_known: bool) -> None:
        self.job_id = job_id
        #: returns the call for the job's id and queue
        self.call = call
        #: True if Redis is assumed to know the script
        self.is_known = is_known
        #: ``None`` until Redis was asked
        self.is_done: bool | None = None
        #: True if Redis executed nothing, perhaps because the user may not run scripts
        self.is_refused = False


#: What joins the next transaction of a ``JoinablePool`` in this context.
_addition: ContextVar[_Addition | None] = ContextVar("arq_status_addition", default=None)

#: Pools whose Redis has run the script: its digest is enough for them.
_known: WeakSet[Redis] = WeakSet()


class _Transaction(Pipeline):
    """The transaction in which arq enqueues a job, with one more command."""

    addition: _Addition

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        addition, commands = self.addition, self.command_stack
        queue = _queue_of(addition.job_id, (arguments for arguments, _ in commands))
        if queue is None:
            return await super().execute(raise_on_error)
        call = addition.call(addition.job_id, queue)
        call.script.add_to(self, call.arguments, is_known=addition.is_known)
        try:
            *answers, answer = await super().execute(raise_on_error=False)
        except ResponseError as error:
            # only then is it certain that Redis has not executed the other commands
            addition.is_refused = ExecAbortError in (type(error), type(error.__cause__))
            raise
        addition.is_done = not isinstance(answer, Exception)
        if raise_on_error:
            self.raise_first_error(commands, answers)
        return answers


def _queue_of(job_id: str, commands: Iterable[tuple[Any, ...]]) -> str | None:
    """Return the queue to which these commands add the job, if they do."""
    for arguments in commands:
        match arguments:
            case ("ZADD", str(queue), _, str(member)) if member == job_id:
                return queue
    return None


class JoinablePool(ArqRedis):
    """arq's pool, of which ``enqueue_with`` can have a script join a transaction."""

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """Return a new pipeline.

        Args:
            transaction: execute its commands atomically.
            shard_hint: not used by redis-py.
        """
        pipeline: Pipeline = super().pipeline(transaction, shard_hint)
        addition = _addition.get()
        if addition is not None:
            # jobs that `inline` runs in this context are not to be affected
            _addition.set(None)
            # unless tracing, for example, put something else in its place
            if type(pipeline) is Pipeline:
                joined: Any = pipeline
                joined.__class__ = _Transaction
                joined.addition = addition
        return pipeline


class _StandIn(JoinablePool):
    """Shares all attributes of a pool."""

    def __init__(self, pool: ArqRedis) -> None:
        self.__dict__ = pool.__dict__

    def __del__(self, *_: Any) -> None:
        """Leave the connection of a pool with a single one open."""


async def enqueue_with(
    call: Callable[[str, str], Call],
    redis: ArqRedis,
    function: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> tuple[Job | None, bool]:
    """Enqueue a job with arq and, if possible, run a script in the same transaction.

    Args:
        call: returns the call of the script for the job's id and queue.
        redis: arq's pool.
        function: the first argument of arq's ``enqueue_job``.
        args: the job's arguments.
        kwargs: the keyword arguments of ``enqueue_job``.

    Returns:
        What arq returns, and whether the script has run. It has not if Redis refused or had
        forgotten it, or if the class of the pool is not arq's own: it may enqueue in its own way.
    """
    if type(redis) is ArqRedis:
        pool: JoinablePool = _StandIn(redis)
    elif isinstance(redis, JoinablePool):
        pool = redis
    else:
        return await redis.enqueue_job(function, *args, **kwargs), False
    job_id = kwargs.get("_job_id") or uuid4().hex
    addition = _Addition(job_id, call, is_known=redis in _known)
    token = _addition.set(addition)
    try:
        job = await pool.enqueue_job(function, *args, **{**kwargs, "_job_id": job_id})
    except ResponseError:
        if not addition.is_refused:
            raise
        return await redis.enqueue_job(function, *args, **kwargs), False
    finally:
        _addition.reset(token)
    if addition.is_done:
        _known.add(redis)
    elif addition.is_done is False:
        _known.discard(redis)
    if job is not None and job._redis is pool:
        job._redis = redis
    return job, addition.is_done is True
