"""Pages of jobs, rendered from records: tries, tracebacks, logs."""

from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest

from arq_status import JobRecord, Status
from arq_status._model.history import LogLine, Try
from arq_status._model.insight import ActivityPoint
from arq_status._model.query import Query
from arq_status._model.snapshot import Page
from arq_status.web.job_updates import JobState
from arq_status.web.links import Links
from arq_status.web.list_updates import ListState
from arq_status.web.rendering import View, render_part
from arq_status.web.tracebacks import Segment, segments
from tests.web import HOSTILE

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
VIEW = View(Links("", 25), frozenset({"retry"}), is_open=False)


def record(status: Status = Status.FAILED, **fields: Any) -> JobRecord:
    """A job that ended a minute ago, at its second try."""
    ended = None if status is Status.WORKING else NOW - timedelta(minutes=1)
    values = {
        "enqueued_at": NOW - timedelta(minutes=9), "started_at": NOW - timedelta(minutes=2),
        "ended_at": ended, "job_try": 2, "error": "ValueError: no rows", "function": "charge",
    }  # fmt: skip
    return JobRecord(job_id="job", status=status, **(values | fields))


def a_try(number: int, status: Status, **fields: Any) -> Try:
    """A try that took a second."""
    began = NOW - timedelta(minutes=9 - number)
    return Try(
        job_try=number, status=status, started_at=began, ended_at=began + timedelta(seconds=1),
        elapsed=timedelta(seconds=1), **fields,
    )  # fmt: skip


def part(name: str, *arguments: Any) -> str:
    """Return a part of a job's page as text, without tags and entities."""
    return unescape(render_part("job_parts.html", name, *arguments))


def line(number: int, message: str = "Row", level: str = "info") -> LogLine:
    """A line of a log."""
    return LogLine(number=number, time=NOW, level=level, message=message, job_try=1)


# Tracebacks


def frames(*numbers: int) -> str:
    """Return frames of a traceback."""
    return "\n".join(f'  File "f.py", line {it}, in f\n    call({it})\n    ^^^^' for it in numbers)


def test_frames_in_the_middle_are_folded() -> None:
    """The first and the last three frames of a block are shown, and other lines."""
    head = "Traceback (most recent call last):"
    cause = f"{head}\n{frames(1, 2, 3, 4, 5, 6, 7)}\nKeyError: 'a'"
    text = f"{cause}\n\nThe above exception:\n\n{head}\n{frames(8, 9)}\nValueError: no\nrows"
    assert segments(text) == [
        Segment(f"{head}\n{frames(1)}"),
        Segment(frames(2, 3, 4), 3),
        Segment(f"{frames(5, 6, 7)}\nKeyError: 'a'\n\nThe above exception:\n\n{head}\n"
                f"{frames(8, 9)}\nValueError: no\nrows"),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "ValueError", frames(1, 2, 3, 4, 5), "    odd"])
def test_what_is_short_is_shown_whole(text: str) -> None:
    """A single frame is not worth folding."""
    assert "\n".join(segment.text for segment in segments(text)) == text
    assert not any(segment.frames for segment in segments(text))


def test_a_failed_job_leads_with_its_error_and_traceback() -> None:
    """Those of its last try; hostile text is escaped."""
    tries = [
        a_try(1, Status.RETRYING, traceback="first"),
        a_try(2, Status.FAILED, traceback="last"),
    ]
    html = part("error", record(), VIEW, NOW, tries)
    assert "ValueError: no rows" in html
    assert "last" in html
    assert "first" not in html
    tries = [a_try(1, Status.FAILED, traceback=HOSTILE)]
    assert "<img" not in render_part("job_parts.html", "error", record(), VIEW, NOW, tries)
    assert part("error", record(error=None), VIEW, NOW, tries).strip() == ""


# Tries


def test_tries_are_a_timeline() -> None:
    """Each with its end, duration, worker, and why it was not the last."""
    tries = [
        a_try(1, Status.RETRYING, error="ConnectionError: no answer\nat all", worker="host:7"),
        a_try(2, Status.FAILED, error="ValueError: no rows"),
    ]
    html = part("timeline", record(), VIEW, NOW, tries)
    for text in ("Enqueued", "Try 1 retrying", "after 1 s", "host:7", "Try 2 failed"):
        assert text in html
    assert "ConnectionError: no answer</bdi>" in html
    assert "ValueError" not in html
    assert "Retried" not in html
    again = [*tries, a_try(1, Status.COMPLETE, run=2)]
    assert part("timeline", record(Status.COMPLETE), VIEW, NOW, again).count("Retried") == 1


