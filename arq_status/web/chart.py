"""Small charts of how many jobs ended over time, by outcome, as SVG paths."""

from dataclasses import dataclass
from typing import NamedTuple

from arq_status._model.status import Status

#: The height of a chart, the width of a step and that of its bar, in SVG units.
HEIGHT = 32
_STEP, _BAR = 4, 3


class Ends(NamedTuple):
    """The number of jobs that ended in a step, by outcome from the bottom of a chart up."""

    failed: int = 0
    stopped: int = 0
    complete: int = 0


_OUTCOMES = (Status.FAILED, Status.STOPPED, Status.COMPLETE)


@dataclass(frozen=True, slots=True)
class Chart:
    """The number of jobs that ended in each of several time steps, the current one last."""

    steps: tuple[Ends, ...]

    @property
    def ended(self) -> int:
        """The number of jobs that ended."""
        return sum(map(sum, self.steps))

    @property
    def failed(self) -> int:
        """The number of jobs that failed or were interrupted."""
        return sum(it.failed for it in self.steps)

    @property
    def peak(self) -> int:
        """The number of jobs that ended in the busiest step."""
        return max(map(sum, self.steps), default=0)

    @property
    def size(self) -> tuple[int, int]:
        """The width and height of the chart in SVG units."""
        return _STEP * len(self.steps), HEIGHT

    @property
    def bars(self) -> list[tuple[Status, str]]:
        """The bars of each outcome as an SVG path."""
        paths, peak = dict.fromkeys(_OUTCOMES, ""), self.peak
        for place, step in enumerate(self.steps):
            bottom = HEIGHT
            for status, number in zip(_OUTCOMES, step, strict=True):
                # even one of many stays visible
                height = max(1, round(number * HEIGHT / peak)) if number else 0
                height = min(height, bottom)
                if height:
                    paths[status] += f"M{_STEP * place} {bottom}v{-height}h{_BAR}v{height}z"
                    bottom -= height
        return [it for it in paths.items() if it[1]]


def failure_rate(failed: float, ended: float) -> str:
    """Return the failure rate in percent, as in ``2.1 %``; empty if no job ended."""
    if not ended:
        return ""
    percent = 100 * failed / ended
    if 0 < percent < 0.1:
        return "< 0.1 %"
    # rounded down: 100 % means all
    return f"{percent:.1f} %" if 0 < percent < 10 else f"{int(percent)} %"
