"""A finding of ``doctor``."""

from dataclasses import asdict, dataclass
from enum import StrEnum


class Level(StrEnum):
    """The severity of a finding."""

    OK = "ok"
    #: worth knowing
    NOTE = "note"
    #: some jobs are not shown correctly, or are waiting
    WARNING = "warning"
    #: tracking does not work, or jobs do not run
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """A result of a check, and what to do about it."""

    level: Level
    about: str
    text: str
    advice: str | None = None

    def as_json(self) -> dict[str, str | None]:
        """Return its fields as an object for JSON."""
        return asdict(self)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, as in ``1 job`` and ``2,000 jobs``."""
    return f"{number:,} {noun if number == 1 else noun + 's'}"