def test_a_running_job_is_told_to_work() -> None:
    """After its past tries."""
    tries = [a_try(1, Status.RETRYING), Try(job_try=2, status=Status.WORKING, started_at=NOW)]
    html = part("timeline", record(Status.WORKING, error=None), VIEW, NOW, tries)
    assert html.index("Try 1 retrying") < html.index("Try 2 started") < html.index("Working")
    assert "Try 2 working" not in html


# How long such jobs take


USUAL = ActivityPoint(time=NOW, run_p50=timedelta(seconds=31), run_p95=timedelta(seconds=64))


def head(job: JobRecord, usual: ActivityPoint) -> str:
    """The head of a job's page."""
    return part("head", job, VIEW, NOW, (), (), usual)


def test_how_long_such_jobs_usually_take() -> None:
    """Nothing is shown if none has ended."""
    assert "usually <b>31 s</b>, 95 % within <b>1 min 4 s</b>" in head(record(), USUAL)
    assert "such jobs" not in head(record(), USUAL)
    assert "usually" not in head(record(Status.WORKING), ActivityPoint(time=NOW))


@pytest.mark.parametrize(("seconds", "is_late"), [(63, False), (65, True)])
def test_a_job_that_runs_long_says_so(seconds: int, is_late: bool) -> None:
    """From the time when it exceeds the 95th percentile; the script knows that time."""
    began = NOW - timedelta(seconds=seconds)
    html = head(record(Status.WORKING, started_at=began), USUAL)
    late = f'data-from="{(began + timedelta(seconds=64)).isoformat()}"'
    assert f"{late}{'' if is_late else ' hidden'}>longer than 95 % of such jobs" in html


# The log


def test_a_log_is_shown_with_levels() -> None:
    """Levels are shown as text; hostile text is escaped."""
    lines = [line(1, HOSTILE), line(2, "Full", "error")]
    html = render_part("job_parts.html", "log", record(), VIEW, NOW, (), lines)
    assert "<img" not in html
    assert 'data-level="error"' in html
    assert '<span class="level">error</span>' in html
    assert render_part("job_parts.html", "log", record(), VIEW, NOW).strip() == ""


def test_new_lines_are_sent_alone() -> None:
    """Only viewers without any lines get the whole log."""
    running = record(Status.WORKING)
    empty, some = JobState(running, 1), JobState(running, 2, (), [line(1, "One")])
    more = JobState(running, 3, (), [line(1, "One"), line(2, "Two")])
    first = some.parts_since(empty, VIEW).decode()
    assert first.startswith("event: parts\n")
    assert "One" in first
    then = more.parts_since(some, VIEW).decode()
    assert then.startswith("event: lines\n")
    assert "Two" in then
    assert "One" not in then
    assert more.parts_since(more, VIEW) == b""


# Data


def test_data_is_shown_name_by_name() -> None:
    """One line each, cut if it is long, and as JSON below."""
    deep: list[Any] = []
    for _ in range(10_000):
        deep = [deep]
    data = {"order": 4711, "name": "x" * 400, "gateway": {"code": float("nan")}, "deep": deep}
    html = part("data", record(data=data), VIEW, NOW)
    assert "<dd><bdi>4711</bdi></dd>" in html
    assert f"<bdi>{'x' * 300}…</bdi>" in html
    assert '<bdi>{"code": NaN}</bdi>' in html
    assert "<bdi>…</bdi>" in html


# The list


def listing(version: int, *records: JobRecord) -> ListState:
    """A list of these jobs."""
    page = Page(items=[*records], total=len(records), page=1, per_page=25)
    return ListState(Query(), page, dict.fromkeys(Status, 0), version)


def test_a_row_that_changed_is_sent_alone() -> None:
    """Without the order, which is unchanged."""
    before = listing(1, record(Status.WORKING, message="One", error=None))
    after = listing(2, record(Status.WORKING, message="Two", error=None))
    events = after.parts_since(before, VIEW).decode()
    assert events.startswith('event: parts\ndata: {"row:job":')
    assert events.count("event:") == 1
    assert "Two" in events
