"""What streams send: the state of something, and how it differs from an earlier state.

Scripts get JSON. The pages get those of their parts that changed, rendered by their templates.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from arq_status._model.serialization import encode
from arq_status.web.rendering import View

#: Seconds between updates, so that a browser gets five a second at most.
PACE = 0.2


def frame(name: str, value: Any) -> bytes:
    """Return an event of a stream."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), encode(value))


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a page.

    Attributes:
        key: what it shows; the part has changed if this differs.
        render: renders it for a view.
    """

    key: object
    render: Callable[[View], str]


class StreamState(ABC):
    """A state at one moment, with the events that lead to it from earlier states."""

    def __init__(self, version: int) -> None:
        self._version = version
        self._events: dict[Hashable, bytes] = {}

    @abstractmethod
    def parts(self) -> Mapping[str, Part]:
        """Return the parts of its page."""
        ...

    @abstractmethod
    def _json(self, seen: Any) -> Iterator[bytes]: ...

    def since(self, seen: Any) -> bytes:
        """Return the events in JSON for those who last saw this earlier state, or none."""
        return self._since(seen, None)

    def parts_since(self, seen: Any, view: View) -> bytes:
        """Return the events with the parts of the page that changed since, rendered for a view."""
        return self._since(seen, view)

    def _since(self, seen: Any, view: View | None) -> bytes:
        # computed once for all viewers
        key = (0 if seen is None else seen._version, view)
        if key not in self._events:
            found = self._json(seen) if view is None else self._html(seen, view)
            self._events[key] = b"".join(found)
        return self._events[key]

    def _html(self, seen: Any, view: View) -> Iterator[bytes]:
        before = {} if seen is None else seen.parts()
        changed = {
            name: part.render(view)
            for name, part in self.parts().items()
            if name not in before or before[name].key != part.key
        }
        if changed:
            yield frame("parts", changed)


class Gone:
    """The last update of a job or group that was deleted or has expired."""

    def since(self, _: object) -> bytes:
        """Return the event for it."""
        return frame("gone", {})

    def parts_since(self, _: object, view: View) -> bytes:
        """Return the same: the page keeps what it shows."""
        return self.since(None)
