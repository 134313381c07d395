"""Reads a pickled dict, even if only its beginning or its end is available."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from arq_status._arq.inert import Members, Opaque, Pairs, placeholder_for_call
from arq_status._arq.opcodes import STEPS, Machine

# Together with the length of the data, this bounds time and memory.
MAX_OPS = 5000

_STOP = ord(".")


@dataclass(frozen=True, slots=True)
class Reading:
    """The part of a dict that could be read; the value of the ``unfinished`` key may be cut."""

    items: dict[str, Any]
    unfinished: str | None = None
    complete: bool = False


def read_pickle(data: bytes, keys: Sequence[str]) -> Reading:
    """Read a dict; ``keys`` is the order of its keys, which shows where a truncated one ends."""
    machine = Machine(data)
    if not _run(machine):
        _fold(machine)
        return _rescued(machine.stack, dict(pairwise(keys)))
    top = machine.stack[-1] if machine.stack else None
    if not isinstance(top, Pairs):
        return Reading({}, complete=True)
    items = {key: value for key, value in top.pairs() if type(key) is str}
    return Reading(items, complete=True)


def read_tail(data: bytes) -> list[Any]:
    """Read keys and values in turn from a key of the outermost dict on; ``[]`` on failure."""
    machine = Machine(data)
    machine.stack.append(Pairs([]))
    machine.marks.append(1)
    # The memo of the preceding part is missing: references to it must not find anything.
    machine.memo_base = 1 << 64
    finished = _run(machine) and machine.pos == len(data)
    top = machine.stack[0] if finished and machine.stack else None
    return top.items if isinstance(top, Pairs) else []


def _run(machine: Machine) -> bool:
    """Run to the end and return True, or as far as possible and return False."""
    data, steps = machine.data, STEPS
    try:
        for _ in range(MAX_OPS):
            code = data[machine.pos]
            machine.pos += 1
            if code == _STOP:
                return True
            steps[code](machine)
    except Exception:
        # truncated or damaged: the stack holds what could be read
        return False
    return False


def _fold(machine: Machine) -> None:
    """Close all open containers except the outermost dict."""
    stack, marks = machine.stack, machine.marks
    outermost = 1 if marks[:1] == [1] and stack and isinstance(stack[0], Pairs) else 0
    while len(marks) > outermost:
        items = _closed(machine.above_mark())
        if stack and isinstance(stack[-1], (list, Pairs, Members)):
            machine.extend(items)
        else:
            stack.append(tuple(items))


def _rescued(stack: list[Any], followers: dict[str, str]) -> Reading:
    if not stack or not isinstance(stack[0], Pairs):
        return Reading({})
    flat = [*stack[0].items, *stack[1:]]
    items: dict[str, Any] = {}
    for at in range(0, len(flat) - 1, 2):
        key, value = flat[at], flat[at + 1]
        if type(key) is not str:
            return Reading(items)
        items[key] = value
        rest, follower = flat[at + 2 : at + 4], followers.get(key, "")
        if not rest or _may_become(follower, rest):
            return Reading(items, key)
        if rest[0] != follower:
            items[key] = _one(_closed(flat[at + 1 :]))
            return Reading(items, key)
    return Reading(items)


def _may_become(key: str, rest: list[Any]) -> bool:
    """Return True if the data ends in the middle of this key."""
    last = rest[0]
    return len(rest) == 1 and type(last) is str and last != key and key.startswith(last)


def _closed(parts: list[Any]) -> list[Any]:
    """Put the values after an empty container or a name into it: most likely they are its content.

    In truncated data, an empty container followed by other values looks the same.
    """
    inside: deque[Any] = deque()
    for part in reversed(parts):
        if not inside or not _takes_more(part):
            inside.appendleft(part)
        elif isinstance(part, Opaque):
            args = inside[0] if type(inside[0]) is tuple else tuple(inside)
            inside = deque((placeholder_for_call(part, args),))
        elif isinstance(part, Pairs):
            part.items.append(inside.popleft())
            part.items.extend([_one(list(inside))] if inside else [])
            inside = deque((part,))
        else:
            part.extend(inside)
            inside = deque((part,))
    return list(inside)


def _takes_more(part: Any) -> bool:
    if isinstance(part, Opaque):
        return part.args is None
    if isinstance(part, Pairs):
        return not part.items
    return type(part) is list and not part


def _one(parts: list[Any]) -> Any:
    return parts[0] if len(parts) == 1 else tuple(parts)
