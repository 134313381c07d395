"""The truth table, row by row and for arbitrary facts."""

from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arq_status._model.facts import DeadWorker, Facts, JobPayload, ResultOutcome, ResultPayload
from arq_status._model.options import FunctionOptions
from arq_status._model.record import State, StoredRecord
from arq_status._model.status import ENDED, Status
from arq_status._model.truth import decide

NOW = 1_800_000_000_000
RUN = NOW - 60_000
OTHER_RUN = RUN - 60_000
TRY = 2
EXPIRES = 1_800_000


def lasting(ms: int) -> FunctionOptions:
    """Return options with which jobs are shown for ``ms``, or twice that if they failed."""
    return FunctionOptions(expires=ms, expires_failed=2 * ms)


OPTIONS = lasting(EXPIRES)


def payload(run: int | None = RUN) -> JobPayload:
    return JobPayload(function="f", args="", enqueued_ms=run, job_try=None)


def result(
    outcome: ResultOutcome, run: int | None = RUN, finished: int | None = NOW
) -> ResultPayload:
    return ResultPayload(
        function="f",
        args="",
        enqueued_ms=run,
        job_try=1,
        outcome=outcome,
        error=None,
        started_ms=RUN,
        finished_ms=finished,
        queue=None,
    )


def track(state: State, run: int = RUN, *, ended: bool = False) -> StoredRecord:
    return StoredRecord(
        enqueued_ms=run, job_try=TRY, state=state, worker="w", ended=NOW if ended else None
    )


def ended_long_ago() -> StoredRecord:
    return replace(track(State.COMPLETE), ended=NOW - 10_000)


#: How arq has the job.
LIVE: dict[str, dict[str, Any]] = {
    "queued": {"payload": payload(), "queue": "q", "due": NOW},
    "deferred": {"payload": payload(), "queue": "q", "due": NOW + 1},
    "in a queue not looked at": {"payload": payload()},
    "payload expired": {"queue": "q", "due": NOW},
    "payload unreadable": {"payload": payload(None), "queue": "q", "due": NOW},
    "not live": {},
}
#: Arq's in-progress key and its count of tries; the record is of try 2.
PROGRESS: dict[str, dict[str, Any]] = {
    "none": {},
    "this try": {"in_progress": True, "tries_begun": TRY},
    "the next try": {"in_progress": True, "tries_begun": TRY + 1},
    "left over": {"in_progress": True, "tries_begun": None},
    "this try, worker lost": {"in_progress": True, "tries_begun": TRY, "lost_worker": "w"},
    "the next try, worker lost": {"in_progress": True, "tries_begun": TRY + 1, "lost_worker": "w"},
}
#: The stored record.
RECORDS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "deleted": {"stored_record": track(State.DELETED)},
    "waiting": {"stored_record": track(State.WAITING)},
    "alive": {"stored_record": track(State.WORKING), "worker_alive": True},
    "dead": {"stored_record": track(State.WORKING)},
    "retrying": {"stored_record": track(State.RETRYING)},
    "retrying, worker alive": {"stored_record": track(State.RETRYING), "worker_alive": True},
    "cut off": {"stored_record": track(State.INTERRUPTED)},
    "complete": {"stored_record": track(State.COMPLETE, ended=True)},
    "failed": {"stored_record": track(State.FAILED, ended=True)},
    "stopped": {"stored_record": track(State.STOPPED, ended=True)},
    "interrupted": {"stored_record": track(State.INTERRUPTED, ended=True)},
    "complete long ago": {"stored_record": ended_long_ago()},
    "complete, worker alive": {
        "stored_record": track(State.COMPLETE, ended=True),
        "worker_alive": True,
    },
    "other run, complete": {"stored_record": track(State.COMPLETE, OTHER_RUN, ended=True)},
    "other run, alive": {"stored_record": track(State.WORKING, OTHER_RUN), "worker_alive": True},
    "other run, dead": {"stored_record": track(State.WORKING, OTHER_RUN)},
    "other run, retrying": {"stored_record": track(State.RETRYING, OTHER_RUN)},
}
RESULTS: dict[str, dict[str, Any]] = {
    "none": {},
    "success": {"result": result(ResultOutcome.SUCCESS)},
    "unreadable": {"result": result(ResultOutcome.UNREADABLE, None, None)},
    "cancelled": {"result": result(ResultOutcome.CANCELLED)},
    "failure": {"result": result(ResultOutcome.FAILURE)},
    "expired": {"result": result(ResultOutcome.SUCCESS, RUN, NOW - EXPIRES)},
}


