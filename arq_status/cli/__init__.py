"""The ``arq-status`` command: lists, shows, follows and steers arq's jobs from the terminal."""

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: its arguments; by default those of the process.

    Returns:
        What the process is to exit with; ``arq-status --help`` tells what it means.
    """
    try:
        from arq_status.cli.app import run  # noqa: PLC0415 - it needs what may be missing
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "rich":
            raise
        print("arq-status: rich is missing: pip install 'arq-status[cli]'", file=sys.stderr)
        return 2
    return run(argv)
