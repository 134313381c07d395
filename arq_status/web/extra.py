"""The error for a missing package of the extra ``web``."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def requires_extra() -> Iterator[None]:
    """Make a failing import name the command that installs the missing package."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"arq_status.web needs {error.name}: pip install 'arq-status[web]'", name=error.name
        ) from error
