"""Values that several viewers follow are computed once."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from arq_status.web.broadcast import Broadcasts
from tests.conftest import until


async def never() -> AsyncGenerator[int]:
    """A source that must not be read."""
    yield -1


async def once() -> AsyncGenerator[int]:
    """A source that ends."""
    yield 1


async def lasting() -> AsyncGenerator[int]:
    """A source that yields nothing more."""
    yield 2
    await asyncio.Event().wait()


async def test_viewers_share_a_source() -> None:
    """A later viewer gets the newest value at once."""
    broadcasts: Broadcasts[int] = Broadcasts()
    first, second = broadcasts.follow("k", lasting), broadcasts.follow("k", never)
    assert (await anext(first), await anext(second)) == (2, 2)
    await first.aclose()
    assert await anext(broadcasts.follow("k", never)) == 2
    await second.aclose()


async def test_another_source_follows_one_that_ended() -> None:
    """Viewers of the old one take nothing from the new one."""
    broadcasts: Broadcasts[int] = Broadcasts()
    old = broadcasts.follow("k", once)
    assert await anext(old) == 1
    [broadcast] = broadcasts._broadcasts.values()
    await until(lambda: broadcast.is_over)
    new = broadcasts.follow("k", lasting)
    assert await anext(new) == 2
    assert [value async for value in old] == []
    shared = broadcasts.follow("k", never)
    assert await anext(shared) == 2
    await new.aclose()
    await shared.aclose()


async def test_a_failure_reaches_every_viewer() -> None:
    """After the values before it."""

    async def failing() -> AsyncGenerator[int]:
        yield 3
        raise OSError("gone")

    broadcasts: Broadcasts[int] = Broadcasts()
    for viewer in [broadcasts.follow("k", failing) for _ in range(2)]:
        assert await anext(viewer) == 3
        with pytest.raises(OSError, match="gone"):
            await anext(viewer)


async def test_a_viewer_who_lags_gets_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The values in between are skipped."""
    asked = asyncio.Event()

    async def counting() -> AsyncGenerator[int]:
        yield 1
        await asked.wait()
        for number in range(2, 10):
            yield number
        await asyncio.Event().wait()

    broadcasts: Broadcasts[int] = Broadcasts()
    viewer = broadcasts.follow("k", counting)
    assert await anext(viewer) == 1
    [broadcast] = broadcasts._broadcasts.values()
    asked.set()
    await until(lambda: broadcast.version == 9)
    assert await anext(viewer) == 9
    monkeypatch.setattr("arq_status.web.broadcast.IDLE", 0.01)
    assert await anext(viewer) is None
    await viewer.aclose()
