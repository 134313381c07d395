"""Decoding of replies, tolerant of damaged values."""

import json
from collections.abc import Mapping
from typing import Any

from arq_status._model.facts import DeadWorker

#: The end of the year 9999 in ms, the latest time that ``datetime`` supports.
_LAST_SCORE = 253_402_300_799_999


def text(raw: bytes) -> str:
    """Decode a name or id."""
    return raw.decode(errors="replace")


def pairs(reply: Mapping[bytes, bytes] | list[bytes] | None) -> Mapping[bytes, bytes]:
    """Decode a hash: names and values in turn, or with RESP3 a mapping."""
    if isinstance(reply, Mapping):
        return reply
    return dict(zip(reply[::2], reply[1::2], strict=True)) if reply else {}


def scored(reply: list[Any]) -> list[tuple[str, int]]:
    """Decode a sorted set: members and scores in turn, or with RESP3 in pairs."""
    in_pairs = reply and isinstance(reply[0], list)
    items = reply if in_pairs else zip(reply[::2], reply[1::2], strict=True)
    return [(text(member), score_ms(raw) or 0) for member, raw in items]


def integer(raw: bytes | None) -> int | None:
    """Decode a non-negative integer; ``None`` if it is missing or damaged."""
    return int(raw) if raw and raw.isdigit() and len(raw) < 15 else None


def score_ms(raw: bytes | None) -> int | None:
    """Decode a score that is a time in ms; ``None`` if it is missing, 0 if out of range."""
    if not raw:
        return None
    number = float(raw)
    return int(number) if 0 <= number <= _LAST_SCORE else 0


def dead_workers(flat: list[bytes]) -> list[DeadWorker]:
    """Decode descriptions of dead workers, skipping damaged ones."""
    found = []
    for name, beat, raw in zip(flat[::3], flat[1::3], flat[2::3], strict=True):
        try:
            described = json.loads(raw)
            worker = DeadWorker(
                text(name),
                str(described["queue"]),
                score_ms(beat) or 0,
                int(described["in_progress_ms"]),
                int(described.get("blocked_ms", 0)),
            )
        except (ValueError, TypeError, LookupError, OverflowError, RecursionError):
            continue
        found.append(worker)
    return found
