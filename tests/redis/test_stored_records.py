"""Reading records and other keys, no matter how damaged."""

import asyncio
import json
import math
import pickle
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from arq.connections import ArqRedis
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from arq_status import JobRecord, Status, StatusClient
from arq_status._model.builder import build_record, percent
from arq_status._model.facts import Facts, ResultOutcome, ResultPayload
from arq_status._model.options import FunctionOptions
from arq_status._model.record import State, StoredRecord, common_text, encode_completed
from arq_status._model.validation import FIELD_LIMIT
from arq_status._redis.store import Store
from tests.fuzzing import examples
from tests.records import beat, begin, own_key, put_job, put_result, write_end, write_record

NOW = 1_800_000_000_000
OWN = "arqstatus:1:"

NUMBERS = st.integers() | st.floats() | st.sampled_from([0, 1, 1e300, 5e-324, 10**14, 10**300])
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=4,
)
TIMES = st.integers(-10, NOW * 2)
#: Records that look like ours, with any of their fields damaged.
RECORDS = st.fixed_dictionaries(
    {"s": st.sampled_from([*State, "unknown"]) | JSON},
    optional={
        "r": TIMES | JSON,
        "n": st.integers(0, 3) | JSON,
        "v": TIMES | JSON,
        "f": st.just("f") | JSON,
        "a": st.text(max_size=5) | JSON,
        "q": st.sampled_from(["arq:queue", "arq:job:job"]) | JSON,
        "b": TIMES | JSON,
        "u": TIMES | JSON,
        "e": TIMES | JSON,
        "p": NUMBERS | JSON,
        "t": NUMBERS | JSON,
        "m": st.text(max_size=5) | JSON,
        "x": st.text(max_size=5) | JSON,
        "w": st.sampled_from(["host:1:alive", "host:1:dead", ""]) | JSON,
        "z": TIMES | JSON,
        "new": JSON,
    },
)
RAW_RECORDS = (
    RECORDS.map(lambda record: json.dumps(record).encode())
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=20)
    | st.sampled_from([b"[" * 9999, b'{"s":' * 999, b'{"s":"complete","e":' + b"9" * 5000 + b"}"])
)
REDIS_EXAMPLES = settings(
    max_examples=examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.mark.parametrize("args", ["", "1, x='é\"'"])
@pytest.mark.parametrize("due", [None, NOW, NOW + 5])
@pytest.mark.parametrize("queue", ["arq:queue", "other"])
@pytest.mark.parametrize("hides_args", [True, False])
def test_the_text_of_a_completed_job(
    args: str, due: int | None, queue: str, hides_args: bool
) -> None:
    """It is the same whether a record was created or not."""
    common: dict[str, Any] = {
        "function": "f",
        "queue": queue,
        "worker": "host:1",
        "expires_after_ms": 5_000,
        "hides_args": hides_args,
    }
    record = StoredRecord(
        enqueued_ms=NOW, job_try=1, state=State.COMPLETE, args=args, due=due,
        started=NOW + 7, updated=NOW + 9, ended=NOW + 9, **common,
    )  # fmt: skip
    text = encode_completed(NOW, common_text(**common), args, due, NOW + 7, NOW + 9)
    assert text == record.encode()
    assert StoredRecord.decode(text.encode()) == replace(record, due=None if due == NOW else due)


def check(record: JobRecord) -> None:
    """Check that all values of a record have their types and are within their bounds."""
    assert type(record.status) is Status
    for text in (record.function, record.queue, record.message, record.error, record.worker):
        assert text is None or isinstance(text, str)
    assert isinstance(record.args, str)
    assert record.job_try is None or type(record.job_try) is int
    for amount in (record.at, record.total):
        assert type(amount) in (int, float)
        assert 0 <= amount <= 1e300
        assert math.isfinite(amount)
    assert type(record.pct_complete) is int
    assert 0 <= record.pct_complete <= 100
    for time in (
        record.enqueued_at,
        record.due_at,
        record.started_at,
        record.updated_at,
        record.ended_at,
        record.expires_at,
    ):
        assert time is None or time.tzinfo is UTC
    for duration in (record.elapsed, record.eta):
        assert duration is None or duration >= timedelta(0)
    assert isinstance(record.data, dict)


QUERIES: list[dict[str, Any]] = [
    {},
    {"descending": False},
    {"sort": "eta", "search": "f"},
    {"status": "queued"},
    {"status": "complete"},
]


async def check_all(client: StatusClient, *job_ids: str) -> None:
    """Run every query for the jobs; none may raise."""
    for job_id in job_ids:
        record = await client.job(job_id)
        if record is not None:
            check(record)
        await client.status(job_id)
        assert isinstance(await client.get_all(job_id), dict)
    for query in QUERIES:
        page = await client.list_jobs(**query)
        for record in page.items:
            check(record)
    counts = await client.counts()
    assert set(counts) == set(Status)
    assert all(type(number) is int and number >= 0 for number in counts.values())


# Damaged records


@given(raw=RAW_RECORDS, live=st.booleans(), in_progress=st.booleans(), ended=st.booleans())
@REDIS_EXAMPLES
async def test_any_record(
    pool: Any, client: StatusClient, raw: bytes, live: bool, in_progress: bool, ended: bool
) -> None:
    """Whatever is stored as a record, all queries and writes work."""
    await pool.flushdb()
    await beat(pool, "host:1:alive")
    await pool.set("arqstatus:1/job", raw)
    await pool.zadd(f"{OWN}running:host:1:alive", {"job": 1})
    if live:
        await put_job(pool, "job", "x" * 600)
    if ended:
        await put_result(pool, "job")
        await pool.zadd(f"{OWN}ended:complete:1800000", {"job": NOW})
        await pool.sadd(f"{OWN}ended", "complete:1800000")
    if in_progress:
        await begin(pool, "job")
    await check_all(client, "job")
    await client.store("job", vino="veritas")
    await write_record(pool, "job", worker="host:1:alive")
    await check_all(client, "job")
    await client.delete("job")
    await write_end(pool, "job", State.FAILED)
    await check_all(client, "job")


@given(raw=RECORDS.map(lambda record: json.dumps(record).encode()))
@settings(deadline=None)
def test_any_record_is_decoded_as_far_as_possible(raw: bytes) -> None:
    """It is decoded field by field, and the result can be encoded again."""
    track = StoredRecord.decode(raw)
    if track is not None:
        again = StoredRecord.decode(track.encode().encode())
        assert again is not None
        # an ended record has no version
        version = track.version if track.ended is None else 0
        assert replace(again, updated=0) == replace(track, updated=0, version=version)


def test_damaged_fields_are_ignored() -> None:
    """So are unknown fields."""
    raw = json.dumps(
        {"s": "working", "r": 5, "n": "x", "f": 3, "p": -1, "t": [], "m": "hi", "?": 1}
    )
    track = StoredRecord.decode(raw.encode())
    assert track == StoredRecord(enqueued_ms=5, job_try=1, updated=5, message="hi")
    assert StoredRecord.decode(b'{"s": "no state"}') is None
    assert StoredRecord.decode(b"[]") is None
    assert StoredRecord.decode(b"{") is None


@given(at=NUMBERS, total=NUMBERS)
def test_percent_is_within_bounds(at: float, total: float) -> None:
    """Whatever was reported, it is an integer from 0 to 100."""
    assume(0 <= at <= 1e300 and 0 <= total <= 1e300)
    assert percent(at, total) in range(101)


@given(total=st.integers(1, 10_000), at=st.integers(0, 20_000))
def test_percent_is_rounded_down(total: int, at: int) -> None:
    """It is exact for integers, and 100 only when the total is reached."""
    assert percent(at, total) == min(100, at * 100 // total)
    assert percent(at * 0.5, total * 0.5) == percent(at, total)


@pytest.mark.parametrize(
    ("at", "total", "shown"),
    [(0, 0, 0), (5, 0, 0), (29, 100, 29), (0, 5e-324, 0), (1e300, 1e-300, 100), (99.99, 100, 99)],
)
def test_edge_cases_of_percent(at: float, total: float, shown: int) -> None:
    """It is 0 without a total, and rounding errors do not lose a percent."""
    assert percent(at, total) == shown


def working(**values: Any) -> Facts:
    """Return the facts of a working job whose record has these values."""
    track = StoredRecord(
        **{"enqueued_ms": NOW - 9000, "job_try": 1, "started": NOW - 6000, **values}
    )
    return Facts(
        job_id="job", now=NOW, queue="arq:queue", due=NOW - 9000, in_progress=True,
        stored_record=track, worker_alive=True,
    )  # fmt: skip


def test_elapsed_and_the_time_left() -> None:
    """The worker's estimate counts down; without one the remaining time is unknown."""
    record = build_record(working(at=25, remaining=20_000, updated=NOW - 2_000))
    assert record is not None
    assert (record.elapsed, record.eta) == (timedelta(seconds=6), timedelta(seconds=18))
    record = build_record(working())
    assert record is not None
    assert (record.elapsed, record.eta) == (timedelta(seconds=6), None)
    record = build_record(working(at=150, remaining=1, updated=NOW - 2_000))
    assert record is not None
    assert (record.eta, record.pct_complete) == (timedelta(0), 100)


def test_a_worker_whose_name_has_no_random_part() -> None:
    """It is shown unchanged."""
    shown = [build_record(working(worker=name)) for name in ("host:1:abc", "strange", "", None)]
    assert [record and record.worker for record in shown] == ["host:1", "strange", None, None]


def test_a_result_without_times() -> None:
    """Times that arq's result does not contain are unknown."""
    result = ResultPayload(None, "", None, None, ResultOutcome.UNREADABLE, None, None, None, None)
    record = build_record(Facts(job_id="job", now=NOW, result=result))
    assert record == JobRecord(job_id="job", status=Status.COMPLETE, pct_complete=100)


def test_a_job_that_arq_dropped_between_two_tries() -> None:
    """It failed at its last update, with the error of its result, if any."""
    waiting = StoredRecord(
        enqueued_ms=NOW - 9, job_try=1, state=State.RETRYING, updated=NOW - 5, started=NOW - 7
    )
    record = build_record(Facts(job_id="job", now=NOW, stored_record=waiting))
    assert record is not None
    assert (record.status, record.error) == ("failed", "removed from its queue")
    assert record.ended_at == datetime.fromtimestamp((NOW - 5) / 1000, UTC)
    assert (record.elapsed, record.expires_at) == (timedelta(milliseconds=2), None)
    result = ResultPayload(
        "f", "", NOW - 9, 2, ResultOutcome.FAILURE, "max 1 tries exceeded", None, NOW - 1, None
    )
    record = build_record(
        Facts(
            job_id="job",
            now=NOW,
            stored_record=waiting,
            result=result,
            options=FunctionOptions(expires=1_000),
        )
    )
    assert record is not None
    assert (record.status, record.error) == ("failed", "max 1 tries exceeded")
    assert record.ended_at == datetime.fromtimestamp((NOW - 1) / 1000, UTC)


def test_every_field_of_a_record_is_built_in() -> None:
    """The built-in names are those of the record."""
    from arq_status._model.snapshot import BUILT_IN

    assert {item.name for item in fields(JobRecord)} | {"ended"} == BUILT_IN


# Keys of the wrong type

#: ``Any``, because redis-py's types allow neither bytes nor single replies.
MakeKey = Callable[[Any, str], Any]
ODD_SCORES: dict[str, Any] = {
    "a": "-inf", "b": "inf", "job": -1e300, "c": 1e17, "d": -1e17, "e": -5, "f": 0.5,
    "": 1, "\x00": 2, "x" * 2000: 3,
}  # fmt: skip
KINDS: dict[str, MakeKey] = {
    "string": lambda redis, key: redis.set(key, b"\x80\xff{not json"),
    "hash": lambda redis, key: redis.hset(key, b"\xff", b"\xff"),
    "list": lambda redis, key: redis.rpush(key, b"\xff"),
    "set": lambda redis, key: redis.sadd(
        key, b"\xff", "complete:x:5", "dancing:9000000000000", "failed:" + "9" * 5000
    ),
    "zset": lambda redis, key: redis.zadd(key, {b"\xff": 1, "job": 2}),
    "odd scores": lambda redis, key: redis.zadd(key, ODD_SCORES),
}
KEYS = [
    *(own_key(name) for name in (
        "job:job", "data:job", "workers", "worker:host:1:gone", "functions", "announced",
        "queues", "running:host:1:gone", "retrying:arq:queue", "waiting:arq:queue",
        "interrupted:arq:queue", "recorded:arq:queue", "functions:seen",
        "ended:complete:1800000", "ended",
        "stops",
    )),
    "arq:queue", "arq:job:job", "arq:result:job", "arq:in-progress:job", "arq:retry:job",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("state", ["working", "ended"])
async def test_keys_of_the_wrong_type(
    pool: ArqRedis, client: StatusClient, state: str, key: str, kind: str
) -> None:
    """Whatever type a key has, ours or arq's, all queries and writes work."""
    if state == "working":
        await put_job(pool, "job")
        await client.store("job", vino="veritas")
        await begin(pool, "job")
        await write_record(pool, "job", worker="host:1:gone")
        # a worker that died after it announced itself
        await beat(pool, "host:1:gone")
        await pool.zincrby(f"{OWN}workers", -12_000, "host:1:gone")
    if state == "ended":
        await write_end(pool, "job", fields={"vino": "veritas"})
        await put_result(pool, "job")
    await put_job(pool, "other")
    await pool.delete(key)
    await KINDS[kind](pool, key)
    async with asyncio.timeout(5):
        await check_all(client, "job", "other")
        await Store(pool).sweep()
        await client.store("job", vino="vanitas")
        await beat(pool, "host:1:gone")
        await write_record(pool, "job", worker="host:1:gone", fields={"a": 1})
        await client.delete("job")
        await write_end(pool, "other")
        await Store(pool).leave("host:1:gone")
        await check_all(client, "job", "other")


@given(
    raw=st.binary(max_size=60) | JSON.map(pickle.dumps) | JSON.map(lambda it: pickle.dumps([it]))
)
@REDIS_EXAMPLES
async def test_any_payload(pool: ArqRedis, client: StatusClient, raw: bytes) -> None:
    """Whatever arq's keys contain, the jobs are shown: one queued, one complete."""
    await pool.flushdb()
    await pool.set("arq:job:a", raw)
    await pool.set("arq:result:b", raw)
    a, b = await client.jobs(["a", "b"])
    # arq treats an empty payload like a missing one
    assert (a and a.status) == ("queued" if raw else None)
    assert b is None or b.status in {"complete", "failed"}
    await check_all(client, "a", "b")


@given(
    payload=st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(("t", "f", "a", "k", "et", "s", "r", "st", "ft", "q", "id"), JSON),
    )
)
@REDIS_EXAMPLES
async def test_any_pickled_dict(
    pool: ArqRedis, client: StatusClient, payload: dict[str, Any]
) -> None:
    """Payloads of the right form with any values are shown as far as possible."""
    await pool.flushdb()
    await pool.set("arq:job:a", pickle.dumps(payload))
    await pool.zadd("arq:queue", {"a": NOW})
    await pool.set("arq:result:b", pickle.dumps(payload))
    await check_all(client, "a", "b")


async def test_damaged_data(pool: Any, client: StatusClient) -> None:
    """The readable part of a job's data is shown."""
    await write_end(pool, "job", fields={"good": 1})
    damaged: dict[Any, Any] = {
        "bad": "{",
        b"\xff": "1",
        "deep": "[" * 99_999,
        "long": "9" * 5000,
        "ünï": '"x"',
    }
    await pool.hset(f"{OWN}data:job", mapping=damaged)
    assert (await client.get_all("job"))["good"] == 1
    assert await client.get("job", "data") == {"good": 1, "ünï": "x"}


async def test_damaged_announcements(pool: Any, client: StatusClient) -> None:
    """A function whose options cannot be read shows no arguments."""
    announced: dict[Any, Any] = {"f": "{", b"\xff": "", "g": '{"expires": -1}', "h": "[" * 9999}
    await pool.hset(f"{OWN}functions", mapping=announced)
    await pool.set(f"{OWN}announced", b"\xff")
    for function in ("f", "g", "h", "k"):
        await put_job(pool, function, "secret", function=function)
    records = await client.jobs(["f", "g", "h", "k"])
    assert [record and record.args for record in records] == ["", "", "", "'secret'"]


# Misuse of store


@pytest.mark.parametrize("name", [item.name for item in fields(JobRecord) if item.name != "job_id"])
async def test_names_that_store_rejects(pool: ArqRedis, client: StatusClient, name: str) -> None:
    """Built-in fields cannot be stored, and the error names the field."""
    await write_end(pool, "job")
    with pytest.raises(ValueError, match=repr(name)):
        await client.store("job", good=1, **{name: 1})
    with pytest.raises(ValueError, match="job_id"):
        await client.store("job", **{"job_id": 1})
    assert await client.get("job", "data") == {}


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", math.nan, math.inf, {(1,): 2}])
async def test_values_that_are_not_json_serializable(
    pool: ArqRedis, client: StatusClient, value: Any
) -> None:
    """The error names the field, and nothing is written."""
    endless: list[Any] = []
    endless.append(endless)
    await write_end(pool, "job")
    for refused in (value, [value], endless):
        with pytest.raises(TypeError, match="'vino'"):
            await client.store("job", good=1, vino=refused)
        with pytest.raises(TypeError, match="'vino'"):
            await client.store("unknown", vino=refused)
    assert await client.get("job", "data") == {}


async def test_values_of_the_maximum_size(pool: ArqRedis, client: StatusClient) -> None:
    """64 KiB of JSON, counted in bytes, can be stored, but not one byte more."""
    await write_end(pool, "job")
    longest = "ü" * ((FIELD_LIMIT - 2) // 2)
    assert await client.store("job", vino=longest)
    assert await client.get("job", "vino") == longest
    for large in (longest + "x", "x" * FIELD_LIMIT):
        with pytest.raises(ValueError, match=r"'vino' takes 6553[78] bytes"):
            await client.store("job", vino=large)


UTF_8 = st.text(st.characters(codec="utf-8"), max_size=9)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | FINITE | UTF_8,
        lambda inner: st.lists(inner) | st.dictionaries(UTF_8, inner),
        max_leaves=5,
    ),
    name=UTF_8,
)
@REDIS_EXAMPLES
async def test_any_json_value_round_trips(
    pool: ArqRedis, client: StatusClient, name: str, value: Any
) -> None:
    """Every JSON value is stored unchanged, under any name that is not built in."""
    assume(name not in {item.name for item in fields(JobRecord)})
    await write_end(pool, "job")
    assert await client.store("job", **{name: value})
    assert await client.get("job", name) == value


async def test_lone_surrogates_in_data(pool: ArqRedis, client: StatusClient) -> None:
    """They are replaced, in names as well as in values."""
    await write_end(pool, "job")
    assert await client.store("job", **{"na\ud800me": ["\ud800"]})
    assert await client.get("job", "na?me") == ["?"]


def test_a_later_try_that_only_arq_has_stored_expires() -> None:
    """Its record is not written yet, and the expiry starts at arq's end."""
    track = StoredRecord(
        enqueued_ms=NOW - 9,
        job_try=1,
        state=State.RETRYING,
        updated=NOW - 5,
        expires_after_ms=1_000,
    )
    result = ResultPayload("f", "", NOW - 9, 2, ResultOutcome.SUCCESS, None, NOW - 2, NOW - 1, None)
    record = build_record(
        Facts(
            job_id="job",
            now=NOW,
            stored_record=track,
            result=result,
            options=FunctionOptions(expires=1_000),
        )
    )
    assert record is not None
    assert record.expires_at == datetime.fromtimestamp((NOW + 999) / 1000, UTC)
