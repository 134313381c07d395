"""Makes jobs in tight loops yield to the event loop from time to time."""

import asyncio
from time import monotonic

#: Seconds for which a tight loop of progress calls may keep the event loop: so short that a round
#: trip to Redis, which takes several turns of the loop, still takes only a fraction of a second.
SLICE = 0.005


class Pace:
    """When a job last yielded to the event loop; one yield counts for all jobs of a worker."""

    __slots__ = ("last_yield", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        #: the worker's event loop; ``None`` for a tracker without a worker
        self.loop: asyncio.AbstractEventLoop | None = loop
        #: monotonic time at which the event loop last had a turn
        self.last_yield: float = monotonic()

    async def yield_if_due(self) -> None:
        """Yield to the event loop if that is due."""
        now = monotonic()
        if now - self.last_yield > SLICE:
            if self.loop is not None and asyncio.get_running_loop() is not self.loop:
                # a turn of another thread's loop does not count for the worker's
                await asyncio.sleep(0)
                return
            # also before it: the other jobs of this turn need not yield
            self.last_yield = now
            await asyncio.sleep(0)
            self.last_yield = monotonic()
