"""P9: the cost of the import."""

import asyncio
import resource
import sys
from statistics import median

from arq.connections import ArqRedis

from tests.benchmarks.measuring import Result, compare

ROUNDS = 15


async def measure(_: ArqRedis) -> list[Result]:
    """Compare a Python process that imports arq-status with one that imports arq."""
    found = await compare(lambda: _seconds("arq_status"), lambda: _seconds("arq"), ROUNDS)
    detail = f"{median(found.ours) * 1000:.0f} ms, {median(found.theirs) * 1000:.0f} ms"
    code = "import arq_status, sys; sys.exit('arq_status.web' in sys.modules)"
    without_web = await _run(code) == 0
    met = found.ratio <= 0.2 and without_web
    what = "`import arq_status` / `import arq`"
    whole = await compare(
        lambda: _seconds("arq_status._client.client"), lambda: _seconds("arq"), ROUNDS
    )
    return [
        Result("P9", what, found.ratio, found.quartiles, "<= 0.2", met, detail),
        Result(
            "P9", "the same with all that a query takes", whole.ratio, whole.quartiles, "none", True
        ),
    ]


async def _seconds(module: str) -> float:
    """Return the CPU time of a process that imports a module."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert await _run(f"import {module}") == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


async def _run(code: str) -> int:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    return await process.wait()
