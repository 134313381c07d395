"""Lists and counts: complete, sorted, consistent with single jobs, and cheap."""

import asyncio
import random
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.utils import timestamp_ms
from arq.worker import Retry, func
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arq_status import JobRecord, JobTracker, Status, StatusClient, track_status
from arq_status._client import listing
from arq_status._model.record import State, StoredRecord
from arq_status._model.snapshot import without_durations
from arq_status._redis import indexes, keys
from arq_status._redis.batch import Row
from arq_status._redis.store import Store
from tests.conftest import StartWorker, ended, until
from tests.fuzzing import examples
from tests.records import HOUR, beat, begin, calls, put_job, put_result, write_end, write_record

ENDED = [State.COMPLETE, State.FAILED, State.STOPPED, State.INTERRUPTED]
SORTS = (
    "updated_at enqueued_at started_at ended_at function queue status progress message args elapsed"
    " waited eta"
).split()

#: The kind of a job, and how many ticks ago its event was.
KINDS = [
    *(f"{state} {expires}" for state in ENDED for expires in (600_000, HOUR)),
    *("queued", "favoured", "deferred", "working", "retrying", "overdue", "waiting", "cut off"),
    *("ended and queued", "result"),
]
MIXES = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 3)), max_size=25)
EXAMPLES = settings(
    max_examples=examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


async def put(redis: ArqRedis, kind: str, job_id: str, then: int) -> None:
    """Put a job of a kind into Redis, with its event at this time."""
    state, _, expires = kind.partition(" ")
    if expires.isdigit():
        await write_end(
            redis, job_id, State(state), run=then - 50, ended=then, expires_after_ms=int(expires)
        )
        return
    if kind == "result":
        await put_result(redis, job_id, finished=then)
        return
    if kind == "favoured":
        # due before it was enqueued, as if it had waited for long
        await put_job(redis, job_id, enqueued=then, due=then - 60_000)
        return
    if kind == "ended and queued":
        await write_end(redis, job_id, run=then - 50, ended=then)
        await put_job(redis, job_id, enqueued=then + 1)
        return
    later = kind in {"deferred", "retrying"}
    await put_job(redis, job_id, enqueued=then, due=then + HOUR if later else then)
    if kind == "waiting":
        await StatusClient(redis).store(job_id, vino="veritas")
    record: dict[str, Any] = {"run": then, "started": then, "updated": then}
    if kind in {"working", "cut off"}:
        await begin(redis, job_id)
        worker = "host:1:alive" if kind == "working" else "host:1:dead"
        await write_record(redis, job_id, worker=worker, **record)
    if kind in {"retrying", "overdue"}:
        due = then + HOUR if later else then
        await write_record(redis, job_id, State.RETRYING, worker="host:1:alive", due=due, **record)


async def put_all(redis: ArqRedis, mix: Iterable[tuple[str, int]]) -> list[str]:
    """Put such jobs into an empty Redis; return the ids that lists contain."""
    await redis.flushdb()
    await beat(redis, "host:1:alive")
    now = timestamp_ms() - 1000
    numbers = list(range(100))
    random.Random(5).shuffle(numbers)
    listed = []
    for number, (kind, ticks) in zip(numbers, mix, strict=False):
        await put(redis, kind, f"job{number}", now - ticks * 100)
        if kind != "result":
            listed.append(f"job{number}")
    return listed


async def all_pages(client: StatusClient, per_page: int, **query: Any) -> list[JobRecord]:
    """Return the jobs on all pages of a list."""
    found: list[JobRecord] = []
    for number in range(1, 100):
        page = await client.list_jobs(page=number, per_page=per_page, **query)
        assert (page.page, page.per_page, page.truncated) == (number, per_page, False)
        found += page.items
        if number * per_page >= page.total:
            assert page.total == len(found)
            return found
        assert len(page.items) == per_page
    raise AssertionError("there is no end")


async def records_of(client: StatusClient, job_ids: list[str]) -> list[JobRecord]:
    """Return the records of jobs, all of which are known."""
    return [record for record in await client.jobs(job_ids) if record is not None]


@given(mix=MIXES, per_page=st.integers(1, 30))
@EXAMPLES
async def test_all_pages_together_have_all_jobs_in_order(
    pool: ArqRedis, client: StatusClient, mix: list[tuple[str, int]], per_page: int
) -> None:
    """Every job is on exactly one page, sorted by its last update, whatever the page size.

    Deferred jobs come after all others, the one due first at the front.
    """
    job_ids = await put_all(pool, mix)
    newest = await all_pages(client, per_page)
    assert sorted(record.job_id for record in newest) == sorted(job_ids)
    updates = [it.updated_at for it in newest if it.status is not Status.DEFERRED]
    assert None not in updates
    assert updates == sorted(updates, key=str, reverse=True)
    dues = [it.due_at for it in newest[len(updates) :] if it.status is Status.DEFERRED]
    assert len(updates) + len(dues) == len(newest)
    assert dues == sorted(dues, key=str)
    oldest = await all_pages(client, per_page, descending=False)
    assert [record.job_id for record in oldest] == [record.job_id for record in reversed(newest)]
    assert [record.status for record in newest] == [
        record.status for record in await records_of(client, [it.job_id for it in newest])
    ]


@given(mix=MIXES, per_page=st.integers(1, 30))
@EXAMPLES
async def test_lists_and_counts_agree_with_single_jobs(
    pool: ArqRedis, client: StatusClient, mix: list[tuple[str, int]], per_page: int
) -> None:
    """The list of a status has the jobs with that status, and the counts match."""
    job_ids = await put_all(pool, mix)
    statuses = {record.job_id: record.status for record in await records_of(client, job_ids)}
    counts = await client.counts()
    assert list(counts) == list(Status)
    assert sum(counts.values()) == len(job_ids)
    for status in Status:
        expected = {job_id for job_id, it in statuses.items() if it is status}
        found = await all_pages(client, per_page, status=status)
        assert {record.job_id for record in found} == expected
        assert counts[status] == len(found)
        assert [record.job_id for record in found] == [
            record.job_id
            for record in reversed(await all_pages(client, 7, status=status, descending=False))
        ]


@given(mix=MIXES, per_page=st.integers(1, 30), sort=st.sampled_from(SORTS))
@EXAMPLES
async def test_other_orders_have_all_jobs_too(
    pool: ArqRedis, client: StatusClient, mix: list[tuple[str, int]], per_page: int, sort: str
) -> None:
    """Sorted by anything in either direction, every job is on exactly one page."""
    job_ids = await put_all(pool, mix)
    for descending in (True, False):
        found = await all_pages(client, per_page, sort=sort, descending=descending)
        assert sorted(record.job_id for record in found) == sorted(job_ids)
    by_function = await all_pages(client, per_page, function="f")
    assert sorted(record.job_id for record in by_function) == sorted(job_ids)


@pytest.fixture
async def various(pool: ArqRedis) -> None:
    """Jobs that differ in every sort key, and one that has almost no values."""
    now = timestamp_ms() - 100_000
    await write_end(
        pool, "a", run=now, started=now + 3, ended=now + 90, function="zip", args="'b'", at=3,
        message="one", state=State.FAILED, error="ValueError: no rows",
    )  # fmt: skip
    await write_end(
        pool, "b", run=now + 1, started=now + 2, ended=now + 91, function="import", args="'a'",
        message="two",
    )  # fmt: skip
    await beat(pool, "host:1:x")
    await put_job(pool, "c", "c", enqueued=now + 2, function="resize")
    await begin(pool, "c")
    await write_record(
        pool, "c", worker="host:1:x", run=now + 2, started=now + 4, updated=now + 60, at=50,
        remaining=500_000, function="resize", args="'c'",
    )  # fmt: skip
    await put_job(pool, "d", "x", enqueued=now + 3, function="resize")
    await begin(pool, "d")
    await write_record(
        pool, "d", worker="host:1:x", run=now + 3, due=now + 1, started=now + 5, updated=now + 50,
        at=25, remaining=900_000, function="import_rows", message="three",
    )  # fmt: skip
    await pool.zadd("arq:queue", {"e": now})


@pytest.mark.usefixtures("various")
@pytest.mark.parametrize(
    ("sort", "ascending", "without"),
    [
        ("updated_at", "edcab", ""),
        ("enqueued_at", "abcd", "e"),
        ("started_at", "bacd", "e"),
        ("ended_at", "ab", "cde"),
        ("function", "bdca", "e"),
        ("status", "baecd", ""),
        ("progress", "eadcb", ""),
        ("message", "adb", "ce"),
        ("args", "bac", "de"),
        ("elapsed", "abdc", "e"),
        ("waited", "bcade", ""),
        ("eta", "cd", "abe"),
    ],
)
async def test_every_order(client: StatusClient, sort: str, ascending: str, without: str) -> None:
    """Jobs are sorted by the value, in both directions, and those without one come last."""
    for descending in (False, True):
        expected = ascending
        if descending:
            # of two working jobs the newer one comes first in both directions
            expected = "cdeab" if sort == "status" else ascending[::-1]
        items = (await client.list_jobs(sort=sort, descending=descending)).items
        found = "".join(record.job_id for record in items)
        assert found[: len(expected)] == expected
        assert sorted(found[len(expected) :]) == list(without)


async def test_jobs_by_queue(pool: ArqRedis, client: StatusClient) -> None:
    """A list can be filtered or sorted by queue."""
    for job_id, queue in (("x", "fast"), ("y", "slow"), ("z", "fast")):
        await write_end(pool, job_id, queue=queue)
    page = await client.list_jobs(sort="queue")
    assert [record.queue for record in page.items] == ["slow", "fast", "fast"]
    page = await client.list_jobs(queue="fast")
    assert {record.job_id for record in page.items} == {"x", "z"}
    assert page.total == 2


@pytest.mark.parametrize("name", ["since", "until"])
async def test_a_list_of_a_period(pool: ArqRedis, client: StatusClient, name: str) -> None:
    """Both bounds are inclusive, given as a time or as how long ago."""
    now = timestamp_ms()
    for minutes in range(4):
        await write_end(pool, str(minutes), ended=now - minutes * 60_000)
    moment = datetime.fromtimestamp((now - 120_000) / 1000, UTC)
    expected = {"0", "1", "2"} if name == "since" else {"2", "3"}
    for bound in (moment, moment.astimezone(timezone(timedelta(hours=5)))):
        page = await client.list_jobs(**{name: bound})  # type: ignore[arg-type]
        assert {record.job_id for record in page.items} == expected
    page = await client.list_jobs(**{name: timedelta(seconds=90)})  # type: ignore[arg-type]
    assert {record.job_id for record in page.items} == (
        {"0", "1"} if name == "since" else {"2", "3"}
    )


async def test_invalid_moments(client: StatusClient) -> None:
    """Anything else is an error that names it."""
    with pytest.raises(TypeError, match="since must be a datetime or a timedelta, not int"):
        await client.list_jobs(since=5)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["function", "queue", "tag", "group", "search"])
