"""What to say when a package of the extra is missing."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def of_the_extra() -> Iterator[None]:
    """Have a failing import tell which installation brings what it needs."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"arq_status.web needs {error.name}: pip install 'arq-status[web]'", name=error.name
        ) from error
