"""Tags: how jobs get and keep them, and how jobs are found by them."""

import logging
from datetime import timedelta
from typing import Any

import pytest
from arq import Retry, create_pool
from arq.connections import ArqRedis, RedisSettings
from arq.jobs import Job, JobStatus
from arq.utils import timestamp_ms
from redis.asyncio.client import Pipeline
from redis.exceptions import ResponseError

import arq_status
from arq_status import JobRecord, Status, StatusClient, status_options, track_status
from arq_status._model.record import State
from arq_status._redis import keys
from arq_status._redis.store import Store
from arq_status.testing import tracker
from tests.conftest import RunBurst, RunJob, StartWorker, ended, started, until
from tests.jobs import add, fail, wait
from tests.records import (
    HOUR,
    beat,
    begin,
    own_keys,
    put_job,
    put_result,
    write_end,
    write_record,
    write_running,
)

Context = dict[str, Any]


async def tags_of(client: StatusClient, job_id: str) -> tuple[str, ...]:
    """Return the tags of a known job."""
    record = await client.job(job_id)
    assert record is not None
    return record.tags


async def found_by(client: StatusClient, tag: str, **filters: Any) -> list[str]:
    """Return the ids on the first page of a tag's list, as many as its total says."""
    page = await client.list_jobs(tag=tag, per_page=100, **filters)
    assert len(page.items) == page.total
    assert not page.truncated
    return [it.job_id for it in page.items]


# From the options, from inside, from outside


