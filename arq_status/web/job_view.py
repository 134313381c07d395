"""``/statuses/<job id>``: a job, and the actions on it."""

import asyncio
from functools import partial
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from arq_status._model.serialization import job_with_history
from arq_status.web.actions import ACTIONS, act_on_jobs
from arq_status.web.broadcast import Broadcasts
from arq_status.web.clients import TIMEOUT
from arq_status.web.dashboard import Dashboard, json_response, media_type
from arq_status.web.forms import Form
from arq_status.web.job_updates import JOB_PARTS, JobState, expectations, job_updates
from arq_status.web.links import Links
from arq_status.web.negotiation import MediaType
from arq_status.web.parameters import QueryError, read_query
from arq_status.web.updates import Gone

_UNKNOWN = "There is no such job, or it has expired."


class JobView:
    """The endpoints of a job."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._dashboard = dashboard
        self._access = dashboard.access
        self._broadcasts: Broadcasts[JobState | Gone] = Broadcasts()

    async def show(self, request: Request) -> Response:
        """Answer ``GET``: a page, JSON or a stream."""
        job_id = _job_id(request)
        if not job_id:
            return RedirectResponse(self._dashboard.links(request).list(), 303)
        await self._access.require(request, "view", job_id)
        client = await self._dashboard.clients.client()
        if media_type(request) is MediaType.STREAM:
            is_page = "parts" in request.query_params
            source = partial(job_updates, client, job_id, is_page)
            updates = self._broadcasts.follow((client, job_id, is_page), source)
            return await self._dashboard.stream(request, updates, job_id, _UNKNOWN)
        async with asyncio.timeout(TIMEOUT):
            record = await client.job(job_id)
            if record is None:
                raise HTTPException(404, _UNKNOWN)
            tries, lines = await asyncio.gather(client.tries(job_id), client.logs(job_id))
            if media_type(request) is MediaType.JSON:
                return json_response(job_with_history(record, tries, lines))
            usual, max_tries = await expectations(client, record)
        view = await self._dashboard.view(request, job_id)
        return self._dashboard.page(
            request,
            "job.html",
            view=view,
            section="Jobs",
            job=record,
            tries=tries,
            lines=lines,
            usual=usual,
            max_tries=max_tries,
            job_parts=[*JOB_PARTS],
        )

    async def act(self, request: Request) -> Response:
        """Answer ``POST``: act on the job as the form asks."""
        job_id = _job_id(request)
        form, request = await self._dashboard.read_action(request, job_id)
        action = ACTIONS[form["action"][-1]]
        client = await self._dashboard.clients.client()
        async with asyncio.timeout(TIMEOUT):
            done = await act_on_jobs(client, action, [job_id]) > 0
        if media_type(request) is MediaType.JSON:
            return json_response({"ok": done})
        return RedirectResponse(self._way_back(request, form, job_id), 303)

    def _way_back(self, request: Request, form: Form, job_id: str) -> str:
        """Return the URL of the list if the form was part of it, else that of the job."""
        links = self._dashboard.links(request)
        if "list" in form or form["action"][-1] == "delete":
            per_page = self._dashboard.per_page_options[0]
            return _list_url(links, form.get("list", [""])[-1], per_page)
        return links.job(job_id)


def _job_id(request: Request) -> str:
    """Return the id from the path, or from the parameter for ids that a path cannot contain."""
    return request.path_params["subject_id"] or request.query_params.get("id", "")


def _list_url(links: Links, parameters: str, per_page: int) -> str:
    """Return the URL of the list with these parameters, which come from a form."""
    try:
        return links.list(read_query(parse_qsl(parameters), per_page))
    except QueryError:
        return links.list()
