"""Redis' clock, as estimated by a process between two replies."""

from dataclasses import replace
from time import monotonic, time

from arq_status._model.facts import ResultPayload

#: A reply with an earlier time is accepted only if it differs by more than this many ms: then the
#: server's clock was set back.
_STEP_MS = 1_000
#: Milliseconds by which a worker's clock may differ without being corrected.
_RIGHT_MS = 1_000


class RedisClock:
    """Redis' time: a monotonic clock and its offset, corrected with every reply.

    A reply arrives after its time was taken, so the largest offset is the most accurate; a much
    smaller one means that the server's clock was set back. Thread-safe.
    """

    __slots__ = ("_offset_ms",)

    def __init__(self) -> None:
        self._offset_ms: float | None = None

    def correct(self, redis_ms: int) -> None:
        """Correct the offset with the time in a reply that has just arrived."""
        offset = redis_ms - monotonic() * 1000
        if self._offset_ms is None or not 0 <= self._offset_ms - offset <= _STEP_MS:
            self._offset_ms = offset

    def now_ms(self) -> int:
        """Return Redis' time in epoch milliseconds."""
        return self.ms_at(monotonic())

    def ms_at(self, moment: float) -> int:
        """Return Redis' time at a moment of ``time.monotonic``, in epoch milliseconds.

        Before the first reply it is the time of this host.
        """
        if self._offset_ms is None:
            return round((time() + moment - monotonic()) * 1000)
        return round(moment * 1000 + self._offset_ms)


def by_redis_clock(result: ResultPayload, keep: int | None, left: int, now: int) -> ResultPayload:
    """Return a result with its times corrected if its worker's clock is wrong.

    The age of the result follows from how long its worker keeps results and its remaining lifetime.
    """
    if keep is None or not 0 <= left <= keep or result.finished_ms is None:
        return result
    ahead = result.finished_ms - (now - (keep - left))
    if abs(ahead) < _RIGHT_MS:
        return result
    # in steps, so that a result does not look changed when it is read again
    ahead = round(ahead / _RIGHT_MS) * _RIGHT_MS
    started = result.started_ms
    return replace(
        result,
        finished_ms=result.finished_ms - ahead,
        started_ms=None if started is None else started - ahead,
    )
