"""What queries for jobs return."""

import asyncio
import json
import pickle
import re
import socket
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis as sync_redis
from arq import create_pool
from arq.connections import ArqRedis, RedisSettings
from arq.jobs import Job
from arq.utils import timestamp_ms
from arq.worker import Retry, func
from redis.asyncio import Redis
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import ConnectionError as RedisConnectionError

from arq_status import (
    JobRecord,
    JobStopped,
    JobTracker,
    Status,
    StatusClient,
    status_options,
    track_status,
)
from arq_status._model.record import State
from arq_status._redis.connection import background_client, separate_client
from arq_status._redis.store import Store
from tests.conftest import StartWorker, ended, until
from tests.records import HOUR, beat, begin, calls, put_job, put_result, write_end, write_record
from tests.server import Server, free_port

PREDICATES = {status: f"is_{status.value}" for status in Status}
#: Ids that no job can have.
NO_IDS: list[Any] = ["", None, 5, b"bytes", "\ud800", ["list"], "unknown"]


class Gate:
    """A job that reports and then waits until the gate is opened."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.open = asyncio.Event()

    async def __call__(self, ctx: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        status: JobTracker = ctx["status"]
        await status.total(8)
        await status.at(2, "Almost there")
        await status.store(vino="veritas", rows=[1, {"two": 3}])
        await status.flush()
        self.reached.set()
        await self.open.wait()


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    """A gate that is opened when the test is over, so that its worker can end."""
    gate = Gate()
    yield gate
    gate.open.set()


def tracked(*functions: Any, **settings: Any) -> dict[str, Any]:
    """Tracked settings of a worker with these functions."""
    return track_status({"functions": [func(it, name=it.__name__) for it in functions], **settings})


async def start_gate(
    gate: Gate, pool: ArqRedis, start_worker: StartWorker, job_id: str = "job"
) -> None:
    """Start a job that waits at the gate."""

    async def work(ctx: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        await gate(ctx, *args, **kwargs)

    await start_worker(tracked(work))
    await pool.enqueue_job("work", 1, two="zwei", _job_id=job_id)
    await gate.reached.wait()


# One job


async def test_each_field_of_a_running_job(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker, gate: Gate
) -> None:
    """Each query returns its field of the record, with the right type."""
    before = datetime.now(UTC) - timedelta(seconds=1)
    await start_gate(gate, pool, start_worker)
    record = await client.job("job")
    assert record is not None
    assert (record.job_id, record.status, record.function) == ("job", Status.WORKING, "work")
    assert (record.queue, record.args, record.job_try) == ("arq:queue", "1, two='zwei'", 1)
    assert (record.at, record.total, record.pct_complete) == (2, 8, 25)
    assert (record.error, record.due_at, record.ended_at, record.expires_at) == (None,) * 4
    assert record.data == {"vino": "veritas", "rows": [1, {"two": 3}]}
    assert record.worker is not None
    assert record.worker.rpartition(":")[0] == socket.gethostname()
    assert await client.at("job") == 2
    assert await client.total("job") == 8
    assert await client.message("job") == "Almost there"
    assert await client.pct_complete("job") == 25
    enqueued, started = await client.enqueued_at("job"), await client.started_at("job")
    updated = await client.updated_at("job")
    assert enqueued is not None
    assert started is not None
    assert updated is not None
    assert before < enqueued <= started <= updated
    assert {time.tzinfo for time in (enqueued, started, updated)} == {UTC}
    assert await client.ended_at("job") is None
    elapsed = await client.elapsed("job")
    assert elapsed is not None
    assert elapsed >= timedelta(0)
    # the pace cannot be computed from a single report
    assert await client.eta("job") is None


async def test_all_fields_in_one_dict(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker, gate: Gate
) -> None:
    """``get_all`` returns built-in fields and the job's own, ``get`` one of either."""
    await start_gate(gate, pool, start_worker)
    everything = await client.get_all("job")
    names = {item.name for item in fields(JobRecord)} - {"data"} | {"ended"}
    assert set(everything) == names | {"vino", "rows"}
    assert everything["status"] is Status.WORKING
    assert (everything["at"], everything["vino"]) == (2, "veritas")
    assert await client.get("job", "vino") == "veritas"
    assert await client.get("job", "rows") == [1, {"two": 3}]
    assert await client.get("job", "at") == 2
    assert await client.get("job", "status") is Status.WORKING
    assert await client.get("job", "ended") is False
    with pytest.raises(ValueError, match="ended"):
        await client.store("job", ended=True)
    assert await client.get("job", "data") == {"vino": "veritas", "rows": [1, {"two": 3}]}
    assert await client.get("job", "absent") is None