async def test_invalid_filters(client: StatusClient, name: str) -> None:
    """Anything else is an error that names it."""
    with pytest.raises(TypeError, match=f"{name} must be a str, not int"):
        await client.list_jobs(**{name: 5})  # type: ignore[arg-type]


async def test_ids_of_other_types_are_unknown(client: StatusClient) -> None:
    """``watch_many`` ignores them, hashable or not."""
    ids: Any = [None, 5, [], {}]
    assert [it async for it in client.watch_many(ids)] == []


async def test_equal_values_are_listed_newest_first(pool: ArqRedis, client: StatusClient) -> None:
    """If the sort key is equal, the last update decides."""
    now = timestamp_ms()
    for number, job_id in enumerate("cab"):
        await write_end(pool, job_id, ended=now - number, function=("f", "g")[number == 0])
    for descending, expected in ((False, "abc"), (True, "cab")):
        page = await client.list_jobs(sort="function", descending=descending)
        assert [record.job_id for record in page.items] == list(expected)


@pytest.mark.usefixtures("various")
async def test_search_and_filters(client: StatusClient) -> None:
    """A search matches the start of an id and part of any text; a filter the whole name."""
    queries: list[tuple[dict[str, Any], str]] = [
        ({"function": "resize"}, "c"),
        ({"function": "import"}, "b"),
        ({"function": "impor"}, ""),
        ({"function": "nothing"}, ""),
        ({"search": "import"}, "bd"),
        ({"search": "PORT_R"}, "d"),
        ({"search": "'A'"}, "b"),
        ({"search": "three"}, "d"),
        ({"search": "NO ROWS"}, "a"),
        ({"search": "d"}, "d"),
        ({"search": "D"}, ""),
        ({"queue": "arq:queue"}, "abcde"),
        ({"queue": "other"}, ""),
        ({"status": ["failed", Status.COMPLETE]}, "ab"),
        ({"status": []}, "abcde"),
        ({"status": {"queued"}, "search": "e"}, "e"),
        ({"since": timedelta(days=1)}, "abcde"),
        ({"since": timedelta()}, ""),
        ({"until": timedelta()}, "abcde"),
        ({"until": timedelta.max}, ""),
        ({"since": timedelta.min}, ""),
        ({"since": timedelta(days=1), "until": timedelta(seconds=50)}, "abcde"),
        ({"search": ""}, "abcde"),
        ({"search": "\ud800"}, ""),
        ({"search": "nothing"}, ""),
        ({"search": "import", "status": "working"}, "d"),
        ({"search": "two", "status": "working"}, ""),
        ({"search": "import", "function": "import"}, "b"),
        ({"function": "import", "status": Status.COMPLETE}, "b"),
        ({"function": "import", "status": "failed"}, ""),
    ]
    for query, expected in queries:
        page = await client.list_jobs(**query)
        assert sorted(record.job_id for record in page.items) == list(expected), query
        assert page.total == len(expected)
        assert not page.truncated


