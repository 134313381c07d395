"""Two sides, measured in turns, and what came out."""

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
    #: the ratio or number that the aim is about
    figure: float
    #: its lower and upper quartile, where it was taken more than once
    quartiles: tuple[float, float] | None
    aim: str
    met: bool
    #: the figures behind it
    detail: str = ""

    def row(self) -> str:
        """As a row of Markdown."""
        spread = f" ({self.quartiles[0]:.3g} to {self.quartiles[1]:.3g})" if self.quartiles else ""
        met = "yes" if self.met else "**no**"
        cells = (self.measure, self.what, f"{self.figure:.3g}{spread}", self.aim, met, self.detail)
        return f"| {' | '.join(cells)} |"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What each side took, slice by slice: neighbours are compared with each other."""

    ours: Sequence[float]
    theirs: Sequence[float]

    @property
    def ratio(self) -> float:
        """The median of ours to theirs."""
        return median(self._ratios)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The lower and the upper one of that."""
        lower, _, upper = quantiles(self._ratios, n=4)
        return lower, upper

    @property
    def _ratios(self) -> list[float]:
        return [ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True)]


async def compare(ours: Side, theirs: Side, rounds: int) -> Comparison:
    """Measure both in turns, the one that comes first changing every time."""
    await ours(), await theirs()  # whatever is only done once
    taken: dict[Side, list[float]] = {ours: [], theirs: []}
    for number in range(rounds):
        for side in (ours, theirs) if number % 2 else (theirs, ours):
            taken[side].append(await side())
    return Comparison(taken[ours], taken[theirs])


def repeated(work: Callable[[], Awaitable[object]], times: int) -> Side:
    """A side that does the same several times; the seconds that one takes."""

    async def side() -> float:
        began = perf_counter()
        for _ in range(times):
            await work()
        return (perf_counter() - began) / times

    return side


@asynccontextmanager
async def pinned(pool: ArqRedis) -> AsyncIterator[None]:
    """This process and Redis on one processor: what is measured is all that they do together."""
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
    """The processor time of this process, without what its waits take."""

    def __init__(self) -> None:
        self._began = process_time()

    @property
    def seconds(self) -> float:
        """How much it was since."""
        return process_time() - self._began
