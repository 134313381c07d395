"""Estimates the remaining time of a job from its pace since its first report."""


class Estimate:
    """The pace of a job over the later part of the time since its first report.

    It compares the present with a sample taken when between a quarter and half of that time had
    passed, so that a slow start, or resuming at a later position, does not distort the estimate.
    """

    __slots__ = ("_newer", "_older")

    def __init__(self) -> None:
        #: (monotonic time, progress)
        self._older: tuple[float, float] | None = None
        self._newer: tuple[float, float] | None = None

    def remaining_ms(self, now: float, at: float, total: float) -> int | None:
        """Record the current progress and return the estimated time until the total is reached.

        ``None`` if that is unknown: there is no total, or no progress since the sample.
        """
        if self._older is None or self._newer is None or at < self._newer[1]:
            # the first report, or the job started counting again
            self._older = self._newer = now, at
            return None
        since, before = self._older
        if now - self._newer[0] > self._newer[0] - since:
            self._older, self._newer = self._newer, (now, at)
        if not total or at <= before:
            return None
        remaining = max(0.0, total - at) / (at - before) * (now - since) * 1000
        return int(remaining) if remaining < _LONGEST_MS else None


#: A thousand years: a longer estimate is meaningless.
_LONGEST_MS = 31_536_000_000_000
