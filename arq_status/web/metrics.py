"""``GET /metrics``, for Prometheus."""

import asyncio

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from arq_status._client.metrics import MEDIA_TYPE
from arq_status.web.clients import TIMEOUT
from arq_status.web.dashboard import Dashboard


async def show_metrics(dashboard: Dashboard, request: Request) -> Response:
    """Respond with the metrics of all queues and functions.

    Raises:
        HTTPException: the request may not see them, or prometheus-client is not installed.
    """
    await dashboard.access.require(request, "metrics", None)
    client = await dashboard.clients.client()
    try:
        async with asyncio.timeout(TIMEOUT):
            text = await client._metrics()
    except ModuleNotFoundError as error:
        raise HTTPException(501, f"{error}.") from None
    return Response(text, media_type=MEDIA_TYPE)