async def test_a_complete_job(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker, gate: Gate
) -> None:
    """A complete job is at 100 %, whatever it reported last, and has all times."""
    await start_gate(gate, pool, start_worker)
    gate.open.set()
    record = await ended(client, "job")
    assert (record.status, record.pct_complete, record.at, record.total) == ("complete", 100, 2, 8)
    assert (record.error, record.eta, record.due_at) == (None, None, None)
    assert record.ended_at is not None
    assert record.started_at is not None
    assert record.ended_at == record.updated_at == await client.ended_at("job")
    assert record.elapsed == record.ended_at - record.started_at
    assert record.expires_at == record.ended_at + timedelta(minutes=30)
    with pytest.raises(AttributeError):
        record.at = 5  # type: ignore[misc]


@pytest.fixture
async def all_statuses(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker, gate: Gate
) -> None:
    """A job of each status, with the status as its id."""

    async def working(ctx: dict[str, Any]) -> None:
        await gate(ctx)

    async def retrying(ctx: dict[str, Any]) -> None:
        raise Retry(defer=60)

    async def complete(ctx: dict[str, Any]) -> None: ...

    async def failed(ctx: dict[str, Any]) -> None:
        raise ValueError("no luck")

    async def stopped(ctx: dict[str, Any]) -> None:
        raise JobStopped("enough")

    functions = (working, retrying, complete, failed, stopped)
    await start_worker(tracked(*functions))
    for function in functions:
        await pool.enqueue_job(function.__name__, _job_id=function.__name__)
    await gate.reached.wait()
    for job_id in ("complete", "failed", "stopped"):
        await ended(client, job_id)
    await until(lambda: client.is_retrying("retrying"))
    await pool.enqueue_job("f", _job_id="deferred", _defer_by=60)
    await write_record(pool, "interrupted", worker="host:1:gone")
    # a queue that no worker serves
    await pool.enqueue_job("f", _job_id="queued", _queue_name="idle")
    await Store(pool).redis.zadd("arqstatus:1:queues", {"idle": timestamp_ms()})


@pytest.mark.usefixtures("all_statuses")
async def test_each_status(client: StatusClient) -> None:
    """A predicate is true for jobs of its status only; lists and counts agree with it."""
    counts = await client.counts()
    assert counts == dict.fromkeys(Status, 1)
    for status in Status:
        assert await client.status(status) is status
        held = {it for it, name in PREDICATES.items() if await getattr(client, name)(status)}
        assert held == {status}
        page = await client.list_jobs(status=status)
        assert [record.job_id for record in page.items] == [status]
    errors = {status.value: await client.get(status, "error") for status in Status}
    assert {status: error for status, error in errors.items() if error is not None} == {
        "failed": "ValueError: no luck",
        "stopped": "enough",
        "interrupted": "worker host:1 stopped responding",
    }


@pytest.mark.parametrize("job_id", NO_IDS, ids=repr)
async def test_an_id_that_nobody_has(client: StatusClient, job_id: Any) -> None:
    """An unknown or impossible id gives the empty answer and no exception."""
    for name in (
        "status job at total message pct_complete enqueued_at started_at updated_at ended_at "
        "elapsed eta"
    ).split():
        assert await getattr(client, name)(job_id) is None
    for name in PREDICATES.values():
        assert await getattr(client, name)(job_id) is False
    assert await client.get(job_id, "at") is None
    assert await client.get_all(job_id) == {}
    assert await client.jobs([job_id, job_id]) == [None, None]
    assert await client.delete(job_id) == 0
    assert await client.store(job_id, vino="veritas") is False


