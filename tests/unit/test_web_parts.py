"""The parts of the dashboard that need no Redis."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import pytest

from arq_status import JobRecord, Status
from arq_status._model.durations import format_duration, format_relative, format_whole_seconds
from arq_status._model.query import SORTS, Query
from arq_status._model.serialization import encode, job_object, readable
from arq_status.web import create_app, list_view
from arq_status.web.links import Links
from arq_status.web.negotiation import MediaType, preferred
from arq_status.web.parameters import QueryError, read_query
from arq_status.web.security import (
    LOOPBACK,
    is_allowed_host,
    is_loopback,
    is_same_site,
    parse_hosts,
    parse_origins,
)

LINKS = Links("/admin", 25)


# URLs


def test_no_parameters_are_the_list_as_it_is_at_first() -> None:
    """The defaults are those of ``list_jobs``, except the app's page size."""
    assert read_query({}.items(), 50) == Query(per_page=50)
    assert read_query({"status": "", "search": " ", "page": ""}.items(), 25) == Query()


def test_every_parameter_is_heeded() -> None:
    """The URL can express everything that a query can ask for."""
    params = {
        "status": "failed", "function": "f", "search": "x", "sort": "eta", "direction": "asc",
        "page": "3", "per_page": "50", "queue": "q", "since": "90m", "tag": "t", "group": "g",
        "until": "2026-11-26T08:00:00+00:00",
    }  # fmt: skip
    query = read_query(params.items(), 25)
    assert (query.status, query.function, query.search) == (Status.FAILED, "f", "x")
    assert (query.sort, query.descending, query.page, query.per_page) == ("eta", False, 3, 50)
    assert dict(LINKS.pairs(query)) == params


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "done"), ("sort", "size"), ("direction", "up"), ("page", "0"), ("page", "-1"),
        ("page", "one"), ("page", "1_0"), ("page", "\u0661"), ("page", "9" * 5_000),
        ("page", "1" * 11),
        ("per_page", "501"), ("per_page", "0"),
    ],
)  # fmt: skip
def test_a_parameter_that_means_nothing_is_told(name: str, value: str) -> None:
    """The error names the parameter."""
    with pytest.raises(QueryError, match=name):
        read_query({name: value}.items(), 25)


def test_links_keep_what_is_shown() -> None:
    """A link changes one thing and goes back to the first page."""
    query = read_query({"function": "a b&c", "page": "4"}.items(), 25)
    kept = "/admin/statuses?function=a+b%26c"
    assert LINKS.list(query) == f"{kept}&page=4"
    assert LINKS.change(query, page=5) == f"{kept}&page=5"
    assert LINKS.change(query, per_page=50) == f"{kept}&per_page=50"
    assert LINKS.change(query, status=Status.FAILED) == f"{kept}&status=failed"
    assert LINKS.change(query, function=None) == "/admin/statuses"
    assert LINKS.without(query, "function", "a b&c") == "/admin/statuses"
    assert LINKS.filters(query) == [("function", "a b&c")]
    assert LINKS.list_of(status=["failed", "stopped"], queue=None, function="a b&c", since="") == (
        "/admin/statuses?status=failed&status=stopped&function=a+b%26c"
    )
    assert LINKS.list() == "/admin/statuses"


def test_links_sort_each_column_its_way_first() -> None:
    """Text ascending, times and numbers descending; a second click reverses it."""
    first = Query()
    assert LINKS.sorted_by(first, "function").endswith("?sort=function&direction=asc")
    assert LINKS.sorted_by(first, "progress").endswith("?sort=progress")
    assert LINKS.sorted_by(first, "updated_at").endswith("?direction=asc")
    assert not read_query({"direction": "asc"}.items(), 25).descending
    assert read_query({"direction": "desc"}.items(), 25) == Query()
    again = Query(sort="function", descending=False)
    assert LINKS.sorted_by(again, "function").endswith("?sort=function")


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        ("", "/statuses"),
        ("/", "/statuses"),
        ("/a b", "/a%20b/statuses"),
        ("//x.test", "/x.test/statuses"),
    ],
)
def test_links_stay_on_the_host(root: str, expected: str) -> None:
    """Whatever path the app is mounted at, the link is a path."""
    assert Links(root, 25).list() == expected


def test_job_links_hold_any_id() -> None:
    """An id that a path cannot contain is a parameter."""
    assert LINKS.job("a/b c") == "/admin/statuses/a%2Fb%20c"
    assert LINKS.job("..") == "/admin/statuses/?id=.."
    assert LINKS.job("a\nb") == "/admin/statuses/?id=a%0Ab"


def test_every_sort_has_a_heading() -> None:
    """The page offers exactly the existing sort keys."""
    assert set(list_view.SORT_LABELS) == set(SORTS)


