"""What a job may say, and how: ``JobTracker``, ``sync`` and ``current_tracker``."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Coroutine
from decimal import Decimal
from fractions import Fraction
from time import monotonic, thread_time
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.worker import Retry, func
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arq_status import (
    JobRecord,
    JobStopped,
    JobTracker,
    Status,
    StatusClient,
    current_tracker,
    track_status,
)
from arq_status._model.record import StoredRecord
from arq_status._model.validation import FIELD_LIMIT
from arq_status._redis.store import Store
from arq_status._tracking.attempt import MESSAGE_LIMIT, Attempt
from arq_status._tracking.outbox import Outbox
from tests.conftest import StartWorker, ended, forgotten_by_arq, until
from tests.fuzzing import examples

Job = Callable[[JobTracker], Coroutine[Any, Any, Any]]
RunJob = Callable[[Job], Coroutine[Any, Any, JobRecord]]


@pytest.fixture
async def run_job(pool: ArqRedis, client: StatusClient, start_worker: StartWorker) -> RunJob:
    """Runs a function with the tracker of a real job; the job's last record."""
    jobs: list[Job] = []

    async def work(ctx: dict[str, Any]) -> None:
        await jobs[-1](ctx["status"])

    started = False

    async def run(job: Job) -> JobRecord:
        nonlocal started
        jobs.append(job)
        if not started:
            await start_worker(track_status({"functions": [func(work, name="work")]}))
            started = True
        await pool.delete("arq:result:job")
        await pool.enqueue_job("work", _job_id="job")
        return await ended(client, "job")

    return run


def loose() -> tuple[JobTracker, StoredRecord]:
    """A tracker that belongs to no worker, and its record."""
    track = StoredRecord(enqueued_ms=1, job_try=2)
    return JobTracker(Attempt("loose", track, None)), track


async def test_progress_in_steps(run_job: RunJob) -> None:
    """Steps add up, the last message stays, and a total of one's own counts."""

    async def job(status: JobTracker) -> None:
        assert (status.job_id, status.job_try) == ("job", 1)
        await status.total(10)
        await status.at(2, "first")
        await status.advance(3)
        await status.advance(message="second")
        await status.checkpoint()
        await status.flush()

    record = await run_job(job)
    assert (record.at, record.total, record.message) == (6, 10, "second")
    assert record.pct_complete == 100


@pytest.mark.parametrize("call", ["at", "total", "advance"])
@pytest.mark.parametrize("value", ["5", None, [], object(), 1j, True])
async def test_not_a_number(call: str, value: Any) -> None:
    """What is no number is refused, in async code and in threads, and nothing changes."""
    status, track = loose()
    before = track.encode()
    with pytest.raises(TypeError, match="must be a number"):
        await getattr(status, call)(value)
    with pytest.raises(TypeError, match="must be a number"):
        getattr(status.sync, call)(value)
    assert track.encode() == before


@pytest.mark.parametrize("call", ["at", "total", "advance"])
@pytest.mark.parametrize(
    "value",
    [
        *(-1, -0.5, math.nan, math.inf, -math.inf, 10**400, Fraction(10**400)),
        *(Decimal("nan"), Decimal("snan"), Decimal("1e301"), 1e301),
    ],
)
async def test_a_number_that_says_nothing(call: str, value: Any) -> None:
    """Negative and not finite numbers are refused, and nothing changes."""
    status, track = loose()
    before = track.encode()
    with pytest.raises(ValueError, match="finite and not negative"):
        await getattr(status, call)(value)
    assert track.encode() == before


@pytest.mark.parametrize("value", [5, 5.0, Decimal("5"), Fraction(5)])
async def test_numbers_of_all_kinds(value: Any) -> None:
    """Every kind of real number counts as what it is."""
    status, track = loose()
    await status.at(value)
    await status.total(value)
    assert (track.at, track.total) == (5, 5)