@pytest.mark.parametrize("job_id", ["a/b c", "ünï", "a\nb", "*", "x" * 5000, "a\x00b", "{a}", " "])
async def test_ids_of_all_kinds(pool: ArqRedis, client: StatusClient, job_id: str) -> None:
    """Every id that arq accepts works."""
    await pool.enqueue_job("f", _job_id=job_id)
    assert await client.is_queued(job_id)
    assert await client.store(job_id, vino="veritas")
    assert await client.get(job_id, "vino") == "veritas"
    assert [record.job_id for record in (await client.list_jobs()).items] == [job_id]
    assert (await client.counts())[Status.QUEUED] == 1
    assert await client.delete(job_id) == 1


# Many jobs


async def test_many_jobs_at_once(pool: ArqRedis, client: StatusClient) -> None:
    """Jobs come in the order of the ids, also repeated ones; unknown ones are ``None``."""
    await write_end(pool, "a", fields={"vino": "veritas"})
    await put_job(pool, "b")
    asked: list[Any] = ["b", "unknown", "a", "", "b", None, "a"]
    records = await client.jobs(asked)
    assert [record and record.job_id for record in records] == [
        "b",
        None,
        "a",
        None,
        "b",
        None,
        "a",
    ]
    assert records[2] == await client.job("a")
    assert records[2] is not None
    assert records[2].data == {"vino": "veritas"}
    assert await client.jobs([]) == []
    assert [it and it.job_id for it in await client.jobs(iter(asked))] == [
        it and it.job_id for it in records
    ]


async def test_one_id_for_several(client: StatusClient) -> None:
    """A single id is refused: its characters would pass for a list of unknown ids."""
    with pytest.raises(TypeError, match=r"a list of ids, not a single id: \['job'\]"):
        await client.jobs("job")
    with pytest.raises(TypeError, match="job_ids must be a list of ids"):
        await anext(client.watch_many("job"))


async def test_many_jobs_take_one_round_trip(pool: ArqRedis, client: StatusClient) -> None:
    """A page of jobs takes a single command, and no jobs take none."""
    await client.status("x")
    for number in (1, 10, 200):
        await pool.config_resetstat()
        await client.jobs([f"job{i}" for i in range(number)])
        assert (await calls(pool))["evalsha"] == 1
    await pool.config_resetstat()
    await client.jobs([])
    assert "evalsha" not in await calls(pool)


async def test_a_job_that_no_worker_has_seen(pool: ArqRedis, client: StatusClient) -> None:
    """The function and arguments of a job are known as soon as it is enqueued."""
    before = datetime.now(UTC) - timedelta(milliseconds=2)
    await pool.enqueue_job("resize", "cat.png", width=80, _job_id="now")
    await pool.enqueue_job("resize", "dog.png", _job_id="later", _defer_by=timedelta(hours=1))
    now, later = await client.jobs(["now", "later"])
    assert now is not None
    assert later is not None
    assert (now.status, now.function, now.args) == ("queued", "resize", "'cat.png', width=80")
    assert (later.status, later.function, later.args) == ("deferred", "resize", "'dog.png'")
    assert (now.queue, now.job_try, now.started_at, now.pct_complete) == (
        "arq:queue",
        None,
        None,
        0,
    )
    assert now.enqueued_at is not None
    assert now.enqueued_at >= before
    assert now.due_at == now.updated_at == now.enqueued_at
    assert later.enqueued_at is not None
    assert later.due_at == later.enqueued_at + timedelta(hours=1)
    assert later.updated_at == later.enqueued_at


async def test_a_job_that_waited_for_its_time(pool: ArqRedis, client: StatusClient) -> None:
    """A deferred job is queued once it is due, and that is its last update."""
    await pool.enqueue_job("f", _job_id="job", _defer_by=1)
    assert await client.is_deferred("job")
    await until(lambda: client.is_queued("job"))
    record = await client.job("job")
    assert record is not None
    assert record.updated_at == record.due_at
    assert record.enqueued_at is not None
    assert record.due_at == record.enqueued_at + timedelta(seconds=1)


async def test_a_job_whose_payload_is_gone(pool: ArqRedis, client: StatusClient) -> None:
    """A job whose payload expired in the queue is shown with what the queue knows."""
    await pool.zadd("arq:queue", {"job": 1_700_000_000_000})
    record = await client.job("job")
    assert record is not None
    assert (record.status, record.function, record.enqueued_at) == ("queued", None, None)
    assert record.due_at == datetime.fromtimestamp(1_700_000_000, UTC)


