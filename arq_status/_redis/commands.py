"""Plain commands that return bytes, regardless of the client's ``decode_responses``."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Any

from redis.exceptions import ResponseError

from arq_status._redis.replies import text

#: Maximum calls of SCAN, and about how many keys each returns.
_SCANS, _SCANNED_AT_ONCE = 50, 1_000


async def command(redis: Any, *parts: str) -> Any:
    """Run one command."""
    return await redis.execute_command(*parts, NEVER_DECODE=True)


async def read(redis: Any, *parts: str) -> Any:
    """Run one read command; return ``None`` if the key has the wrong type."""
    try:
        return await command(redis, *parts)
    except ResponseError as error:
        return _or_none(error)


async def pipeline(redis: Any, commands: Iterable[Sequence[str]]) -> list[Any]:
    """Run many commands in one round trip; the reply is ``None`` if a key has the wrong type.

    Raises:
        redis.ResponseError: one of them fails for another reason.
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
    """Yield a bounded number of keys in batches, each with whether it is the last."""
    cursor = "0"
    for _ in range(_SCANS):
        count = ("COUNT", str(_SCANNED_AT_ONCE))
        reply, keys = await command(redis, "SCAN", cursor, *count, *options)
        cursor = str(int(reply))
        yield [text(key) for key in keys], cursor == "0"
        if cursor == "0":
            break
