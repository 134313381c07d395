"""The dashboard on a port of its own, in the event loop of the test."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import httpx
import uvicorn
from starlette.types import ASGIApp

HOSTILE = "<script>alert('1')</script><img src=x onerror=alert(1)>"
#: Ids that arq takes, and URLs take hard.
JOB_IDS = [
    "plain", "with space", "a/b", "/leading", "trailing/", "..", ".", "../../etc", "%2F", "%",
    "?a=b", "#x", "+", "ü", "日本", "a\nb", "end\n", "\n", "\\", "&amp;", HOSTILE, "x" * 4_000,
    "statuses", "\x00",
]  # fmt: skip


#: Apps close their connections with the event loop, unless they are collected before.
_kept: WeakKeyDictionary[asyncio.AbstractEventLoop, list[ASGIApp]] = WeakKeyDictionary()


def page_of(app: ASGIApp, **options: Any) -> httpx.AsyncClient:
    """A client of an app that is not behind a port; good for all but streams."""
    _kept.setdefault(asyncio.get_running_loop(), []).append(app)
    transport = _Transport(app=app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://jobs.test", **options)


class _Transport(httpx.ASGITransport):
    """Waits for no answer forever, as for a stream that was not asked for."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        async with asyncio.timeout(30):
            return await super().handle_async_request(request)


class DeafServer(uvicorn.Server):
    """A uvicorn that leaves the signals alone, as one that others run in their process may."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


@asynccontextmanager
async def serving(
    app: ASGIApp, port: int = 0, kind: type[uvicorn.Server] = uvicorn.Server, **options: Any
) -> AsyncGenerator[str]:
    """Serve an app; the URL of its root."""
    config = uvicorn.Config(app, port=port, log_level="warning", **options)
    server = kind(config)
    task = asyncio.create_task(server.serve())
    try:
        while not server.started:
            assert not task.done()
            await asyncio.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


Event = tuple[str, Any]


async def events_of(response: httpx.Response) -> AsyncIterator[Event]:
    """The events of a stream: name and decoded data."""
    name = ""
    async for line in response.aiter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


@asynccontextmanager
async def stream(url: str) -> AsyncGenerator[AsyncIterator[Event]]:
    """An open stream; what it tells, as it comes."""
    async with (
        httpx.AsyncClient(timeout=20) as client,
        client.stream("GET", url, headers={"Accept": "text/event-stream"}) as response,
    ):
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield events_of(response)


async def next_event(events: AsyncIterator[Event], name: str, **fields: Any) -> Any:
    """The data of the next event of that name, and with these fields."""
    async with asyncio.timeout(20):
        async for found, data in events:
            if found == name and all(data[it] == value for it, value in fields.items()):
                return data
    raise AssertionError(f"the stream ended without {name} {fields}")
