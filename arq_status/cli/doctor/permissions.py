"""The permissions of the Redis user."""

import re
from collections.abc import Sequence
from importlib.resources import files
from itertools import chain

from arq.constants import job_key_prefix
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, ResponseError

from arq_status._redis import keys
from arq_status._redis.commands import command
from arq_status.cli.doctor.finding import Finding, Level

#: Commands that are sent without a script; those in scripts are read from their sources.
_COMMANDS = {"EVAL", "EVALSHA", "GET", "HGET", "HGETALL", "INFO", "PUBLISH", "SUBSCRIBE", "TIME"}
_IN_SCRIPTS = re.compile(r"\('([A-Z]{3,})'")
#: The ACL rule that suffices if the names of all queues start with "arq".
_RULE = "~arq* &arqstatus:* +@all -@dangerous +info"
#: Tried on a key of each kind: a command that reads, and one that writes.
_READ, _WRITE = "GET", "SET"


async def check_permissions(redis: Redis, queues: Sequence[str]) -> list[Finding]:
    """Check that the user may run every command on every key and channel that tracking needs.

    The commands are queued in a transaction that is discarded: none of them is executed.
    """
    settings = redis.connection_pool.connection_kwargs
    user, channel = settings.get("username") or "default", keys.changes(settings.get("db") or 0)
    patterns = {"arqstatus:*": keys.RECORD, "arq:*": job_key_prefix} | {it: it for it in queues}
    rule = " ".join((_RULE, *(f"~{it}" for it in queues if not it.startswith("arq"))))
    commands = sorted(_COMMANDS | script_commands())
    tries = [(it, *f"{keys.RECORD} 0 0 0".split()[:n]) for it in commands for n in range(5)]
    of_key = {key: [(_READ, key), (_WRITE, key, "0")] for key in patterns.values()}
    of_channel = [("PUBLISH", channel, "0"), ("SUBSCRIBE", channel)]
    tries += [*chain(*of_key.values()), *of_channel]
    try:
        refused = await _refusals(redis, tries)
    except NoPermissionError:
        return [_finding(user, rule, "run MULTI, without which arq cannot run jobs")]
    findings = []
    if denied := sorted({parts[0] for parts, words in refused if "command" in words}):
        findings.append(_finding(user, rule, f"run {', '.join(denied)}"))
    for pattern, key in patterns.items():
        if any("key" in words and parts in of_key[key] for parts, words in refused):
            findings.append(_finding(user, rule, f"read and write the keys {pattern}"))
    if any("channel" in words and parts in of_channel for parts, words in refused):
        text = f"use the channel {channel}: changes are noticed with a delay"
        findings.append(_finding(user, rule, text, Level.WARNING))
    ok = Finding(Level.OK, "permissions", f"user {user!r} may do all that arq-status needs")
    return findings or [ok]


def script_commands() -> set[str]:
    """Return the commands that the Lua scripts call."""
    folder = files("arq_status._redis") / "lua"
    sources = [it for place in (folder, folder / "shared") for it in place.iterdir()]
    texts = [it.read_text() for it in sources if it.name.endswith(".lua")]
    return {name for text in texts for name in _IN_SCRIPTS.findall(text)}


def _finding(user: str, rule: str, what: str, level: Level = Level.PROBLEM) -> Finding:
    advice = f"ACL SETUSER {user} {rule}"
    return Finding(level, "permissions", f"user {user!r} may not {what}", advice)


async def _refusals(
    redis: Redis, tries: Sequence[Sequence[str]]
) -> list[tuple[Sequence[str], str]]:
    async with redis.client() as single:
        await command(single, "MULTI")
        connection = single.connection
        assert connection is not None
        for parts in tries:
            await connection.send_command(*parts)
        refusals = []
        for parts in tries:
            try:
                await connection.read_response()
            except NoPermissionError as error:
                refusals.append((parts, str(error)))
            except ResponseError:
                # the wrong number of arguments
                continue
        # disconnecting discards the transaction
        await connection.disconnect()
        return refusals