async def test_a_job_in_a_queue_nobody_told_of(pool: ArqRedis, client: StatusClient) -> None:
    """A job in an unknown queue counts as queued, but is in no list."""
    await pool.enqueue_job("f", _job_id="job", _queue_name="elsewhere", _defer_by=60)
    record = await client.job("job")
    assert record is not None
    assert (record.status, record.function, record.queue) == ("queued", "f", None)
    assert (record.due_at, record.updated_at) == (None, record.enqueued_at)
    assert (await client.list_jobs()).items == []


# Queues


async def test_the_queues_of_tracked_workers(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """A queue that a tracked worker announced is read even after the worker is gone."""

    async def f(ctx: dict[str, Any]) -> None: ...

    worker = await start_worker(tracked(f, queue_name="letters", burst=True))
    await until(lambda: worker.main_task is not None and worker.main_task.done())
    await pool.enqueue_job("f", _job_id="job", _queue_name="letters", _defer_by=60)
    record = await client.job("job")
    assert record is not None
    assert (record.status, record.queue) == ("deferred", "letters")
    assert [it.job_id for it in (await client.list_jobs()).items] == ["job"]


def test_queues_are_a_list() -> None:
    """A single name is refused, because it would be taken for a list of letters."""
    with pytest.raises(TypeError, match=r"not a single name: \['arq:queue'\]"):
        StatusClient(queues="arq:queue")
    with pytest.raises(TypeError, match=r"queues must be a list of names, not \[5\]"):
        StatusClient(queues=[5])  # type: ignore[list-item]


async def test_queues_of_a_generator(pool: ArqRedis) -> None:
    """Any iterable of names will do."""
    names: Any = (name for name in ("imports", "mail"))
    client = StatusClient(pool, queues=names)
    assert [it.name for it in await client.queues()] == ["imports", "mail"]


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda it: it.jobs(None), "job_ids must be a list of ids, not NoneType"),
        (lambda it: it.list_jobs(status=5), "status must be a status or a list of them, not int"),
        (lambda it: it.list_jobs(descending="no"), "descending must be a bool, not 'no'"),
        (lambda it: it.stop("job", force="no"), "force must be a bool, not 'no'"),
        (lambda it: it.stop_jobs(status="working", force=1), "force must be a bool, not 1"),
        (lambda it: it.functions(queue=5), "queue must be a str, not int"),
        (lambda it: it.activity(function=5), "function must be a str, not int"),
        (lambda it: it.activity(queue=b"imports"), "queue must be a str, not bytes"),
        (lambda it: it.group("import-7", title=5).__aenter__(), "title must be a str, not int"),
    ],
)
async def test_wrong_types(
    client: StatusClient, ask: Callable[[Any], Awaitable[object]], sentence: str
) -> None:
    """An argument of the wrong type raises an error that names it, before anything is done."""
    with pytest.raises(TypeError, match=f"^{re.escape(sentence)}$"):
        await ask(client)


async def test_a_client_of_some_queues(pool: ArqRedis, start_worker: StartWorker) -> None:
    """With ``queues`` only their live jobs are listed, but ended jobs of all queues."""

    async def f(ctx: dict[str, Any]) -> None: ...

    one, two = StatusClient(pool, queues=["one", "one"]), StatusClient(pool, queues=["one", "two"])
    await start_worker(tracked(f, queue_name="three"))
    await pool.enqueue_job("f", _job_id="ended", _queue_name="three")
    await ended(two, "ended")
    for queue in ("one", "two"):
        await pool.enqueue_job("f", _job_id=queue, _queue_name=queue, _defer_by=60)

    async def listed() -> bool:
        return (await one.list_jobs("complete")).total == 1

    await until(listed)
    assert {it.job_id for it in (await one.list_jobs()).items} == {"one", "ended"}
    assert {it.job_id for it in (await two.list_jobs()).items} == {"one", "two", "ended"}
    assert (await one.counts())[Status.DEFERRED] == 1
    assert (await two.counts())[Status.DEFERRED] == 2
    assert await one.status("two") is Status.QUEUED
    assert await two.status("two") is Status.DEFERRED


# Payloads that are not arq's own pickles


def to_json(value: dict[str, Any]) -> bytes:
    """A serializer for arq."""
    return json.dumps(value, default=str).encode()


