"""Reading what arq stored: nothing is run, and truncated data is read as far as possible."""

import asyncio
import concurrent.futures
import datetime as dt
import json
import os
import pickle
import re
import struct
import time
import tracemalloc
import uuid
from collections import OrderedDict, deque
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from arq.jobs import DeserializationError, SerializationError, serialize_job, serialize_result
from arq.utils import args_to_string
from arq.worker import JobExecutionFailed
from hypothesis import given, settings
from hypothesis import strategies as st

from arq_status._arq.failures import failure_text, pickled_failure_text
from arq_status._arq.inert import Members, Opaque, Pairs
from arq_status._arq.payload import enqueued_ms_of_tail, read_payload, read_result
from arq_status._arq.unpickling import read_pickle
from arq_status._model.facts import JobPayload, ResultOutcome, ResultPayload
from arq_status._model.text import clean
from tests.fuzzing import HASHABLE, examples

ENQUEUED = 1_763_900_000_000
STARTED = ENQUEUED + 100
FINISHED = STARTED + 2_500
NOTHING = JobPayload(function=None, args="", enqueued_ms=None, job_try=None)
NO_RESULT = ResultPayload(None, "", None, None, ResultOutcome.UNREADABLE, None, None, None, None)

TIMES = st.integers(1 << 40, 10**14)
VALUES = st.recursive(
    HASHABLE | st.sets(HASHABLE, max_size=3) | st.binary().map(bytearray),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(HASHABLE, inner, max_size=3),
    max_leaves=8,
)
ARGS = st.lists(VALUES, max_size=5).map(tuple)
KWARGS = st.dictionaries(
    st.from_regex(r"[a-z_]{1,6}|et|f|k|id", fullmatch=True), VALUES, max_size=3
)


class Colour(Enum):
    RED = 1


class Secret:
    def __init__(self, value: str) -> None:
        self.value = value


class Outer:
    class InnerError(Exception):
        pass


class JobStopped(Exception):  # noqa: N818
    pass


class OwnCancelledError(asyncio.CancelledError):
    pass


class WithKeywords:
    def __getnewargs_ex__(self) -> tuple[tuple[int], dict[str, int]]:
        return (1,), {"two": 2}

    def __new__(cls, one: int, *, two: int) -> "WithKeywords":
        return super().__new__(cls)


JobStopped.__module__ = "arq_status._model.errors"


def job(*args: Any, **kwargs: Any) -> bytes:
    """Return a job's payload as stored by arq."""
    return serialize_job("add", args, kwargs, None, ENQUEUED)


def result(
    answer: Any,
    *args: Any,
    success: bool = False,
    kwargs: dict[str, Any] | None = None,
    function: str = "add",
    job_id: str = "abc",
) -> bytes:
    """Return a result as stored by arq."""
    stored = serialize_result(
        function,
        args,
        kwargs or {},
        1,
        ENQUEUED,
        success,
        answer,
        STARTED,
        FINISHED,
        "ref",
        "arq:queue",
        job_id,
    )
    assert stored is not None
    return stored


def with_args(program: bytes) -> bytes:
    """Return a payload whose arguments are created by these opcodes."""
    return b"\x80\x04}(X\x01\x00\x00\x00fX\x01\x00\x00\x00gX\x01\x00\x00\x00a" + program + b"u."


def text(value: str) -> bytes:
    """Return opcodes that create this string."""
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


# Jobs


@settings(deadline=None)
@given(st.text(max_size=20), ARGS, KWARGS, st.none() | st.integers(0, 99), TIMES)
def test_a_payload_round_trips(
    function: str, args: tuple[Any, ...], kwargs: dict[str, Any], job_try: int | None, ms: int
) -> None:
    """Function, arguments, try and time are returned; the arguments as arq logs them."""
    payload = read_payload(serialize_job(function, args, kwargs, job_try, ms))
    assert payload.function == clean(function)
    assert (payload.enqueued_ms, payload.job_try) == (ms, job_try)
    expected = args_to_string(args, kwargs)
    if not expected.endswith("…"):
        assert payload.args == clean(expected)


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol(protocol: int) -> None:
    """Pickles of all protocols can be read, including old ones."""
    values: tuple[Any, ...] = (
        1,
        -1,
        300,
        70_000,
        True,
        False,
        None,
        1.5,
        1 << 40,
        "é\n",
        "x" * 300,
        ([],),
        [1, 2],
    )
    data = {"t": 2, "f": "add", "a": values, "k": {"key": 3}, "et": ENQUEUED}
    reading = read_pickle(pickle.dumps(data, protocol), "tfake")
    assert reading.items["a"] == values
    assert reading.complete
    payload = read_payload(pickle.dumps({**data, "a": (1, "two", (3,), [4])}, protocol))
    assert payload == JobPayload("add", "1, 'two', (3,), [4], key=3", ENQUEUED, 2)


