"""P13 and P15: how long scripts block Redis, and the cost of long lists, with lots of data."""

import hashlib
import os
import pickle
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from statistics import median
from time import perf_counter

from arq.connections import ArqRedis
from arq.jobs import serialize_job
from arq.utils import timestamp_ms

from arq_status import Status, StatusClient
from arq_status._model.options import FunctionOptions
from arq_status._model.record import State, StoredRecord
from arq_status._redis import keys, scripts
from arq_status._redis.batch import Row
from arq_status._redis.history import encode_line
from arq_status._redis.recovery import recover_orphans
from arq_status._redis.store import Store
from tests.benchmarks.measuring import Result

#: The most milliseconds that a script may block Redis, and that a page and a search may take.
AIM, PAGE_AIM, SEARCH_AIM = 10, 15, 150
HOUR, DAY = 3_600_000, 86_400_000
ONE_SCORE, WAITING, SEARCHED, QUEUES, BUSY = 200_000, 100_000, 50_000, 20, 1_000
REPEATED = 15
MEGABYTE = 1_048_576


@dataclass(slots=True)
class Longest:
    """The longest time that a script took, and with which data."""

    ms: float = 0
    data: str = ""


class Watch:
    """Measures the time of scripts with Redis' slow log."""

    def __init__(self, pool: ArqRedis) -> None:
        self._pool = pool
        self._names: dict[bytes, str] = {}
        for name, script in vars(scripts).items():
            if isinstance(script, scripts.Script):
                source = scripts.assembled(script._name).encode()
                self._names[hashlib.sha1(source).hexdigest().encode()] = name
        self.longest = {name: Longest() for name in self._names.values()}

    async def watch(self, data: str, work: Callable[[], Awaitable[object]]) -> None:
        """Repeat some work, and keep the time of each script that it runs.

        Of several calls in a repetition the longest counts, but of all repetitions the shortest,
        because Redis includes the time in which other processes have the CPU.
        """
        await work()
        taken: dict[str, list[float]] = {}
        for _ in range(REPEATED):
            await self._pool.slowlog_reset()
            await work()
            once: dict[str, float] = {}
            for entry in await self._pool.slowlog_get(4_000):
                command = entry["command"].split(b" ", 2)
                name = self._names.get(command[1]) if command[0] == b"EVALSHA" else None
                if name is not None:
                    once[name] = max(once.get(name, 0), entry["duration"] / 1000)
            for name, ms in once.items():
                taken.setdefault(name, []).append(ms)
        for name, all_ms in taken.items():
            if min(all_ms) > self.longest[name].ms:
                self.longest[name] = Longest(min(all_ms), data)


async def measure(pool: ArqRedis) -> list[Result]:
    """Return a result for each script, and for pages and searches."""
    with suppress(PermissionError):
        # other processes of the machine should not disturb it
        os.setpriority(os.PRIO_PROCESS, (await pool.info("server"))["process_id"], -20)
    # not 0: Redis would also log the calls in scripts, which takes longer than the calls
    await pool.config_set("slowlog-log-slower-than", 100)
    await pool.config_set("slowlog-max-len", 4_000)
    watch, results = Watch(pool), []
    for load in (
        _ended_of_one_score, _many_queues, _busy_queues, _large_payloads, _large_batches, _expired,
        _reused,
    ):  # fmt: skip
        await pool.flushdb()
        await load(pool, watch)
    for kind in ("deferred", "retrying", "queued"):
        await pool.flushdb()
        results.append(await _waiting(pool, watch, kind))
    await pool.flushdb()
    results.append(await _search(pool, watch))
    await pool.config_set("slowlog-log-slower-than", 10_000)
    longest = sorted(watch.longest.items(), key=lambda item: -item[1].ms)
    return [
        Result("P13", f"script `{name}`, ms", it.ms, None, f"<= {AIM}", it.ms <= AIM, it.data)
        for name, it in longest
        if it.data
    ] + results


