"""``list``, ``show`` and ``counts``."""

from rich.console import Group, RenderableType
from rich.padding import Padding

from arq_status._model.query import Query, as_statuses
from arq_status._model.serialization import counts_object, job_with_history, list_object
from arq_status.cli.context import Context, Exit
from arq_status.cli.history_view import line_view, tries_view
from arq_status.cli.job_view import job_view
from arq_status.cli.list_view import counts_view, list_view

#: How many of the last log lines `show` prints; `logs` prints all of them.
_SHOWN_LINES = 10


async def list_jobs(context: Context) -> Exit:
    """Print a page of the list."""
    given = context.arguments
    query = Query(
        statuses=as_statuses(given.status),
        function=given.function,
        queue=given.queue,
        tag=given.tag,
        group=given.group,
        search=given.search,
        since=given.since,
        until=given.until,
        sort=given.sort,
        descending=not given.ascending,
        page=given.page,
        per_page=given.per_page,
    )
    page, counts, _ = await context.client._overview(query)
    view = list_view(page, counts, context.console, is_filtered=query.is_filtered)
    context.print_result(view, list_object(page, counts))
    return Exit.OK


async def show(context: Context) -> Exit:
    """Print all that is known about a job."""
    job_id = context.arguments.job_id
    record = await context.client.job(job_id)
    if record is None:
        return context.fail_unknown(job_id)
    tries, logs = await context.client.tries(job_id), await context.client.logs(job_id)
    view: list[RenderableType] = [job_view(record)]
    if tries and (len(tries) > 1 or tries[-1].traceback):
        view.append(tries_view(tries))
    if logs:
        last = [line_view(line) for line in logs[-_SHOWN_LINES:]]
        view.append(Padding(Group(*last), (1, 0, 0, 2)))
    context.print_result(Group(*view), job_with_history(record, tries, logs))
    return Exit.OK


async def counts(context: Context) -> Exit:
    """Print the number of jobs of each status."""
    found = await context.client.counts()
    context.print_result(counts_view(found), counts_object(found))
    return Exit.OK