@pytest.mark.parametrize("protocol", range(6))
def test_exceptions_in_every_protocol(protocol: int) -> None:
    """Exceptions can be read in all protocols, including their Python 2 names."""
    data = {"f": "add", "s": False, "r": ValueError("boom"), "st": STARTED, "ft": FINISHED}
    payload = read_result(pickle.dumps(data, protocol))
    assert (payload.outcome, payload.error) == (ResultOutcome.FAILURE, "ValueError: boom")


@pytest.mark.parametrize(
    "value",
    [
        dt.date(2025, 11, 23),
        dt.time(1, 2, 3, 4),
        dt.datetime(2025, 11, 23, 1, 2),
        dt.datetime(2025, 11, 23, tzinfo=dt.UTC),
        dt.datetime(2025, 11, 23, fold=1, tzinfo=ZoneInfo("UTC")),
        dt.timezone(dt.timedelta(hours=1)),
        dt.timezone(dt.timedelta(0), "Z"),
        dt.timedelta(1, 2, 3),
        Decimal("1.50"),
        Fraction(1, 2),
        uuid.UUID(int=5),
        Path("/a/b"),
        PurePosixPath("a"),
        PureWindowsPath("c:/a"),
        bytearray(b"x'"),
        {(1, 2): {3}, frozenset(): set()},
        frozenset({1}),
        float("nan"),
    ],
    ids=repr,
)
def test_standard_types_are_shown_like_their_repr(value: Any) -> None:
    """This covers the common types of the standard library."""
    assert read_pickle(pickle.dumps({"a": value}), "a").items["a"] is not value
    shown = read_pickle(pickle.dumps({"a": [value]}), "a").items["a"][0]
    assert repr(shown) == repr(value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Colour.RED, "Colour(1)"),
        (Secret("password"), "Secret(...)"),
        (OrderedDict(a=1), "OrderedDict(...)"),
        (deque([1], 5), "deque((), 5, ...)"),
        (WithKeywords(1, two=2), "WithKeywords(1, ...)"),
        (ValueError, "ValueError"),
        (Outer.InnerError("x"), "Outer.InnerError('x')"),
        (os.path.join, "join"),
        (OrderedDict.fromkeys, "OrderedDict.fromkeys"),
    ],
)
def test_other_values_are_shown_by_name(value: Any, shown: str) -> None:
    """Other types are shown as name and arguments; the object's state is never shown."""
    assert read_payload(job(value)).args == shown


def test_functions_and_arguments_are_bounded() -> None:
    """Function names and arguments are cut."""
    payload = read_payload(serialize_job("f" * 1000, ("x" * 1000,), {}, None, ENQUEUED))
    assert payload.function == "f" * 299 + "…"
    assert payload.args == "'" + "x" * 78 + "…"


@pytest.mark.parametrize("bad", [-1, 10**15, 1.5, True, "1", None, ("x",)])
def test_numbers_out_of_range(bad: Any) -> None:
    """Times and tries are integers in a sensible range, or unknown."""
    data = pickle.dumps({"t": bad, "f": bad, "a": bad, "k": bad, "et": bad})
    payload = read_payload(data)
    assert (payload.enqueued_ms, payload.job_try) == (None, None)
    assert payload.function == ("1" if bad == "1" else None)
    assert payload.args == (repr("x") if bad == ("x",) else "")


def test_lone_surrogates() -> None:
    """They are replaced, so that everything can be stored and shown."""
    payload = read_payload(serialize_job("f\ud800", ("\ud800",), {"k\ud800": 1}, None, ENQUEUED))
    assert (payload.function, payload.args) == ("f?", "'\\ud800', k?=1")


def test_invalid_utf8() -> None:
    """Invalid bytes in a string are replaced."""
    assert read_payload(with_args(b"X\x02\x00\x00\x00a\xff\x85")).args == "'a�'"


# Truncated payloads


def test_a_payload_truncated_anywhere() -> None:
    """With the last bytes available, any beginning gives the time, and never a wrong name."""
    whole = job(1, "two", [3, {"four": 5}], ValueError("x", (6,)), key={7}, other=(8, 9, 10, 11))
    full = read_payload(whole)
    for length in range(len(whole)):
        payload = read_payload(whole[:length], whole[-64:])
        assert payload.function in {None, "add"}
        assert payload.enqueued_ms == ENQUEUED
        assert payload.job_try is None
        assert payload.args == full.args or payload.args[-1:] in {"", "…"}
        # These are followed by an object, which starts with its module and name.
        plain = len("1, 'two', [3, {'four': 5}], ")
        assert full.args.startswith(payload.args[:plain].rstrip("…)]}'"))
    assert full.args.startswith("1, 'two', [3, {'four': 5}], ValueError('x', (6,)), key={7}")


