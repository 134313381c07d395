"""The Redis server."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from arq_status.cli.doctor.finding import Finding, Level, counted

#: The first versions that have all commands that we use.
_OLDEST = {"Redis": (6, 2), "Valkey": (7, 2)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server as described by INFO."""

    name: str
    version: str
    clustered: bool
    replica: bool
    maxmemory: int
    policy: str
    #: keys evicted since it started because its memory was full
    evicted: int
    #: the other databases that have keys
    databases: list[str]

    @property
    def is_supported(self) -> bool:
        """True if it has all commands that we use."""
        numbers = tuple(int(part) for part in self.version.split(".") if part.isdigit())
        return numbers >= _OLDEST[self.name]


async def read_server(redis: Redis) -> Server:
    """Read the facts about a server from INFO."""
    info: dict[str, Any] = await redis.info()
    valkey = info.get("valkey_version")
    database = redis.connection_pool.connection_kwargs.get("db") or 0
    return Server(
        name="Valkey" if valkey else "Redis",
        version=str(valkey or info.get("redis_version", "?")),
        clustered=info.get("redis_mode") == "cluster" or info.get("cluster_enabled") == 1,
        replica=info.get("role") == "slave",
        maxmemory=int(info.get("maxmemory", 0)),
        policy=str(info.get("maxmemory_policy", "noeviction")),
        evicted=int(info.get("evicted_keys", 0)),
        databases=[  # INFO has "db0", "db1" ...
            name[2:]
            for name in info
            if name.startswith("db") and name[2:].isdigit() and name[2:] != str(database)
        ],
    )


def check_server(server: Server, dsn: str) -> Iterator[Finding]:
    """Check that arq and arq-status can rely on a server."""
    where = f"{server.name} {server.version} at {dsn}"
    if not server.is_supported:
        advice = "upgrade it: arq-status needs Redis 6.2 or newer, or Valkey"
        yield Finding(Level.PROBLEM, "server", f"{where} is too old", advice)
    else:
        yield Finding(Level.OK, "server", where)
    if server.clustered:
        advice = "use a Redis that is not a cluster"
        yield Finding(Level.PROBLEM, "server", "arq does not run on Redis Cluster", advice)
    if server.replica:
        text = "it is a replica, which accepts no writes"
        yield Finding(Level.PROBLEM, "server", text, "use the address of the primary")
    if server.maxmemory and server.policy != "noeviction":
        text = f"it evicts keys when its memory is full ({server.policy}): jobs, results, records"
        text += " and the indexes of lists may disappear"
        if server.evicted:
            text += f"; it has evicted {counted(server.evicted, 'key')}"
        advice = "set maxmemory-policy to noeviction"
        yield Finding(Level.WARNING, "server", text, advice)
