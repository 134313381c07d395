"""The ``arq-status`` command: arq's jobs in the terminal."""

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: the arguments; by default those of the process.

    Returns:
        The exit code; ``arq-status --help`` lists them.
    """
    try:
        from arq_status.cli.app import run  # noqa: PLC0415 - it needs the extra
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "rich":
            raise
        print("arq-status: rich is missing: pip install 'arq-status[cli]'", file=sys.stderr)
        return 2
    return run(argv)
