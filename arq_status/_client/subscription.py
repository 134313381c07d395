"""The pub/sub connection on which workers and clients publish changes."""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from arq_status._redis.connection import CONNECTION_ERRORS, close, separate_client

logger = logging.getLogger("arq_status")

#: Seconds before the first and between later attempts to reconnect.
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 2.0
#: Seconds of silence after which the connection is pinged, and then taken for dead.
SILENCE = 10.0


async def listen(redis: Redis, channel: str, notify: Callable[[list[str] | None], None]) -> None:
    """Listen forever, on a separate connection that is reopened when it is lost.

    Args:
        redis: a client for the server to listen to.
        channel: the channel on which changes are published.
        notify: called with the jobs and groups that changed, or with ``None`` if any may have.
    """
    delay = _FIRST_DELAY
    while True:
        connection = separate_client(redis, decode_responses=False)
        try:
            async with connection.pubsub() as pubsub:
                await pubsub.subscribe(channel)
                while True:
                    _receive(await _next_message(pubsub), notify)
                    delay = _FIRST_DELAY
        except CONNECTION_ERRORS as error:
            if delay == _FIRST_DELAY:
                logger.warning("pub/sub connection lost, reconnecting: %r", error)
        finally:
            await close(connection)
        await asyncio.sleep(delay)
        delay = min(delay * 2, _LONGEST_DELAY)


def _receive(message: Mapping[str, Any], notify: Callable[[list[str] | None], None]) -> None:
    if message["type"] == "subscribe":
        # perhaps after a reconnect: what was published in between is lost
        notify(None)
    elif message["type"] == "message":
        notify(_subjects_in(message["data"]))


def _subjects_in(data: bytes) -> list[str] | None:
    """Return which jobs and groups changed; ``None`` if the message is not one of ours."""
    try:
        subjects = json.loads(data)
    except (ValueError, RecursionError):
        return None
    is_ours = isinstance(subjects, list) and all(isinstance(it, str) for it in subjects)
    return subjects if is_ours else None


async def _next_message(pubsub: PubSub) -> Mapping[str, Any]:
    """Wait for the next message.

    Raises:
        ConnectionError: nothing arrived for 10 s, and then a ping was not answered for 10 s. TCP
            alone does not notice that a host is gone.
    """
    return _heard(await pubsub.get_message(timeout=SILENCE) or await _answer_to_ping(pubsub))


async def _answer_to_ping(pubsub: PubSub) -> Mapping[str, Any] | None:
    await pubsub.ping(b"arq-status")
    message: Mapping[str, Any] | None = await pubsub.get_message(timeout=SILENCE)
    return message


def _heard(message: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if message is None:
        raise ConnectionError(f"no answer for {SILENCE:g} s")
    return message
