"""Event streams over HTTP, which end when the server is about to."""

import signal
from collections.abc import AsyncGenerator
from contextlib import aclosing
from time import monotonic
from typing import Any, Protocol, TypeVar

from redis.exceptions import RedisError
from starlette.responses import Response, StreamingResponse

from arq_status.web.accept import Form

#: What a browser waits before it connects again, in ms; the script of the page has its own.
_RETRY = b"retry: 2000\n\n"
_PING = b":\n\n"
#: Seconds of silence after which proxies are told that the stream goes on.
_QUIET = 15.0
#: Seconds after which a stream ends and the browser connects again: ``authorize`` is asked again.
_LONGEST = 900.0
#: The same where nothing tells that the server is about to end, and would wait for its streams.
_LONGEST_UNTOLD = 60.0


class Moment(Protocol):
    """What there is to see at one moment."""

    def since(self, seen: Any) -> bytes:
        """The frames that tell it to those who saw an earlier moment, ``None`` for the first."""
        ...


M = TypeVar("M", bound=Moment)


async def first_of(moments: AsyncGenerator[M | None]) -> M:
    """The first moment; what keeps it from coming is raised before the answer has begun."""
    while (moment := await anext(moments)) is None:
        pass
    return moment


def event_stream(first: M, moments: AsyncGenerator[M | None]) -> Response:
    """The answer that tells the moments as they come."""
    return StreamingResponse(
        _frames(first, moments), media_type=Form.STREAM, headers={"X-Accel-Buffering": "no"}
    )


async def _frames(first: M, moments: AsyncGenerator[M | None]) -> AsyncGenerator[bytes]:
    opened = told = monotonic()
    longest = _LONGEST_UNTOLD if _is_leaving() is None else _LONGEST
    async with aclosing(moments):
        yield _RETRY + first.since(None)
        seen = first
        while not _is_leaving() and monotonic() - opened < longest:
            try:
                moment = await anext(moments)
            except (StopAsyncIteration, RedisError, OSError):
                # a browser that connects again is told what is the matter with Redis
                return
            frames = b"" if moment is None else moment.since(seen)
            seen = seen if moment is None else moment
            if frames or monotonic() - told > _QUIET:
                yield frames or _PING
                told = monotonic()


def _is_leaving() -> bool | None:
    """Whether the server was told to end; ``None`` where that cannot be seen.

    Uvicorn waits for open answers before it ends, and tells nobody: not even the lifespan.
    """
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    leaving: bool | None = getattr(server, "should_exit", None)
    return leaving
