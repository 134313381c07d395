"""Code that documentation shows, to be run."""

import ast
import re
import sys
from inspect import CO_COROUTINE, cleandoc
from textwrap import dedent
from types import ModuleType
from typing import Any


def example_in(doc: str) -> str:
    """What is indented in a docstring and has no heading, as lists of arguments have one."""
    paragraphs = re.split(r"\n{2,}", cleandoc(doc))
    return "\n\n".join(dedent(it) for it in paragraphs if it.startswith("    "))


def run_snippet(name: str, source: str, dsn: str) -> ModuleType:
    """Import a snippet as a module, with the Redis under test in place of localhost."""
    module = ModuleType(name)
    sys.modules[name] = module
    exec(compile(_at_test_redis(source, dsn), f"snippet:{name}", "exec"), module.__dict__)
    return module


async def play(source: str, dsn: str, **names: Any) -> dict[str, Any]:
    """Run a snippet that may await, in code that has these names; all names afterwards."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile(_at_test_redis(source, dsn), "snippet", "exec", flags)
    running = eval(code, names)
    if code.co_flags & CO_COROUTINE:
        await running
    return names


def _at_test_redis(source: str, dsn: str) -> str:
    source = source.replace("RedisSettings()", f"RedisSettings.from_dsn({dsn!r})")
    return re.sub(r'"redis://localhost[^"]*"', repr(dsn), source)
