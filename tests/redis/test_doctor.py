"""``arq-status doctor``: problems of the server, workers, queues, keys or one job."""

import asyncio
import json
import re
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from importlib.metadata import PackageNotFoundError
from typing import Any

import pytest
from arq import create_pool
from arq.connections import ArqRedis, RedisSettings
from arq.utils import timestamp_ms

from arq_status import StatusClient, status_options, track_status
from arq_status._model.options import FunctionOptions
from arq_status._model.record import State
from arq_status._redis.store import Store
from arq_status.cli import main
from arq_status.cli.doctor.finding import Finding, Level
from arq_status.cli.doctor.packages import check_packages
from arq_status.cli.doctor.permissions import script_commands
from arq_status.cli.doctor.records import Sample, compare_records
from arq_status.cli.doctor.server import Server, check_server
from arq_status.cli.doctor.workers import redis_time
from tests.conftest import StartWorker, ended, until
from tests.records import HOUR, begin, own_key, put_job, put_result, write_end, write_record
from tests.redis.test_insight import count, tally_of

Context = dict[str, Any]
Doctor = Callable[..., Coroutine[Any, Any, list[Finding]]]

FINE = {"name": "Redis", "version": "7.4.1", "clustered": False, "replica": False} | {
    "maxmemory": 0,
    "evicted": 0,
    "policy": "noeviction",
    "databases": [],
}