@pytest.mark.parametrize(
    ("args", "shown"),
    [
        (("x" * 70, 1), "'" + "x" * 40 + "'…"),
        (("a", "x" * 70), "'a', '" + "x" * 33 + "'…"),
        (([1, 2, "x" * 70],), "[1, 2, '" + "x" * 29 + "'…"),
        (({"key": "x" * 70},), "{'key': '" + "x" * 29 + "'…"),
        (({"key": [("x" * 70, 1)]},), "{'key': ['" + "x" * 29 + "'…"),
        ((ValueError("x" * 70),), "ValueError('" + "x" * 29 + "'…"),
        ((1, 2, 3, 4, "x" * 70), "1, 2, 3, 4, '" + "x" * 29 + "'…"),
    ],
)
def test_arguments_are_read_up_to_the_cut(args: tuple[Any, ...], shown: str) -> None:
    """The first arguments of a large payload are shown, including a truncated string."""
    whole = job(*args)
    start = whole.index(b"x" * 70)
    payload = read_payload(whole[: start + shown.count("x")], whole[-64:])
    assert payload.function == "add"
    assert re.sub(r"[])}]*…", "…", payload.args) == shown
    assert payload.enqueued_ms == ENQUEUED


def test_keyword_arguments_are_read_up_to_the_cut() -> None:
    """The first keyword arguments are shown, without an ellipsis if they are complete."""
    whole = job(1, a=2, b="x" * 70)
    cut = whole.index(b"x" * 70)
    one = job(1, b="x" * 70)
    assert read_payload(one[: one.index(b"xx") + 2], one[-64:]).args == "1, b='xx'…"
    assert read_payload(whole[: cut + 2], whole[-64:]).args == "1, a=2, b='xx'…"
    assert read_payload(whole[: whole.index(b"\x8c\x02et") + 5], whole[-64:]).args.endswith("x…")
    whole = job(1, a=2)
    end = whole.index(b"\x8c\x02et")
    assert read_payload(whole[:end]).args == "1, a=2…"
    assert read_payload(whole[: end + 3]).args == "1, a=2…"
    assert read_payload(whole[: end + 4]).args == "1, a=2"


@pytest.mark.parametrize("protocol", [0, 1])
def test_a_payload_of_an_old_protocol_truncated_anywhere(protocol: int) -> None:
    """Old protocols add items to the dict one by one, and can be cut anywhere, too."""
    data = {"t": 1, "f": "add", "a": (1, (2, [3])), "k": {"key": 4}, "et": ENQUEUED}
    whole = pickle.dumps(data, protocol)
    for length in range(len(whole)):
        assert read_payload(whole[:length]).function in {None, "add"}
    assert read_payload(whole[: whole.rindex(b"et")]).args in {
        "1, (2, [3]), key=4…",
        "1, (2, [3]), key=4",
    }


def test_the_enqueue_time_in_a_jobs_last_bytes() -> None:
    """The time is found at the end, whether its key is a string or a memo reference."""
    assert enqueued_ms_of_tail(job(1)[-64:]) == ENQUEUED
    assert enqueued_ms_of_tail(job("et")[-64:]) == ENQUEUED
    assert enqueued_ms_of_tail(pickle.dumps({"f": "\xe9" * 9, "et": 1 << 46})) == 1 << 46
    assert enqueued_ms_of_tail(pickle.dumps({"et": -(1 << 46)})) is None
    assert enqueued_ms_of_tail(b"") is None
    assert enqueued_ms_of_tail(job(1)[:-1]) is None


def test_a_frame_may_start_before_the_enqueue_time() -> None:
    """Pickle divides large payloads into frames, and one may start at any value."""
    for size in range(65_536 - 60, 65_536):
        whole = job("x" * size)
        assert enqueued_ms_of_tail(whole[-64:]) == ENQUEUED


@settings(deadline=None)
@given(TIMES)
def test_the_bytes_of_an_enqueue_time(ms: int) -> None:
    """The bytes by which the scripts recognize a run are in its payload and in its result."""
    expected = b"\x8c\x02et\x94\x8a\x06" + ms.to_bytes(6, "little", signed=True)
    assert expected in serialize_job("f", (), {}, None, ms)
    stored = serialize_result("f", (), {}, 1, ms, True, 1, 2, 3, "ref", "queue", "id")
    assert stored is not None
    assert expected in stored


# Results


