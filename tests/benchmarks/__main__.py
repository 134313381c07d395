"""``python -m tests.benchmarks [NAME...]``: prints the table, and saves it if nothing is named."""

import asyncio
import logging
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from platform import python_version

from arq.connections import ArqRedis, RedisSettings, create_pool

from tests.benchmarks import (
    counting,
    following,
    groups,
    importing,
    memory,
    overhead,
    pages,
    progress,
    queries,
    redis_time,
    starting,
)
from tests.benchmarks.measuring import Result
from tests.server import Server

TABLE = Path(__file__).parent / "results.md"
MEASURES: Mapping[str, Callable[[ArqRedis], Awaitable[list[Result]]]] = {
    "progress": progress.measure,
    "overhead": overhead.measure,
    "queries": queries.measure,
    "pages": pages.measure,
    "memory": memory.measure,
    "counting": counting.measure,
    "redis_time": redis_time.measure,
    "following": following.measure,
    "groups": groups.measure,
    "starting": starting.measure,
    "importing": importing.measure,
}
HEADING = """\
| | measure | figure (quartiles) | aim | met | behind it |
|---|---|---|---|---|---|
"""


async def main(names: list[str]) -> None:
    """Run the named benchmarks, or all of them."""
    logging.disable(logging.CRITICAL)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        server.start()
        try:
            pool = await create_pool(RedisSettings(port=server.port))
            redis = (await pool.info("server"))["redis_version"]
            for name in names or MEASURES:
                for result in await MEASURES[name](pool):
                    rows.append(result.row())
                    print(rows[-1], flush=True)
            await pool.aclose()
        finally:
            server.stop()
    if not names:
        TABLE.write_text(_preface(redis) + HEADING + "\n".join(rows) + "\n")


def _preface(redis: str) -> str:
    packages = ", ".join(f"{it} {version(it)}" for it in ("arq", "redis", "arq-status"))
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d} by `python -m tests.benchmarks` with Python "
        f"{python_version()}, Redis {redis}, {packages}.\n\n"
    )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
