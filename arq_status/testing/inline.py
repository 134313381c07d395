"""``inline``: runs arq's workers and this package on a Redis in this process."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from arq.constants import default_queue_name, expires_extra_ms
from redis.asyncio import ConnectionPool

from arq_status._client.client import StatusClient
from arq_status._client.default import client_var
from arq_status.testing.fake_redis import connections
from arq_status.testing.pool import InlinePool
from arq_status.testing.runner import Runner
from arq_status.testing.worker import InlineWorker

Settings = type[Any] | dict[str, Any]


@asynccontextmanager
async def inline(
    settings: Settings, *more: Settings, raises: bool = True, run: bool = True
) -> AsyncGenerator[InlinePool]:
    """Provide arq's pool without a Redis server; its ``enqueue_job`` runs the job at once.

        @pytest.fixture
        async def pool():
            async with inline(WorkerSettings) as pool:
                yield pool

    Arq's own worker runs it, on a Redis in this process (``pip install 'arq-status[testing]'``).
    Hooks, ``on_startup``, ``on_shutdown`` and ``job_timeout`` work as in production, and arguments
    and results are serialized, so that values that cannot be pickled fail here, too. ``Retry`` runs
    the job again at once, up to ``max_tries``, and deferred jobs do not wait either. Jobs that a
    job enqueues run inside it, nested up to 100 deep; jobs for queues of other workers stay
    queued.

    ``enqueue_job`` raises what the job raised. Inside another job it does not, because arq does
    not: unless that job awaits ``job.result()``, the outermost ``enqueue_job`` raises it in the
    end.

    Within the ``async with``, the functions of ``arq_status`` query that Redis, and so does
    ``StatusClient(pool)``. Other tasks are not affected.

    Args:
        settings: the settings of the worker: a class or a dict, tracked or not. The pool uses its
            queue and serializers.
        more: settings of workers for other queues.
        raises: ``False``: do not raise what jobs raise; queries show why they failed. ``True`` by
            default.
        run: ``False``: leave jobs in their queues until ``await pool.run_jobs()``. ``True`` by
            default.

    Raises:
        ModuleNotFoundError: the extra ``testing`` is not installed.
        ValueError: two workers have the same queue.
        RuntimeError: raised by ``enqueue_job`` and ``run_jobs`` in another event loop.
    """
    redis = connections()
    runner = Runner(raises=raises, at_once=run)
    all_settings = (settings, *more)
    pools = [_pool(each, redis, runner) for each in all_settings]
    workers = [InlineWorker(*it) for it in zip(all_settings, pools, strict=True)]
    for worker in workers:
        runner.add(worker)
    pool = pools[0]
    before = client_var.get()
    client_var.set(StatusClient(pool, job_deserializer=pool.job_deserializer))
    try:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(redis.disconnect)
            for worker in workers:
                stack.push_async_callback(runner.shut_down, worker)
                await worker.open()
            if run:
                await runner.run_queued()
            yield pool
    finally:
        # not `reset`: a fixture may be torn down in another context than it was set up in
        client_var.set(before)


def _pool(settings: Settings, redis: ConnectionPool, runner: Runner) -> InlinePool:
    """Create the pool of a worker, with the same options as arq's worker would."""
    given = settings if isinstance(settings, dict) else vars(settings)
    return InlinePool(
        redis,
        runner,
        job_serializer=given.get("job_serializer"),
        job_deserializer=given.get("job_deserializer"),
        default_queue_name=given.get("queue_name") or default_queue_name,
        expires_extra_ms=given.get("expires_extra_ms", expires_extra_ms),
    )