async def _ended_of_one_score(pool: ArqRedis, watch: Watch) -> None:
    now = timestamp_ms()
    await _write(pool, (_ended(f"job {it}", now, "f") for it in range(ONE_SCORE)))
    client, store = StatusClient(pool), Store(pool)
    await watch.watch(f"{ONE_SCORE:,} jobs of one time, first page", client.list_jobs)
    last = ONE_SCORE // 25
    await watch.watch("the last page", lambda: client.list_jobs(page=last))
    await watch.watch("the middle page", lambda: client.list_jobs(page=last // 2))
    await watch.watch("1,000 of them", lambda: store.read_indexes(count=1_000, offset=5_000))
    ids = [f"job {it}" for it in range(1_000)]
    await watch.watch("1,000 ended jobs", lambda: store.facts(ids, with_data=True))


async def _many_queues(pool: ArqRedis, watch: Watch) -> None:
    names = [f"queue {it}" for it in range(2_000)]
    for name in names:
        await Store(pool).beat(f"host:1:{name}", name, HOUR, {"f": FunctionOptions()})
    now, rows = timestamp_ms(), []
    for number in range(10_000):
        queue = names[number % 100]
        await _enqueue(pool, [f"job {number}"], queue, now, now + HOUR)
        record = StoredRecord(
            enqueued_ms=now, job_try=1, version=1, state=State.RETRYING, queue=queue, updated=now,
            due=now + HOUR, function="f",
        )  # fmt: skip
        rows.append(Row(f"job {number}", True, record.encode(), {}))
    await _write(pool, rows)
    client, store = StatusClient(pool), Store(pool)
    what = "10,000 retrying in 100 of 2,000 queues"
    await watch.watch(what, client.list_jobs)
    await watch.watch(what, lambda: store.facts([f"job {it}" for it in range(500)]))
    await watch.watch(what, lambda: store.facts([f"unknown {it}" for it in range(500)]))
    await watch.watch(what, lambda: recover_orphans(store))
    await watch.watch(what, store.sweep)
    await watch.watch(what, lambda: store.beat("host:1:x", "q", HOUR, {"f": FunctionOptions()}))
    fresh = iter(range(10_000))
    for action in (client.cancel, client.retry, client.delete):
        await watch.watch(what, lambda action=action: action(f"job {next(fresh)}"))  # type: ignore[misc]
    await watch.watch(what, lambda: client.store(f"job {next(fresh)}", a=1))


async def _busy_queues(pool: ArqRedis, watch: Watch) -> None:
    """Measure with very many queues and workers, each with jobs of every kind."""
    names, now = [f"queue {it}" for it in range(BUSY)], timestamp_ms()
    rows: list[Row] = []
    for name in names:
        worker = f"host:1:{name}"
        await Store(pool).beat(worker, name, HOUR, {"f": FunctionOptions()})
        for kind, due in (
            ("w", now - HOUR),
            ("q", now - HOUR),
            ("d", now + HOUR),
            ("r", now + HOUR),
        ):
            ids = [f"{kind} {name} {it}" for it in range(5)]
            dues = [due + it * 1_000 for it in range(5)]
            await _enqueue(pool, ids, name, now, dues)
            if kind == "r":
                rows += (_retrying(*it, name, now) for it in zip(ids, dues, strict=True))
            if kind == "w":
                rows += (_working(*it, name, worker, now) for it in zip(ids, dues, strict=True))
    await _write(pool, rows)
    await _write(pool, (_ended(f"job {it}", now, "f", DAY + it // 20) for it in range(1_000)))
    client, store = StatusClient(pool), Store(pool)
    what = f"{BUSY:,} busy queues with a worker each, 50 expiries"
    last = BUSY * 20 // 25
    for page in (1, last // 2, last):
        await watch.watch(f"{what}, page {page:,}", lambda page=page: client.list_jobs(page=page))  # type: ignore[misc]
    await watch.watch(what, client.queues)
    await watch.watch(what, lambda: store.read_indexes(count=1_000, offset=5_000))
    await watch.watch(what, lambda: store.facts([f"q {name} 1" for name in names[:500]]))
    await watch.watch(what, lambda: recover_orphans(store))
    await watch.watch(what, store.sweep)
    fresh = iter(names)
    await watch.watch(what, lambda: client.cancel(f"q {next(fresh)} 1"))
    await watch.watch(what, lambda: client.store(f"d {next(fresh)} 1", a=1))


async def _large_payloads(pool: ArqRedis, watch: Watch) -> None:
    now, ids = timestamp_ms(), [f"job {it}" for it in range(250)]
    await _enqueue(pool, ids, "arq:queue", now, now, "x" * (MEGABYTE - 500))
    store = Store(pool, deserializer=pickle.loads)
    await watch.watch("250 payloads of 1 MB", lambda: store.facts(ids))
    await watch.watch("250 payloads of 1 MB", StatusClient(pool).list_jobs)
    version = iter(range(10**6))

    async def begin() -> None:
        record = StoredRecord(enqueued_ms=now, job_try=next(version) + 1, updated=now)
        await store.write([Row(job_id, True, record.encode(), {}) for job_id in ids])

    await watch.watch("a batch of 250 jobs that begin, payloads of 1 MB", begin)


async def _large_batches(pool: ArqRedis, watch: Watch) -> None:
    store, now, version = Store(pool), timestamp_ms(), iter(range(10**6))
    # the most that a row may have
    fields = {f"field {it}": f'"{"x" * 60_000}"' for it in range(2)}

    async def report() -> None:
        record = StoredRecord(enqueued_ms=now, job_try=1, version=next(version), updated=now)
        rows = [Row(f"job {it}", True, record.encode(), fields) for it in range(25)]
        await store.write(rows)

    async def complete() -> None:
        await store.write([_ended(f"{next(version)}", now, "f") for _ in range(250)])

    async def label() -> None:
        rows = []
        for _ in range(250):
            record = StoredRecord(
                enqueued_ms=now, job_try=1, state=State.COMPLETE, updated=now, ended=now,
                tags=("tag",), group="group",
            )  # fmt: skip
            line = encode_line(1, now, "info", "begun", 1, None)
            job_id = f"labelled {next(version)}"
            rows.append(Row(job_id, True, record.encode(), {}, lines=(line,), log_id="a"))
        await store.write(rows)

    await watch.watch("a batch of 25 jobs with 120 KB of data each", report)
    await watch.watch("a batch of 250 jobs with a tag, a group and a log line each", label)
    await watch.watch("a batch of 250 jobs", complete)
    ids = [f"job {it}" for it in range(25)]
    await watch.watch("25 jobs with data of 120 KB", lambda: store.facts(ids, with_data=True))


async def _expired(pool: ArqRedis, watch: Watch) -> None:
    index = f"{keys.ENDED}failed:60000"
    await pool.sadd(keys.ENDED_SETS, "failed:60000")  # type: ignore[misc]
    for start in range(0, 100_000, 1_000):
        await pool.zadd(index, {f"job {start + it}": 5 for it in range(1_000)})
    await pool.hset(keys.STOPS, mapping={f"job {it}": 5 for it in range(100_000)})  # type: ignore[misc]
    await pool.zadd(keys.WORKERS, {f"host:{it}": 5 for it in range(10_000)})
    await pool.zadd(keys.QUEUES, {f"queue {it}": 5 for it in range(10_000)})
    await pool.zadd(keys.FUNCTIONS_SEEN, {f"function {it}": 5 for it in range(10_000)})
    await watch.watch("100,000 expired entries and stops, 10,000 dead workers", Store(pool).sweep)


async def _reused(pool: ArqRedis, watch: Watch) -> None:
    now = timestamp_ms()
    await _write(pool, (_ended(f"job {it}", now - 1_000, "f") for it in range(5_000)))
    await _enqueue(pool, [f"job {it}" for it in range(4_000)], "arq:queue", now, now)
    await watch.watch("4,000 ids enqueued again", StatusClient(pool).list_jobs)


async def _waiting(pool: ArqRedis, watch: Watch, kind: str) -> Result:
    now, each = timestamp_ms(), WAITING // QUEUES
    for number in range(QUEUES):
        queue = f"queue {number}"
        await Store(pool).beat(f"host:1:{queue}", queue, HOUR, {"f": FunctionOptions()})
        ids = [f"{queue} {it}" for it in range(each)]
        due = now - HOUR if kind == "queued" else now + HOUR
        # half of them at the same time, the others at different ones
        dues = [due + it * (it % 2) for it in range(each)]
        await _enqueue(pool, ids, queue, now, dues)
        if kind == "retrying":
            await _write(pool, (_retrying(*it, queue, now) for it in zip(ids, dues, strict=True)))
    client = StatusClient(pool)
    await client.counts()
    what = f"{WAITING:,} {kind} jobs in {QUEUES} queues"
    last = WAITING // 25
    for page in (1, last // 2, last):
        await watch.watch(f"{what}, page {page:,}", lambda page=page: client.list_jobs(page=page))  # type: ignore[misc]
    assert (await client.counts())[Status(kind)] == WAITING
    taken = [await _timed(client.list_jobs) for _ in range(50)]
    ms = median(taken)
    return Result("P15", f"first page, {what}, ms", ms, None, f"<= {PAGE_AIM}", ms <= PAGE_AIM)


async def _search(pool: ArqRedis, watch: Watch) -> Result:
    now = timestamp_ms()
    names = ("import_rows", "resize_image", "send_invoice")
    await _write(pool, (_ended(f"job {it}", now - it, names[it % 3]) for it in range(SEARCHED)))
    client = StatusClient(pool)
    await watch.watch("a text search", lambda: client.list_jobs(search="nowhere"))
    taken = [await _timed(lambda: client.list_jobs(search="invoice 99")) for _ in range(15)]
    ms = median(taken)
    what = f"text search over {SEARCHED:,} ended jobs, ms"
    return Result("P15", what, ms, None, f"<= {SEARCH_AIM}", ms <= SEARCH_AIM)


async def _timed(work: Callable[[], Awaitable[object]]) -> float:
    began = perf_counter()
    await work()
    return (perf_counter() - began) * 1000


async def _write(pool: ArqRedis, rows: Iterable[Row]) -> None:
    store, batch = Store(pool), []
    for row in rows:
        batch.append(row)
        if len(batch) == 1_000:
            await store.write(batch)
            batch = []
    if batch:
        await store.write(batch)


async def _enqueue(
    pool: ArqRedis, ids: list[str], queue: str, now: int, due: int | list[int], *args: str
) -> None:
    payload = serialize_job("f", args, {}, None, now)
    dues = due if isinstance(due, list) else [due] * len(ids)
    for start in range(0, len(ids), 500):
        async with pool.pipeline(transaction=False) as pipe:
            for job_id, at in zip(ids[start : start + 500], dues[start : start + 500], strict=True):
                pipe.psetex(f"arq:job:{job_id}", DAY, payload)
                pipe.zadd(queue, {job_id: at})
            await pipe.execute()


def _ended(job_id: str, ended: int, function: str, expires: int = DAY) -> Row:
    record = StoredRecord(
        enqueued_ms=ended - 9, job_try=1, version=1, state=State.COMPLETE, function=function,
        args=f"'{job_id}'", started=ended - 5, updated=ended, ended=ended, expires_after_ms=expires,
    )  # fmt: skip
    return Row(job_id, True, record.encode(), {})


def _retrying(job_id: str, due: int, queue: str, now: int) -> Row:
    record = StoredRecord(
        enqueued_ms=now, job_try=1, version=1, state=State.RETRYING, queue=queue, function="f",
        updated=now - due % 1_000, due=due,
    )  # fmt: skip
    return Row(job_id, True, record.encode(), {})


def _working(job_id: str, due: int, queue: str, worker: str, now: int) -> Row:
    record = StoredRecord(
        enqueued_ms=now, job_try=1, version=1, state=State.WORKING, queue=queue, function="f",
        updated=now - due % 1_000, due=due, worker=worker,
    )  # fmt: skip
    return Row(job_id, True, record.encode(), {})
