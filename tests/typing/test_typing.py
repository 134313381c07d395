"""The code that the type checkers check also runs."""

import inspect

from arq.connections import ArqRedis

import arq_status
from arq_status import Status, StatusClient
from arq_status.web import create_app
from arq_status.web.app import AppOptions
from tests.records import write_end
from tests.typing import asking, dashboard, users_tests, worker


async def test_a_worker_and_its_tests() -> None:
    """Jobs make all their reports, inline and with a tracker of their own."""
    await users_tests.run_inline()
    await users_tests.call_directly()
    assert worker.settings().functions


async def test_questions_and_actions(pool: ArqRedis, client: StatusClient, dsn: str) -> None:
    """Functions and methods work, whatever the client was created from."""
    await write_end(pool, "job", fields={"vino": "veritas"})
    await asking.ask("job")
    await asking.ask_a_client(client, "job")
    await asking.page_through("failed")
    record = await client.job("job")
    assert record is not None
    asking.read(record)
    assert asking.tell(record.status) == "complete"
    await asking.act_with_a_client(client, "unknown")
    await asking.act("job")
    assert await client.status("job") is None
    await asking.which_redis(dsn)
    assert set(map(asking.tell, Status)) >= {"waits", "works"}
    assert arq_status.configure(pool) is not client


def test_dashboards(pool: ArqRedis, client: StatusClient) -> None:
    """An app is created with each kind of ``redis`` and of ``authorize``."""
    assert len(dashboard.mount(pool, client).routes) == 10


def test_options_that_are_passed_on() -> None:
    """The options that ``serve`` passes to ``create_app`` are complete, with their types."""
    parameters = list(inspect.signature(create_app).parameters.values())[1:]
    assert {it.name: it.annotation for it in parameters} == AppOptions.__annotations__