@settings(deadline=None)
@given(ARGS, KWARGS, st.booleans(), VALUES, TIMES, TIMES, st.text(max_size=9), st.text(max_size=9))
def test_a_result_round_trips(
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    success: bool,
    answer: Any,
    started: int,
    finished: int,
    queue: str,
    job_id: str,
) -> None:
    """Everything that arq stored about an ended job is returned."""
    stored = serialize_result(
        "add", args, kwargs, 3, ENQUEUED, success, answer, started, finished, "", queue, job_id
    )
    assert stored is not None
    payload = read_result(stored)
    assert payload.outcome == (ResultOutcome.SUCCESS if success else ResultOutcome.FAILURE)
    assert (payload.function, payload.job_try, payload.enqueued_ms) == ("add", 3, ENQUEUED)
    assert (payload.started_ms, payload.finished_ms) == (started, finished)
    assert payload.queue == clean(queue)
    assert payload.args == read_payload(serialize_job("add", args, kwargs, None, ENQUEUED)).args
    assert success is False or payload.error is None


@pytest.mark.parametrize(
    ("answer", "outcome", "error"),
    [
        (ValueError("boom"), ResultOutcome.FAILURE, "ValueError: boom"),
        (ValueError("a", 1), ResultOutcome.FAILURE, "ValueError: a, 1"),
        (ValueError(), ResultOutcome.FAILURE, "ValueError"),
        (ValueError, ResultOutcome.FAILURE, "ValueError"),
        (KeyError("key"), ResultOutcome.FAILURE, "KeyError: 'key'"),
        (
            OSError(2, "No such file"),
            ResultOutcome.FAILURE,
            "FileNotFoundError: [Errno 2] No such file",
        ),
        (
            FileNotFoundError(2, "No", "f"),
            ResultOutcome.FAILURE,
            "FileNotFoundError: [Errno 2] No: 'f'",
        ),
        (OSError("gone"), ResultOutcome.FAILURE, "OSError: gone"),
        (Outer.InnerError("boom"), ResultOutcome.FAILURE, "InnerError: boom"),
        (JobExecutionFailed("job expired"), ResultOutcome.FAILURE, "expired before it ran"),
        (
            JobExecutionFailed("max 5 retries exceeded"),
            ResultOutcome.FAILURE,
            "max 5 tries exceeded",
        ),
        (
            JobExecutionFailed("function 'x' not found"),
            ResultOutcome.FAILURE,
            "function 'x' not found",
        ),
        (JobExecutionFailed("mine"), ResultOutcome.FAILURE, "JobExecutionFailed: mine"),
        (JobExecutionFailed(), ResultOutcome.FAILURE, "JobExecutionFailed"),
        (
            DeserializationError("unable to deserialize job"),
            ResultOutcome.FAILURE,
            "payload cannot be read",
        ),
        (SerializationError(), ResultOutcome.FAILURE, "payload cannot be read"),
        (
            SerializationError('unable to serialize job "x"'),
            ResultOutcome.FAILURE,
            'SerializationError: unable to serialize job "x"',
        ),
        (
            ExceptionGroup("two of three", [ValueError("a"), KeyError("b")]),
            ResultOutcome.FAILURE,
            "ExceptionGroup: two of three (ValueError: a; KeyError: 'b')",
        ),
        (
            BaseExceptionGroup("all", [SystemExit(3), ExceptionGroup("in", [OSError(2, "No")])]),
            ResultOutcome.FAILURE,
            "BaseExceptionGroup: all"
            " (SystemExit: 3; ExceptionGroup: in (FileNotFoundError: [Errno 2] No))",
        ),
        (
            ExceptionGroup("many", [ValueError(number) for number in range(50)]),
            ResultOutcome.FAILURE,
            "ExceptionGroup: many (ValueError: 0; ValueError: 1; ValueError: 2; ValueError: 3;"
            " ValueError: 4; ValueError: 5; ValueError: 6; ValueError: 7; ValueError: 8;"
            " ValueError: 9; 40 more)",
        ),
        (SystemExit(3), ResultOutcome.FAILURE, "SystemExit: 3"),
        (TimeoutError(), ResultOutcome.FAILURE, "timed out after 2.5s"),
        (TimeoutError("mine"), ResultOutcome.FAILURE, "TimeoutError: mine"),
        (asyncio.CancelledError(), ResultOutcome.CANCELLED, "aborted"),
        (asyncio.CancelledError("by me"), ResultOutcome.CANCELLED, "by me"),
        (concurrent.futures.CancelledError(), ResultOutcome.CANCELLED, "aborted"),
    ],
    ids=repr,
)
def test_why_a_job_failed(answer: Any, outcome: ResultOutcome, error: str) -> None:
    """The message is the same for the stored bytes and for the exception itself."""
    payload = read_result(result(answer, 1))
    assert (payload.outcome, payload.error) == (outcome, error)
    loaded = read_result(result(answer, 1), b"", pickle.loads)
    if isinstance(answer, BaseException) and error != "ValueError: a, 1":
        assert loaded == payload


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("unable to serialize result", "unable to serialize result"),
        ({"message": "boom"}, "{'message': 'boom'}"),
        (None, None),
    ],
)
def test_failures_without_an_exception(answer: Any, error: str | None) -> None:
    """Whatever is stored instead of an exception is shown."""
    payload = read_result(result(answer))
    assert (payload.outcome, payload.error) == (ResultOutcome.FAILURE, error)


