"""The lists of functions and cron jobs in a worker's settings."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self, SupportsIndex, overload


class TrackedList(list[Any]):
    """A list that returns its items tracked.

    It keeps the items as the user gave them and tracks each one when it is read, so that import
    strings are resolved only when arq's worker reads them.
    """

    def __init__(self, given: Iterable[Any], track: Callable[[Any], Any]) -> None:
        super().__init__(_as_given(given))
        self._track = track
        #: the items read so far by identity: the original and the tracked one
        self._tracked: dict[int, tuple[Any, Any]] = {}

    def __iter__(self) -> Iterator[Any]:
        return map(self._tracked_item, super().__iter__())

    @overload
    def __getitem__(self, index: SupportsIndex) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...

    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        if isinstance(index, slice):
            return [self._tracked_item(item) for item in super().__getitem__(index)]
        return self._tracked_item(super().__getitem__(index))

    def __contains__(self, item: object) -> bool:
        return super().__contains__(item) or any(
            item is tracked for _, tracked in self._tracked.values()
        )

    def __add__(self, other: list[Any]) -> Self:
        return type(self)([*_as_given(self), *other], self._track)

    def __radd__(self, other: list[Any]) -> Self:
        return type(self)([*other, *_as_given(self)], self._track)

    def copy(self) -> Self:
        """Return a tracked list of the same items."""
        return type(self)(self, self._track)

    def _tracked_item(self, given: Any) -> Any:
        known = self._tracked.get(id(given))
        if known is None:
            known = self._tracked[id(given)] = given, self._track(given)
        return known[1]


def _as_given(items: Iterable[Any]) -> Iterable[Any]:
    return list.__iter__(items) if isinstance(items, TrackedList) else items
