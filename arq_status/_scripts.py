"""The Lua scripts, and running them."""

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from redis.exceptions import NoScriptError

from arq_status._keys import lua_prelude

Argument = str | int | bytes


class Script:
    """A script of ``arq_status/lua``: read when it is first used, sent by its digest."""

    __slots__ = ("_digest", "_name", "_source")

    def __init__(self, name: str) -> None:
        self._name = name
        self._source = ""
        self._digest = ""

    async def __call__(self, redis: Any, *args: Argument) -> Any:
        """Run it; bytes come back as bytes, whatever the client decodes otherwise."""
        if not self._source:
            self._load()
        try:
            return await redis.execute_command("EVALSHA", self._digest, 0, *args, NEVER_DECODE=True)
        except NoScriptError:
            return await redis.execute_command("EVAL", self._source, 0, *args, NEVER_DECODE=True)

    async def many(self, redis: Any, calls: Sequence[Sequence[Argument]]) -> list[Any]:
        """Run it several times in one round trip; a second one where Redis did not know it."""
        if len(calls) == 1:
            return [await self(redis, *calls[0])]
        try:
            return await self._pipeline(redis, "EVALSHA", calls)
        except NoScriptError:
            return await self._pipeline(redis, "EVAL", calls)

    async def _pipeline(
        self, redis: Any, command: str, calls: Sequence[Sequence[Argument]]
    ) -> list[Any]:
        if not self._source:
            self._load()
        script = self._digest if command == "EVALSHA" else self._source
        async with redis.pipeline(transaction=False) as pipeline:
            for args in calls:
                pipeline.execute_command(command, script, 0, *args, NEVER_DECODE=True)
            answers: list[Any] = await pipeline.execute()
        return answers

    def _load(self) -> None:
        folder = files("arq_status") / "lua"
        common = (folder / "common.lua").read_text()
        self._source = lua_prelude() + common + (folder / f"{self._name}.lua").read_text()
        self._digest = hashlib.sha1(self._source.encode(), usedforsecurity=False).hexdigest()


beat = Script("beat")
begun = Script("begun")
cancel = Script("cancel")
census = Script("census")
delete = Script("delete")
facts = Script("facts")
front = Script("front")
later = Script("later")
leave = Script("leave")
page = Script("page")
retry = Script("retry")
stop = Script("stop")
store = Script("store")
sweep = Script("sweep")
write = Script("write")
