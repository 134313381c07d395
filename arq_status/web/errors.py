"""Error responses. They reveal nothing about the server."""

import errno
import logging
from collections.abc import Iterator
from http import HTTPStatus

from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ExceptionHandler

from arq_status._redis.connection import missing_permission
from arq_status.web.dashboard import Dashboard
from arq_status.web.parameters import QueryError
from arq_status.web.security import add_headers

_log = logging.getLogger("arq_status.web")
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_OUT_OF_FILES = {errno.EMFILE, errno.ENFILE}


class ErrorPages:
    """The exception handlers of an app."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._dashboard = dashboard

    def handlers(self) -> dict[type[Exception], ExceptionHandler]:
        """Return the handlers by the exceptions that they handle."""
        return {
            HTTPException: self._http_error,
            QueryError: self._bad_query,
            RedisError: self._no_redis,
            OSError: self._no_redis,
            Exception: self._failure,
        }

    async def _http_error(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        phrase = _PHRASES.get(error.status_code, "Refused")
        has_detail = isinstance(error.detail, str) and error.detail not in ("", phrase)
        sentence = error.detail if has_detail else f"{phrase}."
        response = self._dashboard.error(request, error.status_code, phrase, sentence)
        response.headers.update(error.headers or {})
        return response

    async def _bad_query(self, request: Request, error: Exception) -> Response:
        return self._dashboard.error(request, 400, "Invalid address", str(error))

    async def _no_redis(self, request: Request, error: Exception) -> Response:
        permission = missing_permission(error)
        if permission is not None:
            heading, cause = (
                "Redis refused a command",
                f"The Redis user lacks a permission: {permission}",
            )
        elif any(getattr(it, "errno", None) in _OUT_OF_FILES for it in _chain(error)):
            heading, cause = "Too many open files", "This server has no file descriptors left"
        else:
            heading, cause = "No connection to Redis", "Redis does not answer"
        _log.warning("%r: %s: %r", request.url.path, cause, error)
        sentence = f"{cause}. This page retries automatically."
        response = self._dashboard.error(request, 503, heading, sentence)
        response.headers["Retry-After"] = "5"
        return response

    async def _failure(self, request: Request, error: Exception) -> Response:
        sentence = "An unexpected error occurred. See the server's log for details."
        response = self._dashboard.error(request, 500, "Something went wrong", sentence)
        # this handler runs outside the middleware that adds them
        add_headers(response.headers)
        return response


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and the errors that caused it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
