"""An index of Python source in SQLite: what every file defines, or why it cannot be parsed."""

import ast
import os
import sqlite3
import threading
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_SKIPPED = frozenset({"__pycache__", "site-packages", "dist-packages"})
_LONGEST_SEARCH = 200
#: Some releases of CPython raise ``SystemError`` where two threads build syntax trees at once.
_parsing = threading.Lock()
#: A search heeds the path below the root only: what is above would match everything.
_INSIDE = "substr(path, length(root) + 1)"
#: No write-ahead log: who turns it on or off waits for nobody, but fails on a locked database.
_SCHEMA = """
    PRAGMA synchronous = NORMAL;
    PRAGMA foreign_keys = ON;
    CREATE TABLE IF NOT EXISTS files (
        id INTEGER PRIMARY KEY,
        root TEXT NOT NULL,
        path TEXT NOT NULL UNIQUE,
        error TEXT
    );
    CREATE TABLE IF NOT EXISTS definitions (
        file_id INTEGER NOT NULL REFERENCES files ON DELETE CASCADE,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        line INTEGER NOT NULL,
        summary TEXT NOT NULL
    );
    CREATE INDEX IF NOT EXISTS definitions_of_file ON definitions (file_id);
"""


@dataclass(frozen=True, slots=True)
class Definition:
    """A class or function in a source file."""

    kind: str
    #: with the classes and functions around it, as in ``Message.as_string``
    name: str
    line: int
    #: the first line of its docstring
    summary: str


@dataclass(frozen=True, slots=True)
class Source:
    """What a source file holds."""

    definitions: list[Definition]
    #: why it could not be parsed
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """A definition that a search found, and where it is."""

    kind: str
    name: str
    line: int
    summary: str
    path: str


@dataclass(frozen=True, slots=True)
class Matches:
    """The best matches of a search, and how many there are in all."""

    best: list[Match]
    total: int


def source_files(root: Path) -> list[str]:
    """List the Python files below a directory, relative to it; links to directories are left."""
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in _SKIPPED and name[0] != "."]
        for name in names:
            path = os.path.join(folder, name)
            if name.endswith(".py") and name[0] != "." and os.path.isfile(path):
                found.append(os.path.relpath(path, root))
    return sorted(found)


def read_source(path: Path) -> Source:
    """Parse a file; one that cannot be parsed is a result like any other."""
    try:
        with _parsing, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the code that is read, not of ours
            tree = ast.parse(path.read_bytes(), path.name)
        return Source(list(_definitions(tree)))
    except SyntaxError as error:
        return Source([], _text(f"{type(error).__name__}: {error.msg} (line {error.lineno or 0})"))
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        return Source([], _text(f"{type(error).__name__}: {error}".rstrip(": ")))


def _definitions(tree: ast.Module) -> Iterator[Definition]:
    waiting: list[tuple[ast.AST, str]] = [(tree, "")]
    while waiting:
        parent, prefix = waiting.pop()
        for node in ast.iter_child_nodes(parent):
            match node:
                case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                    kind = "class" if isinstance(node, ast.ClassDef) else "function"
                    name = prefix + node.name
                    yield Definition(kind, name, node.lineno, _summary(node))
                    waiting.append((node, f"{name}."))
                case ast.stmt() | ast.excepthandler() | ast.match_case():
                    waiting.append((node, prefix))


def _summary(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    return _text((ast.get_docstring(node) or "").strip().partition("\n")[0])


def _text(value: str) -> str:
    # Names of files and docstrings may hold lone surrogates, which SQLite refuses.
    return value.encode(errors="backslashreplace").decode()


class Index:
    """An index in a SQLite database. Any thread may use it, one at a time."""

    def __init__(self, database: Path) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(database, timeout=30, check_same_thread=False)
        try:
            self._connection.executescript(_SCHEMA)
        except sqlite3.Error:
            self._connection.close()
            raise

    def add(self, root: Path, path: str) -> Source:
        """Index a file below a root, in place of what was known of it under any root."""
        source = read_source(root / path)
        name = _text(str(root / path))
        with self._lock, self._connection as connection:
            connection.execute("DELETE FROM files WHERE path = ?", (name,))
            added = connection.execute(
                "INSERT INTO files (root, path, error) VALUES (?, ?, ?)",
                (_text(str(root)), name, source.error),
            )
            connection.executemany(
                "INSERT INTO definitions VALUES (?, ?, ?, ?, ?)",
                ((added.lastrowid, d.kind, d.name, d.line, d.summary) for d in source.definitions),
            )
        return source

    def prune(self, root: Path, paths: Iterable[str]) -> None:
        """Forget the files of a root that are not among these."""
        kept = {_text(str(root / path)) for path in paths}
        query = "SELECT path FROM files WHERE root = ?"
        with self._lock, self._connection as connection:
            known = {path for (path,) in connection.execute(query, (_text(str(root)),))}
            connection.executemany(
                "DELETE FROM files WHERE path = ?", [(path,) for path in known - kept]
            )

    def search(self, text: str, limit: int = 50) -> Matches:
        """Find the definitions with all words of a text in name, docstring or path."""
        words = text[:_LONGEST_SEARCH].replace("\0", " ").split()  # LIKE would end there
        if not words:
            return Matches([], 0)
        has_word = rf"name || ' ' || summary || ' ' || {_INSIDE} LIKE ? ESCAPE '\'"
        where = " AND ".join([has_word] * len(words))
        source = f"FROM definitions JOIN files ON files.id = file_id WHERE {where}"
        values = [f"%{_escaped(word)}%" for word in words]
        in_name = " + ".join([r"(name LIKE ? ESCAPE '\')"] * len(words))
        best = rf"""
            SELECT kind, name, line, summary, path {source}
            ORDER BY '.' || name LIKE ? ESCAPE '\' DESC, {in_name} DESC,
                length(name), name, path, line
            LIMIT ?
        """
        whole = f"%.{_escaped(' '.join(words))}"
        with self._lock:
            total = self._connection.execute(f"SELECT count(*) {source}", values).fetchone()[0]
            rows = self._connection.execute(best, [*values, whole, *values, limit])
            return Matches([Match(*row) for row in rows], total)

    def unparsable(self) -> list[tuple[str, str]]:
        """List the files that could not be parsed, and why."""
        query = "SELECT path, error FROM files WHERE error IS NOT NULL ORDER BY path"
        with self._lock:
            return self._connection.execute(query).fetchall()

    def close(self) -> None:
        """Close the database, once nothing is being added any more."""
        with self._lock:
            self._connection.close()


def _escaped(text: str) -> str:
    """Take the meaning of wildcards from a text."""
    for character in "\\%_":
        text = text.replace(character, f"\\{character}")
    return _text(text)
