"""The demo's indexer: every file becomes data, also one that cannot be parsed."""

import argparse
import gc
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from example_app.indexing import Definition, Index, Match, read_source, source_files

NESTED = '''
"""A module."""

class Outer:
    """
    The first line.

    Not the second.
    """

    def method(self):
        """Do it."""

        async def inner(): ...

if True:
    try:
        pass
    except ImportError:
        def fallback(): "In its place."
'''


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory with all that a directory of source may hold."""
    root = tmp_path / "source"
    (root / "package").mkdir(parents=True)
    (root / "package" / "nested.py").write_text(NESTED)
    (root / "empty.py").touch()
    (root / "broken.py").write_text("def (:\n")
    (root / "latin.py").write_bytes(b'x = "\xe9"\n')
    (root / "declared.py").write_bytes(b'# coding: latin-1\ndef f(): "Caf\xe9."\n')
    (root / "notes.txt").write_text("def not_source(): ...")
    return root


@pytest.fixture
def index(tmp_path: Path, root: Path) -> Iterator[Index]:
    """An index of that directory."""
    with closing(Index(tmp_path / "index.sqlite")) as index:
        for path in source_files(root):
            index.add(root, path)
        yield index


def names(index: Index, text: str) -> list[str]:
    """The names of the definitions that a search finds."""
    return [match.name for match in index.search(text).best]


def test_source_files_are_found_in_a_fixed_order(root: Path) -> None:
    """They are the Python files of the directory and those below, relative to it, sorted."""
    expected = ["broken.py", "declared.py", "empty.py", "latin.py", "package/nested.py"]
    assert source_files(root) == expected


def test_links_to_directories_are_not_followed(root: Path) -> None:
    """A link that leads back up ends nothing in a loop."""
    before = source_files(root)
    (root / "package" / "loop").symlink_to(root, target_is_directory=True)
    (root / "itself.py").symlink_to(root / "itself.py")
    assert source_files(root) == before


@pytest.mark.parametrize("folder", ["site-packages", "__pycache__", ".venv", "folder.py"])
def test_what_is_no_source_of_the_directory_is_left_out(root: Path, folder: str) -> None:
    """Installed packages, caches and hidden directories are left out, and so is a mere name."""
    before = source_files(root)
    (root / folder).mkdir()
    if folder != "folder.py":
        (root / folder / "module.py").touch()
    os.mkfifo(root / "pipe.py")
    assert source_files(root) == before


def test_definitions_are_read_wherever_they_stand(root: Path) -> None:
    """Classes and functions have their full name, their line and their docstring's first line."""
    source = read_source(root / "package" / "nested.py")
    assert source.error is None
    assert sorted(source.definitions, key=lambda definition: definition.line) == [
        Definition("class", "Outer", 4, "The first line."),
        Definition("function", "Outer.method", 11, "Do it."),
        Definition("function", "Outer.method.inner", 14, ""),
        Definition("function", "fallback", 20, "In its place."),
    ]


def test_an_empty_file_defines_nothing(root: Path) -> None:
    """It is a file like others."""
    source = read_source(root / "empty.py")
    assert (source.definitions, source.error) == ([], None)


def test_a_declared_encoding_is_heeded(root: Path) -> None:
    """A file that is not UTF-8 and says so is read."""
    assert read_source(root / "declared.py").definitions[0].summary == "Café."


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"def (:\n", "SyntaxError"),
        (b'x = "\xe9"\n', "SyntaxError"),
        (b"# coding: nonsense\n", "SyntaxError"),
        (b"x = 1\0\n", "SyntaxError"),
        (b"x = " + b"-" * 200_000 + b"1", "MemoryError"),
        (b"1" + b"+1" * 200_000, "RecursionError"),
    ],
)
def test_a_file_that_cannot_be_parsed_says_why(tmp_path: Path, content: bytes, error: str) -> None:
    """Wrong syntax, unknown bytes and absurd nesting are a result, not an exception."""
    path = tmp_path / "file.py"
    path.write_bytes(content)
    source = read_source(path)
    assert source.definitions == []
    assert source.error is not None
    assert source.error.startswith(error)


def test_a_file_that_is_gone_says_so(tmp_path: Path) -> None:
    """Between the walk and the read a file may vanish."""
    error = read_source(tmp_path / "gone.py").error
    assert error is not None
    assert error.startswith("FileNotFoundError")


