"""Inert values, read from a pickle for display only."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import Any

from arq_status._model.text import Literal, Parts, members, pair_members, set_members, shorten

UNKNOWN_NAME = "…"

_NAME_LIMIT = 200
_PATH_PARTS = 100
_PATH_LENGTH = 1000


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Pairs(Parts):
    """A dict as a flat list of keys and values, because hashing its keys could take forever."""

    items: list[Any]

    def pairs(self) -> Iterator[tuple[Any, Any]]:
        """Yield pairs of keys and values."""
        each = iter(self.items)
        return zip(each, each, strict=False)

    def pieces(self) -> Iterator[Any]:
        """Yield the pieces of a dict's ``repr``."""
        return pair_members(self.pairs())


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Members(Parts):
    """A set or frozenset as a list, for the same reason."""

    items: list[Any]
    frozen: bool = False

    def pieces(self) -> Iterator[Any]:
        """Yield the pieces of a set's ``repr``."""
        return set_members(self.items, frozen=self.frozen)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Opaque(Parts):
    """A name found in a pickle (``args`` is ``None``), or the object that calling it would create.

    ``state`` collects what would be set on the object or added to it. It is never shown, because a
    class may leave it out of its ``repr`` on purpose, for example a password.
    """

    module: str
    name: str
    args: tuple[Any, ...] | None = None
    state: list[Any] = field(default_factory=list)

    def pieces(self) -> Iterator[Any]:
        """Yield the ``repr`` of common standard types, otherwise the name and the arguments."""
        known = _KNOWN.get((self.module, self.name))
        if known and self.args is not None:
            try:
                return iter(known(self, *self.args))
            except Exception:
                # not the arguments with which this type is pickled: show it as an unknown type
                return self._plain_pieces()
        return self._plain_pieces()

    def _plain_pieces(self) -> Iterator[Any]:
        name = shorten(self.name, _NAME_LIMIT) or "?"
        if self.args is None:
            return iter((Literal(name),))
        more = (Literal("..."),) if self.state else ()
        return members(f"{name}(", (*self.args, *more), ")")


def unknown() -> Opaque:
    """Return a placeholder for a missing value; a new one each time, because it has state."""
    return Opaque("", UNKNOWN_NAME)


def placeholder_for_call(made_by: Any, args: Any) -> Opaque:
    """Return a placeholder for the result of a call in a pickle."""
    if not isinstance(made_by, Opaque):
        made_by = unknown()
    if type(args) is not tuple:
        args = (args,)
    if (made_by.module, made_by.name) == ("builtins", "getattr") and _is_attribute(args):
        # shortened, because each nested call could make the name longer
        name = f"{shorten(args[0].name, _NAME_LIMIT)}.{shorten(args[1], _NAME_LIMIT)}"
        return Opaque(args[0].module, name)
    return Opaque(made_by.module, made_by.name, args)


def _is_attribute(args: tuple[Any, ...]) -> bool:
    return len(args) == 2 and isinstance(args[0], Opaque) and type(args[1]) is str


def _of_kind(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError
    return value


def _moment(kind: Any, length: int) -> Callable[..., list[Any]]:
    def pieces(_: Opaque, packed: Any, zone: Any = None) -> list[Any]:
        if len(_of_kind(packed, bytes)) != length:
            raise ValueError
        text = repr(kind(packed))
        if zone is None:
            return [Literal(text)]
        return [Literal(text[:-1] + ", tzinfo="), zone, Literal(")")]

    return pieces


def _timedelta(_: Opaque, *args: Any) -> list[Any]:
    days, seconds, microseconds = (_of_kind(arg, int) for arg in args)
    return [Literal(repr(dt.timedelta(days, seconds, microseconds)))]


def _timezone(_: Opaque, offset: Any, *name: Any) -> list[Any]:
    if _of_kind(offset, Opaque).name == "timedelta" and offset.args == (0, 0, 0) and not name:
        return [Literal("datetime.timezone.utc")]
    return list(members("datetime.timezone(", (offset, *name), ")"))


def _zone_info(_: Opaque, key: Any, _from_cache: Any) -> list[Any]:
    return [Literal("zoneinfo.ZoneInfo(key="), key, Literal(")")]


def _bytearray(_: Opaque, raw: Any = b"") -> list[Any]:
    # its repr uses other quotes than that of bytes
    return [Literal(repr(bytearray(_of_kind(raw, bytes))))]


def _uuid(value: Opaque) -> list[Any]:
    name, number = _of_kind(value.state[0], Pairs).items[:2]
    if name != "int":
        raise ValueError
    return [Literal(repr(uuid.UUID(int=_of_kind(number, int))))]


def _path(value: Opaque, *parts: Any) -> list[Any]:
    # a small pickle can repeat a path, and a path its parts, any number of times
    if len(parts) > _PATH_PARTS or sum(len(_of_kind(part, str)) for part in parts) > _PATH_LENGTH:
        raise ValueError
    kind: type[PurePath] = PureWindowsPath if "Windows" in value.name else PurePosixPath
    return [Literal(f"{value.name}("), kind(*parts).as_posix(), Literal(")")]


_KNOWN: dict[tuple[str, str], Callable[..., list[Any]]] = {
    ("datetime", "date"): _moment(dt.date, 4),
    ("datetime", "time"): _moment(dt.time, 6),
    ("datetime", "datetime"): _moment(dt.datetime, 10),
    ("datetime", "timedelta"): _timedelta,
    ("datetime", "timezone"): _timezone,
    ("zoneinfo", "ZoneInfo._unpickle"): _zone_info,
    ("uuid", "UUID"): _uuid,
    ("builtins", "bytearray"): _bytearray,
    **{
        (module, name): _path
        for module in ("pathlib", "pathlib._local")
        for name in ("PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath")
    },
}
