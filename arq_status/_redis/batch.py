"""Records on their way to Redis."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Row(NamedTuple):
    """A record on its way to Redis."""

    job_id: str
    #: the first write of a try
    first: bool
    record: str
    #: stored fields, encoded
    fields: Mapping[str, str]
    #: of an end that others than the job's worker tell: the version of the record that they saw
    seen: int | None = None

    @property
    def kind(self) -> bytes:
        """What the script is told of it beside the record."""
        if self.seen is not None:
            return b"%d" % self.seen
        return b"first" if self.first else b"later"


class CompletedRow(NamedTuple):
    """All there is of a job that completed before anything of it was written."""

    job_id: str
    record: str
    #: when it ended, and how long its record stands, in ms
    ended: int
    expires: int

    @property
    def fields(self) -> Mapping[str, str]:
        """None."""
        return {}


def arguments(rows: Sequence[Row | CompletedRow]) -> list[bytes | int]:
    """The rows as ``write.lua`` takes them."""
    usual: list[bytes] = []
    briefs: dict[int, list[bytes]] = {}
    for row in rows:
        if isinstance(row, CompletedRow):
            brief = briefs.setdefault(row.expires, [])
            brief += (row.job_id.encode(), b"%d" % row.ended, row.record.encode())
        else:
            fields = json.dumps(flat(row.fields), ensure_ascii=False) if row.fields else ""
            usual += (row.job_id.encode(), row.kind, row.record.encode(), fields.encode())
    return [_joined(usual), *(part for it in briefs.items() for part in (it[0], _joined(it[1])))]


def flat(fields: Mapping[str, str]) -> list[str]:
    """Names and values in turn: an object of JSON would lose its order in Lua."""
    return [part for item in fields.items() for part in item]


def _joined(parts: Sequence[bytes]) -> bytes:
    """One argument of many, for redis-py takes its time over each: UTF-8 has no such byte."""
    return b"".join([part + b"\xff" for part in parts])
