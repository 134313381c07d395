"""Stored records on their way to Redis."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

#: Bytes of one batch, so that Redis is not held up by it.
_LARGEST_BATCH = 262_144


class Row(NamedTuple):
    """A stored record on its way to Redis."""

    job_id: str
    #: no row of this try is in Redis yet
    first: bool
    record: str
    #: stored fields, encoded
    fields: Mapping[str, str]
    #: the try that ends with this row, if its traceback is to be kept
    ended_try: str | None = None
    #: lines of its log, each after its number in the try, and what tells the tries apart
    lines: Sequence[str] = ()
    log_id: str = ""
    #: of an end that is a guess: the version of the record that it is based on
    seen: int | None = None

    @property
    def kind(self) -> bytes:
        """The row's kind, as ``write.lua`` takes it."""
        if self.seen is not None:
            return b"%d" % self.seen
        return b"first" if self.first else b"later"

    @property
    def size(self) -> int:
        """The bytes that it takes, not counting escapes."""
        more = (*self.fields.values(), *self.lines, self.ended_try or "")
        return _size(self.record) + sum(map(_size, more))

    @property
    def more(self) -> bytes:
        """Everything that is written besides the record, as JSON."""
        parts: dict[str, object] = {}
        if self.fields:
            parts["fields"] = flat(self.fields)
        if self.ended_try is not None:
            parts["try"] = self.ended_try
        if self.lines:
            parts["log"] = [self.log_id, *self.lines]
        return json.dumps(parts, ensure_ascii=False).encode() if parts else b""


class CompletedRow(NamedTuple):
    """The record of a job that completed before anything about it was written."""

    job_id: str
    record: str
    #: when it ended, and how long its record lives, in ms
    ended: int
    expires: int

    @property
    def fields(self) -> Mapping[str, str]:
        """No stored fields."""
        return {}

    @property
    def size(self) -> int:
        """The bytes that it takes, not counting escapes."""
        return _size(self.record)


AnyRow = Row | CompletedRow


def batches(rows: Sequence[AnyRow]) -> Iterator[Sequence[AnyRow]]:
    """Split rows into batches of so few bytes that Redis is not held up by one."""
    start = size = 0
    for position, row in enumerate(rows):
        size += row.size
        if size > _LARGEST_BATCH and position > start:
            yield rows[start:position]
            start, size = position, row.size
    yield rows[start:] if start else rows


def arguments(rows: Iterable[AnyRow]) -> list[bytes | int]:
    """Encode a batch as ``write.lua`` takes it."""
    usual: list[bytes] = []
    completed: dict[int, list[bytes]] = {}
    for row in rows:
        if isinstance(row, CompletedRow):
            brief = completed.setdefault(row.expires, [])
            brief += (row.job_id.encode(), b"%d" % row.ended, row.record.encode())
        else:
            usual += (row.job_id.encode(), row.kind, row.record.encode(), row.more)
    return [_joined(usual), *(part for it in completed.items() for part in (it[0], _joined(it[1])))]


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def flat(fields: Mapping[str, str]) -> list[str]:
    """Return names and values in turn: an object of JSON would lose its order in Lua."""
    return [part for item in fields.items() for part in item]


def _joined(parts: Sequence[bytes]) -> bytes:
    """Join many parts into one argument, because redis-py packs each argument in Python.

    UTF-8 has no byte 255.
    """
    return b"".join([part + b"\xff" for part in parts])
