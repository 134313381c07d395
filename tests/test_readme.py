"""What the README shows works as it stands there."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from arq.connections import ArqRedis

from arq_status import Status, StatusClient
from tests.conftest import StartWorker, ended

README = (Path(__file__).parent.parent / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def run_snippet(name: str, source: str, dsn: str) -> ModuleType:
    """Import a snippet as a module, with the Redis under test in place of localhost."""
    source = source.replace("RedisSettings()", f"RedisSettings.from_dsn({dsn!r})")
    module = ModuleType(name)
    sys.modules[name] = module
    exec(compile(source, f"README.md:{name}", "exec"), module.__dict__)
    return module


async def test_worker_and_query(
    pool: ArqRedis,
    client: StatusClient,
    start_worker: StartWorker,
    dsn: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The worker snippet runs the job that the query snippet enqueues and asks about."""
    worker = run_snippet("readme_worker", SNIPPETS[0], dsn)
    query = run_snippet("readme_query", SNIPPETS[1], dsn)
    await query.main()
    assert capsys.readouterr().out.startswith("queued\n0 None\n")
    await start_worker(worker.WorkerSettings)
    record = await ended(client, "rows")
    assert record.status is Status.COMPLETE
    assert (record.at, record.message, record.data) == (99, "Importing", {"vino": "veritas"})


async def test_every_snippet_is_tested() -> None:
    """No snippet stands in the README that this file does not run."""
    assert len(SNIPPETS) == 2
