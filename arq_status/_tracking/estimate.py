"""How long a job will still take, from its pace since its first report."""


class Estimate:
    """The pace of a job over the later part of the time since its first report.

    It compares the present with a sample that was taken when between a quarter and a half of that
    time had passed. A job that resumes, or that takes long to begin, is thus not judged by it.
    """

    __slots__ = ("_newer", "_older")

    def __init__(self) -> None:
        #: (monotonic time, progress)
        self._older: tuple[float, float] | None = None
        self._newer: tuple[float, float] | None = None

    def remaining_ms(self, now: float, at: float, total: float) -> int | None:
        """Take in how far the job is, and return how long it will take to reach its total.

        ``None`` if that cannot be told: it has no total, or has made no progress.
        """
        if self._older is None or self._newer is None or at < self._newer[1]:
            # the first report, or the job counts from the beginning again
            self._older = self._newer = now, at
            return None
        since, before = self._older
        if now - self._newer[0] > self._newer[0] - since:
            self._older, self._newer = self._newer, (now, at)
        if not total or at <= before:
            return None
        remaining = max(0.0, total - at) / (at - before) * (now - since) * 1000
        return int(remaining) if remaining < _LONGEST_MS else None


#: A thousand years: an estimate beyond says nothing.
_LONGEST_MS = 31_536_000_000_000
