"""Runs web apps for tests: on a port in the test's event loop, or without one."""

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
#: Job ids that arq accepts but that are difficult in URLs.
JOB_IDS = [
    "plain", "with space", "a/b", "/leading", "trailing/", "..", ".", "../../etc", "%2F", "%",
    "?a=b", "#x", "+", "ü", "日本", "a\nb", "end\n", "\n", "\\", "&amp;", HOSTILE, "x" * 4_000,
    "statuses", "\x00",
]  # fmt: skip


#: Keeps apps until their event loop ends, because they close their connections with it.
_kept: WeakKeyDictionary[asyncio.AbstractEventLoop, list[ASGIApp]] = WeakKeyDictionary()


def page_of(app: ASGIApp, **options: Any) -> httpx.AsyncClient:
    """Return a client that calls an app without a port; not for streams."""
    _kept.setdefault(asyncio.get_running_loop(), []).append(app)
    transport = _Transport(app=app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://jobs.test", **options)


class _Transport(httpx.ASGITransport):
    """Gives up after 30 s, so that a response that never ends fails the test."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        async with asyncio.timeout(30):
            return await super().handle_async_request(request)


class DeafServer(uvicorn.Server):
    """A uvicorn that leaves signals alone, as it may when embedded in another program."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture no signals."""
        yield


@asynccontextmanager
async def serving(
    app: ASGIApp, port: int = 0, kind: type[uvicorn.Server] = uvicorn.Server, **options: Any
) -> AsyncGenerator[str]:
    """Serve an app; yield its root URL."""
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
    """Yield the events of a stream: name and decoded data."""
    name = ""
    async for line in response.aiter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


@asynccontextmanager
async def stream(url: str) -> AsyncGenerator[AsyncIterator[Event]]:
    """Open a stream; yield its events as they arrive."""
    async with (
        httpx.AsyncClient(timeout=20) as client,
        client.stream("GET", url, headers={"Accept": "text/event-stream"}) as response,
    ):
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield events_of(response)


async def next_event(events: AsyncIterator[Event], name: str, **fields: Any) -> Any:
    """Return the data of the next event with this name and these fields."""
    async with asyncio.timeout(20):
        async for found, data in events:
            if found == name and all(data[it] == value for it, value in fields.items()):
                return data
    raise AssertionError(f"the stream ended without {name} {fields}")
