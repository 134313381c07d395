"""Helpers for testing jobs: run them without a Redis server, or call one with a tracker."""

from arq_status.testing.inline import inline
from arq_status.testing.pool import InlinePool
from arq_status.testing.standalone import StandaloneTracker, tracker

__all__ = ["InlinePool", "StandaloneTracker", "inline", "tracker"]


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
