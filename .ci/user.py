"""A worker and questions, as somebody has them who installed the package: ``user.py DSN``."""

import asyncio
import sys
from typing import Any

from arq import Worker, create_pool
from arq.connections import RedisSettings

import arq_status
from arq_status import track_status


async def import_rows(ctx: dict[str, Any], rows: int) -> None:
    """A job that reports."""
    async for _ in ctx["status"].track(range(rows), "Importing"):
        pass
    await ctx["status"].store(vino="veritas")


async def main(dsn: str) -> None:
    """Enqueue a job, run it and ask about it."""
    redis_settings = RedisSettings.from_dsn(dsn)
    settings = {"functions": [import_rows], "redis_settings": redis_settings}
    pool = await create_pool(redis_settings)
    arq_status.configure(pool)
    await pool.enqueue_job("import_rows", 3, _job_id="rows")
    print(await arq_status.status("rows"))
    worker = Worker(**track_status(settings), burst=True, poll_delay=0.02)
    await worker.async_run()
    await worker.close()
    record = await arq_status.job("rows")
    assert record is not None
    print(record.status, record.at, record.message, *record.data.values())
    await pool.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
