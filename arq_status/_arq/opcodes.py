"""Pickle opcodes, executed without importing, calling or hashing anything."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from arq_status._arq.inert import (
    UNKNOWN_NAME,
    Members,
    Opaque,
    Pairs,
    placeholder_for_call,
    unknown,
)

# Protocols 0 to 2 use Python 2's names.
_MODULES_NOW = {"__builtin__": "builtins", "exceptions": "builtins"}


class Machine:
    """The state of reading a pickle: the position and the inert values created so far."""

    __slots__ = ("data", "marks", "memo", "memo_base", "pos", "stack")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.pos = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.memo_base = 0

    def take(self, size: int) -> bytes:
        """Read exactly ``size`` bytes."""
        chunk = self.data[self.pos : self.pos + size]
        if len(chunk) < size:
            raise EOFError
        self.pos += size
        return chunk

    def byte(self) -> int:
        """Read a byte as a number."""
        self.pos += 1
        return self.data[self.pos - 1]

    def number(self, size: int) -> int:
        """Read an unsigned number."""
        return int.from_bytes(self.take(size), "little")

    def counted(self, size: int) -> bytes:
        """Read length-prefixed bytes; fewer if the data ends early."""
        length = self.number(size)
        chunk = self.data[self.pos : self.pos + length]
        self.pos += length
        return chunk

    def line(self) -> bytes:
        """Read a line without its newline."""
        end = self.data.index(b"\n", self.pos)
        line = self.data[self.pos : end]
        self.pos = end + 1
        return line

    def remember(self, number: int) -> None:
        """Store the top value in the memo."""
        self.memo[number] = self.stack[-1]

    def recall(self, number: int) -> None:
        """Push a value from the memo."""
        self.stack.append(self.memo[number] if number in self.memo else unknown())

    def mark(self) -> None:
        """Push a mark."""
        self.marks.append(len(self.stack))

    def above_mark(self) -> list[Any]:
        """Pop all values above the last mark."""
        mark = self.marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        return items

    def last(self, count: int) -> list[Any]:
        """Pop ``count`` values."""
        start = len(self.stack) - count
        if start < 0:
            raise IndexError
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def drop(self) -> None:
        """Drop the top value, or the mark if that is on top."""
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.stack.pop()

    def extend(self, items: list[Any]) -> None:
        """Add values to the container on top."""
        owner = self.stack[-1]
        if type(owner) is Opaque:
            owner = owner.state
        elif type(owner) is not list:
            owner = owner.items
        owner.extend(items)

    def call(self) -> None:
        """Replace a call with a placeholder."""
        made_by, args = self.last(2)
        self.stack.append(placeholder_for_call(made_by, args))

    def call_with_keywords(self) -> None:
        """Replace a call that has keyword arguments."""
        made_by, args, keywords = self.last(3)
        self.stack.append(placeholder_for_call(made_by, args))
        self.stack[-1].state.append(keywords)

    def call_above_mark(self) -> None:
        """Replace a call of the first value above the mark."""
        made_by, *args = self.above_mark()
        self.stack.append(placeholder_for_call(made_by, tuple(args)))

    def call_named(self) -> None:
        """Replace a call of the name on the next two lines."""
        args = self.above_mark()
        self.named(_text(self.line()), _text(self.line()))
        self.stack.append(placeholder_for_call(self.stack.pop(), tuple(args)))

    def named(self, module: Any, name: Any) -> None:
        """Replace an import with an inert name."""
        module = module if type(module) is str else ""
        name = name if type(name) is str else UNKNOWN_NAME
        self.stack.append(Opaque(_MODULES_NOW.get(module, module), name))


def _short_text(machine: Machine) -> None:
    # By far the most frequent opcode, so it is inlined: calls dominate the time here.
    start = machine.pos + 1
    machine.pos = end = start + machine.data[machine.pos]
    machine.stack.append(_text(machine.data[start:end]))


def _memoize(machine: Machine) -> None:
    machine.memo[machine.memo_base + len(machine.memo)] = machine.stack[-1]


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        # most likely the data ends in the middle of a character
        return raw.decode("utf-8", "replace")


def _signed(raw: bytes) -> int:
    return int.from_bytes(raw, "little", signed=True)


def _int_line(raw: bytes) -> int:
    return raw == b"01" if raw in {b"00", b"01"} else int(raw)


# Each takes time at most proportional to the bytes that it reads and the values that it pops.
STEPS: dict[int, Callable[[Machine], object]] = {
    ord(code): step
    for code, step in {
        "\x80": Machine.byte,  # PROTO
        "\x95": lambda m: m.take(8),  # FRAME
        "N": lambda m: m.stack.append(None),
        "\x88": lambda m: m.stack.append(True),
        "\x89": lambda m: m.stack.append(False),
        "I": lambda m: m.stack.append(_int_line(m.line())),
        "J": lambda m: m.stack.append(_signed(m.take(4))),
        "K": lambda m: m.stack.append(m.byte()),
        "M": lambda m: m.stack.append(m.number(2)),
        "L": lambda m: m.stack.append(int(m.line().removesuffix(b"L"))),
        "\x8a": lambda m: m.stack.append(_signed(m.take(m.byte()))),  # LONG1
        "\x8b": lambda m: m.stack.append(_signed(m.take(m.number(4)))),  # LONG4
        "F": lambda m: m.stack.append(float(m.line())),
        "G": lambda m: m.stack.append(struct.unpack(">d", m.take(8))[0]),
        "S": lambda m: m.stack.append(m.line()[1:-1].decode("latin-1")),
        "T": lambda m: m.stack.append(_text(m.counted(4))),
        "U": lambda m: m.stack.append(_text(m.counted(1))),
        "V": lambda m: m.stack.append(m.line().decode("raw-unicode-escape")),
        "\x8c": _short_text,
        "X": lambda m: m.stack.append(_text(m.counted(4))),
        "\x8d": lambda m: m.stack.append(_text(m.counted(8))),  # BINUNICODE8
        "C": lambda m: m.stack.append(m.counted(1)),
        "B": lambda m: m.stack.append(m.counted(4)),
        "\x8e": lambda m: m.stack.append(m.counted(8)),  # BINBYTES8
        "\x96": lambda m: m.stack.append(Opaque("builtins", "bytearray", (m.counted(8),))),
        "\x97": lambda m: m.stack.append(unknown()),  # NEXT_BUFFER
        "\x98": lambda m: None,  # READONLY_BUFFER
        ")": lambda m: m.stack.append(()),
        "\x85": lambda m: m.stack.append(tuple(m.last(1))),
        "\x86": lambda m: m.stack.append(tuple(m.last(2))),
        "\x87": lambda m: m.stack.append(tuple(m.last(3))),
        "t": lambda m: m.stack.append(tuple(m.above_mark())),
        "]": lambda m: m.stack.append([]),
        "l": lambda m: m.stack.append(m.above_mark()),
        "}": lambda m: m.stack.append(Pairs([])),
        "d": lambda m: m.stack.append(Pairs(m.above_mark())),
        "\x8f": lambda m: m.stack.append(Members([])),
        "\x91": lambda m: m.stack.append(Members(m.above_mark(), frozen=True)),
        "a": lambda m: m.extend(m.last(1)),
        "s": lambda m: m.extend(m.last(2)),
        "e": lambda m: m.extend(m.above_mark()),
        "u": lambda m: m.extend(m.above_mark()),
        "\x90": lambda m: m.extend(m.above_mark()),  # ADDITEMS
        "(": Machine.mark,
        "0": Machine.drop,
        "1": Machine.above_mark,
        "2": lambda m: m.stack.append(m.stack[-1]),
        "g": lambda m: m.recall(int(m.line())),
        "h": lambda m: m.recall(m.byte()),
        "j": lambda m: m.recall(m.number(4)),
        "p": lambda m: m.remember(int(m.line())),
        "q": lambda m: m.remember(m.byte()),
        "r": lambda m: m.remember(m.number(4)),
        "\x94": _memoize,
        "c": lambda m: m.named(_text(m.line()), _text(m.line())),
        "\x93": lambda m: m.named(*m.last(2)),  # STACK_GLOBAL
        "R": Machine.call,
        "\x81": Machine.call,  # NEWOBJ
        "\x92": Machine.call_with_keywords,  # NEWOBJ_EX
        "o": Machine.call_above_mark,
        "i": Machine.call_named,
        "b": lambda m: m.stack[-2].state.append(m.stack.pop()),
        "P": lambda m: m.stack.append(Opaque("", "persistent", (_text(m.line()),))),
        "Q": lambda m: m.stack.append(Opaque("", "persistent", (m.stack.pop(),))),
        "\x82": lambda m: m.stack.append(Opaque("", "extension", (m.byte(),))),
        "\x83": lambda m: m.stack.append(Opaque("", "extension", (m.number(2),))),
        "\x84": lambda m: m.stack.append(Opaque("", "extension", (m.number(4),))),
    }.items()
}
