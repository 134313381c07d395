"""A queue that a worker announced, but that the Redis user of a client may not read."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from arq.connections import ArqRedis, RedisSettings
from arq.utils import timestamp_ms
from redis.exceptions import ResponseError

from arq_status import Status, StatusClient
from arq_status._redis import keys
from arq_status._redis.recovery import recover_orphans
from arq_status._redis.store import Store
from tests.records import put_job

#: More queues than are checked by one command.
OTHERS = [f"arq:{number}" for number in range(600)]


@pytest.fixture
async def guest(pool: ArqRedis, redis_settings: RedisSettings) -> AsyncIterator[StatusClient]:
    """A client whose user may only access queues with names that start with ``arq``."""
    admin: Any = pool
    rules = "on >x resetchannels ~arq* &arqstatus:* +@all -@dangerous".split()
    await admin.execute_command("ACL", "SETUSER", "guest", *rules)
    where = pool.connection_pool.connection_kwargs
    dsn = f"redis://guest:x@{where['host']}:{where['port']}/{where['db']}"
    async with StatusClient(dsn) as client:
        yield client
    await admin.execute_command("ACL", "DELUSER", "guest")


async def test_its_jobs_are_left_out(
    pool: ArqRedis, guest: StatusClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Queries for many jobs cover the other queues, and one warning names the queue."""
    names = ["imports", "arq:queue", *OTHERS]
    await pool.zadd(keys.QUEUES, dict.fromkeys(names, timestamp_ms()))
    await put_job(pool, "seen")
    await put_job(pool, "other", queue=OTHERS[-1])
    await put_job(pool, "hidden", queue="imports")
    for _ in range(2):
        assert {it.job_id for it in (await guest.list_jobs()).items} == {"seen", "other"}
        assert (await guest.counts())[Status.QUEUED] == 2
        assert {it.name for it in await guest.queues()} == {*names} - {"imports"}
        assert await guest.status("seen") is Status.QUEUED
    assert await guest.cancel("seen")
    [line] = [it.getMessage() for it in caplog.records if it.name == "arq_status"]
    assert line == (
        "jobs in the queue 'imports' are left out: the Redis user lacks the permission ~imports"
    )


async def test_a_queue_that_was_given(guest: StatusClient) -> None:
    """A client with this queue gets Redis' error."""
    redis = (await guest._connections.open()).redis
    with pytest.raises(ResponseError, match="key"):
        await StatusClient(redis, queues=["imports"]).counts()


async def test_sweeping_continues(pool: ArqRedis, guest: StatusClient) -> None:
    """The periodic work of workers is done, no matter how long ago the queue was announced."""
    await pool.zadd(keys.QUEUES, {"imports": 0, "arq:gone": 0})
    store = Store((await guest._connections.open()).redis)
    await recover_orphans(store)
    await store.sweep()
    assert await pool.zrange(keys.QUEUES, 0, -1) == [b"imports"]
