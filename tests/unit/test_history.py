"""Levels of log lines."""

import logging

import pytest

from arq_status._model.history import LEVELS, level_name, level_number


def test_levels_by_name_and_number() -> None:
    """Names are those of ``logging``, in any case."""
    assert {level_number(name) for name in LEVELS} == {10, 20, 30, 40, 50}
    assert level_number("Warning") == level_number(30) == logging.WARNING
    assert [level_name(it) for it in (0, 10, 19, 20, 35, 45, 99)] == [
        "debug", "debug", "debug", "info", "warning", "error", "critical",
    ]  # fmt: skip


def test_invalid_levels() -> None:
    """The error names the level."""
    with pytest.raises(ValueError, match="one of debug, info"):
        level_number("loud")
    for level in (None, 1.5, True):
        with pytest.raises(TypeError):
            level_number(level)  # type: ignore[arg-type]
