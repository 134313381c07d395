"""``serve``: the dashboard alone, on its own port."""

from collections.abc import Callable
from typing import Unpack

from arq_status.web.app import AppOptions, create_app
from arq_status.web.clients import RedisOption
from arq_status.web.extra import requires_extra
from arq_status.web.security import LOOPBACK, is_loopback

#: Seconds that open connections get to finish after a signal.
_SHUTDOWN_TIMEOUT = 2


def serve(
    redis: RedisOption | Callable[[], RedisOption] = None,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    root_path: str = "",
    log_level: str = "info",
    **options: Unpack[AppOptions],
) -> None:
    """Serve the dashboard with uvicorn until a signal stops it.

        serve("redis://localhost", port=8080, read_only=True)

    On a loopback address it only answers to loopback names, such as ``localhost``, and to those in
    ``allowed_hosts``: otherwise a web page elsewhere could reach it by a name of its own that
    resolves to this machine.

    Args:
        redis: as in ``create_app``.
        host: the address to listen on; beyond localhost pass ``authorize`` or ``read_only`` too.
        port: the port to listen on; 8000 by default, 0 for any free one.
        root_path: the prefix that a proxy in front of it strips.
        log_level: the log level of uvicorn; ``"info"`` by default.
        options: the other options of ``create_app``.

    Raises:
        ModuleNotFoundError: uvicorn is not installed.
        SystemExit: the port is in use.
    """
    with requires_extra():
        # a mounted app does not need it
        import uvicorn  # noqa: PLC0415
    if is_loopback(host):
        options["allowed_hosts"] = [*LOOPBACK, *(options.get("allowed_hosts") or ())]
    app = create_app(redis, **options)
    uvicorn.run(
        app,
        host=host,
        port=port,
        root_path=root_path,
        log_level=log_level,
        timeout_graceful_shutdown=_SHUTDOWN_TIMEOUT,
    )
