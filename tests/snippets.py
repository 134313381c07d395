"""Runs the code shown in the documentation."""

import ast
import re
import sys
from inspect import CO_COROUTINE, cleandoc
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
#: Every page of the documentation, by its path from the root, as used in links.
PAGES = {
    str(it.relative_to(ROOT)): it.read_text() for it in (ROOT / "README.md", *DOCS.glob("*.md"))
}

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FOLDED = re.compile(r"<details>.*?</details>", re.DOTALL)


def snippets(page: str, language: str = "python", *, folded: bool = False) -> list[str]:
    """Return the code blocks of a page: those outside ``<details>``, or those inside."""
    text = PAGES[page]
    text = "".join(_FOLDED.findall(text)) if folded else _FOLDED.sub("", text)
    return [code for found, code in _BLOCK.findall(text) if found == language]


def example_in(doc: str) -> str:
    """Return the indented parts of a docstring, except those under a heading such as ``Args:``."""
    paragraphs = re.split(r"\n{2,}", cleandoc(doc))
    return "\n\n".join(dedent(it) for it in paragraphs if it.startswith("    "))


def run_snippet(name: str, source: str, dsn: str) -> ModuleType:
    """Import a snippet as a module, with the Redis under test in place of localhost."""
    module = ModuleType(name)
    sys.modules[name] = module
    exec(compile(_at_test_redis(source, dsn), f"snippet:{name}", "exec"), module.__dict__)
    return module


async def play(source: str, dsn: str, **names: Any) -> dict[str, Any]:
    """Run a snippet, which may await, with these names defined; return its namespace."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile(_at_test_redis(source, dsn), "snippet", "exec", flags)
    running = eval(code, names)
    if code.co_flags & CO_COROUTINE:
        await running
    return names


def _at_test_redis(source: str, dsn: str) -> str:
    source = source.replace("RedisSettings()", f"RedisSettings.from_dsn({dsn!r})")
    return re.sub(r'"redis://localhost[^"]*"', repr(dsn), source)