async def test_a_serializer_of_ones_own(
    pool: ArqRedis, redis_settings: RedisSettings, start_worker: StartWorker
) -> None:
    """With the workers' deserializer function and arguments are known, else all but those."""
    asked: list[bytes] = []

    def from_json(raw: bytes) -> Any:
        asked.append(raw)
        return json.loads(raw)

    async def f(ctx: dict[str, Any], number: int) -> int:
        return number

    knowing, other = StatusClient(pool, job_deserializer=from_json), StatusClient(pool)
    own = await create_pool(redis_settings, job_serializer=to_json, job_deserializer=json.loads)
    async with own:
        await own.enqueue_job("f", 1, _job_id="job")
        unknowing = await other.job("job")
        assert asked == []
        record = await knowing.job("job")
        assert record is not None
        assert (record.status, record.function, record.args) == ("queued", "f", "1")
        assert unknowing is not None
        assert (unknowing.status, unknowing.function, unknowing.args) == ("queued", None, "")
        await start_worker(tracked(f, job_serializer=to_json, job_deserializer=json.loads))
        for client in (knowing, other):
            record = await ended(client, "job")
            assert (record.status, record.function, record.args) == ("complete", "f", "1")
        # for the untracked worker, which keeps results longer, there is only arq's result
        await own.psetex(
            "arq:result:r", 2 * HOUR, to_json({"f": "f", "a": [2], "s": True, "ft": 1})
        )
        assert await knowing.status("r") is None
        assert await other.status("r") is Status.COMPLETE


async def test_a_deserializer_that_fails(pool: ArqRedis) -> None:
    """It does not matter if it raises or returns something else than a dict."""

    def broken(raw: bytes) -> Any:
        raise OSError("no key to decrypt with")

    await put_job(pool, "job", 1)
    for deserializer in (broken, len):
        record = await StatusClient(pool, job_deserializer=deserializer).job("job")
        assert record is not None
        assert (record.status, record.function, record.args) == ("queued", None, "")


async def test_a_deserializer_gets_whole_payloads_or_none(pool: ArqRedis) -> None:
    """It gets whole payloads; above 1 MiB the default format is tried instead."""
    sizes: list[int] = []

    def load(raw: bytes) -> Any:
        sizes.append(len(raw))
        return pickle.loads(raw)

    client = StatusClient(pool, job_deserializer=load)
    enqueued = await put_job(pool, "large", "x" * 1_000_000)
    await put_job(pool, "huge", "x" * 1_100_000, enqueued=enqueued)
    large, huge = await client.jobs(["large", "huge"])
    assert sizes == [len(await pool.get("arq:job:large") or b"")]
    for record in (large, huge):
        assert record is not None
        assert (record.function, record.args) == ("f", "'" + "x" * 78 + "…")
        assert record.enqueued_at == datetime.fromtimestamp(enqueued / 1000, UTC)


async def test_nothing_in_a_payload_is_run(
    pool: ArqRedis, client: StatusClient, tmp_path: Path
) -> None:
    """Pickles that would call something when loaded are read without calling it."""
    touched = tmp_path / "touched"

    class Attack:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (touched,)

    pickle.loads(pickle.dumps(Attack()))
    assert touched.exists()
    touched.unlink()
    await put_job(pool, "a", Attack())
    await put_result(pool, "b", Attack())
    await put_result(pool, "c", Attack(), success=False)
    attack = pickle.dumps(Attack())
    await pool.set("arq:job:d", attack)
    await pool.set("arq:result:e", attack)
    statuses = [record and record.status for record in await client.jobs(list("abcde"))]
    assert statuses == ["queued", "complete", "failed", "queued", "complete"]
    await client.list_jobs(search="f")
    await client.counts()
    for job_id in "abcde":
        await client.store(job_id, x=1)
        await client.delete(job_id)
    assert not touched.exists()


