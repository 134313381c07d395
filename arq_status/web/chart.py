"""Small charts of how many jobs ended over time, by outcome, as paths of an SVG."""

from dataclasses import dataclass
from typing import NamedTuple

from arq_status._model.status import Status

#: The height of a chart in its own units; how wide a step is, and its bar.
HEIGHT = 32
_STEP, _BAR = 4, 3


class Ends(NamedTuple):
    """How many jobs ended in a step of time, by outcome from the bottom of a chart up."""

    failed: int = 0
    stopped: int = 0
    complete: int = 0


_OUTCOMES = (Status.FAILED, Status.STOPPED, Status.COMPLETE)


@dataclass(frozen=True, slots=True)
class Chart:
    """How many jobs ended in each of several steps of time, the present one last."""

    steps: tuple[Ends, ...]

    @property
    def ended(self) -> int:
        """Return how many jobs ended."""
        return sum(map(sum, self.steps))

    @property
    def failed(self) -> int:
        """Return how many of them failed or were interrupted."""
        return sum(it.failed for it in self.steps)

    @property
    def peak(self) -> int:
        """Return how many ended in the busiest step."""
        return max(map(sum, self.steps), default=0)

    @property
    def size(self) -> tuple[int, int]:
        """Return the width and the height of the chart in its own units."""
        return _STEP * len(self.steps), HEIGHT

    @property
    def bars(self) -> list[tuple[Status, str]]:
        """Return the bars of each outcome as the path of an SVG."""
        paths, peak = dict.fromkeys(_OUTCOMES, ""), self.peak
        for place, step in enumerate(self.steps):
            bottom = HEIGHT
            for status, number in zip(_OUTCOMES, step, strict=True):
                # one of many is still seen
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
    # 100 % is said only of all
    return f"{percent:.1f} %" if 0 < percent < 10 else f"{int(percent)} %"
