"""What takes the place of a Redis: a pool that brings what is made of one otherwise."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from arq_status._attempts import Attempts
from arq_status._options import FunctionOptions
from arq_status._run import Outbox
from arq_status._source import Source
from arq_status._uplink import Uplink


class StandIn(ABC):
    """What such a pool derives from."""

    #: what clients ask
    source: Source

    @abstractmethod
    def uplink(
        self, options: Mapping[str, FunctionOptions], outbox: Outbox, attempts: Attempts
    ) -> Uplink:
        """What the jobs of a worker report through."""
