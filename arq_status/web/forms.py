"""Forms sent by browsers and scripts."""

import asyncio
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message

#: Seconds within which a form must arrive.
_TIMEOUT = 10.0
#: Enough for the ids of a page of jobs.
_LARGEST = 65_536

#: The values of the fields, by name.
Form = dict[str, list[str]]


async def read_form(request: Request) -> tuple[Form, Request]:
    """Return the fields of a form, and a request whose body can be read again.

    Raises:
        HTTPException: 413 if it is too large, 408 if it does not arrive in time.
    """
    body = b""
    try:
        async with asyncio.timeout(_TIMEOUT):
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
