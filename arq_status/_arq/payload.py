"""Reads arq's payloads and results without importing or calling anything in them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from arq_status._arq.failures import failure_text, is_cancellation, pickled_failure_text
from arq_status._arq.inert import Opaque, Pairs
from arq_status._arq.unpickling import Reading, read_pickle, read_tail
from arq_status._model.facts import JobPayload, ResultOutcome, ResultPayload
from arq_status._model.options import DEFAULT_ARGS_LIMIT
from arq_status._model.record import LAST_MS
from arq_status._model.text import ERROR_LIMIT, render_args, render_value, shorten

Deserializer = Callable[[bytes], Any]
#: Returns how many characters of the arguments of a function in a queue may be shown.
ArgsLimit = Callable[[str | None, str | None], int]

_NAME_LIMIT = 300
_TAIL = 512
#: Maximum characters of a return value.
RETURNED_LIMIT = 1_000
# success and the result None, which most jobs return: recognized without unpickling
_RETURNED_NONE = b"\x8c\x01s\x94\x88\x8c\x01r\x94N\x8c\x02st\x94"
_UNKNOWN_FUNCTION = "<unknown>"

# The order of the keys in arq's dicts; that of a payload ends with "et".
_KEYS = ("t", "f", "a", "k", "et", "s", "r", "st", "ft", "q", "id")
_ENQUEUED = b"\x8c\x02et\x94\x8a\x06"
# A repeated key is a memo reference, and a frame may start before the value.
_ENQUEUED_TAIL = re.compile(
    rb"(?:\x8c\x02et\x94|h.|j.{4})(?:\x95.{8})?\x8a\x06(.{6})u\.\Z", re.DOTALL
)
_ENQUEUED_TAIL_SIZE = 26
# Where the last keys of a result may start. No string can contain these bytes, because they are not
# valid UTF-8, so an error message cannot be mistaken for the end of a result.
_ENDINGS = (
    (re.compile(rb"\x8c\x02et\x94"), _KEYS[4:]),
    (re.compile(rb"\x8c\x01s\x94"), _KEYS[5:]),
    (re.compile(rb"\x8c\x02st\x94"), _KEYS[7:]),
)


def _default_limit(_function: str | None, _queue: str | None) -> int:
    return DEFAULT_ARGS_LIMIT


def read_payload(
    head: bytes,
    tail: bytes = b"",
    deserializer: Deserializer | None = None,
    queue: str | None = None,
    args_limit: ArgsLimit = _default_limit,
) -> JobPayload:
    """Read arq's payload of a job.

    ``head`` is its beginning; if that is not the whole payload, ``tail`` is its last 512 bytes.
    """
    reading = _read(head, tail, deserializer)
    enqueued = _number(reading.items.get("et"))
    if enqueued is None and not reading.complete:
        enqueued = enqueued_ms_of_tail(tail or head)
    function = _function(reading)
    return JobPayload(
        function=function,
        args=_args(reading, args_limit(function, queue)),
        enqueued_ms=enqueued,
        job_try=_number(reading.items.get("t")),
    )


def read_result(
    head: bytes,
    tail: bytes = b"",
    deserializer: Deserializer | None = None,
    args_limit: ArgsLimit = _default_limit,
) -> ResultPayload:
    """Read a result; ``tail`` is its last 512 bytes if ``head`` is not the whole result."""
    reading = _read(head, tail, deserializer)
    ending = _with_ending(reading, tail or head[-_TAIL:])
    items = ending.items
    started, finished = _number(items.get("st")), _number(items.get("ft"))
    seconds = None if started is None or finished is None else (finished - started) / 1000
    outcome = _outcome(items)
    failed = outcome in {ResultOutcome.FAILURE, ResultOutcome.CANCELLED}
    function, queue = _function(reading), _name(ending, "q")
    return ResultPayload(
        function=function,
        args=_args(reading, args_limit(function, queue)),
        enqueued_ms=_number(items.get("et")),
        job_try=_number(items.get("t")),
        outcome=outcome,
        error=_error(ending, seconds) if failed else None,
        started_ms=started,
        finished_ms=finished,
        queue=queue,
    )


def read_returned(head: bytes, deserializer: Deserializer | None = None) -> str | None:
    """Return the return value in a result as text; ``None`` if it is not contained.

    ``head`` may be just the beginning of the result.
    """
    if _RETURNED_NONE in head:
        return "None"
    reading = _read(head, b"", deserializer)
    if not reading.items.get("s") or "r" not in reading.items:
        return None
    text = render_value(reading.items["r"], RETURNED_LIMIT)
    return shorten(text + "…", RETURNED_LIMIT) if reading.unfinished == "r" else text


def enqueued_ms_of_tail(tail: bytes) -> int | None:
    """Return the enqueue time in a payload's last bytes; ``None`` if it is not a default pickle."""
    if tail[-15:-8] == _ENQUEUED and tail.endswith(b"u."):
        return _number(int.from_bytes(tail[-8:-2], "little", signed=True))
    if found := _ENQUEUED_TAIL.search(tail[-_ENQUEUED_TAIL_SIZE:]):
        return _number(int.from_bytes(found[1], "little", signed=True))
    return None


