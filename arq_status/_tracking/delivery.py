"""Sends the rows of an outbox."""

import logging
from time import monotonic

from redis.exceptions import ResponseError

from arq_status._redis.store import Store
from arq_status._tracking.outbox import BATCH_LIMIT, Batch, Outbox

logger = logging.getLogger("arq_status")

#: Rows refused in a row after which Redis counts as refusing all of them.
_REFUSED = 10


class Delivery:
    """Sends batches of an outbox; what cannot be sent goes back into it.

    The event loop and its heartbeat may send at the same time: of two rows of an attempt the newer
    one counts, whichever arrives first.
    """

    def __init__(self, store: Store, outbox: Outbox) -> None:
        self._store = store
        self._outbox = outbox
        #: the batch being sent
        self._in_flight: Batch = []

    async def send(self, *, progress: bool, ended: bool = True, limit: int = BATCH_LIMIT) -> int:
        """Send a batch; return the number of attempts in it.

        Args:
            progress: also send the rows of jobs that only made progress.
            ended: also send the rows of jobs that have ended.
            limit: the most attempts to send rows of.

        Raises:
            RedisError, OSError: Redis is away, or refuses everything.
        """
        taken = self._outbox.take(limit, progress=progress, ended=ended)
        if not taken:
            return 0
        self._in_flight = taken
        try:
            await self._send(taken)
        finally:
            self._in_flight = []
        attempts = [attempt for attempt, _ in taken]
        return len({*attempts} - {None}) + attempts.count(None)

    def give_back_unanswered(self) -> None:
        """Put the batch in flight back into the outbox: a blocked event loop may never send it."""
        unanswered, self._in_flight = self._in_flight, []
        self._outbox.give_back(unanswered)

    async def _send(self, taken: Batch) -> None:
        try:
            stopping = await self._store.write([row for _, row in taken])
        except (ResponseError, UnicodeError) as error:
            await self._send_singly(taken, error)
        except BaseException:
            self._outbox.give_back(taken)
            raise
        else:
            _note_written(taken, stopping)

    async def _send_singly(self, taken: Batch, error: Exception) -> None:
        """Find out whether single rows are bad or Redis refuses all of them."""
        refused: Batch = []
        for position, (attempt, row) in enumerate(taken):
            if len(refused) == position == _REFUSED:
                refused += taken[position:]
                break
            try:
                stopping = await self._store.write([row])
            except (ResponseError, UnicodeError) as refusal:
                refused.append((attempt, row))
                error = refusal
            except BaseException:
                self._outbox.give_back(refused + taken[position:])
                raise
            else:
                _note_written([(attempt, row)], stopping)
        if len(refused) == len(taken) and not isinstance(error, UnicodeError):
            self._outbox.give_back(refused)
            raise error
        for attempt, row in refused:
            if attempt is not None:
                attempt.mark_sent(row)
            logger.warning(
                "dropped a report of job %r that could not be written: %r", row.job_id, error
            )


def _note_written(taken: Batch, stopping: set[str]) -> None:
    now = monotonic()
    for attempt, row in taken:
        if attempt is None:
            continue
        attempt.first_row_written, attempt.answered_at = True, now
        if row.fields or attempt.log is not None:
            attempt.mark_sent(row)
        if stopping and attempt.job_id in stopping:
            attempt.stopping = True