def test_groups_in_groups_take_no_time() -> None:
    """No matter how many exceptions a pickle nests, only a few are examined."""
    group: Any = ValueError("x" * 9_000)
    for _ in range(200):
        group = ExceptionGroup("g", [group] * 100)
    before = time.thread_time()
    payload = read_result(result(group))
    assert time.thread_time() - before < 0.2
    assert payload.error is not None
    assert payload.error.startswith("ExceptionGroup: g (ExceptionGroup: g (")


class OddGroup(ExceptionGroup[ValueError]):
    """A group whose message cannot be read."""

    @property
    def message(self) -> str:
        raise RuntimeError


def test_a_custom_group() -> None:
    """It is shown by name even if it misbehaves."""
    assert failure_text(OddGroup("odd", [ValueError()]), None).startswith("OddGroup")


def test_a_failure_is_cut() -> None:
    """A huge message is cut, no matter how often it is repeated."""
    payload = read_result(result(ValueError(*["x" * 9000] * 3000)))
    assert payload.error is not None
    assert len(payload.error) == 10_000


@pytest.mark.parametrize("error", [JobStopped(), OwnCancelledError("x")])
def test_a_stopped_job_with_a_custom_serializer(error: BaseException) -> None:
    """Exceptions that mean a stop are recognized as objects, too."""
    data = {"s": False, "r": error}
    payload = read_result(b"x", b"", lambda _: data)
    assert payload.outcome == ResultOutcome.CANCELLED
    assert payload.error == ("aborted" if isinstance(error, JobStopped) else "OwnCancelledError: x")


@pytest.mark.parametrize("success", [None, "yes", ValueError()])
def test_an_outcome_that_cannot_be_read(success: Any) -> None:
    """An outcome that is neither true nor false is unreadable."""
    payload = read_result(pickle.dumps({"s": success, "r": "x"}))
    assert (payload.outcome, payload.error) == (ResultOutcome.UNREADABLE, None)


def test_an_unknown_function() -> None:
    """Arq's placeholder for an unreadable function is not a name."""
    assert read_result(result(1, function="<unknown>")).function is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "timed out"),
        (-1, "timed out"),
        (2.0, "timed out after 2s"),
        (0.16, "timed out after 0.2s"),
        (1_000_000, "timed out after 1000000s"),
    ],
)
def test_a_timeout_says_how_long(seconds: float | None, words: str) -> None:
    """The error contains the seconds if they are known."""
    assert failure_text(TimeoutError(), seconds) == words
    assert pickled_failure_text("TimeoutError", "asyncio.exceptions", (), seconds) == words


# Truncated results


@pytest.mark.parametrize("answer", [ValueError("boom"), asyncio.CancelledError(), "text", 5, [1]])
@pytest.mark.parametrize("success", [True, False])
def test_a_result_truncated_anywhere(answer: Any, success: bool) -> None:
    """With the last bytes available, any beginning gives outcome, error, times and queue."""
    whole = result(answer, 1, "two", ["x" * 200], success=success)
    full = read_result(whole)
    for length in range(len(whole)):
        payload = read_result(whole[:length], whole[-300:])
        assert payload.function in {None, "add"}
        assert payload.outcome == full.outcome
        assert payload.error == full.error
        assert (payload.started_ms, payload.finished_ms) == (STARTED, FINISHED)
        assert payload.enqueued_ms == ENQUEUED
        assert payload.queue == "arq:queue"


def test_a_result_without_its_end_truncated_anywhere() -> None:
    """Even without the last bytes, nothing wrong is read."""
    whole = result(ValueError("boom", 2), 1)
    for length in range(len(whole)):
        payload = read_result(whole[:length])
        assert payload.function in {None, "add"}
        assert payload.outcome in {ResultOutcome.UNREADABLE, ResultOutcome.FAILURE}
        assert payload.started_ms in {None, STARTED}
        assert payload.queue in {None, "arq:queue"}


def test_a_cut_error_says_so() -> None:
    """A truncated error ends with an ellipsis."""
    whole = result(ValueError("x" * 10_000))
    assert (
        read_result(whole[:300]).error
        == "ValueError: " + "x" * (300 - len(whole.split(b"xx")[0])) + "…"
    )
    whole = result("y" * 10_000)
    payload = read_result(whole[:300], whole[-300:])
    assert payload.error is not None
    assert payload.error.endswith("yy…")
    assert payload.finished_ms == FINISHED


