"""A connection to a server that is as slow as a test needs."""

import asyncio
from typing import Self


class Link:
    """A port that forwards its connections to another one and delays each chunk."""

    def __init__(self, target: int, delay: float = 0) -> None:
        self.port = 0
        #: seconds by which each chunk is delayed, in each direction
        self.delay = delay
        self._target = target
        self._flows = asyncio.Event()
        self._flows.set()
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def stall(self, seconds: float) -> None:
        """Hold everything back for some seconds; it arrives afterwards."""
        self._flows.clear()
        await asyncio.sleep(seconds)
        self._flows.set()

    def cut(self) -> None:
        """Let nothing more through on the current connections, but close none of them."""
        # they wait for an event that is never set; later connections get a new one
        self._flows.clear()
        self._flows = asyncio.Event()
        self._flows.set()

    def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.ensure_future(self._join(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        flows = self._flows
        both = asyncio.gather(self._carry(reader, back, flows), self._carry(there, writer, flows))
        try:
            await both
        except OSError:
            both.cancel()
        finally:
            writer.close()
            back.close()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flows: asyncio.Event
    ) -> None:
        while chunk := await reader.read(65_536):
            await asyncio.sleep(self.delay)
            await flows.wait()
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()