async def test_a_search_finds_ids_that_no_list_has(pool: ArqRedis, client: StatusClient) -> None:
    """An exact id is found wherever the job is, even if there is only arq's result."""
    await put_result(pool, "untracked")
    await put_job(pool, "elsewhere", queue="unknown")
    for job_id in ("untracked", "elsewhere"):
        page = await client.list_jobs(search=job_id)
        assert [record.job_id for record in page.items] == [job_id]
        assert page.total == 1
    assert (await client.list_jobs()).total == 0


async def test_records_in_lists_are_complete(pool: ArqRedis, client: StatusClient) -> None:
    """A job in a list has everything that a single query returns, except its data."""
    await write_end(pool, "ended", fields={"vino": "veritas"}, message="Done", at=5)
    await put_job(pool, "queued", "x" * 5000, function="f" * 200)
    for query in ({}, {"sort": "function"}, {"search": "f"}):
        items = (await client.list_jobs(**query)).items  # type: ignore[arg-type]
        assert {record.job_id for record in items} == {"ended", "queued"}
        for record in items:
            single = await client.job(record.job_id)
            assert single is not None
            # it has waited a little longer now
            assert without_durations(record) == without_durations(replace(single, data={}))


# Bounds


@pytest.mark.parametrize(
    "query",
    [
        *({"page": page} for page in (0, -1, 1.5, "1", None, True)),
        *({"per_page": number} for number in (0, -5, 501, 10**9, 2.0, "25", None, True)),
        *({"sort": it} for it in ("", "name", "job_id", "data", None)),
        *({"status": it} for it in ("", "done", "COMPLETE", ["failed", "done"])),
        {"since": datetime(2026, 1, 1)},
        {"until": datetime(2026, 1, 1)},
    ],
    ids=str,
)
async def test_invalid_queries(client: StatusClient, query: dict[str, Any]) -> None:
    """Unknown sorts and statuses and numbers out of bounds are errors that name them."""
    [name] = query
    with pytest.raises(ValueError, match=name):
        await client.list_jobs(**query)


