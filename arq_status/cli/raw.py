"""Commands to Redis and their answers as they are, whatever client sends them."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

#: How often SCAN is called at most, and for how many keys.
_ROUNDS, _KEYS_A_ROUND = 50, 1_000


async def command(redis: Any, *parts: str) -> Any:
    """What Redis answers to a command."""
    return await redis.execute_command(*parts, NEVER_DECODE=True)


async def pipeline(redis: Any, commands: Iterable[Sequence[str]]) -> list[Any]:
    """What Redis answers to many commands; ``None`` where a key is of the wrong type."""
    async with redis.pipeline(transaction=False) as sending:
        for parts in commands:
            sending.execute_command(*parts, NEVER_DECODE=True)
        answers = await sending.execute(raise_on_error=False)
    return [None if isinstance(answer, ResponseError) else answer for answer in answers]


async def some_keys(
    redis: Redis, kind: str | None = None
) -> AsyncGenerator[tuple[list[str], bool]]:
    """The names of a bounded number of keys, in rounds, and whether there are no more."""
    cursor = 0
    for _ in range(_ROUNDS):
        cursor, keys = await redis.scan(cursor, count=_KEYS_A_ROUND, _type=kind)
        yield [text(key) for key in keys], cursor == 0
        if cursor == 0:
            break


def scored(answer: Sequence[Any]) -> list[tuple[bytes, bytes | float]]:
    """Members and scores; RESP3 has them in pairs."""
    if answer and isinstance(answer[0], list | tuple):
        return [(member, score) for member, score in answer]
    return list(zip(answer[::2], answer[1::2], strict=True))


def text(raw: bytes | str) -> str:
    """A name as a text."""
    return raw if isinstance(raw, str) else raw.decode(errors="replace")