def test_an_end_with_repeated_keys() -> None:
    """Keys that already occurred in the arguments are found by their position."""
    whole = result(1, "r", "x" * 2000, success=True, kwargs={"q": 1, "ft": 2})
    payload = read_result(whole[:1000], whole[-300:])
    assert payload.outcome == ResultOutcome.SUCCESS
    assert payload.finished_ms == FINISHED


def test_an_end_that_does_not_reach_the_times() -> None:
    """If the id fills all of the last bytes, the times are unknown."""
    whole = result(1, "x" * 2000, success=True, job_id="i" * 1000)
    payload = read_result(whole[:1000], whole[-300:])
    assert payload.outcome == ResultOutcome.UNREADABLE
    assert (payload.function, payload.started_ms) == ("add", None)


def test_a_return_value_cannot_be_mistaken_for_the_end() -> None:
    """Bytes in a return value that look like a successful end change nothing."""
    forged = b"\x8c\x01s\x94\x88\x8c\x01r\x94N"
    whole = result(forged, "x" * 2000)
    assert read_result(whole[:1000], whole[-300:]).outcome == ResultOutcome.FAILURE


def test_an_end_out_of_range() -> None:
    """An end with impossible times is ignored."""
    data = {"s": True, "r": 1, "st": -1, "ft": 2, "q": "q", "id": "x"}
    assert read_result(b"", pickle.dumps(data)[12:]) == NO_RESULT


# Custom serializers


def test_a_custom_deserializer() -> None:
    """With it, payloads and results of any format can be read."""
    fields = {"t": 1, "f": "add", "a": [1, "two"], "k": {"key": 3}, "et": ENQUEUED}
    stored = json.dumps(fields).encode()
    assert read_payload(stored, b"", json.loads) == JobPayload(
        "add", "1, 'two', key=3", ENQUEUED, 1
    )
    ended = {**fields, "s": False, "r": "boom", "st": STARTED, "ft": FINISHED, "q": "arq:queue"}
    payload = read_result(json.dumps(ended).encode(), b"", json.loads)
    assert (payload.outcome, payload.error, payload.queue) == (
        ResultOutcome.FAILURE,
        "boom",
        "arq:queue",
    )


def test_a_deserializer_is_not_called_with_truncated_data() -> None:
    """It could not read that."""

    def never(_: bytes) -> Any:
        raise AssertionError

    assert read_payload(job(1)[:40], job(1)[-64:], never).enqueued_ms == ENQUEUED


@pytest.mark.parametrize("found", [None, [1], b"x", 5])
def test_a_deserializer_that_fails(found: Any) -> None:
    """Data is unreadable if it raises or does not return a dict."""

    def fail(_: bytes) -> Any:
        raise ValueError

    assert read_payload(job(1), b"", lambda _: found) == NOTHING
    assert read_payload(job(1), b"", fail) == NOTHING
    assert read_result(result(1), b"", fail) == NO_RESULT


# Hostile input


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_runs(tmp_path: Path, protocol: int) -> None:
    """A payload that would run a command when unpickled is only shown."""
    proof = tmp_path / "proof"

    class Attack:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.system, (f"touch {proof}",)

    data = {"f": "add", "a": (Attack(),), "k": {}, "s": False, "r": Attack()}
    stored = pickle.dumps(data, protocol)
    assert read_payload(stored).args.startswith("system('touch")
    assert read_result(stored).outcome == ResultOutcome.FAILURE
    assert not proof.exists()
    pickle.loads(stored)
    assert proof.exists()