async def test_pages_beyond_the_end(pool: ArqRedis, client: StatusClient) -> None:
    """They are empty, but have the total."""
    for job_id in "abc":
        await write_end(pool, job_id)
    for query in ({}, {"descending": False}, {"sort": "function"}, {"function": "f"}):
        page = await client.list_jobs(page=10**9, per_page=500, **query)
        assert (page.items, page.total, page.page, page.per_page) == ([], 3, 10**9, 500)
    page = await client.list_jobs(page=2, per_page=2)
    assert (len(page.items), page.total) == (1, 3)


async def test_an_empty_redis(client: StatusClient) -> None:
    """The list is empty, and the counts are 0."""
    for status in (None, *Status):
        page = await client.list_jobs(status=status)
        assert (page.items, page.total, page.page, page.per_page) == ([], 0, 1, 25)
    assert await client.counts() == dict.fromkeys(Status, 0)


async def test_queries_without_an_index_cover_the_newest_jobs(
    pool: ArqRedis, client: StatusClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With more jobs a list is marked as truncated; the total is the number of matches found."""
    now = timestamp_ms()
    for number in range(8):
        function = "even" if number % 2 == 0 else "odd"
        await write_end(pool, f"job{number}", ended=now - number, function=function)
    await write_end(pool, "failed", State.FAILED, ended=now - 100)
    monkeypatch.setattr(listing, "NEWEST", 5)
    page = await client.list_jobs(function="even")
    assert [record.job_id for record in page.items] == ["job0", "job2", "job4"]
    assert (page.total, page.truncated) == (3, True)
    page = await client.list_jobs(search="odd", sort="ended_at", descending=False)
    assert [record.job_id for record in page.items] == ["job3", "job1"]
    assert (page.total, page.truncated) == (2, True)
    page = await client.list_jobs(status="failed", function="f")
    assert ([record.job_id for record in page.items], page.truncated) == (["failed"], False)
    page = await client.list_jobs(search="job7")
    assert ([record.job_id for record in page.items], page.total) == (["job7"], 1)
    page = await client.list_jobs()
    assert (len(page.items), page.total, page.truncated) == (9, 9, False)
    monkeypatch.setattr(listing, "NEWEST", 9)
    assert not (await client.list_jobs(function="even")).truncated


async def test_many_deferred_jobs(pool: ArqRedis, client: StatusClient) -> None:
    """All of them are listed after all other jobs, sorted by when they are due."""
    now = timestamp_ms()
    for number in range(8):
        await put_job(pool, f"job{number}", due=now + HOUR + number)
    await put_job(pool, "queued", enqueued=now - 9)
    page = await client.list_jobs(status="deferred", per_page=5)
    assert [record.job_id for record in page.items] == [f"job{it}" for it in range(5)]
    assert (page.total, page.truncated) == (8, False)
    page = await client.list_jobs(per_page=5, page=2)
    assert [record.job_id for record in page.items] == [f"job{it}" for it in range(4, 8)]
    page = await client.list_jobs(descending=False, per_page=2)
    assert [record.job_id for record in page.items] == ["job7", "job6"]
    page = await client.list_jobs(status="queued")
    assert (len(page.items), page.truncated) == (1, False)
    assert (await client.counts())[Status.DEFERRED] == 8


# More indexes than one call of the script merges


@given(
    mix=st.lists(
        st.tuples(
            st.sampled_from(["ended", "queued", "deferred", "working", "retrying"]),
            st.integers(0, 5),
            st.integers(0, 3),
        ),
        min_size=12,
        max_size=40,
    ),
    offset=st.integers(0, 15),
    count=st.integers(0, 12),
    descending=st.booleans(),
    status=st.none() | st.sampled_from([Status.QUEUED, Status.DEFERRED, Status.COMPLETE]),
    slack=st.sampled_from([0, 3, 50]),
)
@EXAMPLES
async def test_a_list_of_many_queues(
    pool: ArqRedis,
    mix: list[tuple[str, int, int]],
    offset: int,
    count: int,
    descending: bool,
    status: Status | None,
    slack: int,
) -> None:
    """Read in several parts it has the same jobs in the same order, and the same counts."""
    await pool.flushdb()
    now = timestamp_ms() - 60_000
    for number, (kind, ticks, queue) in enumerate(mix):
        await put_in(pool, kind, f"job{number}", now - ticks * 100, f"queue{queue}")
    store = Store(pool, queues=[f"queue{it}" for it in range(4)])
    statuses = () if status is None else (status,)
    with pytest.MonkeyPatch.context() as patched:
        whole = await store.read_indexes(
            statuses, offset=offset, count=count, descending=descending
        )
        patched.setattr(indexes, "_MOST_IN_ALL", 1)
        patched.setattr(indexes, "_MOST_IN_PART", 1)
        patched.setattr(indexes, "_SLACK", slack)
        parts = await store.read_indexes(
            statuses, offset=offset, count=count, descending=descending
        )
    assert parts.job_ids == whole.job_ids
    assert len(whole.job_ids) == max(0, min(count, whole.total - offset))
    assert (parts.counts, parts.total) == (whole.counts, whole.total)
    assert sum(whole.counts.values()) == len(mix)
    assert parts.live_indexes == whole.live_indexes


async def test_a_page_of_many_queues(pool: ArqRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found whether its jobs have the same time or different ones."""
    now, queues = timestamp_ms() - 60_000, [f"queue{it}" for it in range(4)]
    for number in range(40):
        await put_in(pool, "queued", f"job{number}", now - number % 6 * 100, queues[number % 4])
    store = Store(pool, queues=queues)
    whole = [await store.read_indexes(offset=it, count=5) for it in range(40)]
    monkeypatch.setattr(indexes, "_MOST_IN_ALL", 1)
    monkeypatch.setattr(indexes, "_MOST_IN_PART", 1)
    for slack in (0, 10):
        monkeypatch.setattr(indexes, "_SLACK", slack)
        parts = [await store.read_indexes(offset=it, count=5) for it in range(40)]
        assert [it.job_ids for it in parts] == [it.job_ids for it in whole]


async def put_in(redis: ArqRedis, kind: str, job_id: str, then: int, queue: str) -> None:
    """Put a job of a kind into a queue, with its event at this time."""
    values: dict[str, Any] = {"run": then, "started": then, "updated": then, "queue": queue}
    if kind == "ended":
        await write_end(redis, job_id, ended=then + 1, expires_after_ms=HOUR + then % 300, **values)
        return
    due = then + HOUR if kind in {"deferred", "retrying"} else then
    await put_job(redis, job_id, enqueued=then, due=due, queue=queue)
    if kind == "working":
        await Store(redis).beat(f"host:1:{queue}", queue, HOUR, {})
        await begin(redis, job_id)
        await write_record(redis, job_id, worker=f"host:1:{queue}", due=due, **values)
    if kind == "retrying":
        await write_record(redis, job_id, State.RETRYING, due=due, **values)


async def test_many_queues_without_a_job(pool: ArqRedis, client: StatusClient) -> None:
    """Thousands of idle queues and workers are checked in several calls."""
    for number in range(0, 9_000, 1_000):
        named = {f"queue{it}": timestamp_ms() for it in range(number, number + 1_000)}
        await pool.zadd(keys.QUEUES, named)
    await put_job(pool, "first", queue="queue0")
    await put_job(pool, "last", queue="queue8999")
    page = await client.list_jobs(per_page=1)
    assert (len(page.items), page.total) == (1, 2)
    assert (await client.counts())[Status.QUEUED] == 2


async def test_retrying_jobs_among_queued_ones_of_the_same_time(
    pool: ArqRedis, client: StatusClient
) -> None:
    """Of jobs due at the same time those that have started are excluded, wherever they are."""
    now = timestamp_ms() - 60_000
    retrying = [number for number in range(300) if number % 7 == 0 or 100 < number < 250]
    for number in range(300):
        await put_job(pool, f"job{number:03}", enqueued=now)
    for number in retrying:
        await write_record(pool, f"job{number:03}", State.RETRYING, run=now, due=now)
    expected = [f"job{number:03}" for number in reversed(range(300)) if number not in retrying]
    for per_page in (3, 7, 60, 300):
        found = await all_pages(client, per_page, status=Status.QUEUED)
        assert [record.job_id for record in found] == expected
    assert (await client.counts())[Status.RETRYING] == len(retrying)
    assert len(await all_pages(client, 100)) == 300


# Several queues, real workers


async def test_real_jobs_of_several_queues(  # noqa: C901
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """While workers of two queues run jobs, list and counts contain each job once."""
    reached, gate = [], asyncio.Event()

    async def work(ctx: dict[str, Any], number: int) -> None:
        status: JobTracker = ctx["status"]
        if number == 0:
            raise Retry(defer=60)
        if number == 1:
            raise ValueError("one")
        await status.at(number)
        reached.append(number)
        if number < 4:
            await gate.wait()

    try:
        for queue in ("one", "two"):
            await start_worker(
                track_status({"functions": [func(work, name="work")], "queue_name": queue})
            )
            for number in range(6):
                job_id = f"{queue}{number}"
                await pool.enqueue_job("work", number, _job_id=job_id, _queue_name=queue)
        await pool.enqueue_job("work", 9, _job_id="late", _queue_name="two", _defer_by=60)
        await until(lambda: len(reached) == 8)
        for queue in ("one", "two"):
            for number in (1, 4, 5):
                await ended(client, f"{queue}{number}")
        expected = {
            Status.DEFERRED: 1,
            Status.RETRYING: 2,
            Status.WORKING: 4,
            Status.FAILED: 2,
            Status.COMPLETE: 4,
        }

        async def agree() -> bool:
            counts = await client.counts()
            return {status: number for status, number in counts.items() if number} == expected

        await until(agree)
        listed = await all_pages(client, 4)
        assert sorted(record.job_id for record in listed) == sorted(
            ["late", *(f"{queue}{number}" for queue in ("one", "two") for number in range(6))]
        )
        for status, number in expected.items():
            assert (await client.list_jobs(status=status)).total == number
    finally:
        gate.set()


async def test_running_jobs_of_other_queues(pool: ArqRedis, client: StatusClient) -> None:
    """A client of some queues neither lists nor ends jobs that run, or were lost, in others."""
    await Store(pool).beat("host:2:alive", "two", HOUR, {})
    await Store(pool).beat("host:1:alive", "one", HOUR, {})
    for queue, worker in (
        ("one", "host:1:alive"), ("two", "host:2:alive"), ("two", "host:1:dead"),
        ("one", "host:3:dead"),
    ):  # fmt: skip
        job_id = f"{queue} {worker[7:]}"
        run = await put_job(pool, job_id, queue=queue)
        await begin(pool, job_id)
        await write_record(pool, job_id, run=run, worker=worker, queue=queue)
    one = StatusClient(pool, queues=["one"])
    records = (await one.list_jobs(sort="queue", descending=False)).items
    assert sorted(record.job_id for record in records) == ["one alive", "one dead"]
    counts = await one.counts()
    assert (counts[Status.WORKING], counts[Status.INTERRUPTED]) == (1, 1)
    assert sum(counts.values()) == 2
    assert await one.is_working("two alive")
    assert await one.is_interrupted("two dead")
    assert await one.ended_at("two dead") is None


# Costs


async def load(redis: ArqRedis, number: int) -> None:
    """Write ended jobs, a millisecond apart."""
    store, now = Store(redis), timestamp_ms()
    rows = []
    for i in range(number):
        ended = now - 600_000 + i // 2
        state = ENDED[i % 4]
        track = StoredRecord(
            enqueued_ms=ended - 9, job_try=1, state=state, function="f", updated=ended, ended=ended
        )
        rows.append(Row(f"job{i}", True, track.encode(), {}))
    for start in range(0, number, 1000):
        await store.write(rows[start : start + 1000])


async def test_a_page_of_20000_jobs(pool: ArqRedis, client: StatusClient) -> None:
    """A page reads only the records that it shows, wherever it is; counts read none."""
    await load(pool, 20_000)
    await client.counts()
    for query, expected in (
        ({}, "job19999"),
        ({"page": 400}, "job10024"),
        ({"descending": False}, "job0"),
        ({"status": "complete", "page": 100}, "job10096"),
        ({"status": "failed", "descending": False}, "job1"),
    ):
        await pool.config_resetstat()
        page = await client.list_jobs(**query)
        done = await calls(pool)
        assert len(page.items) == 25
        # two jobs ended in each millisecond
        assert int(page.items[0].job_id[3:]) // 2 == int(expected[3:]) // 2
        assert page.total == (5_000 if "status" in query else 20_000)
        assert done["mget"] <= 30
        assert done["evalsha"] <= 6
        assert not {"keys", "scan", "sscan", "hscan", "zscan", "randomkey"} & set(done)
        assert not page.truncated
    await pool.config_resetstat()
    counts = await client.counts()
    assert counts == dict.fromkeys(Status, 0) | {Status(state): 5_000 for state in ENDED}
    made = await calls(pool)
    assert made.get("mget", 0) + made.get("get", 0) <= 5
    page = await client.list_jobs(function="f", per_page=1)
    assert (page.total, page.truncated) == (10_000, True)
