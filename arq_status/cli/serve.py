"""``serve``: the dashboard on a port of its own."""

import argparse
import os

from arq_status.cli.context import NOT_A_DSN, Exit
from arq_status.cli.output import report_error

#: The environment variable with the password of ``--user``: arguments show in the process list.
PASSWORD = "ARQ_STATUS_PASSWORD"  # noqa: S105


def serve(arguments: argparse.Namespace) -> Exit:
    """Serve the dashboard until a signal stops it."""
    password = os.environ.get(PASSWORD)
    if arguments.user is not None and not password:
        report_error(f"--user needs the password in the environment variable {PASSWORD}")
        return Exit.USAGE
    try:
        _serve(arguments, password)
    except (ModuleNotFoundError, ValueError) as error:
        report_error(str(error))
        return Exit.USAGE
    except SystemExit:
        # uvicorn could not start, for example because the port is in use, and has logged why; its
        # own exit code would mean that Redis cannot be reached
        return Exit.FAILED
    return Exit.OK


def _serve(arguments: argparse.Namespace, password: str | None) -> None:
    # the extra may be missing
    from arq_status.web import basic_auth  # noqa: PLC0415
    from arq_status.web import serve as serve_dashboard  # noqa: PLC0415
    from arq_status.web.clients import OwnClient  # noqa: PLC0415
    from arq_status.web.security import is_loopback  # noqa: PLC0415

    if not (is_loopback(arguments.host) or arguments.read_only or arguments.user):
        report_error(
            f"everyone who can reach {arguments.host} may act on jobs:"
            " use --user to ask for a password, or --read-only to offer no actions"
        )
    try:
        client = OwnClient(arguments.redis, queues=arguments.queues)
    except ValueError:
        raise ValueError(NOT_A_DSN) from None
    serve_dashboard(
        client,
        host=arguments.host,
        port=arguments.port,
        root_path=arguments.root_path,
        title=arguments.title,
        read_only=arguments.read_only,
        authorize=basic_auth(arguments.user, password) if password and arguments.user else None,
        allowed_hosts=arguments.allowed_hosts,
    )
