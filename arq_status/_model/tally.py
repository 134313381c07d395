"""Counts of how jobs ended in a period of time, with their run times and waits."""

from dataclasses import dataclass, field

from arq_status._model.histogram import percentile
from arq_status._model.record import State

#: What is counted: jobs by how they ended, and tries after which arq runs the job again.
RETRIED = "retried"
ENDS = tuple(map(str, (State.COMPLETE, State.FAILED, State.STOPPED, State.INTERRUPTED)))
COUNTED = (*ENDS, RETRIED)
#: Functions that no worker announced are counted under this name.
OTHER = "(other)"


@dataclass(slots=True)
class Tally:
    """The counts of one function, or the sum of several."""

    counts: dict[str, float] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0))
    #: histograms of the jobs' last tries: how long they ran, and how long they had been due before
    runs: dict[int, float] = field(default_factory=dict)
    waits: dict[int, float] = field(default_factory=dict)
    #: the longest run and the sums of runs and waits, in seconds; the sums are only sent, not read
    run_max: float = 0.0
    run_sum: float = 0.0
    wait_sum: float = 0.0

    def add(self, other: "Tally", share: float = 1.0) -> None:
        """Add another tally, or a fraction of it."""
        for name, number in other.counts.items():
            self.counts[name] += number * share
        _add_durations(self.runs, other.runs, share)
        _add_durations(self.waits, other.waits, share)
        self.run_max = max(self.run_max, other.run_max)
        self.run_sum += other.run_sum
        self.wait_sum += other.wait_sum

    def run_percentile(self, share: float) -> float | None:
        """Estimate a percentile of the run times in seconds, at most ``run_max``."""
        found = percentile(self.runs, share)
        return None if found is None else min(found, self.run_max)

    def wait_percentile(self, share: float) -> float | None:
        """Estimate a percentile of the waits in seconds."""
        return percentile(self.waits, share)


def _add_durations(ours: dict[int, float], theirs: dict[int, float], share: float) -> None:
    for bucket, weight in theirs.items():
        ours[bucket] = ours.get(bucket, 0) + weight * share