HOSTILE = {
    "laughs": with_args(b"]\x94" + b"".join(b"2\x86\x94" for _ in range(2000)) + b"\x85"),
    "laughs as keys": with_args(
        b")" + b"2\x86" * 2000 + b"q\x000}h\x00K\x01sq\x01\x8f(h\x00h\x00\x90\x86"
    ),
    "memo": with_args(b"]r\xff\xff\xff\xff\x85"),
    "memo line": with_args(b"]p" + b"9" * 5000 + b"\n\x85"),
    "long": with_args(b"\x8b\xff\xff\xff\x7f"),
    "many longs": with_args(b"(" + (b"\x8b\x00\x10\x00\x00" + b"\x7f" * 4096) * 15 + b"t"),
    "digits": with_args(b"L" + b"9" * 60_000 + b"L\n\x85"),
    "text": with_args(b"\x8d" + b"\xff" * 8 + b"x"),
    "bytes": with_args(b"\x8e" + b"\xff" * 7 + b"\x7fx"),
    "frame": b"\x80\x04\x95" + b"\xff" * 8 + with_args(b"K\x01\x85")[2:],
    "deep": with_args(b"]" * 10_000 + b"a" * 9999 + b"\x85"),
    "deep tuples": with_args(b")" + b"\x85" * 60_000),
    "deep dicts": with_args(b"}(K\x00" * 2000),
    "marks": with_args(b"(" * 60_000),
    "cycle": with_args(b"]q\x00h\x00a\x85"),
    "cycle of objects": with_args(b"cm\nC\n(]q\x01tRq\x00h\x010h\x00b\x85"),
    "names": with_args(
        text("x" * 60_000)
        + b"q\x010cbuiltins\ngetattr\nq\x020cm\nC\n"
        + b"q\x030"
        + b"h\x02h\x03h\x01\x86Rq\x030" * 400
        + b"h\x03\x85"
    ),
    "path": with_args(
        text("x" * 5000) + b"q\x010cpathlib\nPosixPath\n(" + b"h\x01" * 2000 + b"tR\x85"
    ),
    "path of many parts": with_args(
        b"cpathlib\nPosixPath\n("
        + b"X\x00\x00\x00\x00" * 2000
        + b"tRq\x00("
        + b"h\x00" * 900
        + b"t"
    ),
    "colliding numbers": with_args(
        b"}("
        + b"".join(
            b"\x8a\x0a" + (n * ((1 << 61) - 1)).to_bytes(10, "little") + b"N" for n in range(2400)
        )
        + b"u\x85"
    ),
    "state of the unknown": with_args(b"h\x07" + b"K\x01b" * 10 + b"\x85"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_payloads_are_read_quickly(name: str) -> None:
    """Payloads designed to exhaust time or memory do not, and the function is still read."""
    data = HOSTILE[name]
    tracemalloc.start()
    before = time.thread_time()
    payload = read_payload(data)
    read_result(data)
    took = time.thread_time() - before
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert payload.function == "g"
    assert len(payload.args) <= 80
    assert took < 1, "with memory traced, which takes several times as long"
    assert peak < 20_000_000


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("cycle", "[[...]]"),
        ("memo", "[]"),
        ("text", "'xu.'…"),
        ("bytes", "b'xu.'…"),
        ("frame", "1"),
        ("state of the unknown", "…"),
        (
            "laughs as keys",
            "{" + "(" * 78 + "…",
        ),
    ],
)
def test_hostile_payloads_are_shown(name: str, shown: str) -> None:
    """Everything in a hostile payload that can be shown is shown."""
    assert read_payload(HOSTILE[name]).args == shown


def test_an_unknown_value_keeps_no_state() -> None:
    """State set on missing values by one payload does not affect the next."""
    read_payload(with_args(b"h\x07K\x01b\x85"))
    assert read_payload(with_args(b"h\x07\x85")).args == "…"


