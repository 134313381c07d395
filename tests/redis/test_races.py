"""Races: in any order of events, queries return what the truth table allows.

Arq's own commands and the rows of records are sent one by one, in random order: rows arrive late or
twice, overtake each other, or come from tries that ended long ago.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import TypeVar

import pytest
from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.constants import (
    default_queue_name,
    in_progress_key_prefix,
    job_key_prefix,
    result_key_prefix,
    retry_key_prefix,
)
from arq.jobs import serialize_job, serialize_result
from arq.utils import timestamp_ms
from arq.worker import JobExecutionFailed
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from arq_status import Status, StatusClient
from arq_status._model.record import State, StoredRecord
from arq_status._redis import keys
from arq_status._redis.batch import Row
from arq_status._redis.recovery import recover_orphans
from arq_status._redis.store import Store
from tests.fuzzing import examples

T = TypeVar("T")

JOB = "job"
PAYLOAD = job_key_prefix + JOB
IN_PROGRESS = in_progress_key_prefix + JOB
RETRY = retry_key_prefix + JOB
RESULT = result_key_prefix + JOB
HOUR = 3_600_000

#: Steps in each run of the state machine.
STEPS = 40
#: A failure is reported once it has been shrunk as far as possible in five minutes.
TIME_TO_SHRINK = pytest.mark.timeout(360)

ENDED = {
    State.COMPLETE: Status.COMPLETE,
    State.FAILED: Status.FAILED,
    State.STOPPED: Status.STOPPED,
    State.INTERRUPTED: Status.INTERRUPTED,
}
#: Arq's result for each end; a shutdown has the same as an abort.
BOOKED = {**ENDED, State.INTERRUPTED: Status.STOPPED}
RESULTS: dict[State, object] = {
    State.COMPLETE: None,
    State.FAILED: JobExecutionFailed("no vino"),
    State.STOPPED: asyncio.CancelledError(),
    State.INTERRUPTED: asyncio.CancelledError(),
}
ends = st.sampled_from(list(ENDED))


@dataclass
class Try:
    """A try of the job in a worker."""

    record: StoredRecord
    #: True if one of its rows is known to be in Redis
    begun: bool = False

    def row(self, state: State = State.WORKING, *, ended: bool = False) -> Row:
        """Return its next row."""
        self.record.version += 1
        self.record.at += 1
        self.record.state = state
        self.record.updated = timestamp_ms()
        self.record.ended = self.record.updated if ended else None
        return Row(JOB, not self.begun, self.record.encode(), {})


@dataclass(frozen=True)
class Letter:
    """A row in flight, and its try."""

    row: Row
    of: Try
    record: StoredRecord


class Races(RuleBasedStateMachine):
    """Arq, workers and their rows, with the expected state."""

    runner: asyncio.Runner
    redis: ArqRedis

    def __init__(self) -> None:
        super().__init__()
        self.store = Store(self.redis)
        self.client = StatusClient(self.redis)
        self.clock = timestamp_ms() - 10 * HOUR
        self.workers = 0
        self.letters: list[Letter] = []
        # arq's state
        self.run = 0
        #: when the run was first due; ``retry`` sets it again
        self.due = 0
        self.live = False
        self.later = False
        self.tries = 0
        #: the in-progress key: none, taken (before a try starts), held by a try, or left over
        self.key = "none"
        self.result: State | None = None
        self.result_try = 0
        # the try that holds the key, and whether its worker is alive
        self.current: Try | None = None
        self.alive = False
        self.living: set[str] = set()
        #: the record that should be in Redis
        self.record: StoredRecord | None = None

    def do(self, work: Awaitable[T]) -> T:
        """Run a coroutine in the event loop of the state machine."""

        async def wait() -> T:
            return await work

        return self.runner.run(wait())

    @initialize()
    def begin_empty(self) -> None:
        self.do(self.redis.flushdb())

    # arq

    @precondition(lambda self: not self.live and self.result is None)
    @rule(later=st.booleans())
    def enqueue(self, later: bool) -> None:
        """Like ``enqueue_job``, which rejects an id that is live or has a result."""
        self.clock += 1_000
        self.run, self.live, self.later = self.clock, True, later
        self.due = self.run
        payload = payload_of(self.run)

        async def send() -> None:
            async with self.redis.pipeline(transaction=True) as pipe:
                pipe.psetex(PAYLOAD, 24 * HOUR, payload)
                pipe.zadd(default_queue_name, {JOB: self.run + (20 * HOUR if later else 0)})
                await pipe.execute()

        self.do(send())

    @precondition(lambda self: self.live and self.later)
    @rule()
    def fall_due(self) -> None:
        """The job becomes due."""
        self.later = False
        self.do(self.redis.zadd(default_queue_name, {JOB: self.due}))

    @precondition(lambda self: self.live and not self.later and self.key == "none")
    @rule()
    def take(self) -> None:
        """Like ``start_jobs``: the key first."""
        self.key = "taken"
        self.do(self.redis.psetex(IN_PROGRESS, 310_000, b"1"))

    @precondition(lambda self: self.key == "taken")
    @rule(new_worker=st.booleans())
    def begin(self, new_worker: bool) -> None:
        """Like ``run_job``: the try is counted, and its first row is in flight."""
        self.count_try()
        if new_worker or not self.living:
            self.workers += 1
            name = f"host:1:{self.workers}"
            self.living.add(name)
            self.do(self.redis.zadd(keys.WORKERS, {name: timestamp_ms()}))
            self.do(self.redis.set(keys.WORKER + name, "{}"))
        track = StoredRecord(
            enqueued_ms=self.run,
            job_try=self.tries,
            due=self.due,
            started=timestamp_ms(),
            worker=max(self.living),
        )
        self.key, self.current, self.alive = "held", Try(track), True
        self.post(self.current.row())

    @precondition(lambda self: self.key == "taken")
    @rule(kept=st.booleans())
    def give_up(self, kept: bool) -> None:
        """Like ``run_job`` without tries left: no hook is called, and the row comes late."""
        self.count_try()
        record = self.record
        known = record is not None and record.enqueued_ms == self.run and record.ended is None
        track = (
            replace(record)
            if record is not None and known
            else StoredRecord(enqueued_ms=self.run, job_try=0)
        )
        track.job_try = self.tries
        ending = Try(track)
        letter = Letter(ending.row(State.FAILED, ended=True), ending, replace(ending.record))
        self.finish(State.FAILED, kept=kept, keep_key=False)
        self.letters.append(letter)

    @precondition(lambda self: self.current is not None and self.alive)
    @rule(state=ends, kept=st.booleans(), keep_key=st.booleans(), prompt=st.booleans())
    def end(self, state: State, kept: bool, keep_key: bool, prompt: bool) -> None:
        """End the try for good."""
        assert self.current
        self.post(self.current.row(state, ended=True))
        if prompt or not kept:
            self.deliver_last()
        self.finish(state, kept=kept, keep_key=keep_key)

    @precondition(lambda self: self.current is not None and self.alive)
    @rule(state=st.sampled_from([State.RETRYING, State.INTERRUPTED]), later=st.booleans())
    def end_for_now(self, state: State, later: bool) -> None:
        """End the try with ``Retry`` or by a shutdown; arq will run the job again."""
        assert self.current
        self.post(self.current.row(state))
        self.deliver_last()
        self.later, self.key, self.current = later, "none", None

        async def send() -> None:
            async with self.redis.pipeline(transaction=True) as pipe:
                pipe.delete(IN_PROGRESS)
                if later:
                    pipe.zincrby(default_queue_name, 20 * HOUR, JOB)
                await pipe.execute()

        self.do(send())

    @precondition(lambda self: self.current is not None and self.alive)
    @rule()
    def retry_as_cron(self) -> None:
        """End the try of a cron job with ``Retry``; arq keeps the key."""
        assert self.current
        self.post(self.current.row(State.RETRYING))
        self.deliver_last()
        self.key, self.current = "left", None
        self.do(self.redis.pexpire(IN_PROGRESS, 60_000))

    @precondition(lambda self: self.key == "left" or (self.key == "held" and not self.alive))
    @rule()
    def let_key_expire(self) -> None:
        """Expire a key that was left over, or whose worker is dead."""
        self.key, self.current = "none", None
        self.do(self.redis.delete(IN_PROGRESS))

    @precondition(lambda self: self.result is not None)
    @rule()
    def let_result_expire(self) -> None:
        """Expire the result, so that the id can be reused."""
        self.result = None
        self.do(self.redis.delete(RESULT))

    def count_try(self) -> None:
        """Return arq's count of the tries."""
        self.tries += 1
        assert self.do(self.redis.incr(RETRY)) == self.tries

    def finish(self, state: State, *, kept: bool, keep_key: bool) -> None:
        """Like ``finish_job``."""
        data = serialize_result(
            "f", (), {}, self.tries, self.run, state is State.COMPLETE, RESULTS[state],
            self.run, timestamp_ms(), "ref", default_queue_name, JOB,
        )  # fmt: skip
        self.live, self.later, self.result_try, self.current = False, False, self.tries, None
        self.tries = 0
        self.key = "left" if keep_key else "none"
        self.result = state if kept else None

        async def send() -> None:
            async with self.redis.pipeline(transaction=True) as pipe:
                if keep_key:
                    pipe.pexpire(IN_PROGRESS, 60_000)
                else:
                    pipe.delete(IN_PROGRESS)
                if kept and data:
                    pipe.set(RESULT, data, px=HOUR)
                pipe.delete(RETRY, PAYLOAD)
                pipe.zrem(default_queue_name, JOB)
                await pipe.execute()

        self.do(send())

    # workers

    @precondition(lambda self: self.current is not None and self.alive)
    @rule()
    def report(self) -> None:
        """Report progress."""
        assert self.current
        self.post(self.current.row())

    @precondition(lambda self: self.current is not None and self.alive)
    @rule()
    def crash(self) -> None:
        """Kill the worker of the try."""
        assert self.current
        assert self.current.record.worker
        self.alive = False
        self.living.discard(self.current.record.worker)
        self.do(self.redis.zadd(keys.WORKERS, {self.current.record.worker: 0}))

    @precondition(lambda self: self.current is not None and self.alive)
    @rule(state=ends)
    def crash_before_arq_books_the_end(self, state: State) -> None:
        """Record the end, then kill the worker."""
        assert self.current
        self.post(self.current.row(state, ended=True))
        self.deliver_last()
        self.crash()

    # rows

    def post(self, row: Row) -> None:
        """Send a row of the current try."""
        assert self.current
        self.letters.append(Letter(row, self.current, replace(self.current.record)))

    @precondition(lambda self: self.letters)
    @rule(which=st.integers(0, 99), again=st.booleans())
    def deliver(self, which: int, again: bool) -> None:
        """Let a row arrive; it may arrive again."""
        letter = self.letters[which % len(self.letters)]
        if not again:
            self.letters.remove(letter)
        self.put(letter)

    def deliver_last(self) -> None:
        """Let the last row arrive before anything else happens."""
        self.put(self.letters.pop())

    def put(self, letter: Letter) -> None:
        """Write a row; it counts if it is newer than the stored record."""
        stored = self.do(self.store.stored_record(JOB))
        self.do(self.store.write([letter.row]))
        letter.of.begun = True
        if stored is None or self.record is None:
            self.record = letter.record
        elif letter.record.enqueued_ms != self.record.enqueued_ms:
            if self.is_newer_run(letter.record, stored):
                self.record = letter.record
        elif is_newer(letter.record, self.record):
            self.record = letter.record

    def is_newer_run(self, new: StoredRecord, stored: StoredRecord) -> bool:
        """Return True if a row of another run counts: of the live run, or of a later one."""
        if self.live and self.run in (new.enqueued_ms, stored.enqueued_ms):
            return new.enqueued_ms == self.run
        began, before = new.started or new.ended or new.updated, stored.ended or stored.updated
        assert began is not None
        assert before is not None
        return began >= before

    @precondition(lambda self: self.letters)
    @rule(which=st.integers(0, 99))
    def lose(self, which: int) -> None:
        """Lose a row."""
        del self.letters[which % len(self.letters)]

    # control

    @precondition(lambda self: self.key != "taken")
    @rule()
    def cancel(self) -> None:
        """Remove a job that is not running from its queue for good."""
        status = self.do(self.client.status(JOB))
        done = self.do(self.client.cancel(JOB))
        assert done is (self.live and status is not Status.WORKING)
        if not done:
            return
        found = self.do(self.store.stored_record(JOB))
        assert found
        assert (found.enqueued_ms, found.state) == (self.run, State.STOPPED)
        assert found.ended
        self.record, self.live, self.later, self.tries = found, False, False, 0
        if status is Status.INTERRUPTED or self.key == "held":
            self.key, self.current = "none", None

    @precondition(lambda self: self.own_record() is not None)
    @rule()
    def retry(self) -> None:
        """Retry an ended job that is not complete, as long as its payload is kept."""
        own = self.own_record()
        assert own
        again = (Status.FAILED, Status.STOPPED, Status.INTERRUPTED)
        may = not self.live and self.expected_gone() in again
        kept = self.do(self.redis.exists(keys.PAYLOAD + JOB)) == 1
        assert self.do(self.client.retry(JOB)) is (may and kept)
        if may and kept:
            found = self.do(self.store.stored_record(JOB))
            assert found
            assert (found.enqueued_ms, found.state) == (own.enqueued_ms, State.WAITING)
            assert self.do(self.redis.get(PAYLOAD)) == payload_of(own.enqueued_ms)
            self.record, self.run, self.due = found, own.enqueued_ms, found.due or own.enqueued_ms
            self.live, self.tries, self.result, self.key = True, 0, None, "none"

    @precondition(lambda self: self.current is not None and self.alive)
    @rule(force=st.booleans())
    def stop(self, force: bool) -> None:
        """Ask a running job to stop, once its record exists."""
        record = self.record
        assert self.current
        if record and self.is_of_current_try(record) and record.state is State.WORKING:
            forced = force or self.do(self.store.stops()) == {JOB: f"{self.run}!"}
            assert self.do(self.client.stop(JOB, force=force))
            stops = self.do(self.store.stops())
            # a forced stop remains forced
            assert stops == {JOB: f"{self.run}!" if forced else str(self.run)}

    def is_of_current_try(self, record: StoredRecord) -> bool:
        """Return True if the record is of the try that holds the key."""
        assert self.current
        track = self.current.record
        return (record.enqueued_ms, record.due, record.job_try) == (
            track.enqueued_ms,
            track.due,
            track.job_try,
        )

    # readers

    @rule()
    def store_from_outside(self) -> None:
        """Store data from outside; this creates a record for a waiting job."""
        record, stored = self.record, self.do(self.client.store(JOB, vino="veritas"))
        assert stored is (self.live or record is not None)
        if self.live and (record is None or record.enqueued_ms != self.run):
            self.record = StoredRecord(enqueued_ms=self.run, job_try=0, state=State.WAITING)

    @rule()
    def count(self) -> None:
        """Counts agree once lost jobs have been ended."""
        self.do(recover_orphans(Store(self.redis)))
        if self.is_end_awaited():
            return
        counts = self.do(self.client.counts())
        found = [status for status, number in counts.items() for _ in range(number)]
        allowed = self.allowed()
        own, record = self.own_record(), self.record
        lost = record is not None and record.ended is None and not self.live
        if lost or (own is not None and (not self.tries or own.job_try == self.tries)):
            assert len(found) == 1
            assert found[0] in allowed
        self.settle(allowed)

    def is_end_awaited(self) -> bool:
        """Return True if a live worker has half a minute to record the end that arq has stored."""
        record = self.record
        if record is None or record.ended is not None or self.live:
            return False
        return record.worker in self.living and self.result is not None

    def settle(self, allowed: set[Status | None]) -> None:
        """Do what a list or count does to the record of a lost job."""
        record = self.record
        if record is not None and record.ended is None and self.live:
            if record.state is not State.DELETED and record.enqueued_ms != self.run:
                # it belongs to an earlier run
                self.record = None
            return
        if record is None or self.live or record.ended is not None:
            return
        [status] = allowed
        assert status
        state = State(status)
        if self.own_record() is None:
            # a later run that only arq knows
            self.record = StoredRecord(
                enqueued_ms=self.run, job_try=self.result_try, state=state, ended=1
            )
            return
        self.record = replace(
            record,
            state=state,
            version=record.version + 1,
            ended=timestamp_ms(),
        )

    @invariant()
    def what_is_told_is_allowed(self) -> None:
        """The truth table allows the status."""
        status = self.do(self.client.status(JOB))
        assert status in self.allowed()
        if not self.live:
            assert status in (None, *ENDED.values())

    @invariant()
    def what_is_kept_for_a_retry_is_of_the_same_run(self) -> None:
        """The payload is of this run; none is kept without a record or for a complete job."""
        kept = self.do(self.redis.get(keys.PAYLOAD + JOB))
        if kept is not None:
            assert self.record
            assert kept == payload_of(self.record.enqueued_ms)
            assert self.record.state is not State.COMPLETE

    @invariant()
    def the_newest_row_stands(self) -> None:
        """No late row has overwritten a newer try."""
        found = self.do(self.store.stored_record(JOB))
        assert identity(found) == identity(self.record)

    # the truth table

    def own_record(self) -> StoredRecord | None:
        """Return the record if it is of the run that arq knows."""
        record = self.record
        if record is None or not (self.live or self.result):
            return record
        return record if record.enqueued_ms == self.run else None

    def allowed(self) -> set[Status | None]:
        """Return the statuses that are right at this moment."""
        return self.allowed_live() if self.live else {self.expected_gone()}

    def allowed_live(self) -> set[Status | None]:
        waiting = self.expected_waiting()
        if self.key in {"none", "left"}:
            return {waiting}
        if self.key == "taken":
            # between arq's key and its count of the try it may be taken for the key of the last try
            own = self.own_record()
            last = own is not None and own.state is not State.WAITING
            return {waiting, Status.WORKING, *([Status.INTERRUPTED] if last else [])}
        own = self.own_record()
        assert self.current
        if own is None or own.job_try < self.tries or self.alive or own.ended is not None:
            # as far as is known, arq is about to store the recorded end
            return {Status.WORKING}
        return {Status.INTERRUPTED}

    def expected_waiting(self) -> Status:
        own = self.own_record()
        if own is not None and own.ended is None:
            if own.state is State.RETRYING:
                return Status.RETRYING
            if own.state in (State.WORKING, State.INTERRUPTED):
                return Status.INTERRUPTED
        return Status.DEFERRED if self.later else Status.QUEUED

    def expected_gone(self) -> Status | None:
        own = self.own_record()
        if own is not None and own.ended is not None:
            return ENDED[own.state]
        if self.result is not None:
            return BOOKED[self.result]
        if own is None:
            return None
        waits = own.state in (State.WAITING, State.RETRYING)
        return Status.FAILED if waits else Status.INTERRUPTED


