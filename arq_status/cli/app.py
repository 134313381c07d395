"""Runs a command and turns errors into a message and an exit code."""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence

from redis.exceptions import AuthenticationError, RedisError, ResponseError

from arq_status._redis.connection import missing_permission
from arq_status.cli.actions import ACTIONS, act
from arq_status.cli.context import NOT_A_DSN, Context, Exit, shown_dsn
from arq_status.cli.doctor.report import doctor
from arq_status.cli.insight import crons, functions, metrics, queues, workers
from arq_status.cli.logs import logs
from arq_status.cli.output import Output, OutputError, report_error
from arq_status.cli.parser import parse
from arq_status.cli.queries import counts, list_jobs, show
from arq_status.cli.serve import serve
from arq_status.cli.watch import watch

_COMMANDS: dict[str, Callable[[Context], Awaitable[Exit]]] = {
    "list": list_jobs,
    "show": show,
    "logs": logs,
    "watch": watch,
    "counts": counts,
    "functions": functions,
    "queues": queues,
    "workers": workers,
    "crons": crons,
    "metrics": metrics,
    "doctor": doctor,
    **dict.fromkeys(ACTIONS, act),
}


def run(argv: Sequence[str] | None) -> int:
    """Run the command with these arguments and return its exit code."""
    output = Output(sys.stdout)
    try:
        try:
            return _run(parse(argv), output)
        finally:
            output.flush()
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except OutputError as error:
        output.discard()
        if isinstance(error.__cause__, BrokenPipeError):
            # the reader closed the pipe early, as `head` does
            return Exit.OK
        report_error(f"cannot write to standard output: {error}")
        return Exit.FAILED


def _run(arguments: argparse.Namespace, output: Output) -> Exit:
    if arguments.command == "serve":
        return serve(arguments)
    try:
        context = Context(arguments, output)
    except ValueError:
        report_error(NOT_A_DSN)
        return Exit.USAGE
    return asyncio.run(_run_async(context))


async def _run_async(context: Context) -> Exit:
    dsn = shown_dsn(context.arguments.redis)
    try:
        return await _COMMANDS[context.arguments.command](context)
    except ValueError as error:
        return context.fail(str(error), Exit.USAGE)
    except (ResponseError, AuthenticationError) as error:
        sentence = f"{dsn} refused a command: {error}"
        if missing_permission(error) is not None:
            sentence += ". Run 'arq-status doctor' to see which permissions the Redis user lacks."
        return context.fail(sentence, Exit.UNREACHABLE)
    except (RedisError, OSError) as error:
        sentence = f"{dsn} cannot be reached: {error}".rstrip(".")
        return context.fail(
            f"{sentence}. Start it, or choose another one with --redis or REDIS_URL.",
            Exit.UNREACHABLE,
        )
    finally:
        await context.aclose()
