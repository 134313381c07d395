"""Metrics as Prometheus reads them, over HTTP and in the terminal."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from arq.connections import ArqRedis
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import Request

from arq_status import StatusClient
from arq_status._redis import keys
from arq_status.cli import main
from arq_status.web import create_app
from tests.records import HOUR, put_job, write_running
from tests.redis.test_insight import count, count_at, redis_ms, tally_of
from tests.snippets import PAGES, snippets
from tests.web import page_of


def parsed(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Return samples by name and sorted labels, as Prometheus' own parser reads them."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for it in family.samples:
            labels = tuple(value for name, value in it.labels.items() if name != "le")
            key = (*sorted(labels), *([it.labels["le"]] if "le" in it.labels else []))
            found.setdefault(it.name, {})[key] = it.value
    return found


async def metrics_of(client: StatusClient) -> dict[str, dict[tuple[str, ...], float]]:
    return parsed((await client._metrics()).decode())


async def test_metrics(pool: ArqRedis, client: StatusClient) -> None:
    """All metrics exist, with the numbers that the queries return."""
    await put_job(pool, "waits", enqueued=await redis_ms(pool) - 60_000)
    await write_running(pool, "runs")
    tally = tally_of([0.0005, 0.003, 0.003, 1.5, 90_000], [0.1], complete=3, failed=2, retried=4)
    await count(pool, tally, "import_rows")
    found = await metrics_of(client)
    queue, of = ("arq:queue",), ("arq:queue", "import_rows")
    assert {it[-1]: value for it, value in found["arq_jobs"].items()} == {
        "queued": 1, "deferred": 0, "retrying": 0, "working": 1,
    }  # fmt: skip
    assert found["arq_workers"] == {queue: 1}
    assert 60 <= found["arq_queue_latency_seconds"][queue] < 90
    ended = found["arq_jobs_ended_total"]
    assert ended["arq:queue", "complete", "import_rows"] == 3
    assert ended["arq:queue", "failed", "import_rows"] == 2
    assert found["arq_job_tries_total"] == {of: 9}
    assert found["arq_job_run_seconds_count"] == {of: 5}
    assert found["arq_job_run_seconds_sum"][of] == pytest.approx(90_001.5065)
    assert found["arq_job_wait_seconds_count"] == {of: 1}
    buckets = found["arq_job_run_seconds_bucket"]
    expected = {
        "0.001": 1,
        "0.002": 1,
        "0.004": 3,
        "1.024": 3,
        "2.048": 4,
        "4194.304": 4,
        "+Inf": 5,
    }
    assert {le: buckets[(*of, le)] for le in expected} == expected
    assert len(buckets) == 24


async def test_counters_never_fall(pool: ArqRedis, client: StatusClient) -> None:
    """Not even when minutes, hours and the worker that counted expire."""
    now = await redis_ms(pool)
    await count_at(pool, now - 40 * 24 * HOUR, tally_of([1.0, 1.0]))
    await count_at(pool, now, tally_of([1.0]))
    for prefix in (keys.MINUTES, keys.HOURS):
        await pool.delete(*await pool.keys(prefix + "*"))
    found = await metrics_of(client)
    assert found["arq_jobs_ended_total"]["arq:queue", "complete", "f"] == 3


async def test_hostile_names(pool: ArqRedis, client: StatusClient) -> None:
    """The output can be parsed whatever a function is called."""
    name = 'a"b\\c\n{d}\x1b'
    await count(pool, tally_of([1.0]), name, "q")
    assert ("complete", name, "q") in {
        tuple(sorted(it, key=lambda part: (part != "complete", part)))
        for it in (await metrics_of(client))["arq_jobs_ended_total"]
    }


async def test_over_http(pool: ArqRedis, client: StatusClient) -> None:
    """``GET /metrics`` of the dashboard is for those who may see metrics."""
    await count(pool, tally_of([1.0]))
    asked: list[tuple[str, str | None]] = []

    async def authorize(request: Request, action: str, job_id: str | None) -> bool:
        asked.append((action, job_id))
        return "let" in request.query_params

    async with page_of(create_app(client, authorize=authorize)) as page:
        answer = await page.get("/metrics?let=me")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert parsed(answer.text)["arq_job_tries_total"] == {("arq:queue", "f"): 1}
        assert (await page.get("/metrics")).status_code == 403
    assert asked == [("metrics", None)] * 2


async def test_without_prometheus_client(
    client: StatusClient, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The response names the extra that provides it."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    async with page_of(create_app(client)) as page:
        answer = await page.get("/metrics", headers={"accept": "application/json"})
    assert answer.status_code == 501
    assert "pip install 'arq-status[prometheus]'" in answer.json()["error"]


# the documentation


def test_alert_rules(tmp_path: Path) -> None:
    """The documented rules are valid Prometheus rules about existing metrics."""
    scrape, rules = snippets("docs/insight.md", "yaml")
    assert rules.count("- alert: ") == 3
    _check_names(rules)
    promtool = shutil.which("promtool")
    if promtool is not None:
        (tmp_path / "rules.yml").write_text(rules)
        (tmp_path / "prometheus.yml").write_text(f"{scrape}\nrule_files: [rules.yml]\n")
        command = [promtool, "check", "config", "--syntax-only", str(tmp_path / "prometheus.yml")]
        checked = subprocess.run(command, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr
        command = [promtool, "check", "rules", str(tmp_path / "rules.yml")]
        checked = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "3 rules found" in checked.stdout, checked.stderr


def test_grafana_panel() -> None:
    """The documented panel is JSON, and queries existing metrics."""
    [panel] = snippets("docs/insight.md", "json")
    assert json.loads(panel)["type"] == "timeseries"
    _check_names(panel)


def _check_names(text: str) -> None:
    table = "".join(PAGES["docs/insight.md"].partition("| metric |")[2])
    known = set(re.findall(r"^\| `(arq_\w+)`", table, re.MULTILINE))
    assert len(known) == 7
    assert set(re.findall(r"\barq_\w+", text)) <= known


def test_the_command_prints_them(
    dsn: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``arq-status metrics`` prints them, or says what to install."""
    assert main(["metrics", "--redis", dsn]) == 0
    assert "arq_workers" in parsed(capsys.readouterr().out)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    assert main(["metrics", "--redis", dsn]) == 2
    assert "pip install 'arq-status[prometheus]'" in capsys.readouterr().err