async def test_arguments_that_may_not_be_shown(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """With ``record_args=False`` arguments are not shown, queued or ended."""

    @status_options(record_args=False)
    async def login(ctx: dict[str, Any], password: str) -> str:
        return password

    worker = await start_worker(tracked(login, burst=True))
    await until(lambda: worker.main_task is not None and worker.main_task.done())
    await pool.enqueue_job("login", "secret", _job_id="job")
    queued = await client.job("job")
    assert queued is not None
    assert (queued.status, queued.function, queued.args) == ("queued", "login", "")
    assert await client.store("job", vino="veritas")
    await start_worker(tracked(login))
    assert (await ended(client, "job")).args == ""
    for key in await pool.keys("arqstatus:*"):
        if not key.startswith(b"arqstatus:1:payload:"):  # the payload that is kept for ``retry``
            assert b"secret" not in (await pool.dump(key) or b"")
    await pool.delete("arqstatus:1/job")
    from_result = await client.job("job")
    assert from_result is not None
    assert (from_result.function, from_result.args) == ("login", "")


async def test_a_result_alone(pool: ArqRedis, client: StatusClient) -> None:
    """A job that no tracked worker has seen is known from arq's result."""
    enqueued = await put_result(pool, "good")
    await put_result(pool, "bad", ValueError("no"), success=False, enqueued=enqueued)
    good, bad = await client.jobs(["good", "bad"])
    assert good is not None
    assert bad is not None
    assert (good.status, good.pct_complete, good.error) == ("complete", 100, None)
    assert (bad.status, bad.pct_complete, bad.error) == ("failed", 0, "ValueError: no")
    assert (good.function, good.args, good.job_try, good.queue) == ("f", "1", 1, "arq:queue")
    assert good.enqueued_at == datetime.fromtimestamp(enqueued / 1000, UTC)
    assert good.ended_at is not None
    assert good.expires_at == good.ended_at + timedelta(minutes=30)
    assert (good.elapsed, good.data) == (timedelta(0), {})


# What a client is created from


async def is_usable(client: StatusClient) -> bool:
    """Return True if the client finds the job of the tests below."""
    page = await client.list_jobs()
    assert [record.job_id for record in page.items] == ["job"]
    assert await client.get("job", "vino") == "veritas"
    assert (await client.counts())[Status.QUEUED] == 1
    return await client.is_queued("job") and await client.store("job", vino="veritas")


@pytest.fixture
async def one_job(pool: ArqRedis, client: StatusClient) -> None:
    """A job with data."""
    await pool.enqueue_job("f", _job_id="job")
    await client.store("job", vino="veritas")


@pytest.mark.usefixtures("one_job")
@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("decode", [False, True])
async def test_clients_of_all_kinds(dsn: str, decode: bool, protocol: int) -> None:
    """A Redis client may decode responses and use either protocol."""
    redis = Redis.from_url(dsn, decode_responses=decode, protocol=protocol)
    async with redis:
        assert await is_usable(StatusClient(redis))


@pytest.mark.usefixtures("one_job")
async def test_what_a_client_may_be_given(
    pool: ArqRedis, redis_settings: RedisSettings, dsn: str
) -> None:
    """A pool, settings and a DSN work the same; a client closes what it opened."""
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(StatusClient(given))
            for given in (pool, redis_settings, dsn)
        ]
        assert all([await is_usable(client) for client in clients])
        connected = len(await pool.client_list())
    await until(lambda: connections(pool, connected - 2))
    assert await pool.ping()
    # it may be used again
    async with clients[1]:
        assert await is_usable(clients[1])


async def connections(pool: ArqRedis, number: int) -> bool:
    """Return True if the server has this many clients."""
    return len(await pool.client_list()) == number


async def test_closing_what_was_never_opened(pool: ArqRedis, dsn: str) -> None:
    """A client that made no query has not connected, and may still be closed."""
    before = (await pool.info("stats"))["total_connections_received"]
    for client in (StatusClient(dsn), StatusClient(pool)):
        await client.aclose()
        await client.aclose()
    assert (await pool.info("stats"))["total_connections_received"] == before
    assert await pool.ping()
    # it may be used afterwards
    async with StatusClient(dsn) as client:
        await client.aclose()
        assert await client.status("unknown") is None
    await until(lambda: connections(pool, 1))


async def test_the_default_is_localhost() -> None:
    """Without arguments a client uses Redis on localhost at the default port."""
    with socket.socket() as probe:
        listening = probe.connect_ex(("127.0.0.1", 6379)) == 0
    async with StatusClient() as client:
        if listening:
            await client.status("x")
        else:
            with pytest.raises(RedisConnectionError, match="localhost:6379"):
                await client.status("x")


