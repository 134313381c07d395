"""Event streams over HTTP that end when the server shuts down or permission is withdrawn."""

import signal
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from time import monotonic
from typing import Any, Protocol, TypeVar

from redis.exceptions import RedisError
from starlette.responses import Response, StreamingResponse

from arq_status.web.negotiation import MediaType

#: Milliseconds until a client reconnects.
_RETRY = b"retry: 2000\n\n"
_PING = b":\n\n"
#: Seconds of silence after which a comment shows proxies that the stream is alive.
_PING_INTERVAL = 15.0
#: Seconds after which ``authorize`` is asked again.
_CHECK_INTERVAL = 10.0
#: Seconds after which a stream ends and the client reconnects.
_MAX_DURATION = 900.0
#: The same for servers whose shutdown cannot be detected: they wait for open streams.
_MAX_DURATION_UNDETECTED = 60.0
#: Proxies must neither buffer nor compress events: a compressor holds each one back.
_HEADERS = {"X-Accel-Buffering": "no", "Cache-Control": "no-store, no-transform"}

IsAllowed = Callable[[], Awaitable[bool]]


class Update(Protocol):
    """The state of something at one moment."""

    def since(self, seen: Any) -> bytes:
        """Return the events for viewers who last saw the update ``seen``, or none if ``None``."""
        ...


U = TypeVar("U", bound=Update)

#: Returns the events of an update for viewers who last saw another one, or none if ``None``.
Write = Callable[[Any, Any], bytes]


async def first_of(updates: AsyncGenerator[U | None]) -> U:
    """Return the first update, so that errors are raised before the response starts."""
    while (update := await anext(updates)) is None:
        pass
    return update


def event_stream(
    first: U,
    updates: AsyncGenerator[U | None],
    is_allowed: IsAllowed,
    write: Write | None = None,
) -> Response:
    """Return a response that sends updates as they come, by default the events of ``since``."""
    return StreamingResponse(
        _events(first, updates, is_allowed, write or _write),
        media_type=MediaType.STREAM,
        headers=_HEADERS,
    )


def _write(update: Update, seen: Update | None) -> bytes:
    return update.since(seen)


async def _events(
    first: U, updates: AsyncGenerator[U | None], is_allowed: IsAllowed, write: Write
) -> AsyncGenerator[bytes]:
    opened = sent = checked = monotonic()
    longest = _MAX_DURATION_UNDETECTED if _is_shutting_down() is None else _MAX_DURATION
    async with aclosing(updates):
        yield _RETRY + write(first, None)
        seen = first
        while not _is_shutting_down() and monotonic() - opened < longest:
            try:
                update = await anext(updates)
            except (StopAsyncIteration, RedisError, OSError):
                # a client that reconnects gets the error page
                return
            if monotonic() - checked > _CHECK_INTERVAL:
                if not await is_allowed():
                    return
                checked = monotonic()
            events = b"" if update is None else write(update, seen)
            seen = seen if update is None else update
            if events or monotonic() - sent > _PING_INTERVAL:
                yield events or _PING
                sent = monotonic()


def _is_shutting_down() -> bool | None:
    """Return True if the server is about to exit; ``None`` if that cannot be detected.

    Uvicorn waits for open responses before it exits, and notifies nobody, not even the lifespan.
    """
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    exiting: bool | None = getattr(server, "should_exit", None)
    return exiting