def payload_of(run: int) -> bytes:
    """Return the payload of a run; no two are the same."""
    return serialize_job("f", (run,), {}, None, run)


def identity(track: StoredRecord | None) -> tuple[int, int, int, State] | None:
    """Return an identity of the row."""
    if track is None:
        return None
    # an end has no version
    version = track.version if track.ended is None else 0
    return (track.enqueued_ms, track.job_try, version, track.state)


def is_newer(new: StoredRecord, old: StoredRecord) -> bool:
    """Return True if a row replaces another one of its run: of a later try or time."""

    def order(track: StoredRecord) -> tuple[int, int]:
        return (track.due or track.enqueued_ms, track.job_try)

    if order(new) == order(old) and old.ended is not None:
        same_end = new.state is old.state or old.state is State.INTERRUPTED
        return new.ended is not None and same_end
    if order(new) == order(old) and new.ended is not None:
        return True
    if order(new)[0] == order(old)[0] and old.state is State.WAITING:
        return True
    return (*order(new), new.version) > (*order(old), old.version)


@pytest.mark.parametrize(("began", "stands"), [(2_001, State.WORKING), (1_999, State.FAILED)])
async def test_a_run_enqueued_where_the_clock_is_behind(
    pool: ArqRedis, client: StatusClient, began: int, stands: State
) -> None:
    """It replaces a run that had ended before it started; it is not a late row of that."""
    store, now = Store(pool), timestamp_ms()
    last = StoredRecord(
        enqueued_ms=now, job_try=1, state=State.FAILED, started=now, updated=now, ended=now + 2_000
    )
    late = StoredRecord(
        enqueued_ms=now - 1_000, job_try=1, started=now + began, updated=now + began
    )
    for track in (last, late):
        await store.write([Row(JOB, True, track.encode(), {})])
    found = await store.stored_record(JOB)
    assert found
    assert found.state is stands
    expected = Status.FAILED if stands is State.FAILED else Status.INTERRUPTED
    assert await client.status(JOB) is expected


def run_machine(kind: type[Races], dsn: str) -> None:
    """Run a state machine on the Redis under test."""
    with asyncio.Runner() as runner:
        redis = runner.run(create_pool(RedisSettings.from_dsn(dsn)))
        machine = type("Machine", (kind,), {"runner": runner, "redis": redis})
        try:
            run_state_machine_as_test(
                machine,
                settings=settings(
                    max_examples=examples(40),
                    stateful_step_count=STEPS,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                    phases=[Phase.generate, Phase.shrink],
                    report_multiple_bugs=False,
                    database=None,
                ),
            )
        finally:
            runner.run(redis.aclose())


@pytest.mark.hypothesis
@TIME_TO_SHRINK
def test_any_order_of_events(dsn: str) -> None:
    """The status is always allowed, and no late row overwrites the next try."""
    run_machine(Races, dsn)
