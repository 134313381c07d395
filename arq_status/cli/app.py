"""Runs a command and turns what goes wrong into a sentence."""

import argparse
import asyncio
import io
import os
import sys
from collections.abc import Awaitable, Callable, Sequence

from redis.exceptions import AuthenticationError, RedisError, ResponseError

from arq_status.cli.actions import cancel, delete, retry, stop
from arq_status.cli.doctor.report import doctor
from arq_status.cli.parser import parse
from arq_status.cli.queries import counts, list_jobs, show
from arq_status.cli.tool import Exit, Tool, complain, shown_dsn
from arq_status.cli.watch import watch

_COMMANDS: dict[str, Callable[[Tool], Awaitable[Exit]]] = {
    "list": list_jobs,
    "show": show,
    "watch": watch,
    "counts": counts,
    "doctor": doctor,
    "stop": stop,
    "cancel": cancel,
    "retry": retry,
    "delete": delete,
}

_NO_DSN = "what is given is no DSN of a Redis, such as redis://localhost:6379/0"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def run(argv: Sequence[str] | None) -> int:
    """Run the command with these arguments; what to exit with."""
    arguments = parse(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # a terminal that cannot show a character gets it escaped
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        if arguments.command == "serve":
            return _serve(arguments)
        code = asyncio.run(_run(arguments))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # who read has seen enough; nothing more is to be flushed into it at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FINE


async def _run(arguments: argparse.Namespace) -> Exit:
    try:
        tool = Tool(arguments)
    except ValueError:
        # which may tell a part of a password
        complain(_NO_DSN)
        return Exit.USAGE
    try:
        return await _COMMANDS[arguments.command](tool)
    except ValueError as error:
        return tool.complain(str(error), Exit.USAGE)
    except (ResponseError, AuthenticationError) as error:
        return tool.complain(f"{shown_dsn(arguments.redis)} refuses: {error}", Exit.AWAY)
    except (RedisError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        sentence = f"{shown_dsn(arguments.redis)} cannot be reached: {error}".rstrip(".")
        return tool.complain(
            f"{sentence}. Start it, or name another with --redis or REDIS_URL.", Exit.AWAY
        )
    finally:
        await tool.aclose()


def _serve(arguments: argparse.Namespace) -> Exit:
    if arguments.host not in _LOOPBACK and not arguments.read_only:
        complain(f"whoever reaches {arguments.host} may act on jobs; --read-only shows them only")
    try:
        # they need what may be missing
        from arq_status.web import serve  # noqa: PLC0415
        from arq_status.web.clients import OwnClient  # noqa: PLC0415

        serve(
            OwnClient(arguments.redis, queues=arguments.queues),
            host=arguments.host,
            port=arguments.port,
            root_path=arguments.root_path,
            title=arguments.title,
            read_only=arguments.read_only,
        )
    except ModuleNotFoundError as error:
        complain(str(error))
        return Exit.USAGE
    except ValueError:
        # which may tell a part of a password
        complain(_NO_DSN)
        return Exit.USAGE
    return Exit.FINE
