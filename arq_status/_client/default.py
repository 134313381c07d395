"""The client that the functions of the package ask."""

from contextvars import ContextVar

from arq_status._client.client import StatusClient

#: Asked by code in this context instead of the default client.
in_context: ContextVar[StatusClient | None] = ContextVar("arq_status_client", default=None)

_default = StatusClient()


def default_client() -> StatusClient:
    """Return the client of this context, else the one configured last."""
    return in_context.get() or _default


def set_default_client(client: StatusClient) -> None:
    """Have the functions of the package ask this client from now on."""
    global _default  # noqa: PLW0603 - there is one default client in a process
    _default = client
