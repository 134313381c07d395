"""What takes the place of a Redis: a pool that brings what is made of one otherwise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # who only asks need not load what a worker takes
    from arq_status._client.source import Source
    from arq_status._model.options import FunctionOptions
    from arq_status._tracking.attempts import Attempts
    from arq_status._tracking.outbox import Outbox
    from arq_status._tracking.uplink import Uplink


class StandIn(ABC):
    """What such a pool derives from."""

    #: what clients ask
    source: Source

    @abstractmethod
    def uplink(
        self, options: Mapping[str, FunctionOptions], outbox: Outbox, attempts: Attempts
    ) -> Uplink:
        """What the jobs of a worker report through."""
