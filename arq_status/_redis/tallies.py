"""Counts of functions, in the format of ``count.lua``."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from redis.asyncio import Redis

from arq_status._model.tally import COUNTED, Tally
from arq_status._redis import keys
from arq_status._redis.commands import pipeline
from arq_status._redis.replies import pairs, text

_MINUTE, _HOUR = 60_000, 3_600_000
#: The largest integer that is exact in Lua; damaged entries may contain larger ones.
_GREATEST = 2**53


def encode_tally(name: str, tally: Tally, last: str | None) -> dict[str, Any]:
    """Return the counts of a function as sent to ``count.lua``.

    Args:
        name: its queue and name, as returned by ``function_key``.
        tally: what was counted since the last batch.
        last: the last job, encoded, if the function is a cron job.
    """
    sent = {
        "name": name,
        "counts": {what: number for what, number in tally.counts.items() if number},
        "max_us": round(tally.run_max * 1_000_000),
        "runs": _flat(tally.runs),
        "waits": _flat(tally.waits),
        "run_us": round(tally.run_sum * 1_000_000),
        "wait_us": round(tally.wait_sum * 1_000_000),
    }
    return sent if last is None else {**sent, "last": last}


def _flat(durations: Mapping[int, float]) -> list[float]:
    return [part for item in durations.items() for part in item]


@lru_cache(maxsize=8_192)
def decode_entry(entry: bytes) -> tuple[int, Tally]:
    """Decode a stored entry: its minute or hour, and its counts.

    Cached, because only the last entry of a list changes.
    """
    numbers = _numbers(entry)
    moment = next(numbers, 0)
    counts: dict[str, float] = {what: next(numbers, 0) for what in COUNTED}
    longest = next(numbers, 0) / 1_000_000
    runs = _durations(numbers)
    return moment, Tally(counts, runs, _durations(numbers), longest)


def _numbers(entry: bytes) -> Iterator[int]:
    value = shift = 0
    for byte in entry:
        value |= (byte & 127) << shift
        if byte < 128:
            yield min(value, _GREATEST)
            value = shift = 0
        else:
            shift += 7


def _durations(numbers: Iterator[int]) -> dict[int, float]:
    total, length = next(numbers, 0), next(numbers, 0)
    weights: dict[int, float] = {}
    bucket = 0
    for _ in range(length):
        value = next(numbers, None)
        if value is None:
            break
        if value % 2:
            bucket += value // 2
        else:
            weights[bucket] = value / 2
            bucket += 1
    weight = sum(weights.values())
    return {bucket: it * total / weight for bucket, it in weights.items()} if weight else {}


class Interval(NamedTuple):
    """The counts of one minute or hour."""

    begins_ms: int
    length_ms: int
    tally: Tally


async def counted_functions(redis: Redis) -> tuple[int, list[str]]:
    """Return Redis' time in ms and the counted functions, as ``function_key`` names them."""
    time, names = await pipeline(redis, [("TIME",), ("ZRANGE", keys.COUNTED_FUNCTIONS, "0", "-1")])
    return int(time[0]) * 1000 + int(time[1]) // 1000, [text(it) for it in names or []]


async def read_intervals(
    redis: Redis, names: Sequence[str], since_ms: int, now_ms: int
) -> list[list[Interval]]:
    """Return the counts of each function since a moment, per minute or, before those, per hour.

    Args:
        redis: the client to read with.
        names: queues and functions, as returned by ``counted_functions``.
        since_ms: epoch milliseconds; the whole minute or hour that contains it is included.
        now_ms: Redis' time.
    """
    first, minute = since_ms // _MINUTE, now_ms // _MINUTE
    first_hour = None
    if first <= minute - keys.MINUTES_KEPT:
        # hours of which not all minutes are kept
        first_hour = max(since_ms // _HOUR, now_ms // _HOUR - keys.HOURS_KEPT + 1)
        first = -(-(minute - keys.MINUTES_KEPT + 1) // 60) * 60
    commands = [("LRANGE", keys.MINUTES + it, str(first - minute - 1), "-1") for it in names]
    if first_hour is not None:
        entries = str(first_hour - now_ms // _HOUR - 1)
        commands += [("LRANGE", keys.HOURS + it, entries, "-1") for it in names]
    replies = await pipeline(redis, commands)
    found = [_intervals(reply, _MINUTE, first) for reply in replies[: len(names)]]
    if first_hour is not None:
        for intervals, reply in zip(found, replies[len(names) :], strict=True):
            hours = _intervals(reply, _HOUR, first_hour)
            intervals[:0] = [it for it in hours if it.begins_ms < first * _MINUTE]
    return found


def _intervals(reply: Sequence[bytes] | None, unit: int, first: int) -> list[Interval]:
    entries = [decode_entry(it) for it in reply or ()]
    return [Interval(moment * unit, unit, tally) for moment, tally in entries if moment >= first]


async def read_totals(redis: Redis, names: Sequence[str]) -> list[dict[str, int]]:
    """Return the totals of each function by name; they never decrease."""
    replies = await pipeline(redis, [("HGETALL", keys.TOTALS + it) for it in names])
    return [
        {text(name): int(raw) for name, raw in pairs(it).items() if raw.isdigit()} for it in replies
    ]