class Row(NamedTuple):
    """A row of the table: the situations that it covers, and their status."""

    live: set[str]
    progress: set[str]
    record: set[str]
    result: set[str]
    status: Status | None

    def matches(self, situation: tuple[str, str, str, str]) -> bool:
        """Return True if it covers this situation."""
        cells = (self.live, self.progress, self.record, self.result)
        return all(name in cell for name, cell in zip(situation, cells, strict=True))


WAITS = set(LIVE) - {"not live"}
#: Without arq's enqueue time, a record of another run is taken for one of this run.
TIMELESS = {"payload expired", "payload unreadable"}
GONE = {"not live"}
#: A dead worker is known to have started a try without a record.
LOST = {"this try, worker lost", "the next try, worker lost"}
COUNTED = {"this try", "the next try", *LOST}
RUNS = {*COUNTED, "left over"}
ANY_PROGRESS = set(PROGRESS)
ANY_RECORD = set(RECORDS)
ANY_RESULT = set(RESULTS)
OTHER_RUNS = {name for name in RECORDS if name.startswith("other run")}
NO_RECORD = {"nothing", "deleted"}
#: Their worker was alive a moment ago, and arq is about to store the end.
JUST_ENDED = {"complete", "failed", "stopped", "interrupted", "complete, worker alive"}
AS_RECORDED = {
    "complete": Status.COMPLETE,
    "complete, worker alive": Status.COMPLETE,
    "complete long ago": Status.COMPLETE,
    "failed": Status.FAILED,
    "stopped": Status.STOPPED,
    "interrupted": Status.INTERRUPTED,
    "other run, complete": Status.COMPLETE,
}
BY_RESULT = {
    "success": Status.COMPLETE,
    "unreadable": Status.COMPLETE,
    "cancelled": Status.STOPPED,
    "failure": Status.FAILED,
    "expired": None,
}

