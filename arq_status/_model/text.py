"""Rendering of values as text that is safe to store and show: clean, short, in bounded time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from heapq import nsmallest
from typing import Any

ERROR_LIMIT = 10_000

_REPR_LIMIT = 200

# The longest int that is written in digits. Python can be told to refuse more than 640 digits, and
# the time to compute them grows with the square of their number.
_INT_BITS = 2048


class Literal(str):
    """A piece of text that is rendered as is, while other strings get quotes."""

    __slots__ = ()


class Parts:
    """A value that is rendered piece by piece, so that rendering can stop after any piece."""

    __slots__ = ()

    def __repr__(self) -> str:
        return render_value(self, _REPR_LIMIT)

    def pieces(self) -> Iterator[Any]:
        """Yield ``Literal`` and other values; the first is a non-empty ``Literal``."""
        raise NotImplementedError


_NESTED = frozenset({list, tuple, dict, set, frozenset})


def clean(text: str) -> str:
    """Replace lone surrogates, which UTF-8 cannot encode."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def shorten(text: str, limit: int) -> str:
    """Return clean text of at most ``limit`` (1 or more) characters; an ellipsis marks a cut."""
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    return clean(text)


def render_args(args: Sequence[Any], kwargs: Mapping[Any, Any], limit: int = 80) -> str:
    """Render arguments the way arq logs them, in bounded time and memory."""
    if not args and not kwargs:
        return ""
    return _join(_written(args, kwargs, limit), limit)


def render_message(args: Sequence[Any], limit: int = ERROR_LIMIT) -> str:
    """Render the arguments of an exception, strings without quotes."""
    return _join(
        (value[: limit + 1] if type(value) is str else _write(value, limit) for value in args),
        limit,
    )


def render_value(value: Any, limit: int) -> str:
    """Render a value like ``repr``, but at most ``limit`` characters and in bounded time."""
    return shorten(_write(value, limit), limit)


def error_text(error: BaseException) -> str:
    """Render an exception as ``TypeName: message``, or ``TypeName`` if it has no message."""
    name = type(error).__name__
    try:
        message = str(error)
    except Exception:
        message = ""
    return shorten(f"{name}: {message}" if message else name, ERROR_LIMIT)


def _join(texts: Iterable[str], limit: int) -> str:
    taken: list[str] = []
    room = limit + 2
    for text in texts:
        taken.append(text)
        room -= len(text) + 2
        if room < 0:
            break
    return shorten(", ".join(taken), limit)


def _written(args: Iterable[Any], kwargs: Mapping[Any, Any], limit: int) -> Iterator[str]:
    for value in args:
        yield _write(value, limit)
    for name in _first_names(kwargs, limit):
        shown = name[:limit] if type(name) is str else _write(name, limit)
        yield f"{shown}={_write(kwargs[name], limit)}"


def _first_names(kwargs: Mapping[Any, Any], limit: int) -> list[Any]:
    try:
        # each takes at least one character
        return nsmallest(limit, kwargs)
    except TypeError:
        return list(kwargs)


def _write(value: Any, room: int) -> str:
    """Render like ``repr``; if that is longer than ``room``, only the beginning is correct."""
    text = _plain(value, room)
    return _write_nested(value, room) if text is None else text


def _plain(value: Any, room: int) -> str | None:
    kind = type(value)
    if kind is str or kind is bytes:
        return repr(value if len(value) <= room else value[: room + 1])
    if kind is int:
        bits = value.bit_length()
        return repr(value) if bits <= _INT_BITS else f"<int of {bits} bits>"
    if kind in _NESTED or issubclass(kind, Parts):
        return None
    try:
        return repr(value)[: room + 1]
    except Exception:
        return f"<{kind.__name__}>"


def _write_nested(value: Any, room: int) -> str:
    # An explicit stack instead of recursion, and every level writes at least its bracket: neither
    # depth nor cycles nor shared references can make this take longer than the wanted text needs.
    written: list[str] = []
    walks = [_walk(value)]
    path = {id(value): True}
    while walks and room >= 0:
        item = next(walks[-1], walks)
        if item is walks:
            walks.pop()
            path.popitem()
            continue
        text = item if type(item) is Literal else _plain(item, room)
        if text is None and id(item) not in path:
            walks.append(_walk(item))
            path[id(item)] = True
            continue
        text = _cycle(item) if text is None else text
        written.append(text)
        room -= len(text)
    return "".join(written)


def _cycle(value: Any) -> str:
    return {"list": "[...]", "dict": "{...}", "tuple": "(...)"}.get(type(value).__name__, "...")


def _walk(value: Any) -> Iterator[Any]:
    if isinstance(value, Parts):
        return value.pieces()
    if type(value) is list:
        return members("[", value, "]")
    if type(value) is tuple:
        return members("(", value, ",)" if len(value) == 1 else ")")
    if type(value) is dict:
        return pair_members(value.items())
    return set_members(value, frozen=type(value) is frozenset)


def members(opening: str, values: Iterable[Any], closing: str) -> Iterator[Any]:
    """Yield the pieces of a sequence between brackets."""
    yield Literal(opening)
    comma = Literal("")
    for value in values:
        yield comma
        yield value
        comma = Literal(", ")
    yield Literal(closing)


def pair_members(items: Iterable[tuple[Any, Any]]) -> Iterator[Any]:
    """Yield the pieces of a dict."""
    opening = "{"
    for key, value in items:
        yield Literal(opening)
        yield key
        yield Literal(": ")
        yield value
        opening = ", "
    yield Literal("{}" if opening == "{" else "}")


def set_members(values: Collection[Any], *, frozen: bool) -> Iterator[Any]:
    """Return the pieces of a set."""
    if not values:
        return members("frozenset(" if frozen else "set(", (), ")")
    return members("frozenset({" if frozen else "{", values, "})" if frozen else "}")
