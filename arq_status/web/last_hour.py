"""The strip over the list: how jobs ended in the last hour, what waits and who works on it."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import TypeVar

from redis.exceptions import ResponseError

from arq_status._client.client import StatusClient
from arq_status.web.chart import Chart, Ends

T = TypeVar("T")

#: Seconds between readings, however many look.
_PERIOD = 5.0
_MINUTES = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class LastHour:
    """The figures of the strip.

    Attributes:
        chart: how jobs ended, minute by minute.
        run_p95: how long 95 of 100 of them ran at most.
        oldest_due_at: when the job became due that has been due longest and does not run.
        alive: how many tracked workers are up.
        lost: how many workers stopped responding and left jobs behind.
    """

    chart: Chart
    run_p95: timedelta | None
    oldest_due_at: datetime | None
    alive: int
    lost: int


async def read_last_hour(client: StatusClient) -> LastHour:
    """Read the figures of the strip."""
    (minutes, total), queues, workers = await asyncio.gather(
        client._activity(timedelta(minutes=_MINUTES - 1), timedelta(minutes=1)),
        client.queues(),
        client.workers(),
    )
    due = [it.oldest_due_at for it in queues if it.oldest_due_at is not None]
    return LastHour(
        chart=Chart(
            tuple(Ends(it.failed + it.interrupted, it.stopped, it.complete) for it in minutes)
        ),
        run_p95=total.run_p95,
        oldest_due_at=min(due, default=None),
        alive=sum(it.alive for it in workers),
        # one that has shut down said so
        lost=sum(not it.alive and it.seen_at is not None for it in workers),
    )


async def none_if_refused(reading: Awaitable[T]) -> T | None:
    """Return what is read, or ``None`` if Redis refuses it, as where a permission is missing.

    Jobs are shown all the same; the pages of functions, queues and workers tell the error.
    """
    try:
        return await reading
    except ResponseError:
        return None


class LastHourReader:
    """Reads the figures once for all who look at a list, whichever they look at."""

    def __init__(self) -> None:
        self._client: StatusClient | None = None
        self._latest: LastHour | None = None
        self._read_at = 0.0

    async def read(self, client: StatusClient) -> LastHour | None:
        """Return the figures, at most a few seconds old; ``None`` if Redis refuses them."""
        is_fresh = self._client is client and monotonic() - self._read_at < _PERIOD
        if self._latest is None or not is_fresh:
            # whoever asks meanwhile gets the former ones
            self._client, self._read_at = client, monotonic()
            self._latest = await none_if_refused(read_last_hour(client))
        return self._latest