TABLE = [
    # live and in progress
    Row(WAITS, LOST, {"nothing", "deleted", "waiting"}, ANY_RESULT, Status.INTERRUPTED),
    Row(WAITS - TIMELESS, LOST, OTHER_RUNS, ANY_RESULT, Status.INTERRUPTED),
    Row(WAITS, {"the next try, worker lost"}, ANY_RECORD, ANY_RESULT, Status.INTERRUPTED),
    Row(WAITS, COUNTED, {"nothing", "deleted", "waiting"}, ANY_RESULT, Status.WORKING),
    Row(WAITS - TIMELESS, COUNTED, OTHER_RUNS, ANY_RESULT, Status.WORKING),
    Row(WAITS, {"the next try"}, ANY_RECORD, ANY_RESULT, Status.WORKING),
    Row(WAITS, RUNS, {"alive", *JUST_ENDED}, ANY_RESULT, Status.WORKING),
    Row(TIMELESS, RUNS, {"other run, alive", "other run, complete"}, ANY_RESULT, Status.WORKING),
    Row(WAITS, RUNS, {"dead", "complete long ago"}, ANY_RESULT, Status.INTERRUPTED),
    Row(TIMELESS, RUNS, {"other run, dead"}, ANY_RESULT, Status.INTERRUPTED),
    # live; the remaining in-progress keys are left over from a recorded end
    Row(WAITS, ANY_PROGRESS, {"retrying", "retrying, worker alive"}, ANY_RESULT, Status.RETRYING),
    Row(TIMELESS, ANY_PROGRESS, {"other run, retrying"}, ANY_RESULT, Status.RETRYING),
    # the key was evicted
    Row(WAITS, {"none"}, {"alive"}, ANY_RESULT, Status.WORKING),
    Row(TIMELESS, {"none"}, {"other run, alive"}, ANY_RESULT, Status.WORKING),
    Row(WAITS, ANY_PROGRESS, {"dead", "cut off"}, ANY_RESULT, Status.INTERRUPTED),
    Row(TIMELESS, ANY_PROGRESS, {"other run, dead"}, ANY_RESULT, Status.INTERRUPTED),
    Row({"deferred"}, ANY_PROGRESS, ANY_RECORD, ANY_RESULT, Status.DEFERRED),
    Row(WAITS, ANY_PROGRESS, ANY_RECORD, ANY_RESULT, Status.QUEUED),
    # not live
    *(
        Row(GONE, ANY_PROGRESS, {name}, ANY_RESULT, status)
        for name, status in AS_RECORDED.items()
        if name not in OTHER_RUNS
    ),
    Row(GONE, ANY_PROGRESS, {"other run, complete"}, {"none", "unreadable"}, Status.COMPLETE),
    # arq's result belongs to the deleted run
    Row(GONE, ANY_PROGRESS, {"deleted"}, ANY_RESULT - {"none"}, None),
    *(Row(GONE, ANY_PROGRESS, ANY_RECORD, {name}, status) for name, status in BY_RESULT.items()),
    Row(GONE, ANY_PROGRESS, {"waiting"}, {"none"}, Status.FAILED),
    Row(
        GONE,
        ANY_PROGRESS,
        {"retrying", "retrying, worker alive", "other run, retrying"},
        {"none"},
        Status.FAILED,
    ),
    Row(GONE, ANY_PROGRESS, {"alive", "dead", "cut off"}, {"none"}, Status.INTERRUPTED),
    Row(
        GONE,
        ANY_PROGRESS,
        {"other run, alive", "other run, dead"},
        {"none"},
        Status.INTERRUPTED,
    ),
    Row(GONE, ANY_PROGRESS, NO_RECORD, {"none"}, None),
]


def facts(live: str, progress: str, record: str, outcome: str) -> Facts:
    """Return the facts of a situation."""
    known = {**LIVE[live], **PROGRESS[progress], **RECORDS[record], **RESULTS[outcome]}
    return Facts(job_id="j", now=NOW, options=OPTIONS, **known)


@cache
def row_of(situation: tuple[str, str, str, str]) -> Row:
    """Return the first row of the table that matches."""
    return next(row for row in TABLE if row.matches(situation))


SITUATIONS = list(product(LIVE, PROGRESS, RECORDS, RESULTS))


@pytest.mark.parametrize("row", TABLE, ids=range(len(TABLE)))
def test_each_row_of_the_table(row: Row) -> None:
    """Every situation for which this row is the first match has its status."""
    own = [situation for situation in SITUATIONS if row_of(situation) is row]
    assert own, "no situation is left to this row"
    wrong = [it for it in own if decide(facts(*it)) is not row.status]
    assert wrong == []


def test_a_key_left_over_from_a_repeated_try() -> None:
    """A cron job keeps its in-progress key after ``Retry``: it is retrying, then working."""
    waiting = facts("queued", "this try", "retrying", "none")
    assert decide(waiting) is Status.RETRYING
    assert decide(waiting._replace(tries_begun=TRY + 1)) is Status.WORKING


def test_a_job_that_leaves_no_trace_is_complete_once_it_is_gone() -> None:
    """If it is untracked and has no result, unless there is a failure."""
    options = FunctionOptions(track=False, keep_result=0)
    gone = facts("not live", "none", "waiting", "none")._replace(options=options)
    assert decide(gone) is Status.COMPLETE
    for other in ({"track": True}, {"keep_result": 1}):
        assert decide(gone._replace(options=replace(options, **other))) is Status.FAILED
    failed = facts("not live", "none", "waiting", "failure")._replace(options=options)
    assert decide(failed) is Status.FAILED


