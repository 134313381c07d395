"""Lists of a worker's settings."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

T = TypeVar("T")


class TrackedList(Sequence[T]):
    """A list of the settings, whose items are tracked when arq's worker reads them.

    Import strings among them are not resolved before, just as arq does it.
    """

    def __init__(self, given: Sequence[Any], track: Callable[[Any], T]) -> None:
        self._given = tuple(given)
        self._track = track

    def __len__(self) -> int:
        return len(self._given)

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...

    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        if isinstance(index, slice):
            return [self._track(item) for item in self._given[index]]
        return self._track(self._given[index])
