"""Rendered text is clean, short and created in bounded time, whatever the values."""

import time
from collections import OrderedDict
from enum import Enum
from typing import Any

import pytest
from arq.utils import args_to_string
from hypothesis import given, settings
from hypothesis import strategies as st

from arq_status._model.text import (
    Parts,
    clean,
    error_text,
    render_args,
    render_message,
    render_value,
    shorten,
)
from tests.fuzzing import HASHABLE

VALUES = st.recursive(
    HASHABLE | st.sets(HASHABLE, max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(HASHABLE, inner, max_size=3),
    max_leaves=6,
)
NAMES = st.from_regex(r"[a-z_]{1,6}", fullmatch=True)


class Colour(Enum):
    RED = 1


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError


class BrokenError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


class Chatty:
    def __repr__(self) -> str:
        return "chat" * 1000


@pytest.mark.parametrize("text", ["", "plain", "ünïcödé 🎉", "a\x00b"])
def test_clean_leaves_good_text_alone(text: str) -> None:
    """Text that UTF-8 can encode is returned as the same object."""
    assert clean(text) is text


def test_clean_replaces_lone_surrogates() -> None:
    """They become question marks."""
    assert clean("a\ud800b") == "a?b"


@settings(deadline=None)
@given(st.text(st.characters()), st.integers(1, 20))
def test_shorten_keeps_to_the_limit(text: str, limit: int) -> None:
    """Any text can be stored and is no longer than the limit."""
    short = shorten(text, limit)
    short.encode()
    assert len(short) == min(len(text), limit)
    assert short.endswith("…") or len(text) <= limit


@settings(deadline=None)
@given(st.lists(VALUES, max_size=4), st.dictionaries(NAMES, VALUES, max_size=3))
def test_arguments_read_as_in_arqs_log(args: list[Any], kwargs: dict[str, Any]) -> None:
    """Built-in values are rendered as in arq's log, including quotes and order."""
    expected = args_to_string(args, kwargs)
    if not expected.endswith("…"):
        assert render_args(args, kwargs) == clean(expected)


@settings(deadline=None)
@given(st.lists(st.integers(), min_size=5, max_size=40), st.integers(1, 100))
def test_long_arguments_are_cut_as_in_arqs_log(args: list[int], limit: int) -> None:
    """They are cut at the same character as by arq."""
    full = ", ".join(map(repr, args))
    assert render_args(args, {}, limit) == shorten(full, limit)
    assert render_args([args], {}, limit) == shorten(f"[{full}]", limit)


def test_no_arguments() -> None:
    """Without arguments the text is empty."""
    assert render_args((), {}) == ""


def test_keyword_arguments_are_sorted() -> None:
    """They follow the positional ones, sorted by name."""
    assert render_args((1, "two"), {"z": None, "key": 3}) == "1, 'two', key=3, z=None"


def test_keyword_arguments_stop_at_the_limit() -> None:
    """Neither a million names nor a huge name is rendered in full."""
    many = {f"name{number:07}": number for number in range(100_000)}
    assert render_args((), many, 20) == "name0000000=0, name…"
    assert render_args((), {"x" * 10**6: 1}, 5) == "xxxx…"
    assert render_args(("y" * 90,), {"x": 1}, 5) == "'yyy…"


def test_keyword_names_that_do_not_compare() -> None:
    """Names that are not strings, which other serializers may return, are shown as well."""
    assert render_args((), {1: 2, "a": 3}) == "1=2, a=3"


def test_other_types_use_their_repr() -> None:
    """This includes subclasses of built-in types."""
    assert (
        render_args((Colour.RED, OrderedDict(a=1)), {}) == f"{Colour.RED!r}, {OrderedDict(a=1)!r}"
    )


def test_a_repr_that_raises() -> None:
    """The value is shown by its type, also inside other values."""
    assert render_args((Broken(), [Broken()]), {}) == "<Broken>, [<Broken>]"


def test_a_long_repr_is_cut() -> None:
    """This applies to types with their own repr."""
    assert render_value(Chatty(), 10) == "chatchatc…"


def test_surrogates_in_a_repr_are_replaced() -> None:
    """The repr of other types is cleaned."""
    named = type("Named", (), {"__repr__": lambda self: "\ud800"})()
    assert render_args((named,), {}) == "?"


def test_cycles() -> None:
    """Values that contain themselves are rendered like in Python."""
    items: list[Any] = [1]
    items.append(items)
    table: dict[str, Any] = {}
    table["self"] = table
    pair: tuple[Any, ...] = ([],)
    pair[0].append(pair)
    assert render_value(items, 80) == repr(items)
    assert render_value(table, 80) == repr(table)
    assert render_value(pair, 80) == repr(pair)


def test_the_same_value_twice_is_no_cycle() -> None:
    """A value that is only used twice is rendered twice."""
    shared = [1]
    assert render_value([shared, shared], 80) == "[[1], [1]]"


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def _laughs(depth: int) -> list[Any]:
    value: list[Any] = ["ha"]
    for _ in range(depth):
        value = [value, value]
    return value


@pytest.mark.parametrize(
    ("value", "beginning"),
    [
        pytest.param("x" * 10**7, "'xxx", id="text"),
        pytest.param(b"x" * 10**7, "b'xx", id="bytes"),
        pytest.param(list(range(10**5)), "[0, ", id="list"),
        pytest.param(set(range(10**5)), "{0, ", id="set"),
        pytest.param(dict.fromkeys(range(10**5)), "{0: ", id="dict"),
        pytest.param(_nested(100_000), "[[[[", id="deep"),
        pytest.param(_laughs(200), "[[[[", id="shared"),
    ],
)
def test_large_values_stop_at_the_limit(value: Any, beginning: str) -> None:
    """However large a value is, only the visible part is rendered."""
    before = time.thread_time()
    text = render_args((value,), {"key": value})
    assert time.thread_time() - before < 0.2
    assert text.startswith(beginning)
    assert len(text) == 80


def test_a_gigantic_number() -> None:
    """A number that would take long to render is described instead."""
    assert render_args((1 << 10**7,), {}) == "<int of 10000001 bits>"
    assert render_value(1 << 2047, 1000) == str(1 << 2047)


def test_parts_without_pieces() -> None:
    """Subclasses must define ``pieces``."""
    with pytest.raises(NotImplementedError):
        render_value(Parts(), 10)


def test_a_message() -> None:
    """Strings have no quotes, other values are rendered like their repr, cut at the limit."""
    assert render_message(("boom", 1, ["x"])) == "boom, 1, ['x']"
    assert render_message(["x" * 10**6] * 1000, 5) == "xxxx…"
    assert render_message(()) == ""


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("boom"), "ValueError: boom"),
        (ValueError(), "ValueError"),
        (KeyError("key"), "KeyError: 'key'"),
        (BrokenError(), "BrokenError"),
        (ValueError("\udc80"), "ValueError: ?"),
    ],
)
def test_error_text(error: BaseException, text: str) -> None:
    """It is the name of the type, and the message if there is one."""
    assert error_text(error) == text


def test_error_text_is_cut() -> None:
    """A huge message is cut."""
    assert len(error_text(ValueError("x" * 10**6))) == 10_000