def test_a_key_left_over_from_an_earlier_run_is_ignored() -> None:
    """An id reused within the 60 s for which cron keeps the key is queued until it starts."""
    again = facts("queued", "left over", "other run, complete", "none")
    assert decide(again) is Status.QUEUED
    assert decide(again._replace(due=NOW + 1)) is Status.DEFERRED
    assert decide(again._replace(tries_begun=1)) is Status.WORKING


@pytest.mark.parametrize(
    ("known", "status"),
    [
        ({"in_progress_ttl_ms": 60_000}, Status.QUEUED),
        ({"in_progress_ttl_ms": 60_001}, Status.WORKING),
        ({"in_progress_ttl_ms": 60_000, "tries_begun": 1}, Status.WORKING),
        ({"in_progress_ttl_ms": 60_000, "lost_worker": "w"}, Status.INTERRUPTED),
    ],
)
def test_a_key_without_a_record(known: dict[str, Any], status: Status) -> None:
    """It is left over if arq has counted no try and it has the TTL of one that cron keeps."""
    assert decide(facts("queued", "left over", "nothing", "none")._replace(**known)) is status


def test_a_job_is_due_at_the_exact_millisecond() -> None:
    """It is deferred until the millisecond before that."""
    assert decide(facts("queued", "none", "nothing", "none")) is Status.QUEUED
    assert decide(facts("deferred", "none", "nothing", "none")) is Status.DEFERRED


@pytest.mark.parametrize(
    ("enqueued", "deleted", "status"),
    [
        (RUN, RUN, None),
        (OTHER_RUN, RUN, None),
        (None, RUN, None),
        (0, RUN, None),
        (RUN, OTHER_RUN, Status.COMPLETE),
    ],
)
def test_a_tombstone_hides_results_up_to_its_run(
    enqueued: int | None, deleted: int, status: Status | None
) -> None:
    """Arq's result of the deleted run does not count; that of a later run does."""
    found = result(ResultOutcome.SUCCESS, enqueued)
    gone = Facts(
        job_id="j",
        now=NOW,
        stored_record=track(State.DELETED, deleted),
        result=found,
        options=OPTIONS,
    )
    assert decide(gone) is status


@pytest.mark.parametrize(
    ("outcome", "age", "status"),
    [
        (ResultOutcome.SUCCESS, EXPIRES - 1, Status.COMPLETE),
        (ResultOutcome.SUCCESS, EXPIRES, None),
        (ResultOutcome.FAILURE, 2 * EXPIRES - 1, Status.FAILED),
        (ResultOutcome.FAILURE, 2 * EXPIRES, None),
        (ResultOutcome.CANCELLED, EXPIRES, Status.STOPPED),
    ],
)
def test_a_result_alone_is_shown_until_it_expires(
    outcome: ResultOutcome, age: int, status: Status | None
) -> None:
    """The expiry of a job without a record starts when arq finished it; failures last longer."""
    found = result(outcome, RUN, NOW - age)
    assert decide(Facts(job_id="j", now=NOW, result=found, options=OPTIONS)) is status


@pytest.mark.parametrize("run", [0, RUN])
def test_an_unknown_enqueue_time_matches_any_run(run: int) -> None:
    """A record without an enqueue time counts for any result, and vice versa."""
    ended = track(State.FAILED, run, ended=True)
    found = result(ResultOutcome.SUCCESS, RUN if run == 0 else None)
    assert decide(Facts(job_id="j", now=NOW, stored_record=ended, result=found)) is Status.FAILED


