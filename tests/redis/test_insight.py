"""Queries for functions, queues, workers and cron jobs."""

import asyncio
import json
import os
import random
import socket
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from time import monotonic
from typing import Any

import pytest
from arq import Retry, cron, func
from arq.connections import ArqRedis
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as NoConnection

import arq_status
from arq_status import CronRecord, FunctionStats, Status, StatusClient, track_status
from arq_status._model.histogram import bucket_of
from arq_status._model.options import FunctionOptions
from arq_status._model.record import State, StoredRecord
from arq_status._model.tally import COUNTED, Tally
from arq_status._redis import keys, scripts
from arq_status._redis.announcements import function_key
from arq_status._redis.clock import RedisClock
from arq_status._redis.scripts import Script, assembled
from arq_status._redis.store import Store
from arq_status._redis.tallies import decode_entry, encode_tally
from arq_status._tracking.attempt import Attempt
from arq_status._tracking.counters import Counters
from tests.conftest import RunBurst, StartWorker, ended, started, until
from tests.records import HOUR, beat, begin, put_job, write_record

DAY = timedelta(days=1)
Context = dict[str, Any]


async def work(ctx: Context, outcome: str = "complete") -> None:
    """End as told."""
    if outcome == "failed":
        raise ValueError("no vino")
    if outcome == "retried" and ctx["job_try"] == 1:
        raise Retry
    if outcome == "stopped":
        await asyncio.sleep(3600)


def tally_of(runs: Sequence[float] = (), waits: Sequence[float] = (), **counts: int) -> Tally:
    """Return a worker's tally of jobs that ran and waited for this many seconds."""
    tally = Tally()
    tally.counts.update(counts or {"complete": len(runs)})
    for durations, buckets in ((runs, tally.runs), (waits, tally.waits)):
        for it in durations:
            buckets[bucket_of(it)] = buckets.get(bucket_of(it), 0) + 1
    tally.run_max, tally.run_sum, tally.wait_sum = max(runs, default=0), sum(runs), sum(waits)
    return tally


async def count(redis: Any, tally: Tally, function: str = "f", queue: str = "arq:queue") -> None:
    """Add what a worker counted."""
    name = function_key(queue, function)
    await Store(redis).count(os.urandom(4).hex(), 0, [encode_tally(name, tally, None)])


async def redis_ms(redis: Any) -> int:
    """Return Redis' time in ms."""
    seconds, microseconds = await redis.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


async def count_at(redis: Any, now: int, tally: Tally, function: str = "f") -> None:
    """Add what a worker counted, as if Redis' time were another."""
    source = assembled("count").replace("local now = now_ms()", "local now = tonumber(ARGV[4])")
    batch = json.dumps([encode_tally(function_key("arq:queue", function), tally, None)])
    assert await redis.eval(source, 0, os.urandom(4).hex(), 0, batch, now) == now


async def stats_of(client: StatusClient, function: str, **given: Any) -> FunctionStats:
    [found] = [it for it in await client.functions(**given) if it.function == function]
    return found


# functions


