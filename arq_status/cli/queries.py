"""``list``, ``show`` and ``counts``."""

from arq_status._model.json import counts_object, job_object, list_object
from arq_status._model.query import Query, as_statuses
from arq_status.cli.context import Context, Exit
from arq_status.cli.job_view import job_view
from arq_status.cli.list_view import counts_view, list_view


async def list_jobs(context: Context) -> Exit:
    """Print a page of the list."""
    given = context.arguments
    query = Query(
        statuses=as_statuses(given.status),
        function=given.function,
        queue=given.queue,
        search=given.search,
        since=given.since,
        until=given.until,
        sort=given.sort,
        descending=not given.ascending,
        page=given.page,
        per_page=given.per_page,
    )
    page, counts, _ = await context.client._overview(query)
    context.print_result(list_view(page, counts, context.console), list_object(page, counts))
    return Exit.OK


async def show(context: Context) -> Exit:
    """Print all that is known about a job."""
    job_id = context.arguments.job_id
    record = await context.client.job(job_id)
    if record is None:
        return context.fail_unknown(job_id)
    context.print_result(job_view(record), job_object(record))
    return Exit.OK


async def counts(context: Context) -> Exit:
    """Print the number of jobs of each status."""
    found = await context.client.counts()
    context.print_result(counts_view(found), counts_object(found))
    return Exit.OK
