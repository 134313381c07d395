"""How the jobs of a worker ended, in numbers: counted in memory, sent with its heartbeats."""

import json
from collections import deque
from collections.abc import Collection, Container
from threading import Lock
from typing import Any

from arq_status._model.histogram import bucket_of
from arq_status._model.record import State
from arq_status._model.tally import OTHER, RETRIED, Tally
from arq_status._redis.announcements import announced_as
from arq_status._redis.clock import RedisClock
from arq_status._redis.store import Store
from arq_status._redis.tallies import encode_tally
from arq_status._tracking.attempt import Attempt

#: Functions in one batch, so that Redis is not held up by it.
_BATCH = 8

Encoded = dict[str, Any]
#: Parts of an end: function, what to count, when the attempt began and ended (monotonic time), and
#: when it was due (ms).
_PARTS = 5


class Counters:
    """Counts ends by function, each with its run and wait.

    The event loop counts, the heartbeat's thread takes what was counted. No text is made per job.
    """

    def __init__(
        self, queue: str, functions: Container[str], cron_jobs: Collection[str], clock: RedisClock
    ) -> None:
        """Count the jobs of one worker.

        Args:
            queue: the worker's queue.
            functions: those that are counted by name; others are counted as one.
            cron_jobs: those of them whose last job is noted.
            clock: tells when attempts began by Redis' clock.
        """
        self._queue = queue
        self._functions = functions
        self._cron_jobs = cron_jobs
        self._clock = clock
        self._lock = Lock()
        #: the parts of all ends in a row: the garbage collector would look at every tuple of them
        self._ends: deque[Any] = deque()
        self._tallies: dict[str | None, Tally] = {}
        self._last_cron_jobs: dict[str | None, Attempt] = {}
        #: what was taken and is not known to be in Redis
        self._unsent: list[Encoded] = []
        self._number = 0

    def note_cron_job(self, attempt: Attempt, function: str | None) -> None:
        """Note an attempt as the last one of a cron job, if it is of one."""
        if function in self._cron_jobs:
            with self._lock:
                self._last_cron_jobs[function] = attempt

    def count(self, attempt: Attempt, function: str | None) -> None:
        """Count the end of an attempt: note it, for the heartbeat's thread to add up."""
        if self._cron_jobs:
            self.note_cron_job(attempt, function)
        record = attempt.record
        what = record.state if attempt.final else RETRIED
        self._ends.extend((function, what, attempt.started_at, attempt.ended_at, record.due))

    def count_completed(self, function: str | None, attempt: Attempt) -> None:
        """Count the end of an attempt whose record was not made."""
        self._ends.extend(
            (function, State.COMPLETE, attempt.started_at, attempt.ended_at, attempt.due)
        )

    async def send(self, store: Store, worker: str) -> None:
        """Send what was counted, in batches that are counted once however often they are sent.

        Raises:
            RedisError, OSError: Redis is away; what is not sent is sent the next time.
        """
        # also while Redis is away, so that not every end is kept
        self._add_up()
        while self._unsent or self._take():
            batch = self._unsent[:_BATCH]
            await store.count(worker, self._number, batch)
            self._number += 1
            del self._unsent[: len(batch)]

    def _take(self) -> bool:
        tallies, self._tallies = self._tallies, {}
        with self._lock:
            noted, self._last_cron_jobs = self._last_cron_jobs, {}
        for name in noted.keys() - tallies.keys():
            tallies[name] = Tally()
        for function, tally in tallies.items():
            name = announced_as(self._queue, function or OTHER)
            last = self._encode_last(noted[function]) if function in noted else None
            self._unsent.append(encode_tally(name, tally, last))
        return bool(self._unsent)

    def _add_up(self) -> None:
        """Add up what was noted since the last time."""
        next_part = self._ends.popleft
        for _ in range(len(self._ends) // _PARTS):
            function, what = next_part(), next_part()
            began, ended, due = next_part(), next_part(), next_part()
            tally = self._tallies.get(function)
            if tally is None:
                tally = self._tally_of(function)
            tally.counts[what] += 1
            if what == RETRIED or began is None or ended is None:
                continue
            run, bucket = ended - began, bucket_of(ended - began)
            tally.runs[bucket] = tally.runs.get(bucket, 0) + 1
            tally.run_sum += run
            tally.run_max = max(tally.run_max, run)
            if due is not None:
                wait = max(0, self._clock.ms_at(began) - due) / 1000
                bucket = bucket_of(wait)
                tally.waits[bucket] = tally.waits.get(bucket, 0) + 1
                tally.wait_sum += wait

    def _tally_of(self, function: str | None) -> Tally:
        name = function if function is not None and function in self._functions else None
        return self._tallies.setdefault(name, Tally())

    def _encode_last(self, attempt: Attempt) -> str:
        ended = elapsed = None
        if attempt.ended_at is not None and attempt.final:
            ended = self._clock.ms_at(attempt.ended_at)
            elapsed = round((attempt.ended_at - (attempt.started_at or attempt.ended_at)) * 1000)
        return json.dumps([attempt.job_id, attempt.record.state, ended, elapsed])