async def test_each_end_is_counted_once(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """A worker counts how jobs end, by function, and the tries that arq repeats."""
    await start_worker(track_status({"functions": [work, func(work, name="other")]}))
    for number, outcome in enumerate(["complete", "complete", "failed", "retried", "stopped"]):
        await pool.enqueue_job("work", outcome, _job_id=str(number))
    await until(lambda: client.is_working("4"))
    assert await client.stop("4", force=True)
    for number in range(5):
        await ended(client, str(number))

    async def all_are_counted() -> FunctionStats | None:
        stats = await stats_of(client, "work")
        return stats if stats.ended == 5 else None

    stats = await until(all_are_counted)
    assert (stats.complete, stats.failed, stats.stopped) == (3, 1, 1)
    assert (stats.interrupted, stats.retried) == (0, 1)
    assert stats.queue == "arq:queue"
    assert stats.failure_rate == 0.2
    assert (await stats_of(client, "other")).ended == 0


async def test_what_is_counted_is_sent_when_the_worker_shuts_down(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """A worker that lives less than a heartbeat counts, too."""

    async def sleep(ctx: Context) -> None:
        await asyncio.sleep(0.05)

    # due for so long that some ms between the clocks make no difference
    due = datetime.now(UTC) - timedelta(seconds=2)
    await pool.enqueue_job("sleep", _job_id="job", _defer_until=due)
    await run_burst(track_status({"functions": [func(sleep, name="sleep")]}))
    stats, record = await stats_of(client, "sleep"), await client.job("job")
    assert stats.complete == 1
    assert record is not None
    assert record.elapsed is not None
    assert record.waited is not None
    assert stats.run_p50 == stats.run_p95
    assert stats.run_p50 is not None
    assert stats.run_p50 == pytest.approx(record.elapsed, rel=0.1, abs=timedelta(milliseconds=2))
    assert stats.wait_p95 is not None
    assert record.waited > timedelta(seconds=2)
    assert abs(stats.wait_p95 - record.waited) < record.waited / 10


async def test_jobs_that_others_end_are_counted_once(pool: ArqRedis, client: StatusClient) -> None:
    """Lost jobs are counted by whoever ends their record, cancelled ones too."""
    await beat(pool, "host:1:x", {"f": FunctionOptions()})
    await write_record(pool, "lost", worker="host:1:x")
    await pool.zadd(keys.WORKERS, {"host:1:x": 0})
    await put_job(pool, "waits")
    assert (await client.list_jobs()).items
    assert (await client.counts())[Status.INTERRUPTED] == 1
    assert await client.cancel("waits")
    for _ in range(2):
        stats = await stats_of(client, "f")
        assert (stats.interrupted, stats.stopped, stats.ended) == (1, 1, 2)
        assert (stats.run_p50, stats.wait_p50, stats.run_max) == (None, None, None)
    assert not await pool.exists(keys.UNCOUNTED)


async def test_jobs_that_arq_gives_up_are_counted(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """Jobs of unknown functions are counted too, all under one name."""
    for number in range(3):
        await pool.enqueue_job(f"unknown_{number}")
    await run_burst(track_status({"functions": [work]}))
    assert (await stats_of(client, "(other)")).failed == 3
    assert {it.function for it in await client.functions()} == {"(other)", "work"}


async def test_what_is_not_tracked_is_not_counted(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """A worker without tracked functions leaves no counts."""
    await pool.enqueue_job("work")
    await run_burst(track_status(track=False)({"functions": [work]}))
    assert await client.functions() == []
    assert not await pool.keys("arqstatus:1:hours:*")


async def test_a_batch_that_is_sent_again_is_counted_once(
    pool: ArqRedis, client: StatusClient
) -> None:
    """The reply to a batch may be lost."""
    batch = [encode_tally(function_key("arq:queue", "f"), tally_of([1.0, 2.0]), None)]
    for number in (0, 0, 1, 1):
        await Store(pool).count("host:1:x", number, batch)
    assert (await stats_of(client, "f")).complete == 4


async def test_counts_wait_for_redis(pool: ArqRedis, client: StatusClient) -> None:
    """Unsent counts go with the next batch; many functions take several batches."""
    counters = Counters("arq:queue", {f"f{it}" for it in range(20)}, (), RedisClock())
    for number in range(20):
        attempt = Attempt("job", StoredRecord(enqueued_ms=1, job_try=1, state=State.FAILED), None)
        attempt.close(final=True)
        counters.count(attempt, f"f{number}")
    away = Redis(port=1)
    with pytest.raises(NoConnection):
        await counters.send(Store(away), "host:1:x")
    await away.aclose()
    await counters.send(Store(pool), "host:1:x")
    await counters.send(Store(pool), "host:1:x")
    assert [it.failed for it in await client.functions()] == [1] * 20


async def test_a_cron_job_that_runs_is_noted_before_anything_is_counted(
    pool: Any, client: StatusClient
) -> None:
    """A first job may run for hours; without a due time there is no wait."""
    name = function_key("arq:queue", "f")
    counters = Counters("arq:queue", {"f"}, ("f",), RedisClock())
    attempt = Attempt("job", StoredRecord(enqueued_ms=1, job_try=1), None)
    attempt.started_at = monotonic()
    counters.note_cron_job(attempt, "f")
    await counters.send(Store(pool), "host:1:x")
    assert json.loads(await pool.hget(keys.LAST_CRON_JOBS, name)) == ["job", "working", None, None]
    attempt.record.state, attempt.record.due = State.COMPLETE, None
    attempt.close(final=True)
    counters.count(attempt, "f")
    await counters.send(Store(pool), "host:1:x")
    assert json.loads(await pool.hget(keys.LAST_CRON_JOBS, name))[1] == "complete"
    found = await stats_of(client, "f")
    assert (found.complete, found.wait_p50) == (1, None)


def test_an_entry_that_was_cut_off() -> None:
    """The remaining durations are read."""
    whole = bytes([7, *[1] * len(COUNTED), 100, 4, 2, 2, 2])
    assert decode_entry(whole)[1].runs == {0: 2.0, 1: 2.0}
    assert decode_entry(whole[:-1])[1].runs == {0: 4.0}


RUNS: dict[str, Callable[[random.Random], float]] = {
    "log-normal": lambda it: it.lognormvariate(-1, 1),
    "narrow": lambda it: it.lognormvariate(3, 0.3),
    "bimodal": lambda it: it.gauss(0.02, 0.002) if it.random() < 0.7 else it.gauss(5, 0.5),
    "constant": lambda it: 0.25,
    "short": lambda it: it.uniform(0.0001, 0.0004),
}


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("hours", [0, 24])
async def test_percentiles_are_within_ten_percent(
    pool: ArqRedis, client: StatusClient, name: str, hours: int
) -> None:
    """This holds for the current hour and for past ones, which are stored in fewer bytes."""
    generator = random.Random(7)
    now, recorded = await redis_ms(pool), list[float]()
    for hour in range(hours + 1):
        runs = [abs(RUNS[name](generator)) for _ in range(400)]
        recorded += runs
        await count_at(pool, now - (hours - hour) * HOUR, tally_of(runs, runs))
    since = timedelta(hours=1 if not hours else hours + 1)
    stats, recorded = await stats_of(client, "f", since=since), sorted(recorded)
    assert stats.complete == len(recorded)
    for share, run, wait in (
        (0.5, stats.run_p50, stats.wait_p50),
        (0.95, stats.run_p95, stats.wait_p95),
    ):
        exact = recorded[int(share * len(recorded)) - 1]
        assert run is not None
        assert wait is not None
        assert run.total_seconds() == pytest.approx(exact, rel=0.1)
        assert wait.total_seconds() == pytest.approx(exact, rel=0.1)
    assert stats.run_max is not None
    assert stats.run_max.total_seconds() == pytest.approx(max(recorded), abs=1e-6)


async def test_since(pool: ArqRedis, client: StatusClient) -> None:
    """Counts are kept by the minute for three hours, and by the hour for 30 days."""
    now = await redis_ms(pool)
    for days in (31, 29, 2):
        await count_at(pool, now - days * 24 * HOUR, tally_of([1.0]))
    for minutes in (170, 30, 0):
        await count_at(pool, now - minutes * 60_000, tally_of([1.0]))
    expected = {
        timedelta(minutes=20): 1,
        timedelta(hours=1): 2,
        timedelta(minutes=175): 3,
        timedelta(days=3): 4,
        timedelta(days=60): 5,
        timedelta(days=400_000): 5,
        datetime.fromtimestamp((now - HOUR) / 1000, UTC): 2,
        timedelta(days=-1): 1,
    }
    found = {it: (await stats_of(client, "f", since=it)).complete for it in expected}
    if await redis_ms(pool) // 60_000 > now // 60_000:
        # the minute in which the last one ended has passed
        expected[timedelta(days=-1)] = found[timedelta(days=-1)]
    assert found == expected
    with pytest.raises(TypeError, match="since must be a datetime or a timedelta, not int"):
        await client.functions(3600)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="since must have a timezone"):
        await client.functions(datetime(2026, 1, 1))


async def test_functions_of_a_queue(pool: ArqRedis, client: StatusClient) -> None:
    """The same function in two queues is counted separately."""
    await count(pool, tally_of([1.0]), queue="one")
    await count(pool, tally_of([2.0]), queue="two")
    assert [it.queue for it in await client.functions()] == ["one", "two"]
    [stats] = await client.functions(queue="two")
    assert stats.run_max == timedelta(seconds=2)


async def test_names_of_functions_are_bounded(
    pool: ArqRedis, client: StatusClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond a limit all further functions are counted as one."""
    monkeypatch.setattr(scripts, "count", Script("count"))
    monkeypatch.setattr(keys, "MOST_COUNTED", 3)
    for number in range(6):
        await count(pool, tally_of([1.0]), f"f{number}")
    found = {it.function: it.complete for it in await client.functions()}
    assert found == {"f0": 1, "f1": 1, "f2": 1, "(other)": 3}


async def test_functions_that_are_gone_are_forgotten(pool: ArqRedis, client: StatusClient) -> None:
    """They are forgotten when they are not announced and no job ended for long."""
    await count(pool, tally_of([1.0]), "gone")
    await count(pool, tally_of([1.0]), "idle")
    await beat(pool, "host:1:x", {"idle": FunctionOptions()})
    await pool.zadd(
        keys.COUNTED_FUNCTIONS, dict.fromkeys(await pool.zrange(keys.COUNTED_FUNCTIONS, 0, -1), 1)
    )
    await Store(pool).sweep()
    assert [it.function for it in await client.functions()] == ["idle"]
    assert len(await pool.keys("arqstatus:1:totals:*")) == 1


async def test_damaged_counts(pool: Any, client: StatusClient) -> None:
    """What can be read is shown, whatever the keys contain, and counting continues."""
    name = function_key("arq:queue", "f")
    await count(pool, tally_of([1.0]))
    await pool.rpush(keys.MINUTES + name, b"\xff\xff", b"", b"\xff" * 40 + b"\x01")
    await pool.delete(keys.HOURS + name, keys.TOTALS + name)
    await pool.set(keys.HOURS + name, "a text")
    await pool.set(keys.TOTALS + name, "a text")
    await count(pool, tally_of([1.0]))
    assert (await stats_of(client, "f", since=DAY)).ended >= 1
    assert await client.activity()
    await pool.hset(keys.UNCOUNTED, mapping={"nonsense": "x", "failed arq:queue\0f": "y"})
    assert (await stats_of(client, "f")).function == "f"


# activity


async def test_activity(pool: ArqRedis, client: StatusClient) -> None:
    """Each step has a point, even an empty one; every end is in one of them."""
    now = await redis_ms(pool)
    for minutes in (50, 49, 10, 0):
        await count_at(pool, now - minutes * 60_000, tally_of([1.0], complete=2, failed=1))
    points = await client.activity(timedelta(hours=1), timedelta(minutes=5))
    assert len(points) in (12, 13, 14)
    steps = {after.time - before.time for before, after in pairwise(points)}
    assert steps == {timedelta(minutes=5)}
    assert all(it.time.minute % 5 == 0 and it.time.tzinfo is UTC for it in points)
    assert sum(it.complete for it in points) == 8
    assert sum(it.failed for it in points) == 4
    assert points[-1].ended == 3
    assert points[-1].run_max == timedelta(seconds=1)
    assert any(it.ended == 0 and it.run_p50 is None for it in points)


async def test_activity_of_hours_in_shorter_steps(pool: ArqRedis, client: StatusClient) -> None:
    """An hour of which only the sum is kept is spread over its steps without loss."""
    now = await redis_ms(pool)
    await count_at(pool, now - 10 * HOUR, tally_of([1.0], complete=7))
    await count_at(pool, now, tally_of([1.0], complete=5))
    points = await client.activity()
    assert 288 <= len(points) <= 290
    assert sum(it.complete for it in points) == 12
    assert max(it.complete for it in points[:-1]) == 1
    [whole] = [it for it in await client.activity(DAY, timedelta(hours=1)) if it.complete == 7]
    assert whole.run_max == timedelta(seconds=1)
    days = await client.activity(timedelta(days=2), DAY)
    assert sum(it.complete for it in days) == 12


async def test_activity_from_within_an_hour(pool: ArqRedis, client: StatusClient) -> None:
    """Of an hour that began earlier only the share since then is counted."""
    now = await redis_ms(pool)
    hour = (now - 10 * HOUR) // HOUR * HOUR
    await count_at(pool, hour, tally_of([1.0], complete=8))
    half_past = datetime.fromtimestamp(hour / 1000 + 1800, UTC)
    points = await client.activity(half_past, timedelta(minutes=15))
    assert [it.complete for it in points[:3]] == [2, 2, 0]
    assert sum(it.complete for it in points) == 4


async def test_activity_of_one_function(pool: ArqRedis, client: StatusClient) -> None:
    """Or of one queue, or both."""
    await count(pool, tally_of([1.0]), "f", "one")
    await count(pool, tally_of([1.0]), "g", "one")
    await count(pool, tally_of([1.0]), "f", "two")
    minute = timedelta(minutes=1)

    async def ended_in(**given: Any) -> int:
        return sum(it.ended for it in await client.activity(minute, minute, **given))

    assert await ended_in() == 3
    assert await ended_in(function="f") == 2
    assert await ended_in(queue="one") == 2
    assert await ended_in(function="f", queue="one") == 1


@pytest.mark.parametrize(
    ("since", "step", "error", "words"),
    [
        (DAY, timedelta(seconds=59), ValueError, "step must be a minute or more, not 0:00:59"),
        (DAY, 300, TypeError, "step must be a timedelta, not int"),
        ("1h", timedelta(minutes=1), TypeError, "since must be a datetime or a timedelta, not str"),
        (timedelta(days=30), timedelta(minutes=1), ValueError, "43,201 steps"),
    ],
)
async def test_wrong_steps(
    client: StatusClient, since: Any, step: Any, error: type[Exception], words: str
) -> None:
    """Impossible steps are refused with an explanation."""
    with pytest.raises(error, match=words):
        await client.activity(since, step)


# queues


async def test_queues(pool: ArqRedis, client: StatusClient, start_worker: StartWorker) -> None:
    """A queue shows what waits in it and for how long, without what is running."""
    now = await redis_ms(pool)
    await start_worker(track_status({"functions": [work]}), max_jobs=2)
    for number in range(2):
        await pool.enqueue_job("work", "stopped", _job_id=f"runs-{number}")
        await started(client, f"runs-{number}")
    await put_job(pool, "waits", function="work", enqueued=now - 60_000)
    await put_job(pool, "later", function="work", due=now + HOUR)
    [queue] = await client.queues()
    assert (queue.name, queue.queued, queue.deferred, queue.working) == ("arq:queue", 1, 1, 2)
    assert (queue.retrying, queue.workers) == (0, 1)
    assert queue.oldest_due_at == datetime.fromtimestamp((now - 60_000) / 1000, UTC)
    assert queue.latency == pytest.approx(timedelta(minutes=1), abs=timedelta(seconds=20))


async def test_latency_leaves_out_what_runs_untracked(pool: ArqRedis, client: StatusClient) -> None:
    """A job that an untracked worker runs does not wait; one with a due next try does."""
    now = await redis_ms(pool)
    await put_job(pool, "runs", enqueued=now - 9_000)
    await begin(pool, "runs")
    [queue] = await client.queues()
    assert (queue.queued, queue.oldest_due_at, queue.latency) == (1, None, timedelta(0))
    run = await put_job(pool, "again", enqueued=now - 5_000)
    await write_record(pool, "again", State.RETRYING, run=run, due=run)
    [queue] = await client.queues()
    assert queue.retrying == 1
    assert queue.oldest_due_at == datetime.fromtimestamp(run / 1000, UTC)


async def test_many_queues(pool: ArqRedis, client: StatusClient) -> None:
    """All queues that workers announced are returned, or those given to the client."""
    names = [f"queue-{number:02}" for number in range(45)]
    await pool.zadd(keys.QUEUES, dict.fromkeys(names, 1))
    assert [it.name for it in await client.queues()] == ["arq:queue", *names]
    own = StatusClient(pool, queues=["mine", "arq:queue"])
    assert [it.name for it in await own.queues()] == ["mine", "arq:queue"]


# workers


async def test_workers(pool: ArqRedis, client: StatusClient, start_worker: StartWorker) -> None:
    """A worker shows who it is, what it can run, and what it is running."""
    before = datetime.fromtimestamp(await redis_ms(pool) / 1000, UTC)
    settings = track_status({"functions": [work], "cron_jobs": [cron(work, hour=3)]})
    await start_worker(settings, max_jobs=7, queue_name="mine")
    await pool.enqueue_job("work", "stopped", _job_id="runs", _queue_name="mine")
    await started(client, "runs")
    [worker] = await client.workers()
    assert (worker.host, worker.pid) == (socket.gethostname(), os.getpid())
    assert worker.name.startswith(f"{worker.host}:{worker.pid}:")
    assert (worker.queue, worker.alive, worker.max_jobs) == ("mine", True, 7)
    assert (worker.functions, worker.running) == (("work", "cron:work"), ("runs",))
    assert worker.started_at is not None
    assert worker.seen_at is not None
    assert before - timedelta(seconds=1) < worker.started_at <= worker.seen_at


async def test_dead_workers(pool: ArqRedis, client: StatusClient) -> None:
    """A killed worker is returned while it has left jobs behind, and so is one that shut down."""
    await beat(pool, "host:1:killed")
    await write_record(pool, "a", worker="host:1:killed")
    await write_record(pool, "b", worker="host:2:gone")
    await pool.zadd(keys.WORKERS, {"host:1:killed": await redis_ms(pool) - 60_000})
    killed, gone = await client.workers()
    assert (killed.alive, killed.running, killed.max_jobs) == (False, ("a",), None)
    assert killed.seen_at is not None
    assert (gone.alive, gone.seen_at, gone.queue, gone.running) == (False, None, None, ("b",))


@pytest.mark.parametrize("text", ["no JSON", "[]", '{"functions": 1, "crons": [1, {}]}'])
async def test_damaged_descriptions(pool: ArqRedis, client: StatusClient, text: str) -> None:
    """Impossible values are left out."""
    await beat(pool, "nameless")
    await pool.set(keys.WORKER_DETAILS + "nameless", text)
    [worker] = await client.workers()
    assert (worker.name, worker.host, worker.pid) == ("nameless", "", None)
    assert worker.functions == ()
    assert await client.crons() is not None


# cron jobs


async def test_crons(pool: ArqRedis, client: StatusClient, start_worker: StartWorker) -> None:
    """A cron job shows its schedule, its next run and how its last job ended."""
    jobs = [
        cron(work, name="often", second=set(range(60)), keep_result=0),
        cron(work, name="rarely", hour=3, minute={30, 0}, weekday="mon"),
        cron(partial_work, name="hourly", minute=0),
        cron(work, name="minutely"),
        cron(work, name="always", second=None),
    ]
    await start_worker(track_status({"functions": [work], "cron_jobs": jobs}))

    async def has_ended() -> dict[str, CronRecord] | None:
        found = {it.name: it for it in await client.crons()}
        done = "often" in found and found["often"].status is Status.COMPLETE
        return found if done and found["rarely"].next_run_at is not None else None

    found = await until(has_ended, 20)
    often, rarely = found["often"], found["rarely"]
    assert (often.function, often.queue) == ("work", "arq:queue")
    assert often.job_id is not None
    assert often.job_id.startswith("often:")
    assert often.ended_at is not None
    assert often.elapsed is not None
    assert (rarely.job_id, rarely.status, rarely.elapsed) == (None, None, None)
    assert {it.name: it.schedule for it in found.values()} == {
        "often": f"second={list(range(60))}",
        "rarely": "weekday=mon, hour=3, minute=[0, 30]",
        "hourly": "minute=0",
        "minutely": "every minute",
        "always": "every second",
    }


async def test_crons_of_several_workers(pool: ArqRedis, client: StatusClient) -> None:
    """Each is returned once, as announced by the live worker that runs it first."""
    now = await redis_ms(pool)
    for worker, next_ms in (("late", now + 2), ("early", now + 1), ("unsure", None), ("dead", now)):
        await beat(pool, worker)
        crons = [{"name": "c", "function": "f", "schedule": "minute=0", "next": next_ms}]
        await pool.set(keys.WORKER_DETAILS + worker, json.dumps({"crons": crons}))
    await pool.zadd(keys.WORKERS, {"dead": 1})
    [found] = await client.crons()
    assert found.next_run_at == datetime.fromtimestamp((now + 1) / 1000, UTC)


async def partial_work(ctx: Context) -> None:
    """Do nothing."""


async def test_the_last_cron_job_when_its_record_has_expired(
    pool: Any, client: StatusClient, start_worker: StartWorker
) -> None:
    """Its worker noted how it ended; without an end it was lost."""
    jobs = [cron(work, name=name, month=1) for name in ("ended", "lost", "damaged")]
    await start_worker(track_status({"functions": [work], "cron_jobs": jobs}))
    await until(client.crons)
    now = await redis_ms(pool)
    notes = {
        "ended": ["a", "failed", now, 1500],
        "lost": ["b", "working", None, None],
        "damaged": 7,
    }
    await pool.hset(
        keys.LAST_CRON_JOBS,
        mapping={function_key("arq:queue", name): json.dumps(it) for name, it in notes.items()},
    )
    found = {it.name: it for it in await client.crons()}
    assert (found["ended"].job_id, found["ended"].status) == ("a", Status.FAILED)
    assert found["ended"].ended_at == datetime.fromtimestamp(now / 1000, UTC)
    assert found["ended"].elapsed == timedelta(seconds=1.5)
    assert (found["lost"].status, found["lost"].ended_at) == (Status.INTERRUPTED, None)
    assert found["damaged"].status is None


async def test_the_default_client_is_asked(pool: ArqRedis, client: StatusClient) -> None:
    """The functions of the package use the client that was configured."""
    await count(pool, tally_of([1.0]))
    assert await arq_status.functions() == await client.functions()
    assert await arq_status.activity() == await client.activity()
    assert [it.name for it in await arq_status.queues()] == ["arq:queue"]
    assert await arq_status.workers() == []
    assert await arq_status.crons() == []