# Content negotiation


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", MediaType.HTML),
        ("*/*", MediaType.HTML),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", MediaType.HTML),
        ("application/json", MediaType.JSON),
        ("application/json, text/plain, */*", MediaType.JSON),
        ("Application/JSON; charset=utf-8", MediaType.JSON),
        ("application/*", MediaType.JSON),
        ("text/event-stream", MediaType.STREAM),
        ("text/html;q=0.5, application/json", MediaType.JSON),
        ("text/html, application/json;q=0.9", MediaType.HTML),
        ("application/json;q=0", MediaType.HTML),
        ("application/json;q=nonsense, text/html;q=0.1", MediaType.HTML),
        ("image/png", MediaType.HTML),
    ],
)
def test_the_form_that_is_preferred(accept: str, form: MediaType) -> None:
    """The highest quality wins, then the most specific, then HTML."""
    assert preferred(accept) is form


# Requests from other sites

TRUSTED = parse_origins(["https://Intra.example.org/", "http://tools.test:80"])


@pytest.mark.parametrize(
    ("headers", "is_own"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"sec-fetch-site": "cross-site", "origin": "https://intra.example.org"}, True),
        ({"sec-fetch-site": "cross-site", "x-arq-status": "1"}, False),
        ({"origin": "http://jobs.lan:8000", "host": "jobs.lan:8000"}, True),
        ({"origin": "http://JOBS.lan", "host": "jobs.LAN"}, True),
        ({"origin": "http://jobs.lan", "host": "jobs.lan:80"}, True),
        ({"origin": "https://jobs.lan", "host": "jobs.lan:443"}, True),
        ({"origin": "http://jobs.lan:8001", "host": "jobs.lan:8000"}, False),
        ({"origin": "http://evil.test", "host": "jobs.lan"}, False),
        ({"origin": "http://evil.test", "host": "jobs.lan", "x-arq-status": "1"}, False),
        ({"origin": "null", "host": "jobs.lan"}, False),
        ({"origin": "null", "host": ""}, False),
        ({"origin": "http://tools.test", "host": "jobs.lan"}, True),
        ({"host": "jobs.lan"}, False),
        ({"host": "jobs.lan", "x-arq-status": "1"}, True),
    ],
)
def test_requests_of_other_sites_are_refused(headers: dict[str, str], is_own: bool) -> None:
    """``Sec-Fetch-Site`` decides if it is sent, else ``Origin``, else the header."""
    assert is_same_site(headers, TRUSTED) is is_own


@pytest.mark.parametrize(
    "origin", ["example.org", "ftp://x.test", "https://x.test/path", "https://"]
)
def test_what_is_no_origin_is_told(origin: str) -> None:
    """A trusted origin is a scheme and a host."""
    with pytest.raises(ValueError, match=f"trusted_origins: '{origin}' is not an origin such as "):
        parse_origins([origin])


def test_a_string_is_no_collection_of_origins() -> None:
    """It would be a collection of letters."""
    with pytest.raises(TypeError, match=r"such as \['https://x.test'\]"):
        parse_origins("https://x.test")


# Hosts

HOSTS = parse_hosts(["Localhost", "127.0.0.1", "[::1]", "*.example.org"])


@pytest.mark.parametrize(
    ("host", "is_allowed"),
    [
        ("localhost", True), ("LOCALHOST:8000", True), ("127.0.0.1:8000", True), ("[::1]", True),
        ("[::1]:8000", True), ("a.example.org", True), ("a.b.example.org:1", True),
        ("example.org", False), ("evil-example.org", False), ("evil.test", False), ("", False),
        ("localhost.evil.test", False), ("[::2]:8000", False), ("[", False), ("::1", False),
    ],
)  # fmt: skip
def test_hosts_that_are_answered(host: str, is_allowed: bool) -> None:
    """By name, at any port, with subdomains if there is a star."""
    assert HOSTS is not None
    assert is_allowed_host(host, HOSTS) is is_allowed
    assert is_allowed_host(host, ["*"])


@pytest.mark.parametrize("host", ["", "https://x.test", "x.test:80", "x.test/path"])
def test_what_is_not_a_host(host: str) -> None:
    """It is refused when the app is created."""
    with pytest.raises(ValueError, match=r"allowed_hosts: .* is not a host name"):
        parse_hosts([host])


