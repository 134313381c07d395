"""Queries and actions, as functions of the package and as methods of a client."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

from arq import create_pool
from arq.connections import ArqRedis, RedisSettings
from redis.asyncio import Redis

import arq_status
from arq_status import JobRecord, Page, Status, StatusClient


async def which_redis(dsn: str) -> None:
    """A client accepts everything that specifies a Redis."""
    settings = RedisSettings.from_dsn(dsn)
    pool: ArqRedis = await create_pool(settings)
    plain = Redis(host="localhost")
    assert_type(arq_status.configure(), StatusClient)
    assert_type(arq_status.configure(plain), StatusClient)
    arq_status.configure(settings)
    arq_status.configure(dsn, queues=["arq:queue"], expires=timedelta(hours=1))
    arq_status.configure(pool)
    StatusClient()
    StatusClient(pool)
    StatusClient(plain, queues=("one", "two"), expires=60)
    StatusClient(settings, expires=0.5, job_deserializer=loads)
    async with StatusClient(dsn) as client:
        assert_type(client, StatusClient)
        assert_type(await client.status("unknown"), Status | None)
    assert_type(await client.aclose(), None)
    await pool.aclose()


def loads(raw: bytes) -> dict[str, Any]:
    return {"f": raw.decode()}


async def ask(job_id: str) -> None:
    """What the query functions return."""
    assert_type(await arq_status.status(job_id), Status | None)
    assert_type(await arq_status.is_deferred(job_id), bool)
    assert_type(await arq_status.is_queued(job_id), bool)
    assert_type(await arq_status.is_working(job_id), bool)
    assert_type(await arq_status.is_retrying(job_id), bool)
    assert_type(await arq_status.is_complete(job_id), bool)
    assert_type(await arq_status.is_failed(job_id), bool)
    assert_type(await arq_status.is_stopped(job_id), bool)
    assert_type(await arq_status.is_interrupted(job_id), bool)
    assert_type(await arq_status.job(job_id), JobRecord | None)
    assert_type(await arq_status.jobs([job_id]), list[JobRecord | None])
    assert_type(await arq_status.jobs((job_id, job_id)), list[JobRecord | None])
    assert_type(await arq_status.get_all(job_id), dict[str, Any])
    assert_type(await arq_status.get(job_id, "vino"), Any)
    assert_type(await arq_status.at(job_id), float | None)
    assert_type(await arq_status.total(job_id), float | None)
    assert_type(await arq_status.message(job_id), str | None)
    assert_type(await arq_status.pct_complete(job_id), int | None)
    assert_type(await arq_status.enqueued_at(job_id), datetime | None)
    assert_type(await arq_status.started_at(job_id), datetime | None)
    assert_type(await arq_status.updated_at(job_id), datetime | None)
    assert_type(await arq_status.ended_at(job_id), datetime | None)
    assert_type(await arq_status.elapsed(job_id), timedelta | None)
    assert_type(await arq_status.eta(job_id), timedelta | None)
    assert_type(await arq_status.counts(), dict[Status, int])
    assert_type(await arq_status.list_jobs(), Page)
    assert_type(await arq_status.wait(job_id), JobRecord | None)
    assert_type(await arq_status.wait(job_id, timeout=0.5), JobRecord | None)
    assert_type(arq_status.watch(job_id), AsyncGenerator[JobRecord, None])
    async for record in arq_status.watch(job_id):
        assert_type(record, JobRecord)
    async with aclosing(arq_status.watch(job_id)) as records:
        assert_type(await anext(records), JobRecord)


async def act(job_id: str) -> None:
    """What the action functions return."""
    assert_type(await arq_status.store(job_id, vino="vanitas", rows=[1, 2]), bool)
    assert_type(await arq_status.stop(job_id), bool)
    assert_type(await arq_status.stop(job_id, force=True), bool)
    assert_type(await arq_status.cancel(job_id), bool)
    assert_type(await arq_status.unschedule(job_id), bool)
    assert_type(await arq_status.retry(job_id), bool)
    assert_type(await arq_status.delete(job_id), int)


async def ask_a_client(client: StatusClient, job_id: str) -> None:
    """What the query methods of a client return."""
    assert_type(await client.status(job_id), Status | None)
    assert_type(await client.is_deferred(job_id), bool)
    assert_type(await client.is_queued(job_id), bool)
    assert_type(await client.is_working(job_id), bool)
    assert_type(await client.is_retrying(job_id), bool)
    assert_type(await client.is_complete(job_id), bool)
    assert_type(await client.is_failed(job_id), bool)
    assert_type(await client.is_stopped(job_id), bool)
    assert_type(await client.is_interrupted(job_id), bool)
    assert_type(await client.job(job_id), JobRecord | None)
    assert_type(await client.jobs([job_id]), list[JobRecord | None])
    assert_type(await client.get_all(job_id), dict[str, Any])
    assert_type(await client.get(job_id, "vino"), Any)
    assert_type(await client.at(job_id), float | None)
    assert_type(await client.total(job_id), float | None)
    assert_type(await client.message(job_id), str | None)
    assert_type(await client.pct_complete(job_id), int | None)
    assert_type(await client.enqueued_at(job_id), datetime | None)
    assert_type(await client.started_at(job_id), datetime | None)
    assert_type(await client.updated_at(job_id), datetime | None)
    assert_type(await client.ended_at(job_id), datetime | None)
    assert_type(await client.elapsed(job_id), timedelta | None)
    assert_type(await client.eta(job_id), timedelta | None)
    assert_type(await client.counts(), dict[Status, int])
    assert_type(await client.list_jobs(), Page)
    assert_type(await client.wait(job_id, 0.5), JobRecord | None)
    assert_type(client.watch(job_id), AsyncGenerator[JobRecord, None])
    async for record in client.watch(job_id):
        assert_type(record, JobRecord)


async def act_with_a_client(client: StatusClient, job_id: str) -> None:
    """What its action methods return."""
    assert_type(await client.store(job_id, vino="vanitas"), bool)
    assert_type(await client.stop(job_id, force=True), bool)
    assert_type(await client.cancel(job_id), bool)
    assert_type(await client.unschedule(job_id), bool)
    assert_type(await client.retry(job_id), bool)
    assert_type(await client.delete(job_id), int)


async def page_through(status: str | None) -> None:
    """A list, filtered by a status or its name, and its items."""
    await arq_status.list_jobs(status)
    await arq_status.list_jobs(["failed", Status.STOPPED], "import_rows", "arq:queue", sort="queue")
    await arq_status.list_jobs(since=timedelta(hours=1), until=datetime.now(UTC), search="rows")
    page = await arq_status.list_jobs(status=Status.WORKING, sort="elapsed", descending=False)
    assert_type(page.items, list[JobRecord])
    assert_type(page.total, int)
    assert_type(page.page, int)
    assert_type(page.per_page, int)
    assert_type(page.pages, int)
    assert_type(page.truncated, bool)
    for record in page.items:
        read(record)


def read(record: JobRecord) -> None:
    """The fields of a record."""
    assert_type(record.job_id, str)
    assert_type(record.status, Status)
    assert_type(record.function, str | None)
    assert_type(record.queue, str | None)
    assert_type(record.args, str)
    assert_type(record.job_try, int | None)
    assert_type(record.at, float)
    assert_type(record.total, float)
    assert_type(record.message, str | None)
    assert_type(record.pct_complete, int)
    assert_type(record.enqueued_at, datetime | None)
    assert_type(record.due_at, datetime | None)
    assert_type(record.started_at, datetime | None)
    assert_type(record.updated_at, datetime | None)
    assert_type(record.ended_at, datetime | None)
    assert_type(record.elapsed, timedelta | None)
    assert_type(record.eta, timedelta | None)
    assert_type(record.error, str | None)
    assert_type(record.worker, str | None)
    assert_type(record.data["vino"], Any)
    assert_type(record.expires_at, datetime | None)


def tell(status: Status) -> str:
    """Every status is one of eight, and a checker knows when all are handled."""
    match status:
        case Status.DEFERRED | Status.QUEUED | Status.RETRYING:
            return "waits"
        case Status.WORKING:
            return "works"
        case Status.COMPLETE | Status.FAILED | Status.STOPPED | Status.INTERRUPTED:
            return status.value
