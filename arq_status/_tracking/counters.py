"""Counts of how the jobs of a worker ended: kept in memory, sent with its heartbeats."""

import json
from collections import deque
from collections.abc import Collection, Container
from threading import Lock
from typing import Any

from arq_status._model.histogram import bucket_of
from arq_status._model.record import State
from arq_status._model.tally import OTHER, RETRIED, Tally
from arq_status._redis.announcements import function_key
from arq_status._redis.clock import RedisClock
from arq_status._redis.store import Store
from arq_status._redis.tallies import encode_tally
from arq_status._tracking.attempt import Attempt

#: Functions in one batch; more would block Redis for too long.
_BATCH = 8

Encoded = dict[str, Any]
#: Items per end: function, what to count, start and end of the attempt (monotonic time), and when
#: it was due (epoch ms).
_PARTS = 5


class Counters:
    """Counts ends by function, each with its run and wait.

    The event loop counts, the heartbeat's thread adds up and sends. Nothing is encoded per job.
    """

    def __init__(
        self, queue: str, functions: Container[str], cron_jobs: Collection[str], clock: RedisClock
    ) -> None:
        """Count the jobs of one worker.

        Args:
            queue: the worker's queue.
            functions: those that are counted by name; all others are counted together.
            cron_jobs: names of the cron jobs, whose last job is sent as well.
            clock: converts start times of attempts to Redis' clock.
        """
        self._queue = queue
        self._functions = functions
        self._cron_jobs = cron_jobs
        self._clock = clock
        self._lock = Lock()
        #: the items of all ends, flat, because the garbage collector would visit every tuple
        self._ends: deque[Any] = deque()
        self._tallies: dict[str | None, Tally] = {}
        self._last_cron_jobs: dict[str | None, Attempt] = {}
        #: what was added up and is not known to be in Redis
        self._unsent: list[Encoded] = []
        self._number = 0

    def note_cron_job(self, attempt: Attempt, function: str | None) -> None:
        """Note an attempt as the last one of its cron job, if it belongs to one."""
        if function in self._cron_jobs:
            with self._lock:
                self._last_cron_jobs[function] = attempt

    def count(self, attempt: Attempt, function: str | None) -> None:
        """Note the end of an attempt, for the heartbeat's thread to add up."""
        if self._cron_jobs:
            self.note_cron_job(attempt, function)
        record = attempt.record
        what = record.state if attempt.final else RETRIED
        self._ends.extend((function, what, attempt.started_at, attempt.ended_at, record.due))

    def count_completed(self, function: str | None, attempt: Attempt) -> None:
        """Note the end of a completed attempt without creating its record."""
        self._ends.extend(
            (function, State.COMPLETE, attempt.started_at, attempt.ended_at, attempt.due)
        )

    async def send(self, store: Store, worker: str) -> None:
        """Send the counts, in batches that Redis counts once no matter how often they are sent.

        Raises:
            RedisError, OSError: Redis is away; the next call sends what is left.
        """
        # also while Redis is away, so that single ends do not pile up
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
            name = function_key(self._queue, function or OTHER)
            last = self._encode_last(noted[function]) if function in noted else None
            self._unsent.append(encode_tally(name, tally, last))
        return bool(self._unsent)

    def _add_up(self) -> None:
        """Add up the ends noted since the last call."""
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
