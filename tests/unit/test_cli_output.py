"""The command if standard output or standard error cannot be written."""

import os
import sys
from io import StringIO
from pathlib import Path

import pytest

from arq_status.cli import main
from arq_status.cli.output import Output, OutputError, report_error

FULL = Path("/dev/full")


def test_a_full_disk() -> None:
    """A failed write is an error, at the latest when it is flushed."""
    with FULL.open("w") as stream:
        output = Output(stream)
        print("buffered", file=output)
        with pytest.raises(OutputError, match="No space left on device"):
            output.flush()
        with pytest.raises(OutputError, match="No space left on device"):
            output.write("x" * 100_000)
        output.discard()


def test_no_standard_output() -> None:
    """A process may be started with closed streams."""
    output = Output(None)
    output.flush()
    output.discard()
    assert not output.isatty()
    with pytest.raises(OutputError, match="it is closed"):
        output.write("text")


def test_a_stream_without_a_file() -> None:
    """Callers of ``main`` may have replaced the streams with anything."""
    stream = StringIO()
    output = Output(stream)
    print("text", file=output, flush=True)
    output.discard()
    assert stream.getvalue() == "text\n"
    assert not output.isatty()


@pytest.mark.parametrize("argv", [["--help"], ["list", "--help"], ["--version"]])
def test_help_that_cannot_be_written(
    argv: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is reported in one line, with its own exit code."""
    with FULL.open("w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(argv) == 1
    words = "cannot write to standard output: No space left on device"
    assert capsys.readouterr().err == f"arq-status: {words}\n"


def test_a_reader_that_is_gone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has read enough: that is no error."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(["--version"]) == 0
    assert capsys.readouterr().err == ""


def test_errors_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are lost, and nothing fails."""
    monkeypatch.setattr(sys, "stderr", None)
    report_error("lost")
    with FULL.open("w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        report_error("lost")
        # nothing is left to write when the process exits
        assert os.readlink(f"/proc/self/fd/{stream.fileno()}") == os.devnull
