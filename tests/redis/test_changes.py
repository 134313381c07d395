"""Following all matching jobs, and several jobs by their ids."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.utils import timestamp_ms

import arq_status
from arq_status import Status, StatusClient
from arq_status._client import changes, feed
from arq_status._model.record import State
from tests.conftest import until
from tests.records import begin, put_job, write_end, write_record

#: Ids and statuses.
Seen = list[tuple[str, str]]


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll for unpublished changes every 0.1 s."""
    monkeypatch.setattr(feed, "POLL_INTERVAL", 0.1)


@asynccontextmanager
async def following(pool: ArqRedis, **filters: Any) -> AsyncIterator[Seen]:
    """Follow changes; collect them once following is under way."""
    seen: Seen = []

    async def follow() -> None:
        async for record in arq_status.changes(**filters):
            seen.append((record.job_id, record.status))

    async def is_under_way() -> bool:
        await write_end(pool, f"first-{len(seen)}", State.FAILED, run=len(seen) + 1)
        return bool(seen)

    task = asyncio.create_task(follow())
    await until(is_under_way)
    seen.clear()
    try:
        yield seen
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def told(seen: Seen, job_id: str, status: str) -> None:
    """Wait until a change of the job to this status was reported."""
    await until(lambda: (job_id, status) in seen)


async def test_what_nobody_told_is_found(pool: ArqRedis, client: StatusClient) -> None:
    """A job of plain arq is reported when enqueued and started, unchanged ones are not."""
    await put_job(pool, "old")
    async with following(pool) as seen:
        await put_job(pool, "new")
        await told(seen, "new", "queued")
        await begin(pool, "new")
        await told(seen, "new", "working")
        await write_record(pool, "told", fields={"vino": "veritas"})
        await until(lambda: any(job_id == "told" for job_id, _ in seen))
    assert "old" not in dict(seen)
    assert seen.count(("new", "queued")) == seen.count(("new", "working")) == 1


async def test_only_those_that_match(pool: ArqRedis, client: StatusClient) -> None:
    """Other statuses, other groups and deleted jobs are not reported."""
    async with following(pool, status="failed") as seen:
        await write_end(pool, "good")
        await write_end(pool, "deleted")
        assert await client.delete("deleted") == 1
        async with arq_status.group("g") as group:
            await group.enqueue_job(pool, "f", _job_id="grouped")
        await write_end(pool, "bad", State.FAILED)
        await told(seen, "bad", "failed")
    assert {status for _, status in seen} == {Status.FAILED}
    assert "good" not in dict(seen)


async def test_an_end_that_arq_has_yet_to_book(pool: ArqRedis, client: StatusClient) -> None:
    """The end is reported when arq's keys are gone, although nothing is published."""
    run = await put_job(pool, "job")
    await begin(pool, "job")
    async with following(pool) as seen:
        await write_end(pool, "job", run=run)
        await until(lambda: seen)
        await pool.delete("arq:job:job", "arq:in-progress:job", "arq:queue")
        await told(seen, "job", "complete")
    assert seen.count(("job", "complete")) == 1


async def test_what_is_remembered_is_bounded(
    pool: ArqRedis, client: StatusClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs beyond the limit are still reported at every change."""
    monkeypatch.setattr(changes, "_REMEMBERED", 1)
    monkeypatch.setattr(feed, "POLL_INTERVAL", 3600)
    async with following(pool) as seen:
        for job_id in ("a", "b", "a", "b"):
            seen.clear()
            await write_end(pool, job_id, State.FAILED)
            await told(seen, job_id, "failed")


async def test_a_tag_of_a_job_that_is_not_remembered(
    pool: ArqRedis, client: StatusClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is reported although the job's last change was before following began."""
    monkeypatch.setattr(changes, "_REMEMBERED", 0)
    await write_end(pool, "old", State.FAILED, ended=timestamp_ms() - 60_000)
    async with following(pool) as seen:
        assert await client.tag("old", "late")
        await told(seen, "old", "failed")


async def test_more_changes_than_are_named(
    pool: ArqRedis, client: StatusClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A follower that falls behind reads the newest jobs."""
    monkeypatch.setattr("arq_status._client.following._MOST_MENTIONED", 0)
    async with following(pool) as seen:
        await write_end(pool, "job")
        await told(seen, "job", "complete")


async def test_unreadable_messages(pool: ArqRedis, client: StatusClient) -> None:
    """Changes are still reported after any published garbage."""
    async with following(pool) as seen:
        deep = b"[" * 100_000
        for message in (b"\xff", b"", b"null", b'{"job": [{}]}', b"[[], {}, 1]", b"[1]", deep):
            await pool.publish("arqstatus:1:changes:0", message)
        await write_end(pool, "job")
        await told(seen, "job", "complete")


async def test_several_jobs(pool: ArqRedis, client: StatusClient) -> None:
    """Each is reported now, at every change and at its end; unknown ones are left out."""
    await write_end(pool, "ended")
    for job_id in ("a", "b", "deleted"):
        await put_job(pool, job_id)
    seen: Seen = []

    async def follow() -> None:
        async for record in arq_status.watch_many(["ended", "a", "unknown", "b", "deleted", "a"]):
            seen.append((record.job_id, record.status))

    task = asyncio.create_task(follow())
    await until(lambda: len(seen) == 4)
    assert dict(seen) == {"ended": "complete", "a": "queued", "b": "queued", "deleted": "queued"}
    await begin(pool, "b")
    await told(seen, "b", "working")
    await pool.zrem("arq:queue", "deleted")
    await pool.delete("arq:job:deleted")
    assert await client.cancel("a")
    await told(seen, "a", "stopped")
    await pool.delete("arq:in-progress:b")
    assert await client.cancel("b")
    await asyncio.wait_for(task, 10)
    assert seen[-1] == ("b", "stopped")


async def test_several_that_have_ended(pool: ArqRedis, client: StatusClient) -> None:
    """They are reported once, and no jobs are reported for an empty list."""
    await write_end(pool, "job")
    assert [it.job_id async for it in arq_status.watch_many(["job", "job"])] == ["job"]
    assert [it async for it in arq_status.watch_many(["unknown"])] == []
