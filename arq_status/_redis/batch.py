"""Stored records on their way to Redis.

In an encoded row each part is followed by byte 255, which never occurs in UTF-8.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

#: Maximum bytes of a batch, so that it does not block Redis for long.
_LARGEST_BATCH = 262_144


class Row(NamedTuple):
    """A stored record on its way to Redis."""

    job_id: str
    #: True until a row of this try has been written
    is_first: bool
    record: str
    #: stored fields, encoded
    fields: Mapping[str, str]
    #: the try that ends with this row, encoded, if its traceback is to be kept
    ended_try: str | None = None
    #: lines of its log, each with its number in the try in front, and an id of the try
    lines: Sequence[str] = ()
    log_id: str = ""
    #: if the end is inferred: the version of the record on which it is based
    seen: int | None = None
    #: when the try was due, in ms after the enqueue time, if the record has the next due time
    due: int | None = None

    @property
    def kind(self) -> bytes:
        """The kind of the row, as expected by ``write.lua``."""
        if self.seen is not None:
            return b"%d" % self.seen
        if not self.is_first:
            return b"later"
        return b"first" if self.due is None else b"first %d" % self.due

    @property
    def more(self) -> bytes:
        """Everything that is written in addition to the record, as JSON."""
        parts: dict[str, object] = {}
        if self.fields:
            parts["fields"] = flat(self.fields)
        if self.ended_try is not None:
            parts["try"] = self.ended_try
        if self.lines:
            parts["log"] = [self.log_id, *self.lines]
        return json.dumps(parts, ensure_ascii=False).encode() if parts else b""

    def encode(self) -> bytes:
        """Encode it for ``write.lua``."""
        return b"%b\xff%b\xff%b\xff%b\xff" % (
            self.job_id.encode(), self.kind, self.record.encode(), self.more,
        )  # fmt: skip


class CompletedRow(NamedTuple):
    """The record of a job that completed before anything about it was written."""

    job_id: str
    record: str
    #: when it ended, and how long its record is kept after that
    ended: int
    expires_after_ms: int

    @property
    def fields(self) -> Mapping[str, str]:
        """No stored fields."""
        return {}

    def encode(self) -> bytes:
        """Encode it for ``write.lua``."""
        return b"%b\xff%d\xff%b\xff" % (self.job_id.encode(), self.ended, self.record.encode())


AnyRow = Row | CompletedRow

#: Rows with their encoded form.
EncodedRows = Sequence[tuple[AnyRow, bytes]]


def batches(rows: Sequence[AnyRow]) -> Iterator[EncodedRows]:
    """Encode rows, and split them into batches that are small enough not to block Redis."""
    encoded = [(row, row.encode()) for row in rows]
    start = size = 0
    for position, (_, text) in enumerate(encoded):
        size += len(text)
        if size > _LARGEST_BATCH and position > start:
            yield encoded[start:position]
            start, size = position, len(text)
    yield encoded[start:] if start else encoded


def arguments(batch: EncodedRows) -> list[bytes | int]:
    """Return a batch as arguments of ``write.lua``: few, because redis-py packs each in Python."""
    usual: list[bytes] = []
    completed: dict[int, list[bytes]] = {}
    for row, text in batch:
        if isinstance(row, CompletedRow):
            completed.setdefault(row.expires_after_ms, []).append(text)
        else:
            usual.append(text)
    joined = b"".join
    return [joined(usual), *(part for it in completed.items() for part in (it[0], joined(it[1])))]


def flat(fields: Mapping[str, str]) -> list[str]:
    """Return names and values in turn, because a JSON object would lose its order in Lua."""
    return [part for item in fields.items() for part in item]
