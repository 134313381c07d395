"""Validation of what a job reports and stores."""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any
from uuid import UUID

import pytest

from arq_status._model.validation import DATA_LIMIT, FIELD_LIMIT, encode_fields


class Wine(Enum):
    RED = "red"
    WHITE = 2
    OLD = Decimal("1.5")


class Size(IntEnum):
    LARGE = 3


class Colour(StrEnum):
    ROSE = "rosé"


@dataclass
class Scalar:
    """Looks like a numpy scalar."""

    value: Any
    shape: tuple[int, ...] = ()

    def item(self) -> Any:
        return self.value


ID = "12345678-1234-5678-1234-567812345678"


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (Decimal("9.99"), 9.99),
        (Decimal("7.00"), 7),
        (Decimal("1e20"), 10**20),
        (datetime(2026, 11, 26, 8, 30, tzinfo=UTC), "2026-11-26T08:30:00+00:00"),
        (datetime(2026, 11, 26, 8, 30), "2026-11-26T08:30:00"),
        (date(2026, 11, 26), "2026-11-26"),
        (time(8, 30), "08:30:00"),
        (timedelta(minutes=1.5), 90.0),
        (UUID(ID), ID),
        (Wine.RED, "red"),
        (Wine.WHITE, 2),
        (Wine.OLD, 1.5),
        (Size.LARGE, 3),
        (Colour.ROSE, "rosé"),
        (Scalar(5), 5),
        (Scalar(2.5), 2.5),
        (Scalar(True), True),
        (Scalar(datetime(2026, 11, 26)), "2026-11-26T00:00:00"),
        ([UUID(ID), {"when": date(2026, 11, 26)}], [ID, {"when": "2026-11-26"}]),
        ((1, None, "x"), [1, None, "x"]),
    ],
    ids=repr,
)
def test_types_that_json_does_not_have(value: Any, stored: Any) -> None:
    """They are stored as a number or string, also inside other values."""
    assert json.loads(encode_fields({"field": value})["field"]) == stored


@pytest.mark.parametrize(
    "value",
    [
        {1, 2}, b"bytes", ..., Decimal("NaN"), Decimal("Infinity"), float("nan"),
        Scalar(float("inf")), Scalar(5, shape=(1,)), Scalar(...), {UUID(ID): 1}, 1j,
    ],
    ids=repr,
)  # fmt: skip
def test_values_that_are_not_json_serializable(value: Any) -> None:
    """They are rejected, and the error names the field."""
    with pytest.raises(TypeError, match="field 'wine' cannot be stored as JSON"):
        encode_fields({"cheese": 1, "wine": value})


def test_size_limits() -> None:
    """A field may take 64 KiB, and all fields 1 MiB."""
    assert encode_fields({"a": "x" * (FIELD_LIMIT - 2)})
    with pytest.raises(ValueError, match="field 'a' takes 65537 bytes"):
        encode_fields({"a": "x" * (FIELD_LIMIT - 1)})
    fields = {str(number): "x" * 60_000 for number in range(17)}
    assert encode_fields(fields)
    size = sum(len(name) + 60_002 for name in fields)
    # a name of two characters and two quotation marks
    exactly = {**fields, "yz": "x" * (DATA_LIMIT - size - 4)}
    assert encode_fields(exactly)
    with pytest.raises(ValueError, match=f"more than {DATA_LIMIT}"):
        encode_fields({**exactly, "yz": exactly["yz"] + "x"})
    with pytest.raises(ValueError, match=f"more than {DATA_LIMIT}"):
        encode_fields({**fields, "one more": "x" * 60_000})