def test_large_payloads_take_little_memory() -> None:
    """A head full of the most expensive opcodes stays within its bounds."""
    error = b"cm\nError\n(" + text("x" * 60_000) + b"q\x01" + b"h\x01" * 4900 + b"tR"
    data = b"}(" + text("s") + b"\x89" + text("r") + error + b"u."
    tracemalloc.start()
    payload = read_result(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert payload.error is not None
    assert payload.error.startswith("Error: xxx")
    assert peak < 20_000_000


@settings(max_examples=examples(300), deadline=None)
@given(st.binary(max_size=200), st.binary(max_size=100))
def test_any_bytes(head: bytes, tail: bytes) -> None:
    """No bytes raise an exception, as head or as tail."""
    for data in (head, b"\x80\x04}(" + head, with_args(head)):
        assert len(read_payload(data, tail).args) <= 80
        assert len(read_result(data, tail).args) <= 80
    assert enqueued_ms_of_tail(tail) is None or tail.endswith(b"u.")


CODES = st.sampled_from(
    b"N\x88\x89IJKMLFGSTUVXCB]ltdaesu(012ghjpqrcRboiPQ}).\n"
    b"\x85\x86\x87\x8f\x90\x91\x93\x94\x81\x92\x96\x97\x98\x8c\x8a"
)
PROGRAMS = st.lists(CODES | st.integers(0, 4), max_size=120).map(bytes)


@settings(max_examples=examples(500), deadline=None)
@given(PROGRAMS)
def test_any_program(program: bytes) -> None:
    """No sequence of opcodes raises, nor does rendering the resulting values."""
    for data in (program, b"}(" + program, with_args(program), b"}(" + text("r") + program):
        for value in read_pickle(data, "fakr").items.values():
            repr(value)
        read_payload(data)
        read_result(data)


@settings(max_examples=examples(40), deadline=None)
@given(st.integers(1, 12).flatmap(lambda size: st.lists(CODES, min_size=size, max_size=size)))
def test_any_program_repeated_to_the_limit(codes: list[int]) -> None:
    """A head full of the same few opcodes takes a fraction of a second."""
    program = bytes(codes)
    data = b"}(" + text("s") + b"\x89" + text("r") + program * (65_000 // len(program))

    def seconds() -> float:
        before = time.process_time()
        read_result(data)
        return time.process_time() - before

    # measured again, in case garbage of other examples was collected in the middle
    assert seconds() < 1 or seconds() < 1, "most of it is coverage"


@settings(deadline=None)
@given(ARGS, st.data())
def test_damaged_jobs(args: tuple[Any, ...], data: st.DataObject) -> None:
    """A payload in which a byte was changed does not raise."""
    stored = bytearray(job(*args))
    place = data.draw(st.integers(0, len(stored) - 1))
    stored[place] = data.draw(st.integers(0, 255))
    read_payload(bytes(stored))
    read_result(bytes(stored))


# Opcodes that do not occur in arq's pickles, but may in others


@pytest.mark.parametrize(
    ("program", "shown"),
    [
        (b"I01\nI00\nI7\n\x87", "True, False, 7"),
        (b"L7L\nL8\n\x86", "7, 8"),
        (b"S'old'\nT\x01\x00\x00\x00aU\x01b\x87", "'old', 'a', 'b'"),
        (b"(K\x01K\x02lp5\n0g5\n\x85", "[1, 2]"),
        (b"(K\x01K\x02d\x85", "{1: 2}"),
        (b"(K\x011K\x02\x85", "2"),
        (b"K\x01K\x020\x85", "1"),
        (b"K\x01(0\x85", "1"),
        (b"K\x012\x86", "1, 1"),
        (b"B\x01\x00\x00\x00a\x8e\x01\x00\x00\x00\x00\x00\x00\x00b\x86", "b'a', b'b'"),
        (b"\x8d\x01\x00\x00\x00\x00\x00\x00\x00b\x85", "'b'"),
        (b"\x8b\x01\x00\x00\x00\x07\x85", "7"),
        (b"(im\nC\n\x85", "C()"),
        (b"(K\x01im\nC\n\x85", "C(1)"),
        (b"(cm\nC\nK\x01o\x85", "C(1)"),
        (b"Pkey\n\x85", "persistent('key')"),
        (b"K\x01Q\x85", "persistent(1)"),
        (
            b"\x82\x01\x83\x02\x00\x84\x03\x00\x00\x00\x87",
            "extension(1), extension(2), extension(3)",
        ),
        (b"\x97\x98\x85", "…"),
        (b"j\x01\x00\x00\x00\x85", "…"),
        (b"]r\x01\x00\x00\x000j\x01\x00\x00\x00\x85", "[]"),
        (b"K\x01K\x02\x93\x85", "…"),
        (b"c\n\n\x85", "?"),
        (b"K\x01K\x02R\x85", "…(2)"),
        (b"cm\nC\nK\x02R\x85", "C(2)"),
        (b"cbuiltins\ngetattr\nK\x02\x85R\x85", "getattr(2)"),
        (b"cdatetime\ndate\n\x85", "date"),
        (b"cdatetime\ndate\n)R\x85", "date()"),
        (b"cdatetime\ndate\nC\x01a\x85R\x85", "date(b'a')"),
        (b"cdatetime\ntimedelta\nJ\xff\xff\xff\x7f\x85R\x85", "timedelta(2147483647)"),
        (b"cuuid\nUUID\n)R\x85", "UUID()"),
        (b"cuuid\nUUID\n)R}(X\x01\x00\x00\x00aK\x01ub\x85", "UUID(...)"),
        (b"cpathlib\nPosixPath\nK\x01\x85R\x85", "PosixPath(1)"),
    ],
)
def test_rare_opcodes(program: bytes, shown: str) -> None:
    """Every opcode of the pickle machine has an inert counterpart."""
    assert read_payload(with_args(program)).args == shown


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"N.",
        b"].",
        b"}.",
        b"](K\x01",
        b"}(K\x01K\x02K\x03",
        b"}(K\x01",
        b"0",
        b"\xff",
        b"\x85",
    ],
)
def test_payloads_without_fields(data: bytes) -> None:
    """Anything but a dict with string keys has nothing to show."""
    assert read_payload(data) == NOTHING
    assert read_result(data, b"\x8c\x02st\x94N0.") == NO_RESULT
    assert read_result(data, b"\x8c\x02st\x9400.") == NO_RESULT


def test_inert_values_have_a_repr() -> None:
    """It is bounded; sets and dicts look like sets and dicts."""
    made = Opaque("m", "C", ("x" * 1000,))
    assert len(repr(made)) == 200
    shown = Opaque("m", "C", (Pairs([1, [2]]), Pairs([]), Members([1]), Members([], frozen=True)))
    assert repr(shown) == "C({1: [2]}, {}, {1}, frozenset())"
