"""arq's ``enqueue_job``, with a script in the same transaction."""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from arq.connections import ArqRedis
from arq.constants import job_key_prefix
from arq.jobs import Job
from redis.asyncio.client import Pipeline
from redis.exceptions import ResponseError

from arq_status._redis.steering import Call


class _Addition:
    """A call of a script that joins arq's transaction, and its outcome."""

    def __init__(self, call: Callable[[str, str], Call]) -> None:
        self.call = call
        self.is_done = False
        self.is_refused = False


class _Transaction(Pipeline):
    """The transaction in which arq enqueues a job, with one more command."""

    def __init__(self, pool: ArqRedis, addition: _Addition) -> None:
        super().__init__(pool.connection_pool, pool.response_callbacks, True, None)
        self._addition = addition

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        enqueued = _enqueued_in(self.command_stack)
        if enqueued is None:
            return await super().execute(raise_on_error)
        call = self._addition.call(*enqueued)
        call.script.add_to(self, call.arguments)
        commands = [*self.command_stack]
        try:
            *answers, answer = await super().execute(raise_on_error=False)
        except ResponseError:
            self._addition.is_refused = True
            raise
        self._addition.is_done = not isinstance(answer, Exception)
        if raise_on_error:
            self.raise_first_error(commands, answers)
        return answers


def _enqueued_in(commands: Iterable[tuple[tuple[Any, ...], Mapping[str, Any]]]) -> Any:
    """Return the id and the queue of the job that these commands enqueue, else ``None``."""
    job_id = None
    for arguments, _ in commands:
        match arguments:
            case ("PSETEX", str(key), *_) if key.startswith(job_key_prefix):
                job_id = key.removeprefix(job_key_prefix)
            case ("ZADD", str(queue), _, str(member)) if member == job_id:
                return job_id, queue
    return None


@cache
def _class_for(pool: type[ArqRedis]) -> type[ArqRedis]:
    """Return a subclass of a pool's class whose pipelines are transactions with an addition."""

    def pipeline(self: Any, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        return _Transaction(self, self._addition)

    def leave_open(self: ArqRedis) -> None:
        """Do not close a connection, because it belongs to the original pool."""

    members = {"__slots__": ("_addition",), "pipeline": pipeline, "__del__": leave_open}
    return type(pool.__name__, (pool,), members)


async def enqueue_with(
    call: Callable[[str, str], Call],
    redis: ArqRedis,
    function: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> tuple[Job | None, bool]:
    """Enqueue a job with arq, and run a script in the same transaction.

    Args:
        call: returns the call of the script for the job's id and queue.
        redis: arq's pool.
        function: the first argument of arq's ``enqueue_job``.
        args: its other positional arguments.
        kwargs: its keyword arguments.

    Returns:
        What arq returns, and whether the script has run. It has not if Redis did not know it yet,
        if Redis rejected it, or if the pool or its ``enqueue_job`` has been replaced.
    """
    if not issubclass(type(redis), ArqRedis):
        # a proxy around a pool, which may enqueue in its own way
        return await redis.enqueue_job(function, *args, **kwargs), False
    addition = _Addition(call)
    # the same pool for anything that its class does in `enqueue_job`, except for pipelines
    pool = object.__new__(_class_for(type(redis)))
    pool.__dict__ = redis.__dict__
    pool._addition = addition  # type: ignore[attr-defined]
    try:
        job = await pool.enqueue_job(function, *args, **kwargs)
    except ResponseError:
        if not addition.is_refused:
            raise
        # Redis has run nothing of the transaction, because it rejects scripts or arq's own commands
        return await redis.enqueue_job(function, *args, **kwargs), False
    if job is not None:
        job._redis = redis
    return job, addition.is_done
