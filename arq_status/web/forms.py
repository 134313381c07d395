"""Forms that a browser or a script sends."""

import asyncio
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message

from arq_status.web.dashboard import TIMEOUT

_LARGEST = 65_536


async def read_form(request: Request) -> tuple[dict[str, list[str]], Request]:
    """Return the fields of a form, and the request for those who want to read the body again.

    Raises:
        HTTPException: 413 if it is too large, 408 if it does not arrive in time.
    """
    body = b""
    try:
        async with asyncio.timeout(TIMEOUT):
            async for chunk in request.stream():
                body += chunk
                if len(body) > _LARGEST:
                    raise HTTPException(413, "That form is too large.")
    except TimeoutError:
        raise HTTPException(408, "The form did not arrive in time.") from None

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    fields = parse_qs(body.decode(errors="replace"), keep_blank_values=True)
    return fields, Request(request.scope, receive)