async def test_messages() -> None:
    """A message is a text of bounded length; the same one again costs nothing."""
    status, track = loose()
    with pytest.raises(TypeError, match="message must be a str"):
        await status.at(1, 5)  # type: ignore[arg-type]
    message = "x" * 5_000
    await status.at(1, message)
    assert track.message is not None
    assert len(track.message) == MESSAGE_LIMIT
    kept = track.message
    await status.at(2, kept)
    assert track.message is kept


async def test_fields_that_cannot_be_stored() -> None:
    """Built-in names, values beyond JSON and too large ones are refused by name."""
    status, _ = loose()
    for name in ("status", "at", "data", "job_id"):
        with pytest.raises(ValueError, match=f"'{name}' is a built-in field"):
            await status.store(**{name: 1})
    for value in (object(), math.nan, {1, 2}, b"x"):
        with pytest.raises(TypeError, match="field 'wine' cannot be stored"):
            await status.store(wine=value)
    with pytest.raises(ValueError, match="field 'wine' takes"):
        await status.store(wine="x" * FIELD_LIMIT)
    await status.store(wine="x" * (FIELD_LIMIT - 2))


async def test_retrieve(run_job: RunJob, client: StatusClient) -> None:
    """A job reads what it stored, before and after it is written, and what others stored."""
    seen: list[Any] = []

    async def job(status: JobTracker) -> None:
        await status.store(own=(1, 2))
        seen.append(await status.retrieve("own"))
        await status.flush()
        seen.append(await status.retrieve("own"))
        await client.store("job", other="theirs", own="changed")
        seen.append(await status.retrieve("other"))
        seen.append(await status.retrieve("own"))
        seen.append(await status.retrieve("nothing", "default"))

    assert (await run_job(job)).data == {"own": "changed", "other": "theirs"}
    assert seen == [[1, 2], [1, 2], "theirs", "changed", "default"]


async def test_retrieve_what_is_damaged(run_job: RunJob, pool: ArqRedis) -> None:
    """A field that is no JSON, or a key of another type, is as good as none."""
    seen: list[Any] = []

    async def job(status: JobTracker) -> None:
        await status.store(own=1)
        await status.flush()
        await Store(pool).redis.hset("arqstatus:1:data:job", "bad", b"{")
        seen.append(await status.retrieve("bad", "default"))
        await pool.set("arqstatus:1:data:job", b"x")
        seen.append(await status.retrieve("own"))

    await run_job(job)
    assert seen == ["default", 1]


async def test_track_iterables(run_job: RunJob) -> None:
    """Items are counted when they are done with, whatever yields them."""
    seen: list[tuple[float, float]] = []

    async def letters() -> AsyncIterator[str]:
        for letter in "abc":
            yield letter

    async def job(status: JobTracker) -> None:
        track = status._attempt.record
        async for _ in status.track(["a", "b"], "list"):
            pass
        seen.append((track.at, track.total))
        async for _ in status.track(letters()):
            pass
        seen.append((track.at, track.total))
        async for _ in status.track((it for it in "abcd"), total=4):
            pass
        seen.append((track.at, track.total))
        async for letter in status.track("abc"):
            if letter == "b":
                break
        seen.append((track.at, track.total))

    record = await run_job(job)
    assert seen == [(2, 2), (3, 2), (4, 4), (1, 3)]
    assert record.message == "list"


async def test_track_without_a_length() -> None:
    """Where nobody knows how many items there are, the total is 0 and says so."""
    status, track = loose()
    async for _ in status.track(iter("ab")):
        pass
    assert (track.at, track.total) == (2, 0)


async def test_an_exception_in_the_body_of_track(run_job: RunJob) -> None:
    """The item that failed is not counted."""

    async def job(status: JobTracker) -> None:
        async for number in status.track(range(5)):
            if number == 3:
                raise ValueError("three")

    record = await run_job(job)
    assert (record.status, record.at, record.error) == (Status.FAILED, 3, "ValueError: three")


