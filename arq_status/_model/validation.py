"""Validation of progress numbers and of data to be stored."""

import json
import math
from collections.abc import Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from numbers import Integral, Real
from typing import Any
from uuid import UUID

from arq_status._model.snapshot import BUILT_IN
from arq_status._model.text import clean

#: Maximum bytes of an encoded field.
FIELD_LIMIT = 65_536
#: Maximum bytes of all encoded fields of a job, including their names.
DATA_LIMIT = 1_048_576
#: Maximum characters of a field name.
_NAME_LIMIT = 1_000

#: The largest number accepted as progress.
LARGEST = 1e300


def require_number(value: object, name: str) -> None:
    """Raise ``TypeError`` if a value is not a number."""
    if isinstance(value, bool) or not isinstance(value, Real | Decimal):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")


def require_flag(value: object, name: str) -> None:
    """Raise ``TypeError`` for anything but a bool, because the string ``"false"`` is true."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be a bool, not {value!r}")


def require_string(value: object, name: str) -> None:
    """Raise ``TypeError`` if a value is neither a string nor ``None``."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")


def amount(value: Any, name: str) -> float:
    """Validate a progress number and return it as an int or float.

    Raises:
        TypeError: it is not a number.
        ValueError: it is negative, infinite, NaN, or beyond 1e300.
    """
    require_number(value, name)
    number: float
    try:
        number = int(value) if isinstance(value, Integral) else float(value)
    except (OverflowError, ValueError):
        number = math.inf
    if not 0 <= number <= LARGEST:
        raise ValueError(f"{name} must be finite and not negative, not {value!r}")
    return number


def encode_fields(fields: Mapping[str, Any]) -> dict[str, str]:
    """Encode fields to be stored as JSON.

    Raises:
        TypeError: a value is not JSON serializable.
        ValueError: a name is too long or that of a built-in field, a value takes more than 64 KiB,
            or all of them take more than 1 MiB.
    """
    encoded = {clean(name): _encode_field(name, value) for name, value in fields.items()}
    check_data_size(data_size(encoded))
    return encoded


def data_size(encoded: Mapping[str, str]) -> int:
    """Return the size of encoded fields including their names, in bytes."""
    return sum(len(name.encode()) + len(text.encode()) for name, text in encoded.items())


def check_data_size(size: int) -> None:
    """Check the size of a job's data in bytes.

    Raises:
        ValueError: it is more than 1 MiB.
    """
    if size > DATA_LIMIT:
        raise ValueError(
            f"the job's data takes {size} bytes as JSON, more than {DATA_LIMIT}:"
            " store it elsewhere and a reference to it here"
        )


def _encode_field(name: str, value: object) -> str:
    if name in BUILT_IN:
        raise ValueError(f"{name!r} is a built-in field and cannot be stored: choose another name")
    if len(name) > _NAME_LIMIT:
        raise ValueError(f"a field name has {len(name)} characters, more than {_NAME_LIMIT}")
    try:
        text = clean(_encoder.encode(value))
    except Exception as error:  # values can be of any class
        raise TypeError(f"field {name!r} cannot be stored as JSON: {error}") from error
    size = len(text.encode())
    if size > FIELD_LIMIT:
        raise ValueError(
            f"field {name!r} takes {size} bytes as JSON, more than {FIELD_LIMIT}:"
            " store it elsewhere and a reference to it here"
        )
    return text


def _as_json(value: Any) -> Any:
    """Convert a value of a type that JSON does not have to a number or string."""
    match value:
        case Enum():
            return value.value
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case UUID():
            return str(value)
    if getattr(value, "shape", None) == ():
        # numpy scalars and look-alikes
        return value.item()
    raise TypeError(f"{type(value).__name__} is not JSON serializable")


_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_as_json)
