"""Tracebacks of jobs."""

import subprocess
import sys
from typing import Any, NoReturn

from arq.worker import Retry, func
from hypothesis import given
from hypothesis import strategies as st

from arq_status._tracking.tracebacks import cut_in_the_middle, format_traceback, traceback_of
from arq_status.testing import tracker


def caught(function: Any, *args: Any) -> BaseException:
    """The exception that a call raises."""
    try:
        function(*args)
    except BaseException as error:
        return error
    raise AssertionError("it raised nothing")


def shown(function: Any, *args: Any) -> str:
    """Its traceback."""
    text = format_traceback(caught(function, *args))
    assert text is not None
    return text


def fail() -> NoReturn:
    raise ValueError("no vino")


def fail_with_cause() -> NoReturn:
    try:
        fail()
    except ValueError as error:
        raise RuntimeError("no party") from error


def test_it_is_what_python_prints(tmp_path: Any) -> None:
    """To the letter, causes included."""
    path = tmp_path / "job.py"
    path.write_text(
        "def a():\n    1 / 0\n"
        "def b():\n    try:\n        a()\n    except ZeroDivisionError as error:\n"
        "        error.add_note('a note')\n        raise RuntimeError('no party') from error\n"
        "def c():\n    raise ExceptionGroup('several', [ValueError(1), OSError(2, 'x')])\n"
    )
    for call in ("b()", "c()"):
        code = (
            f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import job\n"
            "from arq_status._tracking.tracebacks import format_traceback\n"
            f"try:\n    job.{call}\nexcept Exception as error:\n"
            "    print(format_traceback(error))\n    raise\n"
        )
        ran = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert ran.stdout.strip() == ran.stderr.strip() != ""


def test_causes_contexts_groups_and_notes_are_told() -> None:
    """Everything that says why."""
    text = shown(fail_with_cause)
    assert text.index("ValueError: no vino") < text.index("direct cause of the following")
    assert text.endswith("RuntimeError: no party")
    error = caught(fail)
    error.add_note("ask the cellar")
    group = BaseExceptionGroup("several", [error, OSError(2, "no such file")])
    text = str(format_traceback(group))
    assert "ask the cellar" in text
    assert "FileNotFoundError: [Errno 2] no such file" in text


async def test_frames_of_arq_and_of_this_package_are_left_out() -> None:
    """Those of the job alone say where."""

    async def job(ctx: dict[str, Any]) -> None:
        await ctx["status"].at("far")

    try:
        await job({"status": tracker()})
    except TypeError as error:
        text = str(format_traceback(error))
    assert text.count("File ") == 2  # this test and the job
    assert "arq_status/" not in text
    assert text.endswith("TypeError: at must be a number, not str")
    assert "arq/worker.py" not in shown(func, "no.such.module.function")


class HostileError(Exception):
    """An exception that nothing can be done with."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


def raise_hostile() -> NoReturn:
    raise HostileError


def test_an_exception_that_cannot_be_printed() -> None:
    """Python says so in its place."""
    assert "HostileError: <exception str() failed>" in shown(raise_hostile)


def test_an_exception_that_cannot_be_formatted() -> None:
    """There is no traceback then, and no error."""

    class BrokenError(Exception):
        @property
        def __cause__(self) -> NoReturn:  # type: ignore[override]
            raise RuntimeError

    assert format_traceback(BrokenError()) is None


def test_a_retry_whose_reason_cannot_be_read() -> None:
    """It counts as one without a reason, which has no traceback."""

    class BrokenRetry(Retry):
        @property
        def __cause__(self) -> NoReturn:  # type: ignore[override]
            raise RuntimeError

    assert traceback_of(BrokenRetry(), None) is None


def dig(depth: int) -> NoReturn:
    if depth:
        dig(depth - 1)
    raise ValueError("x" * 5_000)


def test_half_a_surrogate() -> None:
    """What UTF-8 cannot hold is replaced."""
    text = str(format_traceback(ValueError("\ud800")))
    assert text == "ValueError: ?"


@given(st.text(max_size=300), st.integers(100, 400))
def test_a_long_text_is_cut_in_the_middle(text: str, limit: int) -> None:
    """Its beginning and its end are kept, in no more bytes than allowed."""
    found = cut_in_the_middle(text, limit)
    assert len(found.encode()) <= limit
    if found != text:
        begin, _, end = found.partition("\n... ")
        assert text.startswith(begin)
        assert text.endswith(end.partition(" ...\n")[2])


def test_a_long_traceback_is_cut() -> None:
    """Where it began and what it was stay."""
    text = shown(dig, 5)
    assert len(text.encode()) <= 16_384
    assert len(str(format_traceback(ValueError("x" * 50_000))).encode()) <= 16_384
