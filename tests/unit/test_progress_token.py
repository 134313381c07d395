"""Tokens for the customers of an app."""

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import URLSafeSerializer

from arq_status.web import create_progress_app, progress_token
from arq_status.web.progress.token import Secret, TokenReader

SECRET = "a secret of 16 bytes or more"
OTHER = b"another secret that is long enough"


def read(token: str, secret: Secret = SECRET) -> tuple[str | None, str | None, set[str]] | None:
    """Return what a token allows, except the time."""
    grant = TokenReader(secret).read(token)
    return None if grant is None else (grant.job_id, grant.group, set(grant.may))


@given(st.text(min_size=1, max_size=200).filter(lambda it: it.isprintable()))
def test_a_token_names_one_job_or_one_group(name: str) -> None:
    """With any id, and without characters that a URL must quote."""
    token = progress_token(SECRET, name)
    assert read(token) == (name, None, set())
    assert read(progress_token(SECRET, group=name, may=["stop"])) == (None, name, {"stop"})
    assert set(token) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


def test_a_token_expires() -> None:
    """From then on it is treated like an invalid one."""
    assert read(progress_token(SECRET, "job", expires=timedelta(days=10_000))) is not None
    old = progress_token(SECRET, "job", expires=1e-3)
    reader = TokenReader(SECRET)
    while reader.read(old) is not None:
        pass


def test_secrets_rotate() -> None:
    """The first of several signs, and all are accepted."""
    assert read(progress_token(SECRET, "job"), [OTHER, SECRET]) == ("job", None, set())
    assert read(progress_token([OTHER, SECRET], "job"), OTHER) == ("job", None, set())
    assert read(progress_token([OTHER, SECRET], "job"), SECRET) is None


@pytest.mark.parametrize("position", [0, 5, -1, -10])
def test_a_changed_token_is_none(position: int) -> None:
    """Every character matters."""
    token = progress_token(SECRET, "job")
    letters = list(token)
    letters[position] = "A" if letters[position] not in "AB" else "x"
    assert read("".join(letters)) is None


@pytest.mark.parametrize("token", ["", ".", "..", "x", "a.b", "é", "\x00", "A" * 100_000])
def test_what_is_no_token(token: str) -> None:
    """Anything else is not a token."""
    assert read(token) is None


def test_signatures_for_another_purpose_are_none() -> None:
    """Other things signed with the same secret are not accepted."""
    others = [
        URLSafeSerializer(SECRET).dumps({"j": "job", "x": 1e12}),
        URLSafeSerializer(SECRET, salt="session").dumps({"j": "job", "x": 1e12}),
    ]
    assert [read(str(it)) for it in others] == [None, None]


def test_a_token_holds_no_more_than_it_needs() -> None:
    """The id, the time, and what it allows."""
    content = progress_token(SECRET, "job", may=["stop"]).partition(".")[0]
    found = json.loads(base64.urlsafe_b64decode(content + "=" * (-len(content) % 4)))
    assert (found.keys(), found["j"], found["m"]) == ({"j", "x", "m"}, "job", ["stop"])


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, TypeError),
        ({"job_id": "a", "group": "b"}, TypeError),
        ({"job_id": ""}, TypeError),
        ({"job_id": 5}, TypeError),
        ({"job_id": "a", "may": "stop"}, TypeError),
        ({"job_id": "a", "may": ["retry"]}, ValueError),
        ({"job_id": "a", "expires": 0}, ValueError),
        ({"job_id": "a", "expires": "soon"}, TypeError),
    ],
)
def test_arguments_that_make_no_token(arguments: dict[str, Any], error: type[Exception]) -> None:
    """They are refused when the token is created."""
    with pytest.raises(error):
        progress_token(SECRET, **arguments)


@pytest.mark.parametrize(
    ("secret", "error"),
    [
        ("short", ValueError), (b"x" * 15, ValueError), ([], ValueError),
        ([SECRET, "x"], ValueError), (None, TypeError), (5, TypeError), ([5], TypeError),
    ],
)  # fmt: skip
def test_secrets_that_are_none(secret: Any, error: type[Exception]) -> None:
    """A guessable or invalid secret is refused for signing and for reading."""
    with pytest.raises(error):
        progress_token(secret, "job")
    with pytest.raises(error):
        create_progress_app(secret=secret)


@pytest.mark.parametrize("options", [{"data": "rows"}, {"allow_origins": "https://app.example"}])
def test_one_text_in_place_of_several(options: dict[str, Any]) -> None:
    """It would be taken for its letters."""
    with pytest.raises(TypeError, match="must be a collection"):
        create_progress_app(secret=SECRET, **options)


def test_an_origin_that_is_none() -> None:
    """The error names the option."""
    with pytest.raises(ValueError, match=r"allow_origins: 'app\.example'"):
        create_progress_app(secret=SECRET, allow_origins=["app.example"])