@pytest.mark.usefixtures("one_job")
async def test_many_first_questions_at_once(pool: ArqRedis, redis_settings: RedisSettings) -> None:
    """Concurrent first queries keep only one of the connections that they open."""
    async with StatusClient(redis_settings) as client:
        before = len(await pool.client_list())
        assert all(await asyncio.gather(*(client.is_queued("job") for _ in range(20))))
        await asyncio.gather(*(client.job("job") for _ in range(3)))
        await until(lambda: at_most_connections(pool, before + 20))
    await until(lambda: connections(pool, before))


async def at_most_connections(pool: ArqRedis, number: int) -> bool:
    """Return True if the server has at most this many clients."""
    return len(await pool.client_list()) <= number


@pytest.mark.parametrize(
    "dsn",
    [
        "",
        "localhost",
        "http://localhost",
        "redis://localhost:port",
        "redis://localhost/0?db=x",
        "redis://localhost/jobs",
        "rediss://localhost/1/2",
        "redis://localhost/0?sockt_timeout=1",
    ],
)
def test_a_dsn_that_cannot_be_read(dsn: str) -> None:
    """A malformed DSN is refused immediately."""
    with pytest.raises(ValueError, match=r"."):
        StatusClient(dsn)


@pytest.mark.parametrize("given", [5, b"redis://localhost", object(), sync_redis.Redis()])
def test_what_is_no_redis(given: Any) -> None:
    """Anything else is refused and named, also a Redis client that is not asyncio's."""
    kind = type(given)
    with pytest.raises(
        TypeError, match=rf"asyncio.Redis,.*, not {kind.__module__}\.{kind.__name__}"
    ):
        StatusClient(given)


@pytest.mark.parametrize("expires", [0, -1, float("nan"), float("inf"), timedelta(0)])
def test_an_expiry_that_is_none(expires: Any) -> None:
    """An expiry must be positive and finite."""
    with pytest.raises(ValueError, match="expires"):
        StatusClient(expires=expires)
    with pytest.raises(TypeError, match="expires"):
        StatusClient(expires="soon")  # type: ignore[arg-type]


async def test_redis_away() -> None:
    """Every query raises redis-py's own exception if Redis cannot be reached."""
    port = free_port()
    lazy = Redis(port=port)
    settings = RedisSettings(host="127.0.0.1", port=port)
    for given in (f"redis://127.0.0.1:{port}", settings, lazy):
        client = StatusClient(given)
        for question in (
            client.status("x"),
            client.job("x"),
            client.get_all("x"),
            client.list_jobs(),
            client.counts(),
            client.delete("x"),
            client.store("x", a=1),
        ):
            with pytest.raises(RedisConnectionError):
                await question
        await client.aclose()
    await lazy.aclose()


def test_redis_away_in_one_event_loop_after_the_other() -> None:
    """A client that serves several event loops raises in each."""
    client = StatusClient(f"redis://127.0.0.1:{free_port()}")
    for _ in range(3):
        with pytest.raises(RedisConnectionError):
            asyncio.run(client.status("x"))


async def test_redis_restarted(tmp_path: Path) -> None:
    """A client works again after a restart of Redis, which has lost the scripts."""
    server = Server(tmp_path)
    server.start()
    try:
        async with StatusClient(server.dsn) as client:
            assert await client.status("x") is None
            server.stop()
            with pytest.raises((RedisConnectionError, OSError)):
                await client.status("x")
            server = Server(tmp_path, port=server.port)
            server.start()
            assert await client.status("x") is None
    finally:
        server.stop()


async def test_scripts_that_redis_forgot(pool: ArqRedis, client: StatusClient) -> None:
    """Everything keeps working after SCRIPT FLUSH."""
    await put_job(pool, "job")
    await client.status("job")
    await pool.script_flush()
    assert await client.is_queued("job")
    await pool.script_flush()
    assert (await client.counts())[Status.QUEUED] == 1


# Event loops


LOOPS = """
    import asyncio, sys
    from redis.asyncio import Redis
    from arq_status import StatusClient

    async def ask():
        return await client.is_queued("job"), await client.get("job", "vino")

    async def close():
        await ask()
        await client.aclose()

    redis = {redis}
    client = StatusClient(redis)
    for _ in range(3):
        assert asyncio.run(ask()) == (True, "veritas")
    asyncio.run(close())
    assert asyncio.run(ask()) == (True, "veritas")
    print("fine")
"""


