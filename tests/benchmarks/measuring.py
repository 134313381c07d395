"""Measures two sides in turns; results and comparisons."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median, quantiles
from time import perf_counter, process_time

from arq.connections import ArqRedis

Side = Callable[[], Awaitable[float]]


@dataclass(frozen=True, slots=True)
class Result:
    """A line of the table."""

    measure: str
    what: str
    #: the ratio or number to compare with the aim
    figure: float
    #: its lower and upper quartile, if measured more than once
    quartiles: tuple[float, float] | None
    aim: str
    met: bool
    #: the underlying figures
    detail: str = ""

    def row(self) -> str:
        """Return it as a Markdown table row."""
        spread = f" ({self.quartiles[0]:.3g} to {self.quartiles[1]:.3g})" if self.quartiles else ""
        met = "yes" if self.met else "**no**"
        cells = (self.measure, self.what, f"{self.figure:.3g}{spread}", self.aim, met, self.detail)
        return f"| {' | '.join(cells)} |"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What each side took, slice by slice; adjacent slices are compared with each other."""

    ours: Sequence[float]
    theirs: Sequence[float]

    @property
    def ratio(self) -> float:
        """The median of the ratios of ours to theirs."""
        return median(self._ratios)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The lower and the upper quartile of these ratios."""
        lower, _, upper = quantiles(self._ratios, n=4)
        return lower, upper

    @property
    def _ratios(self) -> list[float]:
        return [ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True)]


async def compare(ours: Side, theirs: Side, rounds: int) -> Comparison:
    """Measure both in turns, alternating which comes first."""
    await ours(), await theirs()  # warm up
    taken: dict[Side, list[float]] = {ours: [], theirs: []}
    for number in range(rounds):
        for side in (ours, theirs) if number % 2 else (theirs, ours):
            taken[side].append(await side())
    return Comparison(taken[ours], taken[theirs])


def repeated(work: Callable[[], Awaitable[object]], times: int) -> Side:
    """Return a side that repeats ``work`` and returns the seconds that one call takes."""

    async def side() -> float:
        began = perf_counter()
        for _ in range(times):
            await work()
        return (perf_counter() - began) / times

    return side


@asynccontextmanager
async def pinned(pool: ArqRedis) -> AsyncIterator[None]:
    """Pin this process and Redis to one CPU, so that all the work of both is measured."""
    server = (await pool.info("server"))["process_id"]
    allowed = os.sched_getaffinity(0)
    try:
        for process in (0, server):
            os.sched_setaffinity(process, {min(allowed)})
        yield
    finally:
        for process in (0, server):
            os.sched_setaffinity(process, allowed)


class Processor:
    """The CPU time of this process, which does not include waiting."""

    def __init__(self) -> None:
        self._began = process_time()

    @property
    def seconds(self) -> float:
        """The CPU time since this object was created."""
        return process_time() - self._began