def test_a_string_is_no_collection_of_hosts() -> None:
    """It would be a collection of letters; ``None`` allows every host."""
    with pytest.raises(TypeError, match=r"allowed_hosts .* such as \['x.test'\]"):
        parse_hosts("x.test")
    assert parse_hosts(None) is None


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True),
     ("0.0.0.0", False), ("::", False), ("jobs.test", False), ("", False)],
)  # fmt: skip
def test_loopback_addresses(host: str, expected: bool) -> None:
    """Only this machine can reach what listens there."""
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("host", "given", "allowed"),
    [
        ("127.0.0.1", None, {*LOOPBACK}),
        ("::1", ["jobs.test"], {*LOOPBACK, "jobs.test"}),
        ("0.0.0.0", None, None),
        ("0.0.0.0", ["jobs.test"], {"jobs.test"}),
    ],
)
def test_serve_on_loopback_answers_loopback_names(
    host: str, given: list[str] | None, allowed: set[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the allowed hosts; elsewhere the allowed hosts, or every name."""
    made: dict[str, object] = {}
    web = importlib.import_module("arq_status.web.serve")
    monkeypatch.setattr(web, "create_app", lambda redis, **options: made.update(options))
    monkeypatch.setattr("uvicorn.run", lambda app, **options: None)
    web.serve(host=host, **({} if given is None else {"allowed_hosts": given}))
    found: Any = made.get("allowed_hosts")
    assert (None if found is None else set(found)) == allowed


# Times


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"), (-3, "0 s"), (0.34, "340 ms"), (4.26, "4.2 s"), (12.9, "12 s"), (60, "1 min"),
        (185, "3 min 5 s"), (7_800, "2 h 10 min"), (3_601, "1 h"), (356_400, "4 d 3 h"),
    ],
)  # fmt: skip
def test_durations_in_words(seconds: float, words: str) -> None:
    """At most two units, the finer the shorter."""
    assert format_duration(seconds) == format_duration(timedelta(seconds=seconds)) == words


def test_what_goes_on_counts_whole_seconds() -> None:
    """Fractions would flicker."""
    assert format_whole_seconds(timedelta(seconds=4.26)) == "4 s"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "just now"),
        (12, "12 s ago"),
        (150, "2 min ago"),
        (7_300, "2 h ago"),
        (-300, "in 5 min"),
    ],
)
def test_moments_in_words(seconds: float, words: str) -> None:
    """One unit is enough."""
    now = datetime.now(UTC)
    assert format_relative(now - timedelta(seconds=seconds), now) == words


# JSON


def record(data: object) -> JobRecord:
    """A job that stored something."""
    return JobRecord(job_id="id", status=Status.WORKING, data=data)  # type: ignore[arg-type]


def nested(depth: int) -> object:
    """Return deeply nested lists."""
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


def test_data_that_json_has_no_word_for() -> None:
    """Python reads NaN and lone surrogates from JSON; browsers do not."""
    data = {"n": float("nan"), "deep": [{"x": float("inf")}, 1.5], "s": "\ud800", "ok": {"a": 1}}
    found = job_object(record(data=data))["data"]
    assert found == {"n": None, "deep": [{"x": None}, 1.5], "s": "\ud800", "ok": {"a": 1}}
    assert encode(found).isascii()


def test_data_that_is_nested_without_end_is_left_out() -> None:
    """Otherwise the whole page would fail."""
    data = {"deep": nested(100_000), "kept": 1}
    assert job_object(record(data=data))["data"] == {"kept": 1}
    assert readable(data) == '{"kept":1}'


def test_only_what_records_hold_is_encoded() -> None:
    """A bug of ours is an error rather than a guess."""
    with pytest.raises(TypeError):
        encode(object())


# Missing packages


def test_the_package_does_not_import_the_dashboard() -> None:
    """Workers do not pay for it."""
    code = "import sys, arq_status; print([it for it in sys.modules if it in %r])"
    names = ["starlette", "jinja2", "uvicorn", "arq_status.web"]
    found = subprocess.run(
        [sys.executable, "-c", code % names], capture_output=True, check=True, text=True
    )
    assert found.stdout == "[]\n"


@pytest.fixture
def fresh_import() -> Iterator[None]:
    """Make the dashboard be imported again."""
    kept = {name: it for name, it in sys.modules.items() if name.startswith("arq_status.web")}
    for name in kept:
        del sys.modules[name]
    yield
    sys.modules.update(kept)


@pytest.mark.usefixtures("fresh_import")
@pytest.mark.parametrize("package", ["starlette", "jinja2"])
def test_a_missing_package_names_the_remedy(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The import error names the extra that provides it."""
    for name in list(sys.modules):
        if name.partition(".")[0] == package:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'arq-status\[web\]'"):
        importlib.import_module("arq_status.web")


def test_serving_alone_needs_uvicorn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mounted app does not need it."""
    web: ModuleType = importlib.import_module("arq_status.web")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ModuleNotFoundError, match=r"uvicorn: pip install 'arq-status\[web\]'"):
        web.serve()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"authorize": ("ann", "pw")}, r"authorize must be a function, not \('ann', 'pw'\)"),
        ({"authorize": lambda request, action: True}, r"a request, an action and a job id, not \("),
        ({"read_only": "yes"}, "read_only must be a bool, not 'yes'"),
        ({"title": 5}, "title must be a str, not int"),
    ],
)
def test_options_that_cannot_be_meant(options: dict[str, Any], message: str) -> None:
    """They are refused when the app is created, not at the first request."""
    with pytest.raises(TypeError, match=message):
        create_app(**options)
