"""A worker with Sentry, in its own process because Sentry patches arq for good."""

import asyncio
from typing import Any

import sentry_sdk
from arq import func
from arq.worker import create_worker
from sentry_sdk.integrations.arq import ArqIntegration
from sentry_sdk.integrations.asyncio import AsyncioIntegration

from arq_status import JobStopped
from tests.jobs import Settings


async def until_stopped(ctx: dict[str, Any], raises: bool) -> None:
    """Report until stopped, then raise that further or return."""
    try:
        while True:
            await asyncio.sleep(0.01)
            await ctx["status"].advance()
    except JobStopped:
        if raises:
            raise


def _print(event: Any, hint: Any) -> None:
    """Print the event that would be sent."""
    print("event:", event["exception"]["values"][-1]["type"], flush=True)


async def main() -> None:
    """Run the worker of ``tests.jobs`` with Sentry's integrations."""
    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1",
        integrations=[ArqIntegration(), AsyncioIntegration()],
        before_send=_print,
    )
    settings: Any = Settings
    settings.functions.append(func(until_stopped, name="until_stopped"))
    worker: Any = create_worker(settings)
    print("Starting worker", flush=True)
    await asyncio.create_task(worker.main())


if __name__ == "__main__":
    asyncio.run(main())
