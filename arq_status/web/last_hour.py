"""The strip over the list: how jobs ended in the last hour, what waits and who works on it."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import TypeVar

from redis.exceptions import ResponseError

from arq_status._client.client import StatusClient
from arq_status._model.insight import ActivityPoint
from arq_status._model.status import Status

T = TypeVar("T")

#: Seconds between readings, however many look.
_PERIOD = 5.0
_MINUTES = 60

#: The size of the chart in its own units, and how wide a minute is drawn.
CHART = (4 * _MINUTES, 32)
_BAR = 3
#: The outcomes from the bottom of the chart up: failures share a base line.
_OUTCOMES = {
    Status.FAILED: ("failed", "interrupted"),
    Status.STOPPED: ("stopped",),
    Status.COMPLETE: ("complete",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LastHour:
    """The figures of the strip.

    Attributes:
        minutes: how jobs ended, minute by minute, the present one last.
        run_p95: how long 95 of 100 of them ran at most.
        oldest_due_at: when the job became due that has been due longest and does not run.
        alive: how many tracked workers are up.
        lost: how many workers stopped responding and left jobs behind.
    """

    minutes: Sequence[ActivityPoint]
    run_p95: timedelta | None
    oldest_due_at: datetime | None
    alive: int
    lost: int

    @property
    def ended(self) -> int:
        """Return how many jobs ended."""
        return sum(it.ended for it in self.minutes)

    @property
    def failed(self) -> int:
        """Return how many of them failed or were interrupted."""
        return sum(it.failed + it.interrupted for it in self.minutes)

    @property
    def peak(self) -> int:
        """Return how many ended in the busiest minute."""
        return max((it.ended for it in self.minutes), default=0)

    @property
    def rate(self) -> str:
        """Return the failure rate in percent, as in ``2.1 %``; empty if no job ended."""
        if not self.ended:
            return ""
        percent = 100 * self.failed / self.ended
        if 0 < percent < 0.1:
            return "< 0.1 %"
        # 100 % is said only of all
        return f"{percent:.1f} %" if 0 < percent < 10 else f"{int(percent)} %"

    @property
    def chart(self) -> list[tuple[Status, str]]:
        """Return the bars of each outcome as the path of an SVG."""
        paths = dict.fromkeys(_OUTCOMES, "")
        for place, minute in enumerate(self.minutes):
            bottom = CHART[1]
            for status, names in _OUTCOMES.items():
                number = sum(getattr(minute, name) for name in names)
                # one of many is still seen
                height = max(1, round(number * CHART[1] / self.peak)) if number else 0
                height = min(height, bottom)
                if height:
                    paths[status] += f"M{4 * place} {bottom}v{-height}h{_BAR}v{height}z"
                    bottom -= height
        return [it for it in paths.items() if it[1]]


async def read_last_hour(client: StatusClient) -> LastHour:
    """Read the figures of the strip."""
    (minutes, total), queues, workers = await asyncio.gather(
        client._activity(timedelta(minutes=_MINUTES - 1), timedelta(minutes=1)),
        client.queues(),
        client.workers(),
    )
    due = [it.oldest_due_at for it in queues if it.oldest_due_at is not None]
    return LastHour(
        minutes=tuple(minutes),
        run_p95=total.run_p95,
        oldest_due_at=min(due, default=None),
        alive=sum(it.alive for it in workers),
        # one that has shut down said so
        lost=sum(not it.alive and it.seen_at is not None for it in workers),
    )


async def unless_refused(reading: Awaitable[T]) -> T | None:
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
            self._latest = await unless_refused(read_last_hour(client))
        return self._latest
