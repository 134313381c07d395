"""The strip above the list: how jobs ended in the last hour, what is due, and the workers."""

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

#: Seconds between reads, however many viewers there are.
_PERIOD = 5.0
_MINUTES = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class LastHour:
    """The figures of the strip.

    Attributes:
        chart: how jobs ended, minute by minute.
        run_p95: the 95th percentile of their run times.
        oldest_due_at: when the job that has waited longest became due.
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
        # a worker that shut down has no time at which it was seen
        lost=sum(not it.alive and it.seen_at is not None for it in workers),
    )


async def none_if_refused(reading: Awaitable[T]) -> T | None:
    """Return what is read; ``None`` if Redis refuses it, for example for a missing permission.

    The list is then shown without it; the pages of functions, queues and workers show the error.
    """
    try:
        return await reading
    except ResponseError:
        return None


class LastHourReader:
    """Reads the figures once for all viewers of lists, whichever list they look at."""

    def __init__(self) -> None:
        self._client: StatusClient | None = None
        self._latest: LastHour | None = None
        self._read_at = 0.0

    async def read(self, client: StatusClient) -> LastHour | None:
        """Return the figures, at most a few seconds old; ``None`` if Redis refuses them."""
        is_fresh = self._client is client and monotonic() - self._read_at < _PERIOD
        if self._latest is None or not is_fresh:
            # requests in the meantime get the previous ones
            self._client, self._read_at = client, monotonic()
            self._latest = await none_if_refused(read_last_hour(client))
        return self._latest