@pytest.mark.parametrize(
    ("queue", "since_beat", "may"),
    [
        ("q", -1_001, False),
        ("q", -1_000, True),
        ("q", 0, True),
        ("q", 4_000, True),
        ("q", 4_001, False),
        ("another", 0, False),
        (None, 0, False),
    ],
)
def test_tries_that_a_dead_worker_may_have_started(
    queue: str | None, since_beat: int, may: bool
) -> None:
    """Those in its queue that started around its last heartbeat, by the age of arq's key."""
    in_progress_ms, age = 310_000, 30_000
    worker = DeadWorker("w", "q", NOW - age - since_beat, in_progress_ms)
    assert worker.may_have_begun(queue, NOW, in_progress_ms - age) is may


@pytest.mark.parametrize(
    ("since_block", "may"),
    [(-1_001, False), (-1_000, True), (4_000, True), (4_001, False), (59_000, True)],
)
def test_tries_that_a_blocked_worker_may_have_started(since_block: int, may: bool) -> None:
    """A worker that had been blocked for a minute when it died started nothing in between."""
    in_progress_ms, age, blocked = 310_000, 90_000, 60_000
    worker = DeadWorker("w", "q", NOW - age - since_block + blocked, in_progress_ms, blocked)
    assert worker.may_have_begun("q", NOW, in_progress_ms - age) is may


# arbitrary facts

times = st.none() | st.integers(NOW - 10, NOW + 10)
runs = st.sampled_from([0, OTHER_RUN, RUN])
tracks = st.builds(
    StoredRecord,
    enqueued_ms=runs,
    job_try=st.integers(0, 3),
    state=st.sampled_from(State),
    ended=times,
    worker=st.none() | st.just("w"),
)
payloads = st.builds(payload, st.none() | runs)
results = st.builds(result, st.sampled_from(ResultOutcome), st.none() | runs, times)
some_facts = st.builds(
    Facts,
    job_id=st.just("j"),
    now=st.just(NOW),
    payload=st.none() | payloads,
    queue=st.none() | st.just("q"),
    due=times,
    in_progress=st.booleans(),
    tries_begun=st.none() | st.integers(0, 4),
    stored_record=st.none() | tracks,
    worker_alive=st.booleans(),
    lost_worker=st.none() | st.just("w"),
    result=st.none() | results,
    options=st.sampled_from([1, 5, EXPIRES]).map(lasting),
)
ENDS = {
    State.COMPLETE: Status.COMPLETE,
    State.FAILED: Status.FAILED,
    State.STOPPED: Status.STOPPED,
    State.INTERRUPTED: Status.INTERRUPTED,
}


@given(some_facts)
def test_there_is_always_a_status(found: Facts) -> None:
    """No facts raise; a live job has a status, which is not an end unless interrupted."""
    status = decide(found)
    assert status is None or type(status) is Status
    if found.live:
        assert status is not None
        assert status not in set(ENDED) - {Status.INTERRUPTED}
    else:
        assert status in (None, *ENDED)


@given(some_facts, st.sampled_from(list(ENDS)), st.sampled_from([None, 0, RUN]))
def test_a_recorded_end_decides(found: Facts, state: State, run: int | None) -> None:
    """If it is of the same run, arq's keys do not matter."""
    found = found._replace(
        payload=None,
        queue=None,
        stored_record=track(state, ended=True),
        result=None if run is None else result(ResultOutcome.FAILURE, run),
    )
    assert decide(found) is ENDS[state]


@given(some_facts, runs)
def test_a_record_of_another_run_is_ignored(found: Facts, run: int) -> None:
    """The status is the same as without a record, apart from leftover keys."""
    other = StoredRecord(enqueued_ms=run + 1, job_try=1, state=State.WORKING)
    found = found._replace(payload=payload(RUN), tries_begun=1, stored_record=other)
    assert decide(found) is decide(found._replace(stored_record=None))


@given(some_facts)
def test_a_job_without_payload_result_and_record_is_unknown(found: Facts) -> None:
    """Neither a leftover key nor a live worker changes that."""
    found = found._replace(payload=None, queue=None, stored_record=None, result=None)
    assert decide(found) is None
