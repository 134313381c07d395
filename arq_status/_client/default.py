"""The default client, and its methods as functions of the package."""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import wraps
from inspect import iscoroutinefunction, signature
from typing import Any

from arq_status._client.client import StatusClient
from arq_status._model.options import Expires
from arq_status._redis.connection import RedisLike

#: If set, the functions of the package use this client instead of the default one.
client_var: ContextVar[StatusClient | None] = ContextVar("arq_status_client", default=None)

_default = StatusClient()

#: The methods of a client that the package offers as functions, too.
METHODS = [it for it in dir(StatusClient) if not it.startswith("_") and it != "aclose"]


def configure(
    redis: RedisLike | None = None,
    *,
    queues: Sequence[str] | None = None,
    expires: Expires = 1800,
    job_deserializer: Callable[[bytes], Any] | None = None,
) -> StatusClient:
    """Set the Redis that the functions of this package use; by default one on localhost.

        arq_status.configure("redis://localhost/1", expires=timedelta(days=1))

    The arguments ``redis``, ``queues``, ``expires`` and ``job_deserializer`` and the errors are
    those of ``StatusClient``.

    Returns:
        The new default client, for ``aclose``. The earlier one stays open.
    """
    global _default  # noqa: PLW0603 - there is one default client in a process
    _default = StatusClient(
        redis, queues=queues, expires=expires, job_deserializer=job_deserializer
    )
    return _default


def default_client() -> StatusClient:
    """Return the client of this context, or else the one configured last."""
    return client_var.get() or _default


def as_function(name: str) -> Callable[..., Any]:
    """Return a function that calls this method of the default client at the time of the call."""
    method = getattr(StatusClient, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        return getattr(default_client(), name)(*args, **kwargs)

    async def call_and_wait(*args: Any, **kwargs: Any) -> Any:
        return await call(*args, **kwargs)

    function: Any = wraps(method)(call_and_wait if iscoroutinefunction(method) else call)
    del function.__wrapped__
    its_signature = signature(method)
    _, *parameters = its_signature.parameters.values()
    function.__signature__ = its_signature.replace(parameters=parameters)
    function.__module__, function.__qualname__ = "arq_status", name
    # python -OO removes docstrings
    function.__doc__ = (method.__doc__ or "").replace(" client.", " arq_status.")
    return function  # type: ignore[no-any-return]