async def test_tags_of_the_options(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """A list is for all jobs of a function; a callable gets the job's arguments."""

    @status_options(tags=["listed", "twice", "twice"])
    async def listed(ctx: Context) -> None: ...

    @status_options(tags=lambda ctx, tenant, *, path: [f"tenant:{tenant}", path, ctx["job_id"]])
    async def computed(ctx: Context, tenant: int, *, path: str) -> None: ...

    await pool.enqueue_job(listed.__qualname__, _job_id="listed")
    await pool.enqueue_job(computed.__qualname__, 42, path="a.csv", _job_id="computed")
    await run_burst(track_status({"functions": [listed, computed]}))
    assert await tags_of(client, "listed") == ("listed", "twice")
    assert await tags_of(client, "computed") == ("tenant:42", "a.csv", "computed")
    assert await found_by(client, "tenant:42") == ["computed"]


@pytest.mark.parametrize(
    "given",
    [
        lambda *_: 1 / 0,
        lambda *_: "text",
        lambda *_: [""],
        lambda *_: [7],
        lambda *_: None,
        lambda: [],
    ],
)
async def test_a_callable_that_fails(
    pool: ArqRedis,
    client: StatusClient,
    run_burst: RunBurst,
    caplog: pytest.LogCaptureFixture,
    given: Any,
) -> None:
    """Its jobs run without tags, and one line is logged per function."""
    functions = [status_options(tags=given)(arq_func(add))]
    for number in range(3):
        await pool.enqueue_job("add", 1, number, _job_id=str(number))
    await run_burst(track_status({"functions": functions}))
    for number in range(3):
        record = await client.job(str(number))
        assert record is not None
        assert (record.status, record.tags) == (Status.COMPLETE, ())
    lines = [it for it in caplog.records if "could not determine the tags" in it.message]
    assert [it.levelno for it in lines] == [logging.WARNING]


def arq_func(function: Any) -> Any:
    """A function of arq's settings that can be decorated again."""
    from arq import func

    return func(function, name=function.__name__)


async def test_tags_from_inside(pool: ArqRedis, client: StatusClient, run_burst: RunBurst) -> None:
    """A job tags itself; it keeps the tags of all its tries."""

    async def job(ctx: Context) -> None:
        await ctx["status"].tag(f"try {ctx['job_try']}")
        ctx["status"].sync.tag("sync")
        if ctx["job_try"] == 1:
            raise Retry

    await pool.enqueue_job(job.__qualname__, _job_id="job")
    await run_burst(track_status({"functions": [job]}))
    assert await tags_of(client, "job") == ("try 1", "sync", "try 2")
    for tag in ("try 1", "sync", "try 2"):
        assert await found_by(client, tag) == ["job"]


async def test_a_tag_of_after_job_end(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """A hook may tag an ended job; that does not wait for the worker's shutdown."""

    async def after_job_end(ctx: Context) -> None:
        await until(is_written)
        await ctx["status"].tag("late")

    await start_worker(track_status({"functions": [add], "after_job_end": after_job_end}))
    await pool.enqueue_job("add", 1, 2, _job_id="job")

    async def is_written() -> bool:
        return bool(await pool.zcard(f"{keys.ENDED}complete:1800000") == 1)

    async def is_tagged() -> bool:
        return await tags_of(client, "job") == ("late",)

    await until(is_tagged)
    assert await found_by(client, "late", status="complete") == ["job"]


@pytest.mark.parametrize(
    ("tag", "error"), [("", ValueError), ("x" * 101, ValueError), (7, TypeError), (None, TypeError)]
)
async def test_bad_tags(pool: ArqRedis, client: StatusClient, tag: Any, error: type) -> None:
    """Nothing is enqueued or written with them."""
    with pytest.raises(error):
        await client.tag("job", tag)
    with pytest.raises(error):
        await arq_status.enqueue_job(pool, "f", _tags=[tag])
    with pytest.raises(error):
        await tracker().tag(tag)
    with pytest.raises(error):
        status_options(tags=[tag])
    with pytest.raises(TypeError, match="not a string"):
        await arq_status.enqueue_job(pool, "f", _tags="text")
    assert await pool.keys("*") == []
    with pytest.raises(TypeError, match="must be a list of strings, not int"):
        status_options(tags=5)  # type: ignore[arg-type]


async def test_without_a_pool(pool: ArqRedis, client: StatusClient) -> None:
    """A call like arq's ``enqueue_job`` says what is missing; nothing is enqueued."""
    async with client.group() as group:
        for call in (arq_status.enqueue_job, group.enqueue_job):
            with pytest.raises(TypeError, match="must be arq's pool, an ArqRedis, not str"):
                await call("f", 1)  # type: ignore[arg-type]
    assert await client.counts() == dict.fromkeys(Status, 0)


async def test_more_than_twenty_tags(pool: ArqRedis, client: StatusClient) -> None:
    """They are refused from anywhere; the longest and the most tags are accepted."""
    many = [f"{number:0100}" for number in range(20)]
    job = await arq_status.enqueue_job(pool, "f", _tags=many, _job_id="job")
    assert job is not None
    with pytest.raises(ValueError, match="20 tags"):
        await client.tag("job", "one more")
    assert await client.tag("job", many[3])
    assert await tags_of(client, "job") == tuple(many)
    with pytest.raises(ValueError, match="at most 20"):
        await arq_status.enqueue_job(pool, "f", _tags=[*many, "one more"])
    status = tracker()
    for tag in many:
        await status.tag(tag)
    await status.tag(many[0])
    with pytest.raises(ValueError, match="at most 20"):
        await status.tag("one more")
    assert status.record.tags == tuple(many)


async def test_tags_beyond_twenty_of_both_sides(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """If both sides add tags, the first twenty are kept, those from outside first."""
    outside, inside = ([f"{it}{number}" for number in range(15)] for it in ("o", "i"))
    await arq_status.enqueue_job(pool, "add", 1, 2, _tags=outside, _job_id="job")
    await run_burst(track_status({"functions": [status_options(tags=inside)(arq_func(add))]}))
    assert await tags_of(client, "job") == (*outside, *inside[:5])


async def test_tags_from_outside(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """A waiting, running or ended job gets them; an unknown one does not."""
    await pool.enqueue_job("wait", _job_id="job", _defer_by=0.2)
    assert await client.tag("job", "before")
    assert await client.status("job") is Status.DEFERRED
    assert await found_by(client, "before") == ["job"]
    await start_worker(track_status({"functions": [wait]}))
    await started(client, "job")
    assert await client.tag("job", "while it runs")
    assert await found_by(client, "while it runs", status="working") == ["job"]
    await client.stop("job", force=True)
    before = await ended(client, "job")
    assert await client.tag("job", "after")
    record = await client.job("job")
    assert record is not None
    assert record.tags == ("before", "while it runs", "after")
    assert (record.ended_at, record.expires_at) == (before.ended_at, before.expires_at)
    assert await found_by(client, "after", status="stopped") == ["job"]
    assert not await client.tag("unknown", "x")
    assert not await client.tag("", "x")


# Enqueueing


async def test_enqueue_job(pool: ArqRedis, client: StatusClient, run_burst: RunBurst) -> None:
    """It takes arq's arguments and returns the same; the tags are there from start to end."""
    job = await arq_status.enqueue_job(
        pool, "add", 1, b=2, _job_id="job", _defer_by=HOUR, _tags=["a/b", 'quo"te', "ü"]
    )
    assert job is not None
    assert await client.status("job") is Status.DEFERRED
    record = await client.job("job")
    assert record is not None
    assert (record.function, record.args) == ("add", "1, b=2")
    assert record.tags == ("a/b", 'quo"te', "ü")
    assert await arq_status.enqueue_job(pool, "add", _job_id="job", _tags=["other"]) is None
    await pool.zadd("arq:queue", {"job": timestamp_ms()})
    await run_burst(track_status({"functions": [add]}))
    assert await job.result() == 3
    assert await tags_of(client, "job") == ("a/b", 'quo"te', "ü")
    for tag in record.tags:
        assert await found_by(client, tag) == ["job"]
        assert (await client.list_jobs(search=tag)).total == 1


async def test_without_tags_it_costs_nothing(pool: ArqRedis) -> None:
    """It takes no key and no command more than arq's own."""
    await arq_status.enqueue_job(pool, "add", 1, 2)
    assert await own_keys(pool) == set()


async def test_a_worker_that_is_faster(pool: ArqRedis, client: StatusClient) -> None:
    """Tags may arrive after the job began or ended: they are added to its record."""
    store = Store(pool)
    for job_id, state, values in (
        ("runs", State.WORKING, {"worker": "host:7:x"}),
        ("done", State.COMPLETE, {"ended": timestamp_ms()}),
    ):
        run = await put_job(pool, job_id)
        if "ended" in values:
            await pool.delete(f"arq:job:{job_id}", "arq:queue")
        await write_record(pool, job_id, state, run=run, tags=("own",), **values)
        await store.run([store.tag_enqueued(job_id, _enqueued("given"))])
        assert await found_by(client, "given") == [job_id]
        assert await found_by(client, "own") == [job_id]
        await pool.delete(f"{keys.RECORD}{job_id}")
        await pool.flushdb()
    # it has ended, and only arq's result shows it
    run = await put_result(pool, "booked")
    await store.run([store.tag_enqueued("booked", _enqueued("given"))])
    assert await tags_of(client, "booked") == ("given",)
    assert await client.status("booked") is Status.COMPLETE
    # nothing is left of it
    await store.run([store.tag_enqueued("gone", _enqueued("given"))])
    assert await client.status("gone") is None


def _enqueued(*tags: str) -> Any:
    from arq_status._model.transitions import enqueued_record

    return enqueued_record("f", None, tags, None)


async def test_a_serializer_of_ones_own(
    pool: ArqRedis, client: StatusClient, redis_settings: RedisSettings, run_burst: RunBurst
) -> None:
    """Tags stay with the job even if its payload does not identify its run."""
    import json

    def dumps(data: Any) -> bytes:
        return json.dumps(data, default=str).encode()

    async with await create_pool(
        redis_settings, job_serializer=dumps, job_deserializer=json.loads
    ) as own:
        await arq_status.enqueue_job(own, "add", 1, 2, _job_id="job", _tags=["given"])
        assert await found_by(client, "given") == ["job"]
        settings = {"functions": [add], "job_serializer": dumps, "job_deserializer": json.loads}
        await run_burst(track_status(settings))
    assert await tags_of(client, "job") == ("given",)
    assert await found_by(client, "given", status="complete") == ["job"]


async def test_in_one_transaction(
    pool: ArqRedis, client: StatusClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No worker finds a job without its tags, unless Redis has just forgotten the script."""
    later: list[object] = []
    run = Store.run

    async def noted(self: Store, calls: Any) -> list[Any]:
        later.append(calls)
        return await run(self, calls)

    monkeypatch.setattr(Store, "run", noted)
    await pool.script_flush()
    for number, forgets in enumerate([False, False, True, False]):
        if forgets:
            await pool.script_flush()
        job_id = f"job {number}"
        job = await arq_status.enqueue_job(pool, "f", _job_id=job_id, _tags=["t"])
        assert await arq_status.enqueue_job(pool, "f", _job_id=job_id, _tags=["other"]) is None
        assert job is not None
        assert job._redis is pool
        assert await job.status() is JobStatus.queued
    assert len(later) == 1
    assert sorted(await found_by(client, "t")) == ["job 0", "job 1", "job 2", "job 3"]
    assert await found_by(client, "other") == []


async def test_a_custom_pool(client: StatusClient, redis_settings: RedisSettings) -> None:
    """Whatever its class or others add to arq's ``enqueue_job`` is done, and only once."""

    class Counting(ArqRedis):
        enqueued = 0

        async def enqueue_job(self, function: str, *args: Any, **kwargs: Any) -> Job | None:
            self.enqueued += 1
            return await super().enqueue_job(function, *args, **kwargs)

    class Proxy:
        """A proxy like those by wrapt, for example for tracing."""

        __class__: Any = ArqRedis

        def __init__(self, pool: ArqRedis) -> None:
            self._pool = pool

        def __getattr__(self, name: str) -> Any:
            return getattr(self._pool, name)

    plain = await create_pool(redis_settings)
    proxy: Any = Proxy(plain)
    await arq_status.enqueue_job(proxy, "f", _job_id="four", _tags=["t"])
    async with Counting(plain.connection_pool) as counting:
        for job_id in ("one", "two"):
            await arq_status.enqueue_job(counting, "f", _job_id=job_id, _tags=["t"])
        assert counting.enqueued == 2
        replaced: Any = counting
        replaced.enqueue_job = plain.enqueue_job
        await arq_status.enqueue_job(counting, "f", _job_id="three", _tags=["t"])
        assert counting.enqueued == 2
        assert sorted(await found_by(client, "t")) == ["four", "one", "three", "two"]
    await plain.aclose()


async def test_errors_of_arq_itself(pool: ArqRedis, client: StatusClient) -> None:
    """They are raised as without tags, and nothing is known of the job."""
    await pool.set("wrong", "a key of another type")
    for tags in ([], ["t"]):
        with pytest.raises(ResponseError, match="ZADD wrong"):
            await arq_status.enqueue_job(pool, "f", _queue_name="wrong", _tags=tags)
    async with client.group("import-7") as group:
        with pytest.raises(ResponseError, match="ZADD wrong"):
            await group.enqueue_job(pool, "f", _queue_name="wrong")
    record = await client.group_status("import-7")
    assert record is not None
    assert record.total == 0
    assert await found_by(client, "t") == []
    with pytest.raises(TypeError, match="_queue_name must be a str, not bytes"):
        await arq_status.enqueue_job(pool, "f", _queue_name=b"queue", _tags=["t"])
    assert not await pool.exists("arq:queue")


async def test_errors_of_others(
    pool: ArqRedis, client: StatusClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error after Redis has enqueued the job is raised: the job is not enqueued twice."""
    execute = Pipeline.execute

    async def traced(self: Pipeline, raise_on_error: bool = True) -> list[Any]:
        await execute(self, raise_on_error)
        raise ResponseError("as of a tracer")

    monkeypatch.setattr(Pipeline, "execute", traced)
    with pytest.raises(ResponseError, match="as of a tracer"):
        await arq_status.enqueue_job(pool, "f", _tags=["t"])
    monkeypatch.undo()
    assert await pool.zcard("arq:queue") == 1
    assert len(await found_by(client, "t")) == 1


@pytest.mark.parametrize("before", [False, True])
async def test_a_patched_class(
    pool: ArqRedis, client: StatusClient, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    """Whatever was put in the place of arq's ``enqueue_job`` does what it does without tags."""
    answers: list[Any] = []

    async def enqueue_job(self: ArqRedis, function: str, _job_id: str) -> Job:
        if before:
            async with self.pipeline() as pipe:
                pipe.set("seen", function)
                await pipe.execute()
        async with self.pipeline() as pipe:
            pipe.zadd("arq:queue", {_job_id: 1})
            pipe.get("arq:queue")
            answers.extend(await pipe.execute(raise_on_error=False))
        return Job(_job_id, self)

    monkeypatch.setattr(ArqRedis, "enqueue_job", enqueue_job)
    job = await arq_status.enqueue_job(pool, "f", _job_id="job", _tags=["t"])
    assert job is not None
    assert job._redis is pool
    assert answers[0] == 1
    assert isinstance(answers[1], ResponseError)
    assert len(answers) == 2
    assert await pool.get("seen") == (b"f" if before else None)
    assert await tags_of(client, "job") == ("t",)


async def test_pipelines_of_others(
    pool: ArqRedis, client: StatusClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where something else takes the place of redis-py's pipelines the tags come right after."""

    class Traced(Pipeline):
        pass

    def pipeline(self: ArqRedis, transaction: bool = True, shard_hint: str | None = None) -> Any:
        return Traced(self.connection_pool, self.response_callbacks, transaction, shard_hint)

    monkeypatch.setattr(ArqRedis, "pipeline", pipeline)
    await arq_status.enqueue_job(pool, "f", _job_id="job", _tags=["t"])
    monkeypatch.undo()
    assert await found_by(client, "t") == ["job"]


async def test_redis_fails_after_the_enqueueing(
    pool: ArqRedis, dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The job is enqueued, and a line is logged: it must not be enqueued twice."""
    redis: Any = pool
    await redis.execute_command(
        "ACL", "SETUSER", "enqueuer", "on", ">secret", "~*", "&*", "+@all", "-@scripting"
    )
    settings = RedisSettings.from_dsn(dsn.replace("redis://", "redis://enqueuer:secret@"))
    try:
        async with await create_pool(settings) as enqueuer:
            job = await arq_status.enqueue_job(enqueuer, "f", _job_id="job", _tags=["x"])
    finally:
        await redis.execute_command("ACL", "DELUSER", "enqueuer")
    assert job is not None
    assert await pool.exists("arq:job:job")
    assert "job was enqueued without its tags and group" in caplog.text


# What they survive


async def test_retry_keeps_them(pool: ArqRedis, client: StatusClient, run_burst: RunBurst) -> None:
    """It also keeps data stored from outside, but nothing else of the earlier run."""

    async def job(ctx: Context) -> None:
        status = ctx["status"]
        await status.tag("inside")
        await status.store(rows=1, mode="changed")
        await status.at(50, "half")
        raise ValueError("no vino")

    settings = track_status({"functions": [job]})
    await arq_status.enqueue_job(pool, job.__qualname__, _job_id="job", _tags=["outside"])
    await client.store("job", mode="given")
    await run_burst(settings)
    record = await client.job("job")
    assert record is not None
    assert record.data == {"mode": "changed", "rows": 1}
    assert await client.retry("job")
    record = await client.job("job")
    assert record is not None
    assert (record.status, record.at, record.message) == (Status.QUEUED, 0, None)
    assert (record.tags, record.data) == (("outside", "inside"), {"mode": "given"})
    assert await found_by(client, "outside", status="queued") == ["job"]
    await run_burst(settings)
    assert await tags_of(client, "job") == ("outside", "inside")


async def test_a_new_enqueue_starts_without(
    pool: ArqRedis, client: StatusClient, run_burst: RunBurst
) -> None:
    """Tags, data and everything else of the earlier run are gone."""
    settings = track_status({"functions": [add], "keep_result": 0})
    await arq_status.enqueue_job(pool, "add", 1, 2, _job_id="job", _tags=["first"])
    await client.store("job", vino="veritas")
    await run_burst(settings)
    assert await tags_of(client, "job") == ("first",)
    await pool.enqueue_job("add", 1, 2, _job_id="job")
    assert await tags_of(client, "job") == ()
    assert await found_by(client, "first") == []
    await arq_status.tag("job", "second")
    await run_burst(settings)
    record = await client.job("job")
    assert record is not None
    assert (record.tags, record.data) == (("second",), {})
    assert await found_by(client, "first") == []
    assert await found_by(client, "second") == ["job"]


async def test_delete(pool: ArqRedis, client: StatusClient) -> None:
    """Nothing is left of tags and indexes."""
    await write_end(pool, "job", tags=("one", "two"), group="g")
    assert await client.delete("job") == 1
    assert await found_by(client, "one") == []
    assert not {it for it in await own_keys(pool) if "#" in it}


# Lists


async def test_every_status_is_listed(pool: ArqRedis, client: StatusClient) -> None:
    """The list has exactly the jobs with the tag, of any status, in the usual order."""
    now = timestamp_ms()
    await beat(pool, "host:7:x")
    for number, (state, values) in enumerate(
        [
            (State.COMPLETE, {}),
            (State.FAILED, {"expires_after_ms": HOUR}),
            (State.STOPPED, {}),
            (State.INTERRUPTED, {}),
        ]
    ):
        for name, tags in (("in", ("t",)), ("out", ())):
            run = now - 1_000 * number - 1_000
            await write_end(pool, f"{name}-{state}", state, ended=run, tags=tags, **values)
    for name, given in (("in", ["t"]), ("out", [])):
        later = {"_defer_by": HOUR / 1000}
        await arq_status.enqueue_job(pool, "f", _job_id=f"{name}-queued", _tags=given)
        await arq_status.enqueue_job(pool, "f", _job_id=f"{name}-deferred", _tags=given, **later)
        run = await put_job(pool, f"{name}-retrying", due=now + HOUR)
        await write_record(
            pool, f"{name}-retrying", State.RETRYING, run=run, due=now + HOUR, tags=tuple(given)
        )
        run = await put_job(pool, f"{name}-working")
        await begin(pool, f"{name}-working")
        await write_record(pool, f"{name}-working", run=run, worker="host:7:x", tags=tuple(given))
    listed = await found_by(client, "t")
    assert sorted(listed) == sorted(f"in-{status}" for status in Status)
    assert listed[-1] == "in-deferred"
    everything = await client.list_jobs(per_page=100)
    expected = [it.job_id for it in everything.items if it.job_id.startswith("in")]
    assert listed == expected
    for status in Status:
        assert await found_by(client, "t", status=status) == [f"in-{status}"]
    assert await found_by(client, "t", descending=False) == listed[::-1]
    assert await found_by(client, "t", function="f", sort="status") != []
    pages = [await client.list_jobs(tag="t", page=number, per_page=3) for number in (1, 2, 3, 4)]
    assert [it.job_id for page in pages for it in page.items] == listed
    assert {page.total for page in pages} == {8}


async def test_expired_jobs_leave_the_index(pool: ArqRedis, client: StatusClient) -> None:
    """Sweeps remove them; if nobody sweeps for a minute the whole index expires."""
    now, store = timestamp_ms(), Store(pool)
    for number in range(30):
        age = 2_000 if number < 20 else 500
        await write_end(pool, f"{number}", ended=now - age, expires_after_ms=1_500, tags=("t",))
    index = f"{keys.ENDED}complete:1500{keys.TAGGED}t"
    assert (await client.list_jobs(tag="t")).total == 10
    await store.sweep()
    assert await pool.zcard(index) == 10
    assert 60_000 < await pool.pttl(index) <= 61_500

    async def is_swept() -> bool:
        await store.sweep()
        return not await pool.exists(index, keys.LABELLED)

    await until(is_swept)
    assert (await client.list_jobs(tag="t")).total == 0


async def test_tags_in_json(pool: ArqRedis, client: StatusClient) -> None:
    """They are lists there."""
    from arq_status._model.serialization import encode, job_object

    await write_running(pool, "job", tags=("a", "b"), group="g")
    record = await client.job("job")
    assert isinstance(record, JobRecord)
    shown = job_object(record)
    assert (shown["tags"], shown["group"]) == (["a", "b"], "g")
    assert b'"tags":["a","b"]' in encode(shown)


async def test_damaged_tags(pool: ArqRedis, client: StatusClient) -> None:
    """They are left out; what can be read is shown."""
    run = await put_job(pool, "job")
    for tags in ("7", '"t"', '["t",7,null]', '{"1":"t"}', "null"):
        raw = f'{{"r":{run},"v":0,"n":0,"s":"waiting","u":0,"k":{tags}}}'
        await pool.set(f"{keys.RECORD}job", raw)
        assert await tags_of(client, "job") == (("t",) if tags.startswith("[") else ())
        assert await client.tag("job", "more")
        assert (await tags_of(client, "job"))[-1] == "more"


def test_tags_of_the_options_are_checked() -> None:
    """They are checked where they are given, and duplicates are removed."""
    function = status_options(tags=["a", "b", "a"])(arq_func(fail))
    assert function.__arq_status_options__["tags"] == ("a", "b")
    with pytest.raises(TypeError):
        status_options(tags="text")


async def test_tags_that_are_wrong_tell_no_hidden_arguments(
    pool: ArqRedis, run_job: RunJob, caplog: pytest.LogCaptureFixture
) -> None:
    """With ``record_args=False`` the log does not quote them."""

    @status_options(record_args=False, tags=lambda ctx, secret: secret)
    async def work(ctx: dict[str, Any], secret: str) -> None:
        """Do nothing."""

    assert (await run_job(work, "s3cret")).tags == ()
    [line] = [it for it in caplog.records if "could not determine the tags" in it.message]
    assert line.message == "could not determine the tags of job jobs: TypeError"
    assert line.exc_info is None


async def test_acting_on_all_jobs_by_mistake(pool: ArqRedis, client: StatusClient) -> None:
    """Without a filter nothing is done."""
    await write_end(pool, "job")
    for act in (client.retry_jobs, client.stop_jobs, client.cancel_jobs, client.delete_jobs):
        with pytest.raises(TypeError, match="at least one filter is required: status"):
            await act()
    assert await client.status("job") is Status.COMPLETE


async def test_acting_by_time(pool: ArqRedis, client: StatusClient) -> None:
    """A job without a known time is not among those of the last hour."""
    await write_end(pool, "job")
    await pool.zadd("arq:queue", {"unknown": timestamp_ms() + HOUR})
    assert await client.cancel_jobs(since=timedelta(hours=1)) == 0
    assert await client.delete_jobs(since=timedelta(hours=1)) == 1
    assert await client.status("unknown") is Status.DEFERRED
