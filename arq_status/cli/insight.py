"""``functions``, ``queues``, ``workers``, ``crons`` and ``metrics``."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from rich.text import Text

from arq_status._model.serialization import record_object
from arq_status.cli.context import Context, Exit
from arq_status.cli.insight_view import CRONS, FUNCTIONS, QUEUES, WORKERS
from arq_status.cli.styles import DIM
from arq_status.cli.tables import Column, table_of


class _OfQueue(Protocol):
    @property
    def queue(self) -> str | None: ...


T = TypeVar("T")
Of = TypeVar("Of", bound=_OfQueue)


async def functions(context: Context) -> Exit:
    """Print how the jobs of each function ended."""
    found = _chosen(context, await context.client.functions(context.arguments.since))
    return _print(context, found, FUNCTIONS, "no tracked worker has announced a function")


async def queues(context: Context) -> Exit:
    """Print what is in each queue."""
    return _print(context, await context.client.queues(), QUEUES, "")


async def workers(context: Context) -> Exit:
    """Print the workers."""
    found = _chosen(context, await context.client.workers())
    return _print(context, found, WORKERS, "there is no tracked worker")


async def crons(context: Context) -> Exit:
    """Print the cron jobs."""
    found = _chosen(context, await context.client.crons())
    return _print(context, found, CRONS, "no live worker has announced a cron job")


async def metrics(context: Context) -> Exit:
    """Print the metrics in Prometheus' text format."""
    try:
        text = await context.client._metrics()
    except ModuleNotFoundError as error:
        return context.fail(str(error), Exit.USAGE)
    context.print_line(text.decode().rstrip("\n"))
    return Exit.OK


def _chosen(context: Context, records: Sequence[Of]) -> list[Of]:
    """Return the records of the queues given with ``--queue``, or all."""
    queues = context.arguments.queues
    return [it for it in records if not queues or it.queue in queues]


def _print(context: Context, records: Sequence[T], columns: Sequence[Column[T]], none: str) -> Exit:
    table = table_of(records, columns, context.console.width)
    view = table if records else Text(none, DIM)
    context.print_result(view, [record_object(it) for it in records])
    return Exit.OK
