"""Who may send what: the rule for requests from other sites, and the headers of every answer."""

from collections.abc import Collection, Iterable, Mapping
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Sent by no browser on behalf of another site; for curl and the like.
OWN_HEADER = "x-arq-status"

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Vary": "Accept",
}

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def is_own_site(headers: Mapping[str, str], trusted: Collection[str]) -> bool:
    """Whether a request that changes something comes from this site or a trusted origin.

    Browsers leave ``Sec-Fetch-Site`` out over plain HTTP, so that ``Origin`` has to do there.
    """
    origin = headers.get("origin")
    if origin is not None and origin.lower() in trusted:
        return True
    if (site := headers.get("sec-fetch-site")) is not None:
        return site == "same-origin"
    if origin is None:
        return headers.get(OWN_HEADER) == "1"
    scheme, _, host = origin.lower().partition("://")
    port = _DEFAULT_PORTS.get(scheme, "")
    own = headers.get("host", "").lower()
    return host != "" and host.removesuffix(port) == own.removesuffix(port)


def trusted_set(origins: Iterable[str]) -> frozenset[str]:
    """Origins as browsers send them.

    Raises:
        TypeError: a single string.
        ValueError: one of them is no origin.
    """
    if isinstance(origins, str):
        raise TypeError(
            f"trusted_origins must be a collection, such as [{origins!r}], not a string"
        )
    found = set()
    for origin in origins:
        parts = urlsplit(origin.lower())
        if parts.scheme not in _DEFAULT_PORTS or not parts.netloc or parts.path.strip("/"):
            raise ValueError(
                f"trusted_origins: {origin!r} is no origin such as https://example.org"
            )
        port = _DEFAULT_PORTS[parts.scheme]
        found.add(f"{parts.scheme}://{parts.netloc.removesuffix(port)}")
    return frozenset(found)


class SecurityHeaders:
    """Adds the headers to every answer that does not bring its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app and add the headers."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)
