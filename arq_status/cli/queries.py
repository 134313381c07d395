"""``list``, ``show`` and ``counts``."""

from arq_status._model.json import counts_object, job_object, list_object
from arq_status._model.query import Query
from arq_status._model.status import Status
from arq_status.cli.job_view import job_view
from arq_status.cli.list_view import counts_view, list_view
from arq_status.cli.tool import Exit, Tool


async def list_jobs(tool: Tool) -> Exit:
    """Print a page of the list."""
    given = tool.arguments
    query = Query(
        status=given.status and Status(given.status),
        function=given.function,
        search=given.search,
        sort=given.sort,
        descending=not given.ascending,
        page=given.page,
        per_page=given.per_page,
    )
    page, counts, _ = await tool.client._overview(query)
    tool.answer(list_view(page, counts, tool.console), list_object(page, counts))
    return Exit.FINE


async def show(tool: Tool) -> Exit:
    """Print all that is known of a job."""
    job_id = tool.arguments.job_id
    record = await tool.client.job(job_id)
    if record is None:
        return tool.unknown(job_id)
    tool.answer(job_view(record), job_object(record))
    return Exit.FINE


async def counts(tool: Tool) -> Exit:
    """Print how many jobs there are of each status."""
    found = await tool.client.counts()
    tool.answer(counts_view(found), counts_object(found))
    return Exit.FINE
