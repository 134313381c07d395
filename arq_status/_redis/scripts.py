"""Loading and running of the Lua scripts."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from redis.exceptions import NoScriptError

from arq_status._redis.keys import script_constants

Argument = str | int | bytes

#: The files of ``lua/shared/``; a function may only use those above it.
_SHARED = (
    "values", "records", "workers", "queues", "payloads", "labels", "groups", "indexes",
    "belongings", "sources",
)  # fmt: skip
_FUNCTION = re.compile(r"^local function (\w+)\(.*?^end\n", re.MULTILINE | re.DOTALL)
_CONSTANT = re.compile(r"\b([KFS])\.(\w+)")


class Script:
    """A script of ``lua/``: loaded when it is first used, and run by its digest."""

    __slots__ = ("_digest", "_name", "_source")

    def __init__(self, name: str) -> None:
        self._name = name
        self._source = ""
        # bytes, because redis-py takes longer to encode anything else
        self._digest = b""

    async def __call__(self, redis: Any, *args: Argument) -> Any:
        """Run it. Returns bytes, regardless of the client's ``decode_responses``."""
        if not self._source:
            self._load()
        try:
            return await redis.execute_command(
                "EVALSHA", self._digest, b"0", *args, NEVER_DECODE=True
            )
        except NoScriptError:
            return await redis.execute_command("EVAL", self._source, 0, *args, NEVER_DECODE=True)

    async def many(self, redis: Any, calls: Sequence[Sequence[Argument]]) -> list[Any]:
        """Run it several times in one round trip, or two if Redis does not know it yet."""
        if len(calls) == 1:
            return [await self(redis, *calls[0])]
        if not self._source:
            self._load()
        try:
            return await _pipeline(redis, ("EVALSHA", self._digest, 0), calls)
        except NoScriptError:
            return await _pipeline(redis, ("EVAL", self._source, 0), calls)

    def add_to(self, pipeline: Any, args: Sequence[Argument], *, is_known: bool) -> None:
        """Add a call to a pipeline, by its digest if Redis knows the script."""
        if not self._source:
            self._load()
        command = ("EVALSHA", self._digest) if is_known else ("EVAL", self._source)
        pipeline.execute_command(*command, 0, *args)

    def is_run_by(self, command: tuple[object, ...]) -> bool:
        """Return True if a command, as sent by ``__call__``, runs this script."""
        return bool(self._source) and command[1:2] in ((self._digest,), (self._source,))

    def _load(self) -> None:
        self._source = assembled(self._name)
        digest = hashlib.sha1(self._source.encode(), usedforsecurity=False)
        self._digest = digest.hexdigest().encode()


async def _pipeline(
    redis: Any, command: Sequence[Argument], calls: Sequence[Sequence[Argument]]
) -> list[Any]:
    async with redis.pipeline(transaction=False) as pipeline:
        for args in calls:
            pipeline.execute_command(*command, *args, NEVER_DECODE=True)
        answers: list[Any] = await pipeline.execute()
    return answers


def assembled(name: str) -> str:
    """Return a script's source with its constants and the shared functions that it needs.

    Only those, because every call of a script defines its functions again. They are inserted at the
    beginning or at the line ``-- @shared``, for scripts that often return before they need any.
    """
    body = _read(name)
    needed: list[str] = []
    for function, source in reversed(list(_shared_functions().items())):
        if re.search(rf"\b{function}\b", "".join((body, *needed))):
            needed.insert(0, source)
    first, _, rest = body.rpartition("-- @shared\n")
    constants = script_constants()
    whole = "".join((first, *needed, rest))
    return _CONSTANT.sub(lambda found: f"'{constants[found[1]][found[2]]}'", whole)


@cache
def _shared_functions() -> Mapping[str, str]:
    source = "".join(_read(f"shared/{name}") for name in _SHARED)
    return {found[1]: found[0] for found in _FUNCTION.finditer(source)}


def _read(name: str) -> str:
    return (files("arq_status._redis") / "lua" / f"{name}.lua").read_text()


announce = Script("announce")
beat = Script("beat")
begun = Script("begun")
cancel = Script("cancel")
count = Script("count")
delete = Script("delete")
facts = Script("facts")
front = Script("front")
group = Script("group")
group_census = Script("group_census")
leave = Script("leave")
list_jobs = Script("list")
orphans = Script("orphans")
queues = Script("queues")
retry = Script("retry")
stop = Script("stop")
store = Script("store")
sweep = Script("sweep")
tag = Script("tag")
write = Script("write")
