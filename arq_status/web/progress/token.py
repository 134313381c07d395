"""Tokens that let their holder see the progress of one job or one group."""

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from itsdangerous import BadData, URLSafeSerializer, base64_decode, base64_encode

from arq_status._model.options import Expires, expires_ms

#: Signs tokens: a string or bytes, or several, of which the first signs and all are accepted.
Secret = str | bytes | Sequence[str | bytes]

#: What a token may allow its holder besides viewing.
ACTIONS = frozenset({"stop"})
_SHORTEST_SECRET = 16
#: How many characters of a token are read: more than the longest sensible id needs.
_LONGEST_TOKEN = 16_384
#: Prevents that something else signed with the same secret is accepted as a token.
_PURPOSE = "arq_status.progress"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a token allows: viewing one job or one group until it expires."""

    job_id: str | None = None
    group: str | None = None
    #: seconds since the epoch, by the clock of the app that signs and reads tokens
    expires_at: float = 0.0
    may: frozenset[str] = frozenset()

    @property
    def expired(self) -> bool:
        """True if the token is no longer valid."""
        return time.time() >= self.expires_at


def progress_token(
    secret: Secret,
    job_id: str | None = None,
    *,
    group: str | None = None,
    expires: Expires = 3600,
    may: Iterable[str] = (),
) -> str:
    """Return a token for ``<job-progress src="/progress/TOKEN">``.

        token = progress_token(SECRET, job.job_id, expires=timedelta(minutes=30))

    Anyone who has the token sees the progress of this job, and nothing else, until it expires. It
    is signed, not encrypted: the id can be read from it.

    Args:
        secret: the secret of ``create_progress_app``.
        job_id: arq's id of the job.
        group: the id of a group, instead of a job.
        expires: how long the token is valid: seconds or a ``timedelta``; an hour by default.
        may: ``("stop",)`` lets its holder stop the job or the group's jobs as well.

    Raises:
        TypeError: neither a job nor a group is given, or both; an argument has the wrong type.
        ValueError: the secret is shorter than 16 bytes, ``expires`` is not positive, or ``may``
            names anything but ``stop``.
    """
    if (job_id is None) is (group is None):
        raise TypeError("progress_token takes a job_id or a group")
    name = group if job_id is None else job_id
    if not isinstance(name, str) or not name:
        raise TypeError(f"an id must be a non-empty string, not {name!r}")
    if isinstance(may, str):
        raise TypeError(f"may must be a collection, such as ({may!r},), not a string")
    actions = sorted(set(may))
    if not ACTIONS.issuperset(actions):
        raise ValueError(f"may can contain {', '.join(sorted(ACTIONS))}, not {actions}")
    content: dict[str, object] = {"g" if job_id is None else "j": name}
    content["x"] = round(time.time() + expires_ms(expires) / 1000, 3)
    if actions:
        content["m"] = actions
    signed: str | bytes = _serializer(secret).dumps(content)
    return signed if isinstance(signed, str) else signed.decode()


class TokenReader:
    """Reads tokens that were signed with one of its secrets.

    Raises:
        TypeError, ValueError: the secret is not valid, as in ``progress_token``.
    """

    def __init__(self, secret: Secret) -> None:
        self._serializer = _serializer(secret)

    def read(self, token: str) -> Grant | None:
        """Return what a token allows; ``None`` if it is invalid or expired."""
        try:
            content = self._serializer.loads(token[: _LONGEST_TOKEN + 1])
        except (BadData, RecursionError):
            return None
        signature = token.rpartition(".")[2]
        if base64_encode(base64_decode(signature)).decode() != signature:
            # another encoding of the same bytes: padded, or with other trailing bits
            return None
        grant = Grant(
            job_id=content.get("j"),
            group=content.get("g"),
            expires_at=content["x"],
            may=frozenset(content.get("m", ())),
        )
        return None if grant.expired else grant


def _serializer(secret: Secret) -> URLSafeSerializer:
    several = isinstance(secret, list | tuple)
    given: Sequence[str | bytes] = secret if several else (secret,)  # type: ignore[assignment]
    if not given:
        raise ValueError("secret must not be an empty list")
    # itsdangerous signs with the last one
    return URLSafeSerializer(
        [_checked(it) for it in reversed(given)],
        salt=_PURPOSE,
        signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
    )


def _checked(secret: object) -> bytes:
    if not isinstance(secret, str | bytes):
        raise TypeError(f"secret must be a str or bytes, not {type(secret).__name__}")
    raw = secret.encode() if isinstance(secret, str) else secret
    if len(raw) < _SHORTEST_SECRET:
        raise ValueError(f"secret must be at least {_SHORTEST_SECRET} bytes, not {len(raw)}")
    return raw