async def run_program(source: str, *arguments: str) -> str:
    """Return what a program prints; fail if it does not exit normally."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", textwrap.dedent(source), *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await process.communicate()
    return out.decode().strip() or err.decode()


@pytest.mark.usefixtures("one_job")
@pytest.mark.parametrize("redis", ["sys.argv[1]", "Redis.from_url(sys.argv[1])"])
async def test_several_event_loops(dsn: str, redis: str) -> None:
    """A client works in successive event loops, also with the user's own Redis client."""
    assert await run_program(LOOPS.format(redis=redis), dsn) == "fine"


MANY_LOOPS = """
    import asyncio, gc, sys
    from redis.asyncio import Redis
    from arq_status import StatusClient

    async def connections():
        async with Redis.from_url(sys.argv[1]) as redis:
            return len(await redis.client_list())

    client = StatusClient(sys.argv[1])
    before = asyncio.run(connections())
    for _ in range(20):
        asyncio.run(client.status("job"))
    gc.collect()
    assert asyncio.run(connections()) <= before + 2
    print("fine")
"""


@pytest.mark.usefixtures("one_job")
async def test_event_loops_that_are_gone_leave_nothing_behind(dsn: str) -> None:
    """A client keeps no connections of closed event loops."""
    assert await run_program(MANY_LOOPS, dsn) == "fine"


@pytest.mark.usefixtures("one_job")
async def test_two_event_loops_at_once(pool: ArqRedis, client: StatusClient) -> None:
    """A thread with its own event loop can use the same client as the first loop."""

    async def ask() -> bool:
        try:
            return await client.is_queued("job")
        finally:
            await client.aclose()

    first = await client.is_queued("job")
    others = await asyncio.gather(*(asyncio.to_thread(asyncio.run, ask()) for _ in range(3)))
    assert [first, *others, await client.is_queued("job")] == [True] * 5


# Separate clients


async def test_a_client_for_the_background(pool: ArqRedis, dsn: str) -> None:
    """It has its own connections to the same database, a timeout, and returns bytes."""
    await pool.set("key", "value")
    theirs = Redis.from_url(dsn, decode_responses=True, max_connections=1)
    async with theirs, background_client(theirs) as ours:
        assert await theirs.get("key") == "value"
        assert await ours.get("key") == b"value"
        assert ours.connection_pool.connection_kwargs["socket_timeout"] == 5
        assert ours.connection_pool is not theirs.connection_pool


async def test_a_client_beside_one_behind_sentinel() -> None:
    """It asks its own Sentinel clients for the same service."""
    manager = Sentinel([("127.0.0.1", free_port())])  # type: ignore[no-untyped-call]
    replica: Redis = manager.slave_for("mymaster", db=3)
    theirs: Any = replica.connection_pool
    ours: Any = separate_client(replica).connection_pool
    assert (ours.service_name, ours.is_master, ours.connection_kwargs["db"]) == (
        "mymaster",
        False,
        3,
    )
    assert ours.sentinel_manager.sentinels[0] is not theirs.sentinel_manager.sentinels[0]
    assert ours.connection_kwargs["connection_pool"].service_name == "mymaster"


async def test_a_job_of_arqs_own(pool: ArqRedis, client: StatusClient) -> None:
    """The status is available as soon as ``enqueue_job`` has returned a ``Job``."""
    job = await pool.enqueue_job("f")
    assert isinstance(job, Job)
    assert await client.is_queued(job.job_id)


async def test_a_try_that_arq_has_begun(pool: ArqRedis, client: StatusClient) -> None:
    """A job is working from arq's first sign of it, with or without outside data."""
    await put_job(pool, "job", 1)
    await begin(pool, "job")
    assert await client.is_working("job")
    assert await client.store("job", vino="veritas")
    record = await client.job("job")
    assert record is not None
    assert (record.status, record.args, record.job_try) == ("working", "1", None)
    await write_record(pool, "job", State.WORKING, worker="host:1:x")
    await beat(pool, "host:1:x")
    assert await client.is_working("job")
