"""How long jobs keep the event loop."""

import asyncio
from time import monotonic

#: Seconds for which a tight loop of progress calls keeps the event loop: short enough for a round
#: trip to Redis, which takes several turns of the loop, to fit into a fraction of a second.
SLICE = 0.005


class Pace:
    """When jobs in tight loops last let the event loop run: each does so for all of them."""

    __slots__ = ("last_yield", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        #: the worker's event loop, for a tracker that has a worker
        self.loop: asyncio.AbstractEventLoop | None = loop
        #: when the event loop last had its turn
        self.last_yield: float = monotonic()

    async def yield_if_due(self) -> None:
        """Let the event loop run if that is due."""
        now = monotonic()
        if now - self.last_yield > SLICE:
            if self.loop is not None and asyncio.get_running_loop() is not self.loop:
                # the turn of another loop, in a thread, is none of the worker's
                await asyncio.sleep(0)
                return
            # before as well: no other job of this turn need do the same
            self.last_yield = now
            await asyncio.sleep(0)
            self.last_yield = monotonic()