async def test_a_tight_loop_starves_nobody(run_job: RunJob, client: StatusClient) -> None:
    """While a job does nothing but report, other tasks run and readers see it move."""
    longest, seen = 0.0, set()

    async def watch() -> None:
        nonlocal longest
        last = thread_time()
        while True:
            await asyncio.sleep(0)
            longest, last = max(longest, thread_time() - last), thread_time()

    async def read() -> None:
        while True:
            seen.add(await client.at("job"))

    async def job(status: JobTracker) -> None:
        others = [asyncio.create_task(watch()), asyncio.create_task(read())]
        began, step = monotonic(), 0
        while monotonic() - began < 1 or (len(seen) < 4 and monotonic() - began < 10):
            step += 1
            await status.at(step)
        for other in others:
            other.cancel()

    await run_job(job)
    assert longest < 0.5
    assert len(seen) > 3


async def test_threads(run_job: RunJob) -> None:
    """Code in a thread says the same without await, and finds its tracker."""

    def in_thread() -> None:
        status = current_tracker().sync
        assert (status.job_id, status.job_try) == ("job", 1)
        status.total(50)
        for _ in status.track([1, 2, 3], "in a thread"):
            pass
        status.at(4)
        status.advance()
        status.store(vino="veritas")
        status.flush()
        assert status.retrieve("vino") == "veritas"
        status.checkpoint()

    async def job(status: JobTracker) -> None:
        assert current_tracker() is status
        assert status.sync is status.sync
        await asyncio.to_thread(in_thread)

    record = await run_job(job)
    assert record.error is None
    assert (record.at, record.total, record.data) == (5, 3, {"vino": "veritas"})


async def test_sync_where_an_event_loop_runs() -> None:
    """What would wait for the event loop inside of it is refused; the rest works."""
    status, track = loose()
    status.sync.at(3)
    assert track.at == 3
    for call in (status.sync.flush, lambda: status.sync.retrieve("x")):
        with pytest.raises(RuntimeError, match="await the call instead"):
            call()


def test_a_tracker_without_a_worker() -> None:
    """It works outside any event loop as well, and answers from memory."""
    status, track = loose()
    status.sync.store(vino="veritas")
    assert status.sync.retrieve("vino") == "veritas"
    status.sync.flush()
    asyncio.run(status.at(1))
    asyncio.run(status.flush())
    assert track.at == 1


def test_no_job_here() -> None:
    """Outside a job there is no tracker."""
    with pytest.raises(LookupError, match="no arq job is running here"):
        current_tracker()


async def test_a_new_try(pool: ArqRedis, client: StatusClient, start_worker: StartWorker) -> None:
    """It keeps message and data and starts at 0."""
    second = asyncio.Event()
    leave = asyncio.Event()

    async def work(ctx: dict[str, Any]) -> None:
        status: JobTracker = ctx["status"]
        if status.job_try == 1:
            await status.at(40, "first try")
            await status.store(vino="veritas")
            raise Retry
        await status.flush()
        second.set()
        await leave.wait()

    await start_worker(track_status({"functions": [func(work, name="work")]}))
    await pool.enqueue_job("work", _job_id="job")
    await asyncio.wait_for(second.wait(), 10)
    record = await client.job("job")
    leave.set()
    assert record is not None
    assert (record.job_try, record.at, record.message) == (2, 0, "first try")
    assert record.data == {"vino": "veritas"}


async def test_a_new_run(run_job: RunJob) -> None:
    """The same id enqueued again starts empty."""

    async def first(status: JobTracker) -> None:
        await status.at(40, "first run")
        await status.store(vino="veritas")

    async def second(status: JobTracker) -> None:
        await status.at(1)

    await run_job(first)
    record = await run_job(second)
    assert (record.at, record.message, record.data) == (1, None, {})


