"""Protection of an app: allowed hosts, requests from other sites, and response headers."""

from collections.abc import Collection, Iterable, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: A header that no browser sends on behalf of another site; for curl and scripts.
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
}

#: Names under which a browser reaches an app on the same machine.
LOOPBACK = ("localhost", "*.localhost", "127.0.0.1", "::1")

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def is_same_site(headers: Mapping[str, str], trusted: Collection[str]) -> bool:
    """Return True if a state-changing request comes from this site or a trusted origin.

    Browsers omit ``Sec-Fetch-Site`` over plain HTTP; there ``Origin`` decides.
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


def parse_origins(origins: Iterable[str], option: str = "trusted_origins") -> frozenset[str]:
    """Return origins in the form in which browsers send them; ``option`` names them in errors.

    Raises:
        TypeError: ``origins`` is a single string.
        ValueError: one of them is not an origin.
    """
    found = set()
    for origin in _strings(option, origins):
        parts = urlsplit(origin.lower())
        if parts.scheme not in _DEFAULT_PORTS or not parts.netloc or parts.path.strip("/"):
            raise ValueError(f"{option}: {origin!r} is not an origin such as https://example.org")
        port = _DEFAULT_PORTS[parts.scheme]
        found.add(f"{parts.scheme}://{parts.netloc.removesuffix(port)}")
    return frozenset(found)


def parse_hosts(hosts: Iterable[str] | None) -> frozenset[str] | None:
    """Return the host names in lower case; ``None``: every host is allowed.

    Raises:
        TypeError: ``hosts`` is a single string.
        ValueError: one of them is not a host name without a port.
    """
    if hosts is None:
        return None
    found = {host.lower().strip("[]") for host in _strings("allowed_hosts", hosts)}
    for host in found:
        if not host or "/" in host or (":" in host and not _is_ip(host)):
            raise ValueError(
                f"allowed_hosts: {host!r} is not a host name such as jobs.example.org or"
                " *.example.org, without a port"
            )
    return frozenset(found)


def is_allowed_host(host: str, allowed: Collection[str]) -> bool:
    """Return True if a ``Host`` header names one of these hosts, at any port."""
    host = host.lower()
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return any(
        it in ("*", name) or (it.startswith("*.") and name.endswith(it[1:])) for it in allowed
    )


def is_loopback(host: str) -> bool:
    """Return True if a server that listens on this host is reachable from this machine only."""
    return host == "localhost" or (_is_ip(host) and ip_address(host).is_loopback)


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _strings(option: str, values: Iterable[str]) -> Iterable[str]:
    if isinstance(values, str):
        raise TypeError(f"{option} must be a collection, such as [{values!r}], not a string")
    return values


def add_headers(headers: MutableHeaders) -> None:
    """Add the security headers that a response does not set itself."""
    for name, value in HEADERS.items():
        headers.setdefault(name, value)
    headers.add_vary_header("Accept")


class SecurityHeaders:
    """Middleware that adds the security headers to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app and add the headers."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                add_headers(MutableHeaders(scope=message))
            await send(message)

        await self._app(scope, receive, send_with_headers)
