"""Redis behind Sentinel: a failover does no harm to jobs and their tracking."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis, RedisSettings, create_pool
from redis.asyncio import Redis
from redis.exceptions import RedisError

from arq_status import StatusClient
from arq_status._redis.connection import background_client, close
from tests.conftest import until
from tests.fates import KINDS, NEVER, Fate, all_arrived, running_pair
from tests.server import Server, sentinel


@dataclass(frozen=True)
class Sentinels:
    """A primary, its replica, and three Sentinels that watch them."""

    primary: Server
    replica: Server
    watchers: list[Server]

    @property
    def settings(self) -> RedisSettings:
        """Arq's settings for finding the primary."""
        hosts = [("127.0.0.1", watcher.port) for watcher in self.watchers]
        return RedisSettings(host=hosts, sentinel=True, sentinel_master="primary")

    async def know_all(self) -> bool:
        """Return whether each Sentinel knows the replica and the other two."""
        replies = [await ask(watcher, "MASTER", "primary") for watcher in self.watchers]
        return all((it["num-slaves"], it["num-other-sentinels"]) == (1, 2) for it in replies)

    async def promoted(self) -> bool:
        """Return whether all Sentinels consider the replica the primary now."""
        replies = [await ask(it, "GET-MASTER-ADDR-BY-NAME", "primary") for it in self.watchers]
        return all(port == self.replica.port for _, port in replies)


@pytest.fixture
async def sentinels(tmp_path: Path) -> AsyncIterator[Sentinels]:
    """A started primary and replica with their Sentinels."""
    for name in ("primary", "replica"):
        (tmp_path / name).mkdir()
    primary = Server(tmp_path / "primary")
    replica = Server(tmp_path / "replica", "--replicaof", "127.0.0.1", str(primary.port))
    watchers = [sentinel(tmp_path / str(number), primary, 2) for number in range(3)]
    found = Sentinels(primary, replica, watchers)
    started: list[Server] = []
    try:
        for server in (primary, replica):
            server.start()
            started.append(server)
        await until(lambda: is_linked(replica))
        for server in watchers:
            server.start()
            started.append(server)
        await until(found.know_all, 30)
        yield found
    finally:
        for server in started:
            server.stop(signal.SIGKILL)


async def ask(server: Server, *command: str) -> Any:
    """Send a command to a Sentinel; return its reply."""
    redis: Any
    async with Redis(port=server.port) as redis:
        return await redis.execute_command(f"SENTINEL {command[0]}", *command[1:])


async def is_linked(server: Server) -> bool:
    """Return whether a server is a replica that is linked to its primary."""
    async with Redis(port=server.port) as redis:
        # a server drops its connections when it becomes a replica
        with suppress(RedisError, OSError):
            info = await redis.info("replication")
            return bool(info.get("master_link_status") == "up")
    return False


@pytest.fixture
async def pool(sentinels: Sentinels) -> AsyncIterator[ArqRedis]:
    """Arq's pool for whichever server is the primary."""
    pool = await create_pool(sentinels.settings)
    yield pool
    await close(pool)


async def test_a_pool_that_finds_its_redis_by_sentinel(
    sentinels: Sentinels, pool: ArqRedis
) -> None:
    """A client with such a pool works in several event loops, and so does one with settings."""
    await pool.enqueue_job("f", _job_id="job")
    client = StatusClient(pool)

    async def ask() -> bool:
        try:
            return await client.is_queued("job")
        finally:
            await client.aclose()

    assert await client.is_queued("job")
    assert await asyncio.to_thread(asyncio.run, ask())
    async with StatusClient(sentinels.settings) as own:
        assert await own.is_queued("job")
    background = background_client(pool)
    assert await background.exists("arq:job:job") == 1
    await close(background)


@dataclass(frozen=True)
class FailOver:
    """How the replica becomes the primary, and how that affects a worker."""

    name: str
    #: otherwise the primary is told to step down and becomes the replica
    killed: bool
    poll_delay: float = NEVER
    worker: str = "ended by a signal"


FAIL_OVERS = [
    FailOver("primary killed", killed=True),
    FailOver(
        "primary killed, workers poll", killed=True, poll_delay=0.05,
        worker="ended by its poll",
    ),
    FailOver("primary steps down", killed=False),
]  # fmt: skip


@pytest.mark.long(10)
@pytest.mark.parametrize("fail_over", FAIL_OVERS, ids=lambda it: it.name)
async def test_a_fail_over_while_jobs_run(
    sentinels: Sentinels, pool: ArqRedis, tmp_path: Path, fail_over: FailOver
) -> None:
    """Jobs and workers go on as without tracking; pending reports reach the new primary."""
    async with (
        StatusClient(sentinels.settings) as client,
        running_pair(pool, sentinels.settings, tmp_path, fail_over.poll_delay) as pair,
    ):
        await until(lambda: client.at("tracked"))
        before = {kind: pair.steps(kind) for kind in KINDS}
        if fail_over.killed:
            sentinels.primary.stop(signal.SIGKILL)
        else:
            await ask(sentinels.watchers[0], "FAILOVER", "primary")
        await until(sentinels.promoted, 30)
        if not fail_over.killed:
            # until then it accepts writes, also arq's, which will be lost
            await until(lambda: is_linked(sentinels.primary), 60)
        for kind in KINDS:
            await until(partial(pair.has_gone_on, kind, before[kind]))

        async def tells_more() -> bool:
            with suppress(RedisError):
                return (await client.at("tracked") or 0) > before["tracked"] + 10
            return False

        await until(tells_more)
        # until the next heartbeat: the last ones went to the old primary and are lost
        await until(partial(client.is_working, "tracked"))
        fates = await pair.fates(pool, end=fail_over.poll_delay is not NEVER)
        assert fates["tracked"] == fates["plain"] == Fate("success", 1, fail_over.worker)
        await all_arrived(client)