@pytest.mark.parametrize("call", ["at", "advance", "checkpoint", "track", "sync"])
async def test_a_job_that_is_asked_to_stop(
    run_job: RunJob, client: StatusClient, pool: ArqRedis, call: str
) -> None:
    """It ends with its next call after the flag came with a write, also where it catches all."""

    async def speak(status: JobTracker) -> None:
        if call == "track":
            async for _ in status.track(range(2)):
                pass
        elif call == "sync":
            await asyncio.to_thread(status.sync.total, 5)
        else:
            await getattr(status, call)(*([1] if call == "at" else []))

    async def job(status: JobTracker) -> None:
        assert await client.stop("job")
        await status.store(asked=True)
        await status.flush()
        try:
            await speak(status)
        except JobStopped:
            await speak(status)

    record = await run_job(job)
    assert (record.status, record.error) == (Status.STOPPED, "stopped")
    assert not await pool.exists("arqstatus:1:stops")


@settings(max_examples=examples(200), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["at", "total", "advance"]),
            st.one_of(st.integers(0, 10**12), st.floats(0, 1e12)),
            st.none() | st.text(),
        )
    )
)
def test_any_sequence_of_progress(calls: list[tuple[str, float, str | None]]) -> None:
    """The record tells the sum of what was said, whatever it was, after a way through JSON."""
    outbox = Outbox()
    run = Attempt("job", StoredRecord(enqueued_ms=1, job_try=1), outbox)
    at: float = 0
    total: float = 100
    said = None
    for call, value, message in calls:
        if call == "total":
            run.total(value)
            total = value
        else:
            getattr(run, call)(value, message)
            at = value if call == "at" else at + value
            said = said if message is None else message
    rows = outbox.take(10, progress=True)
    assert len(rows) == (1 if calls else 0)
    for _, row in rows:
        track = StoredRecord.decode(row.record.encode())
        assert track is not None
        assert (track.at, track.total) == (at, total)
        assert track.message == (said and said[:MESSAGE_LIMIT])


async def test_nothing_is_said_after_the_end(run_job: RunJob, client: StatusClient) -> None:
    """Progress of a task that outlives its job changes nothing; data still arrives."""
    kept: list[JobTracker] = []

    async def job(status: JobTracker) -> None:
        kept.append(status)
        await status.at(7, "last")

    await run_job(job)
    await kept[0].at(50, "too late")
    await kept[0].store(vino="veritas")
    await until(lambda: client.get("job", "vino"))
    record = await client.job("job")
    assert record is not None
    assert (record.at, record.message, record.status) == (7, "last", Status.COMPLETE)


class Endless:
    """An iterable that has a length only by name."""

    def __len__(self) -> int:
        raise NotImplementedError

    def __iter__(self) -> Any:
        return iter([1, 2])


async def test_iterables_whose_length_nobody_can_tell(run_job: RunJob) -> None:
    """They are counted all the same; and any name is one for ``store``."""

    async def job(status: JobTracker) -> None:
        async for _ in status.track(range(10**20)):
            break
        async for _ in status.track(Endless()):
            pass
        await status.store(self=1)
        status.sync.store(self=2)

    record = await run_job(job)
    assert (record.at, record.total, record.data) == (2, 0, {"self": 2})


async def test_threads_that_advance_together(run_job: RunJob) -> None:
    """No step is lost."""

    async def job(status: JobTracker) -> None:
        def crunch() -> None:
            for _ in range(50_000):
                status.sync.advance()

        await asyncio.gather(*(asyncio.to_thread(crunch) for _ in range(4)))

    assert (await run_job(job)).at == 200_000


async def test_retrieving_before_anything_is_written(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new run does not find what the run before it with the same id stored."""
    monkeypatch.setattr("arq_status._tracking.beginning._START_TIMEOUT", 0)
    found: asyncio.Queue[Any] = asyncio.Queue()

    async def job(ctx: dict[str, Any]) -> None:
        status: JobTracker = ctx["status"]
        await found.put(await status.retrieve("run"))
        await status.store(run=1)

    await start_worker(track_status({"functions": [func(job, name="job", keep_result=0)]}))
    for _ in range(5):
        await pool.enqueue_job("job", _job_id="job")
        assert await found.get() is None
        await forgotten_by_arq(pool, "job")