def test_lone_surrogates_can_be_stored(tmp_path: Path, index: Index) -> None:
    """A docstring or a file's name may hold what is no text."""
    name = os.fsdecode(b"caf\xe9.py")
    (tmp_path / name).write_text('def odd(): "\\ud800 odd"')
    index.add(tmp_path, name)
    assert index.search("odd").best == [
        Match("function", "odd", 1, "\\ud800 odd", f"{tmp_path}/caf\\udce9.py")
    ]


def test_unparsable_files_are_stored(index: Index, root: Path) -> None:
    """They stand in the index with the reason."""
    assert [path for path, _ in index.unparsable()] == [f"{root}/broken.py", f"{root}/latin.py"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("outer", ["Outer", "Outer.method", "Outer.method.inner"]),
        ("method", ["Outer.method", "Outer.method.inner"]),
        ("do it", ["Outer.method"]),
        ("nested.py fallback", ["fallback"]),
        ("nowhere", []),
        ("", []),
        ("  ", []),
    ],
)
def test_search_finds_all_words_anywhere(index: Index, text: str, found: list[str]) -> None:
    """In name, docstring or path, in any case; the best match comes first."""
    assert names(index, text) == found


@pytest.mark.parametrize("text", ["%", "_", "\\", "'", '"', "' OR 1=1 --", "\0", "\ud800", "%%"])
def test_search_takes_nothing_for_a_wildcard(index: Index, text: str) -> None:
    """What means something to SQL or LIKE is only text here."""
    assert names(index, text) == []


def test_search_survives_any_length(index: Index) -> None:
    """A text is cut before SQLite would refuse it."""
    assert index.search("a " * 10_000).total == 5


def test_search_counts_beyond_its_limit(index: Index) -> None:
    """The number of matches is that of all, not of those that are shown."""
    matches = index.search("e", limit=2)
    assert (len(matches.best), matches.total) == (2, 5)


def test_indexing_again_replaces(root: Path, index: Index) -> None:
    """A file that was indexed before stands in the index once, as it is now."""
    (root / "broken.py").write_text("def mended(): ...")
    index.add(root, "broken.py")
    index.add(root, "broken.py")
    assert names(index, "mended") == ["mended"]
    assert [path for path, _ in index.unparsable()] == [f"{root}/latin.py"]


def test_pruning_forgets_what_is_gone(root: Path, index: Index) -> None:
    """Only the files of that directory that were not seen are forgotten."""
    index.add(root.parent, "source/package/nested.py")
    index.prune(root, ["broken.py"])
    assert [match.path for match in index.search("fallback").best] == [f"{root}/package/nested.py"]
    assert [path for path, _ in index.unparsable()] == [f"{root}/broken.py"]


def test_a_file_below_two_roots_stands_there_once(root: Path, index: Index) -> None:
    """A directory within one that is indexed as well gives no second match."""
    index.add(root / "package", "nested.py")
    assert names(index, "fallback") == ["fallback"]


def test_search_heeds_no_name_above_the_root(root: Path, index: Index) -> None:
    """The name of the root itself stands in every path, and finds nothing."""
    assert names(index, root.name) == []


def test_two_indexes_share_a_database(tmp_path: Path, root: Path) -> None:
    """Two jobs may write the same files at the same time."""

    def work() -> None:
        with closing(Index(tmp_path / "shared.sqlite")) as index:
            for path in source_files(root) * 20:
                index.add(root, path)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with closing(Index(tmp_path / "shared.sqlite")) as index:
        assert names(index, "method") == ["Outer.method", "Outer.method.inner"]


def test_several_threads_may_parse_at_once() -> None:
    """Also where the garbage collector has one of them wait in the middle of a tree."""

    def switch_threads(*_: object) -> None:
        time.sleep(0.0001)

    gc.callbacks.append(switch_threads)
    try:
        with ThreadPoolExecutor(4) as threads:
            sources = list(threads.map(read_source, [Path(argparse.__file__)] * 8))
    finally:
        gc.callbacks.remove(switch_threads)
    assert sources == sources[:1] * 8
    assert sources[0].error is None


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    """A file of another kind is left as it is."""
    path = tmp_path / "notes.txt"
    path.write_text("Not a database, but long enough to be looked at. " * 10)
    with pytest.raises(sqlite3.DatabaseError):
        Index(path)
    assert path.read_text().startswith("Not a database")
