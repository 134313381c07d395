"""Who may do what: the ``authorize`` callable of an app, and a ready-made one."""

import base64
import binascii
import hmac
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from starlette.exceptions import HTTPException
from starlette.requests import Request

#: Decides if a request may do something: request, action, job id (``None``: not a single job).
Authorize = Callable[[Request, str, str | None], bool | Awaitable[bool]]

_log = logging.getLogger("arq_status.web")
_REFUSED = "You are not allowed to do that."


@dataclass(frozen=True, slots=True)
class Access:
    """The permissions of an app."""

    authorize: Authorize | None
    read_only: bool
    _reported: set[type] = field(default_factory=set, compare=False)

    async def require(self, request: Request, action: str, job_id: str | None) -> None:
        """Refuse the request unless it may do this.

        Raises:
            HTTPException: 403, or whatever ``authorize`` raised.
        """
        if not await self._is_allowed(request, action, job_id):
            raise HTTPException(403, _REFUSED)

    async def allows(self, request: Request, action: str, job_id: str | None) -> bool:
        """Return True if ``require`` would let the request pass."""
        try:
            return await self._is_allowed(request, action, job_id)
        except HTTPException:
            return False

    async def allowed(
        self, request: Request, actions: Iterable[str], job_id: str | None
    ) -> frozenset[str]:
        """Return the actions that the request may do; none in a read-only app."""
        if self.read_only:
            return frozenset()
        return frozenset([it for it in actions if await self.allows(request, it, job_id)])

    async def _is_allowed(self, request: Request, action: str, job_id: str | None) -> bool:
        if self.authorize is None:
            return True
        answer = self.authorize(request, action, job_id)
        # it may be anything, whatever the annotation says
        decision: object = await answer if inspect.isawaitable(answer) else answer
        if decision and decision is not True:
            self._report(type(decision))
        return decision is True

    def _report(self, kind: type) -> None:
        """Log once per type that a truthy value other than True does not allow a request."""
        if kind not in self._reported:
            self._reported.add(kind)
            _log.warning(
                "authorize returned a value of type %s, which denies access: only True allows it",
                kind.__name__,
            )


def check_authorize(authorize: object) -> None:
    """Check that it is a function of request, action and job id, or ``None``.

    Raises:
        TypeError: it is not.
    """
    if authorize is None:
        return
    if not callable(authorize):
        raise TypeError(f"authorize must be a function, not {authorize!r}")
    # some builtins have no signature
    with suppress(ValueError):
        signature = inspect.signature(authorize)
        try:
            signature.bind(None, "view", None)
        except TypeError:
            raise TypeError(
                "authorize must be a function that takes a request, an action and a job id,"
                f" not {signature}"
            ) from None


def basic_auth(user: str, password: str) -> Authorize:
    """Return an ``authorize`` that asks for a user name and a password (HTTP basic authentication).

        create_app(redis, authorize=basic_auth("ann", os.environ["JOBS_PASSWORD"]))

    Anyone who knows both may do everything. Use it behind HTTPS: the password is not encrypted.

    Args:
        user: the user name, without a colon.
        password: the password; not empty.

    Raises:
        ValueError: one of them is empty, or the user name contains a colon.
    """
    if not user or not password:
        raise ValueError("basic_auth needs a user name and a password, and neither may be empty")
    if ":" in user:
        raise ValueError(f"a user name for basic_auth must not contain a colon: {user!r}")
    expected = f"{user}:{password}".encode()

    def authorize(request: Request, action: str, job_id: str | None) -> bool:
        if hmac.compare_digest(_credentials(request), expected):
            return True
        challenge = {"WWW-Authenticate": 'Basic realm="arq-status", charset="UTF-8"'}
        raise HTTPException(401, "A user name and a password are required.", challenge)

    return authorize


def _credentials(request: Request) -> bytes:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return b""
