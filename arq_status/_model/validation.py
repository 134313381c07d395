"""What a job says, checked."""

import json
import math
from collections.abc import Mapping
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

from arq_status._model.snapshot import BUILT_IN
from arq_status._model.text import clean

#: Bytes that a stored field may take, encoded.
FIELD_LIMIT = 65_536
#: Bytes that the stored fields of a job may take together, encoded, with their names.
DATA_LIMIT = 1_048_576
#: Characters that the name of a stored field may have.
_NAME_LIMIT = 1_000

LARGEST = 1e300


def amount(value: object, name: str) -> float:
    """A progress number.

    Raises:
        TypeError: it is not a number.
        ValueError: it is negative, infinite, not a number in the other sense, or beyond 1e300.
    """
    if isinstance(value, bool) or not isinstance(value, Real | Decimal):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    number: float
    try:
        number = int(value) if isinstance(value, Integral) else float(value)
    except (OverflowError, ValueError):
        number = math.inf
    if not 0 <= number <= LARGEST:
        raise ValueError(f"{name} must be finite and not negative, not {value!r}")
    return number


def encode_fields(fields: Mapping[str, Any]) -> dict[str, str]:
    """Stored fields as JSON texts.

    Raises:
        TypeError: JSON cannot hold a value.
        ValueError: a name is that of a built-in field, or a value takes more than 64 KiB.
    """
    return {clean(name): _encode_field(name, value) for name, value in fields.items()}


def _encode_field(name: str, value: object) -> str:
    if name in BUILT_IN:
        raise ValueError(f"{name!r} is a built-in field and cannot be stored: choose another name")
    if len(name) > _NAME_LIMIT:
        raise ValueError(f"a field's name has {len(name)} characters, more than {_NAME_LIMIT}")
    try:
        text = clean(json.dumps(value, ensure_ascii=False, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"field {name!r} cannot be stored as JSON: {error}") from error
    size = len(text.encode())
    if size > FIELD_LIMIT:
        raise ValueError(
            f"field {name!r} takes {size} bytes as JSON, more than {FIELD_LIMIT}:"
            " store it elsewhere, and here where it is"
        )
    return text
