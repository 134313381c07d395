"""Tracking options: how they are set, merged and announced."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arq_status import StatusClient, status_options, track_status
from arq_status._model.options import FunctionOptions, check_options, given_options
from arq_status._model.record import State

DAY = 86_400_000
EXPIRIES = st.integers(1, 10**12)


@given(
    st.builds(
        FunctionOptions,
        expires=EXPIRIES,
        expires_failed=EXPIRIES,
        track=st.booleans(),
        record_args=st.integers(0, 2000),
        record_result=st.booleans(),
        keep_result=st.none() | st.integers(0),
        max_tries=st.none() | st.integers(1),
    )
)
def test_announced_options_round_trip(options: FunctionOptions) -> None:
    """Readers get what a worker announced."""
    assert FunctionOptions.decode(options.encode().encode()) == options


@pytest.mark.parametrize("args", [True, False])
def test_older_workers_announce_less(args: bool) -> None:
    """Options that they do not know have their defaults."""
    announced = {"expires": 2 * DAY, "track": True, "args": args}
    options = FunctionOptions.decode(json.dumps(announced).encode())
    assert options == FunctionOptions(
        expires=2 * DAY, expires_failed=2 * DAY, record_args=80 if args else 0
    )


@pytest.mark.parametrize(
    "raw",
    [b"", b"[]", b"7", b"{}", b'{"expires":-1,"track":true,"args":80}',
     b'{"expires":1,"track":true,"args":9999}', b'{"expires":1,"track":true,"args":"x"}',
     b'{"expires":1,"track":true,"args":80,"failed":[]}', b"[" * 100_000],
)  # fmt: skip
def test_damaged_announcements_hide_everything(raw: bytes) -> None:
    """Nothing that might be confidential is shown."""
    options = FunctionOptions.decode(raw)
    assert (options.record_args, options.record_result) == (0, False)


def test_a_functions_options_win() -> None:
    """They override those of its worker, which override the defaults."""
    worker = check_options(expires=60, record_args=200, record_result=False)
    function = given_options(status_options(record_args=False)(lambda: None))
    assert FunctionOptions.merged(worker, function) == FunctionOptions(
        expires=60_000, expires_failed=DAY, record_args=0, record_result=False
    )
    assert FunctionOptions.merged() == FunctionOptions()


def test_failures_have_their_own_expiry() -> None:
    """This applies to every end except ``complete``."""
    options = FunctionOptions(expires=1, expires_failed=2)
    ends = (State.COMPLETE, State.FAILED, State.STOPPED, State.INTERRUPTED)
    assert [options.expires_after(it) for it in ends] == [1, 2, 2, 2]


@pytest.mark.parametrize("decorator", [status_options, track_status])
@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"record_args": 2001}, ValueError("record_args must be 0 to 2000, not 2001")),
        ({"record_args": -1}, ValueError("record_args must be 0 to 2000, not -1")),
        ({"track": "no"}, TypeError("track must be a bool, not 'no'")),
        ({"record_result": 0}, TypeError("record_result must be a bool, not 0")),
        ({"record_args": "all"}, TypeError("record_args must be a bool or an int, not str")),
        ({"expires": 0}, ValueError("expires must be positive and finite, not 0")),
        ({"expires_failed": 0}, ValueError("expires_failed must be positive and finite, not 0")),
        ({"expires": ()}, TypeError("expires must be seconds or a timedelta, not tuple")),
    ],
)  # fmt: skip
def test_invalid_options(decorator: Any, given: dict[str, Any], error: Exception) -> None:
    """They are rejected where they are given."""
    with pytest.raises(type(error)) as caught:
        decorator(**given)
    assert str(caught.value) == str(error)


@pytest.mark.parametrize("decorated", [StatusClient, "jobs.import_rows"])
def test_options_of_anything_but_a_function(decorated: Any) -> None:
    """A settings class and an import string are rejected."""
    with pytest.raises(TypeError, match=r"^status_options decorates a job function or the result"):
        status_options(track=False)(decorated)


@pytest.mark.parametrize("given", [len, 1800])
def test_the_decorator_without_arguments(given: Any) -> None:
    """A bare decorator is rejected, and the error shows its use."""
    with pytest.raises(TypeError, match=r"as in @status_options\(track=False\)"):
        status_options(given)  # type: ignore[call-arg]
