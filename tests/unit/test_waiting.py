"""Waiting for Redis in arq's hooks."""

import asyncio

import pytest

from arq_status._tracking.waiting import none_on_failure


async def test_no_answer_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a Redis that is away nor one that is silent fails a hook."""

    async def fail() -> int:
        raise ConnectionError("away")

    async def wait() -> int:
        await asyncio.sleep(3600)
        return 0

    async def answer() -> int:
        return 5

    monkeypatch.setattr("arq_status._tracking.waiting.TIMEOUT", 0.01)
    assert await none_on_failure(fail()) is None
    assert await none_on_failure(wait()) is None
    assert await none_on_failure(answer()) == 5
