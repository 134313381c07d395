"""Plain commands, answered in bytes whatever the client decodes."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Any

from redis.exceptions import ResponseError

from arq_status._redis.replies import text

#: SCAN is called at most so often, each time for about so many keys.
_SCANS, _SCANNED_AT_ONCE = 50, 1_000


async def command(redis: Any, *parts: str) -> Any:
    """Run one command."""
    return await redis.execute_command(*parts, NEVER_DECODE=True)


async def read(redis: Any, *parts: str) -> Any:
    """Run one command that reads; ``None`` stands for a key of the wrong type."""
    try:
        return await command(redis, *parts)
    except ResponseError as error:
        return _or_none(error)


async def pipeline(redis: Any, commands: Iterable[Sequence[str]]) -> list[Any]:
    """Run many commands in one round trip; ``None`` stands for a key of the wrong type.

    Raises:
        redis.ResponseError: Redis refuses one of them for another reason.
    """
    async with redis.pipeline(transaction=False) as pipe:
        for parts in commands:
            pipe.execute_command(*parts, NEVER_DECODE=True)
        replies = await pipe.execute(raise_on_error=False)
    return [_or_none(reply) for reply in replies]


def _or_none(reply: Any) -> Any:
    if isinstance(reply, ResponseError):
        if str(reply).startswith("WRONGTYPE"):
            return None
        raise reply
    return reply


async def scan(redis: Any, *options: str) -> AsyncGenerator[tuple[list[str], bool]]:
    """Yield the names of a bounded number of keys in batches, and whether they are the last."""
    cursor = "0"
    for _ in range(_SCANS):
        count = ("COUNT", str(_SCANNED_AT_ONCE))
        reply, keys = await command(redis, "SCAN", cursor, *count, *options)
        cursor = str(int(reply))
        yield [text(key) for key in keys], cursor == "0"
        if cursor == "0":
            break
