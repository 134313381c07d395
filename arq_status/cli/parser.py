"""The arguments of the command."""

import argparse
import os
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import TypeAlias

from arq_status._model.moment import parse_moment
from arq_status._model.query import SORTS, Moment
from arq_status._model.status import Status
from arq_status.cli.actions import ACTIONS
from arq_status.cli.packages import distribution

#: argparse has no public name for it.
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

_EPILOG = """\
examples:
  arq-status list --status failed --sort ended_at
  arq-status watch ID --timeout 60
  arq-status retry --status failed --function transcode
  arq-status doctor ID --redis redis://localhost:6379/1

exit codes:
  0    done; watch: every job is complete; doctor: no problem
  1    not done, or no such job; watch: a job is not complete; doctor: a problem;
       or the output cannot be written
  2    invalid arguments, or a missing package
  3    Redis cannot be reached, or refused a command
  130  interrupted with Ctrl-C
"""

#: The help of ``--queue`` and ``--json``.
_LIVE_IN = "a queue to look for live jobs in, repeatable (default: all known queues)"
_ONLY_OF = "only those of this queue, repeatable"
_JSON = "print JSON"


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the arguments.

    Raises:
        SystemExit: they are invalid (2), or ask for help or the version (0).
    """
    return _parser().parse_args(argv)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="arq-status",
        description="Show and control arq jobs. COMMAND --help lists the arguments of a command.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _, version = distribution("arq_status")
    parser.add_argument("--version", action="version", version=version, help="print the version")
    _add_common(parser, _LIVE_IN, _JSON)
    parser.set_defaults(
        redis=os.environ.get("REDIS_URL") or "redis://localhost", queues=None, json=False
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_list(commands)
    _add_queries(commands)
    _add_insight(commands)
    _add_actions(commands)
    _add_serve(commands)
    return parser


def _add_command(
    commands: Commands,
    name: str,
    summary: str,
    *,
    more: str = "",
    queues: str | None = _LIVE_IN,
    json: str | None = _JSON,
) -> argparse.ArgumentParser:
    """Add a command.

    Args:
        commands: where to add it.
        name: its name.
        summary: what it does, for the list of commands.
        more: appended to the summary in the help of the command itself.
        queues: the help of ``--queue``; ``None`` if it has no such option, or adds its own.
        json: the help of ``--json``; ``None`` if it has no such option.
    """
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}{more}.",
        allow_abbrev=False,
    )
    _add_common(command, queues, json)
    return command


def _add_common(parser: argparse.ArgumentParser, queues: str | None, json: str | None) -> None:
    """Add the options that may be given before or after the command."""
    parser.add_argument(
        "--redis",
        metavar="DSN",
        default=argparse.SUPPRESS,
        help="the Redis to use (default: REDIS_URL, or redis://localhost)",
    )
    if queues is not None:
        parser.add_argument(
            "--queue",
            metavar="NAME",
            dest="queues",
            action="append",
            default=argparse.SUPPRESS,
            help=queues,
        )
    if json is not None:
        parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=json)


def _add_list(commands: Commands) -> None:
    listing = _add_command(commands, "list", "list jobs", queues=None)
    _add_filters(listing)
    add = listing.add_argument
    add(
        "--sort",
        choices=SORTS,
        default="updated_at",
        metavar="FIELD",
        help="%(choices)s (default: %(default)s)",
    )
    add(
        "--ascending",
        action="store_true",
        help="lowest or oldest first (default: highest or newest first)",
    )
    add("--page", type=int, default=1, metavar="N", help="the page to print (default: 1)")
    add(
        "--per-page",
        type=int,
        default=25,
        metavar="N",
        help="jobs on a page, 1 to 500 (default: 25)",
    )


def _add_filters(command: argparse.ArgumentParser) -> None:
    """Add the filters of ``list_jobs``."""
    statuses = [str(status) for status in Status]
    add = command.add_argument
    add(
        "--status",
        choices=statuses,
        action="append",
        metavar="STATUS",
        help="only jobs of this status, repeatable: %(choices)s",
    )
    add("--function", metavar="NAME", help="only jobs of this function")
    add("--queue", metavar="NAME", help="only jobs of this queue")
    add("--tag", metavar="TAG", help="only jobs with this tag")
    add("--group", metavar="ID", help="only jobs of this group")
    add(
        "--since",
        metavar="TIME",
        type=_moment,
        help="only jobs updated at or after this time: a time ago such as 1h or 7d, or a date",
    )
    add("--until", metavar="TIME", type=_moment, help="only jobs updated at or before this time")
    add(
        "--search",
        metavar="TEXT",
        help="only jobs whose id starts with TEXT, or whose function, arguments, message,"
        " error or tags contain it",
    )


def _moment(text: str) -> Moment:
    try:
        return parse_moment(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _add_queries(commands: Commands) -> None:
    show = _add_command(commands, "show", "show all that is known about a job")
    show.add_argument("job_id", metavar="ID", help="arq's id of the job")

    logs = _add_command(
        commands, "logs", "show the log of a job", json="print each line of the log as JSON"
    )
    logs.add_argument("job_id", metavar="ID", help="arq's id of the job")
    logs.add_argument("--follow", action="store_true", help="keep printing until the job has ended")

    watch = _add_command(
        commands, "watch", "follow jobs until they end", json="print JSON, one line per change"
    )
    _add_job_ids(watch)
    watch.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="give up after this time (default: never)"
    )

    _add_command(commands, "counts", "count the jobs of each status")

    doctor = _add_command(
        commands, "doctor", "check the setup, and explain the status of a job or why it has none"
    )
    doctor.add_argument("job_id", metavar="ID", nargs="?", help="arq's id of the job to explain")


def _add_insight(commands: Commands) -> None:
    functions = _add_command(
        commands,
        "functions",
        "show how the jobs of each function ended, ran and waited",
        queues=_ONLY_OF,
    )
    functions.add_argument(
        "--since",
        metavar="TIME",
        type=_moment,
        default=timedelta(hours=1),
        help="count from this time on: a time ago such as 30m or 7d, or a date (default: 1h)",
    )
    add = partial(_add_command, commands, queues=_ONLY_OF)
    add("queues", "show what is in each queue, and how long jobs wait there")
    add("workers", "show the workers and the jobs they run")
    add("crons", "show the cron jobs: when they run next, how the last job ended")
    _add_command(commands, "metrics", "print metrics in Prometheus' text format", json=None)


def _add_actions(commands: Commands) -> None:
    for name, action in ACTIONS.items():
        more = ": those with these ids, or all that match the filters"
        command = _add_command(commands, name, action.help, more=more, queues=None)
        _add_job_ids(command, "*")
        _add_filters(command)
        if name == "stop":
            command.add_argument(
                "--force", action="store_true", help="also cancel running jobs at their next await"
            )


def _add_job_ids(command: argparse.ArgumentParser, number: str = "+") -> None:
    command.add_argument("job_ids", metavar="ID", nargs=number, help="arq's id of a job")


def _add_serve(commands: Commands) -> None:
    add = _add_command(commands, "serve", "serve the dashboard", json=None).add_argument
    add("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    add(
        "--port",
        type=int,
        default=8000,
        help="the port to listen on, 0 for any free one (default: %(default)s)",
    )
    add(
        "--allowed-host",
        metavar="NAME",
        dest="allowed_hosts",
        action="append",
        help="a host name to accept, repeatable (default: loopback names on a loopback address,"
        " otherwise any)",
    )
    add("--user", metavar="NAME", help="require this user and the password in ARQ_STATUS_PASSWORD")
    add("--root-path", default="", metavar="PATH", help="the path prefix that a proxy strips")
    add("--title", default="Jobs", help="the title of the pages (default: %(default)s)")
    add("--read-only", action="store_true", help="show jobs, but offer no actions")
