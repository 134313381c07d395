"""A job in words, for the terminal."""

from collections.abc import Iterator
from dataclasses import fields
from datetime import datetime, timedelta
from enum import Enum

from arq_status import JobRecord, Status


def duration(time: timedelta) -> str:
    """Say how long that is, as in ``3 s`` or ``2 min 5 s``."""
    if time < timedelta(seconds=1):
        return "under 1 s"
    minutes, seconds = divmod(round(time.total_seconds()), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def line(record: JobRecord, width: int = 200) -> str:
    """Say on one line what a job is doing; it is the file's name that gives way."""
    if record.status is not Status.WORKING:
        return record.status.value.capitalize()[:width]
    start = f"Indexing  {record.pct_complete:3d} %  "
    end = "" if record.eta is None else f"  ETA {duration(record.eta)}"
    message = printable(record.message or "")
    return f"{start}{_cut(message, width - len(start + end))}{end}"[:width]


def table(record: JobRecord) -> Iterator[str]:
    """Give a job field by field, in two columns."""
    rows = {field.name: getattr(record, field.name) for field in fields(record)}
    rows |= rows.pop("data")
    width = max(map(len, rows))
    for name, value in rows.items():
        yield printable(f"{name:{width}}  {_shown(value)}".rstrip())


def printable(text: str) -> str:
    """Replace what a terminal would not print but obey."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _shown(value: object) -> str:
    match value:
        case None:
            return "-"
        case datetime():
            return value.isoformat(sep=" ", timespec="milliseconds")
        case timedelta():
            return f"{value.total_seconds():.3f} s"
        case Enum():
            return str(value.value)
        case _:
            return str(value)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: max(0, width - 1)]}…"
