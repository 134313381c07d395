"""The storage format of the tries and the log of a job."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from arq_status._model.history import LEVELS, KeptTry, LogLine
from arq_status._model.record import DEFAULT_TOTAL, LETTERS, StoredRecord
from arq_status._model.text import clean

_TRACEBACK = LETTERS["traceback"]


def encode_try(record: StoredRecord, traceback: str) -> str:
    """Encode a try for storage: its record without arguments and progress, and its traceback."""
    text = replace(record, args="", message=None, at=0, total=DEFAULT_TOTAL, version=0).encode()
    return f"{text[:-1]},{json.dumps(_TRACEBACK)}:{json.dumps(traceback, ensure_ascii=False)}}}"


def decode_tries(entries: Sequence[bytes]) -> list[KeptTry]:
    """Decode the tries of a job, oldest first, skipping damaged ones."""
    return [found for entry in entries if (found := _decode_try(entry)) is not None]


def _decode_try(entry: bytes) -> KeptTry | None:
    generation, _, raw = entry.partition(b" ")
    record = StoredRecord.decode(raw)
    if record is None or not generation.isdigit():
        return None
    traceback = json.loads(raw).get(_TRACEBACK)
    text = clean(traceback) if isinstance(traceback, str) else None
    return KeptTry(int(generation[:9]), record, text)


def encode_line(
    number: int, time_ms: int, level: str, message: str, job_try: int, logger: str | None
) -> str:
    """Encode a log line for ``write.lua``: its number in the try, then the rest."""
    rest = json.dumps([time_ms, level, message, job_try, logger], ensure_ascii=False)
    return f"{number} {rest}"


def decode_lines(entries: Sequence[bytes]) -> list[LogLine]:
    """Decode the log of a job, oldest line first, skipping damaged lines."""
    return [found for entry in entries if (found := _decode_line(entry)) is not None]


def _decode_line(entry: bytes) -> LogLine | None:
    try:
        number, _, _, _, rest = entry.split(b" ", 4)
        time_ms, level, message, job_try, logger = json.loads(rest)
        return LogLine(
            number=int(number),
            time=datetime.fromtimestamp(time_ms / 1000, UTC),
            level=level if level in LEVELS else "info",
            message=clean(str(message)),
            job_try=int(job_try),
            logger=None if logger is None else clean(str(logger)),
        )
    except (ValueError, TypeError, OverflowError, OSError, RecursionError):
        return None
