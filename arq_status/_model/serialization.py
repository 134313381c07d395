"""Public records as JSON: jobs, lists, tries, log lines, counts."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from arq_status._model.history import LogLine, Try
from arq_status._model.snapshot import JobRecord, Page
from arq_status._model.status import Status

_NAMES = [field.name for field in fields(JobRecord)]


def encode(value: Any) -> bytes:
    """Encode as one line of ASCII JSON, in which lone surrogates are escaped."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"), default=_plain).encode()


def job_object(record: JobRecord) -> dict[str, Any]:
    """Return the fields of a job; ``encode`` writes times as ISO 8601 and durations in seconds."""
    job = {name: getattr(record, name) for name in _NAMES}
    return job | {"tags": list(record.tags), "data": standard(record.data)}


def job_with_history(
    record: JobRecord, tries: Sequence[Try], logs: Sequence[LogLine]
) -> dict[str, Any]:
    """Return the fields of a job with its tries and its log."""
    return job_object(record) | {
        "tries": [try_object(it) for it in tries],
        "logs": [line_object(line) for line in logs],
    }


def try_object(it: Try) -> dict[str, Any]:
    """Return the fields of a try."""
    return {name: getattr(it, name) for name in Try.__dataclass_fields__}


def line_object(line: LogLine) -> dict[str, Any]:
    """Return the fields of a log line."""
    return {name: getattr(line, name) for name in LogLine.__dataclass_fields__}


def list_object(page: Page, counts: Mapping[Status, int]) -> dict[str, Any]:
    """Return a page of the list with its counts."""
    return {
        "items": [job_object(record) for record in page.items],
        "total": page.total,
        "page": page.page,
        "per_page": page.per_page,
        "truncated": page.truncated,
        "counts": counts_object(counts),
    }


def record_object(record: Any) -> dict[str, Any]:
    """Return the fields of any other public record, such as ``QueueRecord``."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


def counts_object(counts: Mapping[Status, int]) -> dict[str, int]:
    """Return the number of jobs per status."""
    return {status.value: number for status, number in counts.items()}


def readable(data: Mapping[str, Any]) -> str:
    """Return data as indented JSON for display."""
    try:
        return json.dumps(data, indent=2, ensure_ascii=False)
    except RecursionError:
        return encode(standard(data)).decode()


def _plain(value: object) -> object:
    match value:
        case datetime():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
    raise TypeError(f"a record cannot hold a {type(value).__name__}")


def standard(data: Mapping[str, Any]) -> dict[str, Any]:
    """Make data standard JSON: NaN and infinities become ``None``, excessive nesting is dropped."""
    kept = {}
    for name, value in data.items():
        try:
            json.dumps(value, allow_nan=False)
        except RecursionError:
            continue
        except ValueError:
            value = _without_nan(value)  # noqa: PLW2901 - the same value, repaired
        kept[name] = value
    return kept


def _without_nan(value: Any) -> Any:
    match value:
        case float() if not math.isfinite(value):
            return None
        case list():
            return [_without_nan(item) for item in value]
        case dict():
            return {name: _without_nan(item) for name, item in value.items()}
    return value