def _read(head: bytes, tail: bytes, deserializer: Deserializer | None) -> Reading:
    if deserializer is None or tail:
        return read_pickle(head, _KEYS)
    try:
        found = deserializer(head)
    except Exception:
        found = None
    return Reading(found if isinstance(found, dict) else {}, complete=True)


def _with_ending(reading: Reading, tail: bytes) -> Reading:
    """Add the keys read from the last bytes of a result that was cut in the middle."""
    ending = {} if reading.complete else _ending(tail)
    items = {**ending, **reading.items}
    if reading.unfinished not in ending:
        return replace(reading, items=items)
    items[reading.unfinished] = ending[reading.unfinished]
    return Reading(items)


def _ending(tail: bytes) -> dict[str, Any]:
    for pattern, names in _ENDINGS:
        for place in pattern.finditer(tail):
            flat = read_tail(tail[place.start() :])
            found = dict(zip(names, flat[1::2], strict=False))
            fits = len(flat) == 2 * len(names) and _fits(flat[::2], names)
            if fits and None not in (_number(found["st"]), _number(found["ft"])):
                return found
    return {}


def _fits(keys: Sequence[Any], names: Sequence[str]) -> bool:
    # A repeated key is a memo reference, which cannot be resolved here.
    return all(
        key == name if type(key) is str else isinstance(key, Opaque)
        for key, name in zip(keys, names, strict=True)
    )


def _function(reading: Reading) -> str | None:
    name = _name(reading, "f")
    return None if name == _UNKNOWN_FUNCTION else name


def _name(reading: Reading, key: str) -> str | None:
    name = reading.items.get(key)
    # a truncated name would be a different, wrong name
    if not isinstance(name, str) or reading.unfinished == key:
        return None
    return shorten(name, _NAME_LIMIT)


def _number(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= LAST_MS else None


def _args(reading: Reading, limit: int) -> str:
    if not limit:
        return ""
    args, kwargs = reading.items.get("a"), reading.items.get("k")
    if reading.unfinished == "a" and type(args) is not tuple:
        args = (args,)
    if not isinstance(args, (list, tuple)):
        args = ()
    if isinstance(kwargs, Pairs):
        kwargs = {name: value for name, value in kwargs.pairs() if type(name) is str}
    text = render_args(args, kwargs if isinstance(kwargs, dict) else {}, limit)
    missing = "a" in reading.items and "k" not in reading.items and not reading.complete
    cut = missing or reading.unfinished in {"a", "k"}
    return shorten(text + "…", limit) if cut else text


def _outcome(items: dict[str, Any]) -> ResultOutcome:
    success = items.get("s")
    if not isinstance(success, int):
        return ResultOutcome.UNREADABLE
    if success:
        return ResultOutcome.SUCCESS
    return ResultOutcome.CANCELLED if _was_cancelled(items.get("r")) else ResultOutcome.FAILURE


def _was_cancelled(result: Any) -> bool:
    if isinstance(result, Opaque):
        return is_cancellation(result.name, result.module)
    kind = type(result)
    cancelled = (asyncio.CancelledError, concurrent.futures.CancelledError)
    return issubclass(kind, cancelled) or is_cancellation(kind.__name__, kind.__module__)


def _error(reading: Reading, seconds: float | None) -> str | None:
    result = reading.items.get("r")
    if result is None:
        return None
    if isinstance(result, BaseException):
        return failure_text(result, seconds)
    if isinstance(result, Opaque):
        name = result.name.rpartition(".")[2]
        text = pickled_failure_text(name, result.module, result.args or (), seconds)
    else:
        text = result if isinstance(result, str) else render_value(result, ERROR_LIMIT)
    return shorten(text + "…" if reading.unfinished == "r" else text, ERROR_LIMIT)
