"""People from a CSV file, in SQLite."""

import csv
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from example_app.errors import BadRowError

_SCHEMA = """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    CREATE TABLE IF NOT EXISTS people (email TEXT PRIMARY KEY, name TEXT NOT NULL);
"""


def read_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Give the rows of a CSV file below its heading, with the line on which each ends."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        return list(_rows(file))[1:]


def _rows(lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(lines)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            row = [str(error)]  # the reader goes on with the next line
        if row:
            yield reader.line_num, row


class People:
    """The table of people. Any thread may use it, one at a time."""

    def __init__(self, database: Path) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(database, timeout=30, check_same_thread=False)
        self._connection.executescript(_SCHEMA)

    def add(self, row: list[str]) -> None:
        """Add a person, name and e-mail address, or give a known one another name."""
        if len(row) != 2:
            raise BadRowError(f"two columns are needed, not {len(row)}")
        name, email = (value.strip() for value in row)
        if not name:
            raise BadRowError("the name is missing")
        if "@" not in email:
            raise BadRowError(f"{email[:40]!r} is no e-mail address")
        with self._lock, self._connection as connection:
            connection.execute("INSERT OR REPLACE INTO people VALUES (?, ?)", (email, name))

    def count(self) -> int:
        """Say how many there are."""
        with self._lock:
            found: int = self._connection.execute("SELECT count(*) FROM people").fetchone()[0]
        return found

    def close(self) -> None:
        """Close the database, once nobody is being added any more."""
        with self._lock:
            self._connection.close()


def sample() -> str:
    """Give a file to try it with: a few thousand people, and some rows that are none."""
    rows = [f"Person {number},person-{number}@example.org" for number in range(1, 5001)]
    rows[41], rows[1999], rows[3210] = "Nobody", ",missing@example.org", "No Address,at home"
    return "\n".join(["name,email", *rows, ""])
