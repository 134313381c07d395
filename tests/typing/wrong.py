"""Mistakes that a type checker finds before the code runs. None of it is ever run.

Each has one comment for mypy and one for pyright, and both complain of a comment without a mistake.
"""

# whatever is wrong is also unknown and unused
# ruff: noqa: B018, F841
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnusedVariable=false, reportUnusedExpression=false

from typing import Any

import redis
from starlette.requests import Request

import arq_status
from arq_status import JobRecord, JobTracker, StatusClient, status_options, track_status
from arq_status.testing import inline, tracker
from arq_status.web import create_app, serve
from tests.typing.worker import Ctx, OptionalSettings, import_rows

# options

status_options(1800)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
status_options(expires="30 days")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
status_options(record_args="no")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
status_options(keep=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
status_options()(5)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]

# settings

track_status(5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
track_status([import_rows])  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
track_status(expires="30 days")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
track_status(OptionalSettings, expires=60)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
track_status(track=False)(5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
track_status(OptionalSettings).unknown  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


async def signatures(ctx: Ctx) -> None:
    """A decorated function is called with its own signature."""
    await import_rows(ctx)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await import_rows(ctx, 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    text: str = await import_rows(ctx, "rows.csv")  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


async def report(status: JobTracker) -> None:
    """Numbers are numbers, messages are strings, and calls are awaited."""
    await status.total("100")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await status.total(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await status.at("5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await status.at(5, 6)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await status.advance(message=b"Further")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await status.store({"vino": "veritas"})  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await status.retrieve()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await status.flush(5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    status.at(5)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    status.job_id = "other"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    text: int = status.job_id  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


async def iterate(status: JobTracker) -> None:
    """An iterable is an iterable, and is iterated with async for."""
    async for _ in status.track(5):  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        pass
    for _ in status.track([5]):  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass
    async for _ in status.sync.track([5]):  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass
    async for name in status.track(["a"]):
        number: int = name  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    await status.sync.at(5)  # type: ignore[func-returns-value, misc]  # pyright: ignore[reportGeneralTypeIssues]
    status.sync.at("5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def ask(client: StatusClient, job_id: str, record: JobRecord) -> None:
    """Optional results must be checked first, and records are frozen."""
    arq_status.configure(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    arq_status.configure(redis.Redis())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    arq_status.configure(queues="arq:queue", expires="30 days")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    StatusClient("redis://localhost", ["arq:queue"])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    StatusClient(expires=None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await arq_status.status(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await arq_status.jobs(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    (await arq_status.job(job_id)).at  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
    (await client.jobs([job_id]))[0].at  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
    arq_status.is_complete(job_id)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    client.is_complete(job_id)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    await arq_status.is_done(job_id)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    await arq_status.list_jobs(status=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await arq_status.list_jobs(page="2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await client.list_jobs(order="elapsed")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await arq_status.wait(job_id, timeout="30")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    for _ in arq_status.watch(job_id):  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass
    await arq_status.watch(job_id)  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    record.at = 5  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    record.data["vino"] = "vanitas"  # type: ignore[index]  # pyright: ignore[reportIndexIssue]
    late: bool = record.ended_at > record.started_at  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
    unknown: Any = record.unknown  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


async def act(client: StatusClient, job_id: str) -> None:
    """What the actions accept, and in which form."""
    await arq_status.stop(job_id, True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await arq_status.stop(job_id, force="yes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await client.cancel([job_id])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await arq_status.store(job_id, {"vino": "vanitas"})  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    done: str = await arq_status.delete(job_id)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


def allow(request: Request, action: str) -> bool:
    return action == "view"


def allow_nobody(request: Request, action: str, job_id: str | None) -> str:
    return ""


def mount() -> None:
    """What the dashboard accepts."""
    create_app(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    create_app(lambda: 5)  # type: ignore[arg-type, return-value]  # pyright: ignore[reportArgumentType]
    create_app(None, True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    create_app(authorize=allow)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    create_app(authorize=allow_nobody)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    create_app(trusted_origins=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    create_app(per_page_options=("25", "50"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    create_app(colour="red")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    serve(port="8000")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    serve(colour="red")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    serve(read_only="yes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def run_inline() -> None:
    """What the test helpers accept."""
    async with inline([import_rows]) as pool:  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        pool.enqueue(5)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    with inline(OptionalSettings):  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass
    tracker(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    tracker("rows", job_try="2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await tracker().record  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