@pytest.fixture
def doctor(
    pool: ArqRedis, dsn: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Doctor:
    """Runs the command and returns its findings. Its exit code says if there is a problem."""

    async def run(*argv: str, redis: str = dsn) -> list[Finding]:
        capsys.readouterr()
        code = await asyncio.to_thread(main, ["doctor", "--redis", redis, "--json", *argv])
        answer = json.loads(capsys.readouterr().out)
        findings = [Finding(**{**it, "level": Level(it["level"])}) for it in answer["findings"]]
        problems = any(finding.level is Level.PROBLEM for finding in findings)
        assert (code, answer["ok"]) == (int(problems), not problems)
        return findings

    return run


def about(findings: list[Finding], what: str) -> list[tuple[str, str]]:
    """Return the level and text of the findings about something."""
    return [(str(it.level), it.text) for it in findings if it.about == what]


async def work(ctx: Context) -> None:
    """Do nothing."""


async def wait(ctx: Context) -> None:
    await asyncio.sleep(3600)


@status_options(track=False)
async def secret(ctx: Context) -> None:
    """Do nothing, untracked."""


async def test_all_is_well(
    doctor: Doctor, client: StatusClient, pool: ArqRedis, start_worker: StartWorker
) -> None:
    """With a tracked worker that has run a job there is no problem."""
    await start_worker(track_status({"functions": [work, wait, secret]}))

    async def is_well() -> bool:
        records = await client.jobs(["done", "runs"])
        if not all(record is not None and record.worker is not None for record in records):
            return False
        return {finding.level for finding in await doctor("runs")} == {Level.OK}

    await pool.enqueue_job("work", _job_id="done")
    await pool.enqueue_job("wait", _job_id="runs")
    await until(is_well)
    findings = await doctor("runs")
    [(_, worker)] = about(findings, "workers")
    assert worker.endswith(" on arq:queue, running 1 job")
    assert about(findings, "functions") == [
        ("ok", "tracked: wait, work"),
        ("ok", "not tracked: secret"),
    ]
    assert about(findings, "queues") == [("ok", "arq:queue: 1 job, 1 due")]
    assert about(findings, "keys") == [("ok", "checked 1 job, 1 arq result and 2 records")]
    assert about(findings, "job") == [("ok", "'runs' is working")]
    [(_, server)] = about(findings, "server")
    assert server.startswith(("Redis ", "Valkey "))
    [(_, packages)] = about(findings, "packages")
    assert packages.startswith("arq-status ")


async def test_nobody_is_there(doctor: Doctor, pool: ArqRedis) -> None:
    """Without a worker it says so, and which jobs are waiting."""
    await put_job(pool, "waits", enqueued=timestamp_ms() - 125_000)
    findings = await doctor("waits")
    assert about(findings, "workers") == [("problem", "no tracked worker is alive")]
    [(level, text)] = about(findings, "queues")
    assert level == "problem"
    assert re.match(
        r"arq:queue: 1 job, 1 due, the first for 2 min \d+ s, and no worker takes", text
    )
    assert about(findings, "job") == [
        ("ok", "'waits' is queued"),
        ("problem", "no tracked worker is alive on 'arq:queue'"),
    ]
    advice = [finding.advice for finding in findings if finding.advice]
    assert "start a worker with queue_name='arq:queue'" in advice


async def test_workers_that_died(doctor: Doctor, pool: ArqRedis) -> None:
    """It reports what they left behind, and who will run it again."""
    store = Store(pool)
    await store.beat("host:1:gone", "arq:queue", HOUR, {})
    await store.leave("host:1:gone")
    await store.beat("host:2:dead", "arq:queue", HOUR, {})
    await pool.zadd("arqstatus:1:workers", {"host:2:dead": timestamp_ms() - 65_000})
    run = await put_job(pool, "lost")
    await begin(pool, "lost")
    await write_record(pool, "lost", run=run, worker="host:2:dead")
    await write_record(pool, "other", worker="host:3:left")
    findings = await doctor("lost")
    workers = [
        (level, re.sub(r"\d+ s ago", "… ago", text)) for level, text in about(findings, "workers")
    ]
    left = "and left 1 job behind, now interrupted"
    assert [it for it in workers if "host" in it[1]] == [
        ("warning", f"host:2 stopped responding 1 min … ago {left}"),
        ("warning", f"host:3 shut down {left}"),
    ]
    assert ("warning", "its worker died or was shut down while it ran") in about(findings, "job")
    advice = {finding.text: finding.advice for finding in findings}
    [died] = [text for text in advice if text.startswith("host:2 stopped")]
    assert advice[died] == "start a worker for arq:queue, then arq runs them again"
    await store.beat("host:4:alive", "arq:queue", HOUR, {})
    await store.beat("host:5:idle", "arq:queue", HOUR, {})
    await pool.zadd("arqstatus:1:workers", {"host:5:idle": timestamp_ms() - 3_600_000})
    findings = await doctor()
    assert ("note", "host:5 stopped responding 1 h ago") in about(findings, "workers")
    advice = {finding.text: finding.advice for finding in findings}
    assert advice[died] == "arq runs them again when their in-progress keys expire"


async def test_a_worker_that_is_not_tracked(
    doctor: Doctor, client: StatusClient, pool: ArqRedis, start_worker: StartWorker
) -> None:
    """Arq's health check shows it; its jobs are known from arq's results alone."""
    await start_worker({"functions": [work, wait]})
    await pool.enqueue_job("work", _job_id="done")
    await ended(client, "done")
    await pool.enqueue_job("wait", _job_id="runs")
    await until(lambda: client.is_working("runs"))
    findings = await doctor("done")
    [(level, text)] = about(findings, "queues")
    assert (level, text.partition(";")[2]) == (
        "warning",
        " an untracked worker takes them, or did within the last hour",
    )
    assert about(findings, "job")[1] == (
        "note",
        "it is known from arq's result alone: no progress, message or data",
    )
    assert ("note", "1 job with an arq result and no record, such as 'done'") in about(
        findings, "keys"
    )
    findings = await doctor("runs")
    assert ("note", "it is running but has no record yet") in about(findings, "job")


async def test_a_queue_that_nobody_announced(doctor: Doctor, pool: ArqRedis) -> None:
    """The queue is found, with advice to name it; so is a payload without a queue."""
    await put_job(pool, "elsewhere", queue="emails")
    await put_job(pool, "nowhere")
    await pool.zrem("arq:queue", "nowhere")
    await pool.zadd("mine", {"member": 1})
    findings = await doctor("elsewhere")
    [finding] = [it for it in findings if it.text.startswith("it is in queue")]
    assert finding.text == "it is in queue 'emails'"
    assert finding.advice == "no tracked worker has announced that queue: --queue emails"
    [text] = [text for _, text in about(findings, "keys") if "none of the known queues" in text]
    assert text.startswith("2 jobs in none of the known queues, such as ")
    findings = await doctor("nowhere")
    [finding] = [it for it in findings if it.text == "it is in no queue"]
    assert finding.advice == "arq will not run it; arq-status cancel removes it"
    findings = await doctor("elsewhere", "--queue", "emails")
    [(_, text)] = about(findings, "queues")
    assert text.startswith("emails: 1 job, 1 due")
    assert not [it for it in findings if it.text.startswith("it is in queue")]


async def test_why_a_job_is_missing(doctor: Doctor, client: StatusClient, pool: ArqRedis) -> None:
    """It was deleted, has expired, or was never known."""
    await write_end(pool, "deleted")
    await put_result(pool, "deleted")
    await client.delete("deleted")
    [(level, text)] = about(await doctor("deleted"), "job")
    assert level == "problem"
    assert text.startswith("'deleted' is not known: its tracking data was deleted at 20")

    await put_result(pool, "expired", finished=timestamp_ms() - 2 * HOUR)
    [(level, text)] = about(await doctor("expired"), "job")
    assert level == "problem"
    assert text.startswith("'expired' is not known: it ended at 20")
    assert text.endswith("complete jobs are shown for 30 min; arq still has its result")
    finished = timestamp_ms() - 25 * HOUR
    await put_result(
        pool, "failed", ValueError(), success=False, finished=finished, keep_ms=48 * HOUR
    )
    [(_, text)] = about(await doctor("failed"), "job")
    assert text.endswith("failed jobs are shown for 1 d; arq still has its result")

    nobody = "'nobody' is not known: there is no arq job, no result and no record"
    assert about(await doctor("nobody"), "job") == [
        ("problem", f"{nobody} with this id"),
        ("note", "it may have run in an untracked worker that keeps no results"),
    ]
    assert about(await doctor(""), "job") == [("problem", "'' is not a valid job id")]


async def test_why_a_job_failed(doctor: Doctor, pool: ArqRedis) -> None:
    """Its error, and where its tries, traceback and log are printed."""
    await write_end(pool, "a job", State.FAILED, error="ValueError: no vino none at all")
    found = [(it.text, it.advice) for it in await doctor("a job") if it.about == "job"]
    assert found == [
        ("'a job' is failed", None),
        (
            "its error: ValueError: no vino none at all",
            "arq-status show 'a job' prints its tries, last traceback and log",
        ),
    ]


async def test_a_function_that_its_worker_has_not(
    doctor: Doctor, pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """It says which queue's workers have the function, if any."""
    await start_worker(track_status({"functions": [work]}))
    await start_worker(track_status({"functions": [wait], "queue_name": "slow"}))

    async def advice(function: str) -> str | None:
        await pool.enqueue_job(function, _job_id=function)
        await ended(client, function)
        [finding] = [it for it in await doctor(function) if it.text.startswith("its error: ")]
        assert finding.text == f"its error: function '{function}' not found"
        return finding.advice

    assert await advice("wait") == "workers have it in slow: enqueue the job with _queue_name"
    unknown = "no tracked worker has announced it: add it to a worker's functions, under this name"
    assert await advice("nonsense") == unknown
    await start_worker(track_status({"functions": [wait]}))
    again = "a worker of its queue now has that function: enqueue the job again"
    [finding] = [it for it in await doctor("wait") if it.text.startswith("its error: ")]
    assert finding.advice == again


async def test_guesses_about_a_missing_job(
    doctor: Doctor, pool: ArqRedis, redis_settings: RedisSettings
) -> None:
    """Announced expiries and other databases with keys give hints."""
    options = {"f": FunctionOptions(expires=7_200_000), "g": FunctionOptions(expires=60_000)}
    await Store(pool).beat("host:1:alive", "arq:queue", HOUR, options)
    other = await create_pool(replace(redis_settings, database=7))
    await other.set("key", "value")
    try:
        texts = [text for _, text in about(await doctor("nobody"), "job")]
    finally:
        await other.delete("key")
        await other.aclose()
    words = "it may have expired: complete jobs are shown for 2 h, all others for 1 d"
    assert texts[1] == words
    assert texts[3] == "it may be in another database of this server; there are keys in 7"


async def test_keys_that_are_not_as_they_should_be(doctor: Doctor, pool: ArqRedis) -> None:
    """Records without an end, with a wrong expiry, damaged or of a wrong type."""
    await write_end(pool, "undying")
    await pool.persist(own_key("job:undying"))
    run = await put_job(pool, "dying")
    await write_record(pool, "dying", State.RETRYING, run=run)
    await pool.expire(own_key("job:dying"), timedelta(hours=1))
    await write_record(pool, "over", worker="host:1:dead")
    await pool.set(own_key("job:damaged"), "{")
    await add_to_set(pool, own_key("job:set"))
    await pool.set("arqstatus:1:worker:host:1:dead", "[]")
    await add_to_set(pool, "arq:queue:other")
    found = about(await doctor("--queue", "arq:queue", "--queue", "arq:queue:other"), "keys")
    assert (
        "note",
        "1 job with a record that has not ended, although arq is done, such as 'over'",
    ) in found
    words = "1 job ended, with a record that never expires, such as 'undying'"
    assert ("warning", words) in found
    words = "1 job not ended, with a record that expires, such as 'dying'"
    assert ("warning", words) in found
    [damaged] = [text for _, text in found if "cannot be read" in text]
    assert damaged.startswith("2 jobs with a record that cannot be read, such as ")


async def add_to_set(redis: Any, key: str) -> None:
    await redis.sadd(key, "member")


async def test_it_reads_no_more_than_so_much(
    doctor: Doctor, pool: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many keys it takes a sample in a limited number of rounds, and says so."""
    monkeypatch.setattr("arq_status._redis.commands._SCANS", 2)
    monkeypatch.setattr("arq_status._redis.commands._SCANNED_AT_ONCE", 10)
    async with pool.pipeline(transaction=False) as pipeline:
        for number in range(200):
            pipeline.set(f"arq:result:{number}", "x")
            pipeline.zadd(f"set:{number}", {"member": 1})
        await pipeline.execute()
    [text, *_] = [text for _, text in about(await doctor("nobody"), "keys")]
    assert text.endswith(", a sample")


async def test_a_record_that_goes_meanwhile(pool: ArqRedis) -> None:
    """A record that expires between two reads is not reported."""
    sample = Sample(records=["gone"])
    await compare_records(pool, sample, ["arq:queue"])
    assert sample == Sample(records=["gone"])


async def test_resp3(doctor: Doctor, pool: ArqRedis, dsn: str) -> None:
    """It works with the newer protocol, too."""
    await Store(pool).beat("host:1:alive", "arq:queue", HOUR, {"f": FunctionOptions()})
    await put_job(pool, "waits")
    findings = await doctor("waits", redis=f"{dsn}?protocol=3")
    assert about(findings, "workers") == [("ok", "host:1 on arq:queue, running 0 jobs")]
    assert about(findings, "queues") == [("ok", "arq:queue: 1 job, 1 due")]


@pytest.mark.parametrize(
    ("changes", "level", "words"),
    [
        ({}, Level.OK, "Redis 7.4.1 at redis://here"),
        ({"name": "Valkey", "version": "8.0"}, Level.OK, "Valkey 8.0 at redis://here"),
        ({"version": "6.0.16"}, Level.PROBLEM, "Redis 6.0.16 at redis://here is too old"),
        ({"clustered": True}, Level.PROBLEM, "arq does not run on Redis Cluster"),
        ({"replica": True}, Level.PROBLEM, "it is a replica, which accepts no writes"),
        (
            {"maxmemory": 1, "policy": "allkeys-lru"},
            Level.WARNING,
            "it evicts keys when its memory is full (allkeys-lru): jobs, results, records and the"
            " indexes of lists may disappear",
        ),
        (
            {"maxmemory": 1, "policy": "volatile-ttl", "evicted": 1},
            Level.WARNING,
            "it evicts keys when its memory is full (volatile-ttl): jobs, results, records and the"
            " indexes of lists may disappear; it has evicted 1 key",
        ),
        ({"maxmemory": 1}, Level.OK, "Redis 7.4.1 at redis://here"),
    ],
)
def test_servers(changes: dict[str, Any], level: Level, words: str) -> None:
    """What is wrong with a server, and what to do about it."""
    findings = list(check_server(Server(**{**FINE, **changes}), "redis://here"))
    worst = findings[-1]
    assert (worst.level, worst.text) == (level, words)
    assert (worst.advice is None) == (level is Level.OK)


async def test_a_server_that_evicts(doctor: Doctor, pool: ArqRedis) -> None:
    """Its settings are read from the server."""
    await pool.config_set("maxmemory", "200mb")
    await pool.config_set("maxmemory-policy", "volatile-ttl")
    try:
        found = about(await doctor(), "server")
    finally:
        await pool.config_set("maxmemory-policy", "noeviction")
        await pool.config_set("maxmemory", "0")
    assert found[1][0] == "warning"
    assert "(volatile-ttl)" in found[1][1]


async def test_a_server_that_is_too_old(
    doctor: Doctor, pool: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other checks are skipped, because they could not work."""
    newest = dict.fromkeys(("Redis", "Valkey"), (99,))
    monkeypatch.setattr("arq_status.cli.doctor.server._OLDEST", newest)
    findings = await doctor()
    assert [finding.about for finding in findings] == ["packages", "permissions", "server"]


def test_an_arq_that_was_not_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets a note."""
    monkeypatch.setattr("arq_status.cli.packages.version", lambda _: "0.31.0")
    [finding] = check_packages()
    assert finding.level is Level.NOTE
    assert (
        finding.text
        == "arq-status 0.31.0, arq 0.31.0, redis 0.31.0: not tested with this version of arq"
    )


async def test_a_killed_worker(doctor: Doctor, pool: ArqRedis) -> None:
    """If a queue's only tracked worker died it is a problem, despite arq's health check."""
    await announce(pool, "host:1:dead", silent_ms=65_000)
    await announce(pool, "host:2:alive", queue="emails")
    await pool.psetex("arq:queue:health-check", HOUR, "j_complete=1")
    [first, second] = about(await doctor(), "queues")
    assert first[0] == "problem"
    words = "; its last tracked worker, host:1, stopped responding 1 min 5 s ago"
    assert re.sub(r"\d s ago", "5 s ago", first[1]) == f"arq:queue: 0 jobs, 0 due{words}"
    assert second == ("ok", "emails: 0 jobs, 0 due")
    await pool.zrem("arqstatus:1:workers", "host:1:dead")
    words = "; its tracked workers are gone, and the last one did not shut down cleanly"
    assert ("problem", f"arq:queue: 0 jobs, 0 due{words}") in about(await doctor(), "queues")


async def announce(
    pool: ArqRedis, worker: str, *, silent_ms: int = 0, queue: str = "arq:queue"
) -> None:
    """Announce a worker whose last heartbeat was this long ago."""
    await Store(pool).beat(worker, queue, HOUR, {})
    beat = await redis_time(pool) - silent_ms
    await pool.zadd("arqstatus:1:workers", {worker: beat})


async def test_it_waits_for_overdue_heartbeats(doctor: Doctor, pool: ArqRedis) -> None:
    """A recently killed worker is not called alive, nor a slow one dead."""
    await announce(pool, "host:1:killed", silent_ms=9_900)
    [(_, dead), _] = about(await doctor(), "workers")
    assert dead == "host:1 stopped responding 10 s ago"
    await announce(pool, "host:1:killed", silent_ms=5_000)
    doing = asyncio.create_task(doctor())
    await until(lambda: is_waiting(doing))
    await announce(pool, "host:1:killed")
    assert about(await doing, "workers") == [("ok", "host:1 on arq:queue, running 0 jobs")]


async def is_waiting(task: "asyncio.Task[Any]") -> bool:
    await asyncio.sleep(0.3)
    return not task.done()


async def test_jobs_that_wait_unusually_long(doctor: Doctor, pool: ArqRedis) -> None:
    """Jobs that live workers do not get to are a warning; running jobs are not."""
    await announce(pool, "host:1:alive")
    now = timestamp_ms()
    await put_job(pool, "runs", enqueued=now - 3 * HOUR)
    await begin(pool, "runs")
    assert about(await doctor(), "queues") == [("ok", "arq:queue: 1 job, 1 due")]
    await put_job(pool, "waits", enqueued=now - 2 * HOUR)
    assert about(await doctor(), "queues") == [
        (
            "warning",
            "arq:queue: 2 jobs, 2 due, the first has waited for 2 h with 1 worker alive",
        )
    ]


async def test_nobody_takes_jobs_of_a_queue_that_was_served(doctor: Doctor, pool: ArqRedis) -> None:
    """Arq's health check outlives a killed worker; waiting jobs show that it is gone."""
    await pool.psetex("arq:queue:health-check", HOUR, "j_complete=1")
    await put_job(pool, "waits", enqueued=timestamp_ms() - HOUR)
    words = "arq:queue: 1 job, 1 due, the first for 1 h, and no worker takes them"
    assert about(await doctor(), "queues") == [("problem", words)]


async def test_clocks(doctor: Doctor, pool: ArqRedis) -> None:
    """Hosts with wrong clocks are named, with the difference and its direction."""
    for host, wrong in (("right", 0), ("fast", HOUR), ("slow", -5 * 60_000)):
        worker = f"{host}:1:x"
        await announce(pool, worker)
        key = f"arqstatus:1:worker:{worker}"
        described = json.loads(await pool.get(key) or b"")
        described["wall_ms"] += wrong
        await pool.set(key, json.dumps(described))
    findings = await doctor()
    assert sorted(about(findings, "clocks")) == [
        ("warning", "the clock of host fast is 1 h ahead of the clock of Redis"),
        ("warning", "the clock of host slow is 5 min behind the clock of Redis"),
    ]
    await pool.delete("arqstatus:1:worker:fast:1:x", "arqstatus:1:worker:slow:1:x")
    assert about(await doctor(), "clocks") == [("ok", "2 hosts and Redis agree")]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (
            "resetchannels ~arq* &arqstatus:* +@all -@dangerous +info",
            "may do all that arq-status needs",
        ),
        ("~* &* +@all -info", "may not run INFO"),
        ("~* &* +@all -zadd -hset", "may not run HSET, ZADD"),
        ("~* &* +@all -@scripting", "may not run EVAL, EVALSHA"),
        ("~* &* +@all -multi", "may not run MULTI, without which arq cannot run jobs"),
        ("~arq:* &* +@all", "may not read and write the keys arqstatus:*"),
        ("~arqstatus:* &* +@all", "may not read and write the keys arq:*"),
        ("~* resetchannels +@all", "may not use the channel arqstatus:1:changes:0: changes are"),
    ],
)
async def test_permissions(
    doctor: Doctor, pool: ArqRedis, dsn: str, rules: str, expected: str
) -> None:
    """Missing permissions of the Redis user are named, and nothing is written."""
    redis: Any = pool
    await redis.execute_command("ACL", "SETUSER", "guest", "on", "nopass", *rules.split())
    try:
        findings = await doctor(redis=dsn.replace("//", "//guest:x@"))
    finally:
        await redis.execute_command("ACL", "DELUSER", "guest")
    level, text = about(findings, "permissions")[0]
    assert text.startswith(f"user 'guest' {expected}")
    assert (level == "ok") == (expected == "may do all that arq-status needs")
    assert (level == "warning") == ("channel" in expected)
    assert await pool.keys("*") == []


async def test_a_queue_that_the_user_may_not_use(doctor: Doctor, pool: ArqRedis, dsn: str) -> None:
    """A queue given by name is checked, too; earlier findings are kept."""
    redis: Any = pool
    rules = "~arq* &* +@all".split()
    await redis.execute_command("ACL", "SETUSER", "guest", "on", "nopass", *rules)
    try:
        findings = await doctor("--queue", "emails", redis=dsn.replace("//", "//guest:x@"))
    finally:
        await redis.execute_command("ACL", "DELUSER", "guest")
    [first, last] = about(findings, "permissions")
    assert first == ("problem", "user 'guest' may not read and write the keys emails")
    assert last[1].startswith("doctor cannot continue: ")
    assert about(findings, "server")


async def test_an_announced_queue_that_the_user_may_not_use(
    doctor: Doctor, pool: ArqRedis, dsn: str
) -> None:
    """Readers read every announced queue: the missing rule is shown."""
    redis: Any = pool
    await announce(pool, "host:1:x", queue="imports")
    rules = "~arq* &* +@all".split()
    await redis.execute_command("ACL", "SETUSER", "guest", "on", "nopass", *rules)
    try:
        findings = await doctor(redis=dsn.replace("//", "//guest:x@"))
    finally:
        await redis.execute_command("ACL", "DELUSER", "guest")
    found = next(it for it in findings if it.about == "permissions")
    assert found.text == "user 'guest' may not read and write the keys imports"
    assert str(found.advice).endswith("+info ~imports")
    assert [text for _, text in about(findings, "queues")] == ["arq:queue: 0 jobs, 0 due"]


def test_the_commands_of_all_scripts_are_checked() -> None:
    """Those of the functions that scripts share are included."""
    assert {"ZADD", "ZREVRANK", "LREM"} <= script_commands()


async def test_evicted_indexes(doctor: Doctor, client: StatusClient, pool: ArqRedis) -> None:
    """Records that an evicted index hides from the lists are reported, whatever their state."""
    await announce(pool, "host:1:alive")
    await write_end(pool, "complete")
    await write_end(pool, "failed", State.FAILED)
    for state in (State.WORKING, State.RETRYING, State.INTERRUPTED):
        run = await put_job(pool, state)
        await write_record(pool, state, state, run=run, due=run, worker="host:1:alive")
    await begin(pool, "working")
    await put_job(pool, "waiting")
    assert await client.store("waiting", from_outside=True)
    await write_end(pool, "deleted")
    await client.delete("deleted")
    words = "with a record that is missing from the lists"

    async def missing() -> str | None:
        found = [it for it in about(await doctor(), "keys") if words in it[1]]
        assert [level for level, _ in found] in ([], ["warning"])
        return found[0][1].partition(" ")[0] if found else None

    assert await missing() is None
    for number, pattern in enumerate(
        ("running:*", "retrying:*", "interrupted:*", "waiting:*", "ended:complete:*", "ended:*"), 1
    ):
        assert await pool.delete(*await pool.keys(own_key(pattern))) == 1
        assert await missing() == str(number)


async def test_an_evicted_index_of_a_queue(doctor: Doctor, pool: ArqRedis) -> None:
    """Without it, running jobs would be counted as queued as well."""
    await announce(pool, "host:1:alive")
    run = await put_job(pool, "working")
    await begin(pool, "working")
    await write_record(pool, "working", run=run, due=run, worker="host:1:alive")
    await pool.delete(own_key("recorded:arq:queue"))
    words = "1 job with a record that is missing from the lists; status finds it by its id"
    words += ", such as 'working'"
    assert ("warning", words) in about(await doctor(), "keys")


def test_a_fork_of_arq(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package arq may come from another distribution, and ours from none at all."""

    def version(name: str) -> str:
        if name in {"arq", "arq-status"}:
            raise PackageNotFoundError(name)
        return "0.27.0"

    monkeypatch.setattr("arq_status.cli.packages.version", version)
    monkeypatch.setattr("arq_status.cli.packages.packages_distributions", lambda: {"arq": ["arq2"]})
    [finding] = check_packages()
    assert finding.level is Level.OK
    assert finding.text == "arq-status unknown, arq2 0.27.0, redis 0.27.0"


async def test_a_wait_that_is_usual(pool: ArqRedis, doctor: Doctor) -> None:
    """A queue whose jobs always wait minutes gets a warning only for much longer waits."""
    await announce(pool, "host:1:alive")
    await count(pool, tally_of([1.0] * 100, [120.0] * 100))
    await put_job(pool, "first", enqueued=timestamp_ms() - 300_000)
    assert about(await doctor(), "queues") == [("ok", "arq:queue: 1 job, 1 due")]
    await put_job(pool, "first", enqueued=timestamp_ms() - 600_000)
    await announce(pool, "host:1:alive")
    [(level, text)] = about(await doctor(), "queues")
    assert level == "warning"
    assert "the first has waited for 10 min" in text
    assert re.search(r"the 95th percentile of the last 24 h is [12] min", text)
