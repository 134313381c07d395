"""The public names, and how the package hangs together."""

import ast
import inspect
import pickle
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from arq.connections import ArqRedis

import arq_status
from arq_status import JobRecord, Status, StatusClient, testing, web
from tests.records import put_job, put_result, write_end

PACKAGE = Path(arq_status.__file__).parent
#: The queries of the package, which are methods of a client as well.
QUERIES = [
    name
    for name in arq_status.__all__
    if name.islower() and callable(getattr(StatusClient, name, None))
]
QUESTIONS = """
    status job jobs get get_all at total message pct_complete enqueued_at started_at updated_at
    ended_at elapsed eta is_deferred is_queued is_working is_retrying is_complete is_failed
    is_stopped is_interrupted list_jobs counts watch wait stop cancel unschedule retry delete store
""".split()
OTHERS = """
    JobRecord JobStopped JobTracker Page Status StatusClient configure current_tracker
    status_options track_status
""".split()


def test_the_public_names() -> None:
    """Everything the package offers is there and sorted, and nothing else is public."""
    assert set(QUESTIONS) <= set(QUERIES)
    assert set(OTHERS) <= set(arq_status.__all__)
    assert sorted(arq_status.__all__) == arq_status.__all__
    assert set(arq_status.__all__) <= set(dir(arq_status))
    for package in (testing, web):
        assert [it for it in dir(package) if not it.startswith("_")] == package.__all__
    with pytest.raises(AttributeError, match="'arq_status' has no attribute 'unknown'"):
        _ = arq_status.unknown  # type: ignore[attr-defined]
    assert all(getattr(arq_status, name).__doc__ for name in arq_status.__all__)


def test_type_checkers_see_the_same_names() -> None:
    """What the package tells them it offers is what it has at run time."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    [block] = [it for it in tree.body if isinstance(it, ast.If)]
    imported = [it for it in block.body if isinstance(it, ast.ImportFrom)]
    names = {str(alias.asname): it.module for it in imported for alias in it.names if alias.asname}
    for name, home in names.items():
        assert getattr(arq_status, name).__module__ == home
    methods = [it for it in block.body if isinstance(it, ast.AnnAssign) and it.value]
    for it in methods:
        assert isinstance(it.value, ast.Attribute)
        assert ast.unparse(it.target) == it.value.attr
    assert sorted([*names, *(ast.unparse(it.target) for it in methods)]) == arq_status.__all__


def test_the_statuses() -> None:
    """Members in capitals, values in small letters, and each is its own text."""
    assert [status.name for status in Status] == (
        "DEFERRED QUEUED WORKING RETRYING COMPLETE FAILED STOPPED INTERRUPTED".split()
    )
    assert all(status.value == status.name.lower() == f"{status}" for status in Status)


def test_the_fields_of_a_record() -> None:
    """They are all there, in their order."""
    assert list(JobRecord.__dataclass_fields__)[:2] == ["job_id", "status"]
    assert set(JobRecord.__dataclass_fields__) == set(
        "job_id status function queue args job_try at total message pct_complete enqueued_at "
        "due_at started_at updated_at ended_at elapsed waited eta error returned tags group worker "
        "data expires_at".split()
    )


@pytest.mark.parametrize("name", QUERIES)
def test_functions_and_methods_are_alike(name: str) -> None:
    """A function of the package takes what the client's method takes, fully typed."""
    function, method = getattr(arq_status, name), getattr(StatusClient(), name)
    assert inspect.signature(function) == inspect.signature(method)
    assert inspect.iscoroutinefunction(function) == inspect.iscoroutinefunction(method)
    hints = get_type_hints(function)
    assert hints == get_type_hints(method)
    assert set(hints) == {*inspect.signature(method).parameters, "return"}
    assert pickle.loads(pickle.dumps(function)) is function is getattr(arq_status, name)


def test_configure_takes_what_a_client_takes() -> None:
    """The default client is made of the same arguments."""
    configure, client = (
        inspect.signature(it).parameters for it in (arq_status.configure, StatusClient)
    )
    assert dict(configure) == dict(client)


@pytest.mark.parametrize("name", QUESTIONS)
async def test_functions_ask_the_default_client(
    pool: ArqRedis, client: StatusClient, name: str
) -> None:
    """What a function of the package answers is what the configured client answers."""
    await write_end(pool, "job", fields={"vino": "veritas"}, at=5, message="Done")
    arguments: dict[str, list[Any]] = {
        "jobs": [["job", "unknown"]],
        "get": ["job", "vino"],
        "list_jobs": ["complete"],
        "counts": [],
    }
    asked = arguments.get(name, ["job"])
    if name == "delete":
        assert await arq_status.delete("job") == 1
        assert await client.status("job") is None
    elif name == "store":
        assert await arq_status.store("job", vino="vanitas")
        assert await client.get("job", "vino") == "vanitas"
    elif name == "watch":
        [record] = [record async for record in arq_status.watch("job")]
        assert record == await client.job("job")
    else:
        answer = await getattr(arq_status, name)(*asked)
        assert answer == await getattr(client, name)(*asked)
        assert answer is not None or name in {"eta"}


async def test_configure_replaces_the_default_client(pool: ArqRedis) -> None:
    """It gives the new default client, with its own queues, expiry and deserializer."""
    await put_job(pool, "job", queue="mine")
    await put_result(pool, "old", finished=1_700_000_000_000)
    assert await arq_status.configure(pool).list_jobs() == await arq_status.list_jobs()
    assert (await arq_status.list_jobs()).total == 0
    decades = timedelta(days=10_000)
    client = arq_status.configure(
        pool, queues=["mine"], expires=decades, job_deserializer=lambda raw: {"f": "g"}
    )
    assert isinstance(client, StatusClient)
    assert (await arq_status.list_jobs()).total == 1
    assert await arq_status.get("job", "function") == "g"
    arq_status.configure(pool, expires=decades)
    assert await arq_status.is_complete("old")


#: The packages from the bottom up: each imports only from those before it.
LAYERS = ("_model", "_arq", "_redis", "_tracking", "_client", "testing", "web", "cli")


def imports_of(path: Path) -> Iterator[str]:
    """The modules of the package that a module imports when it is imported itself."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("arq_status"):
            for alias in node.names:
                inside = PACKAGE.parent.joinpath(*f"{node.module}.{alias.name}".split("."))
                whole = f"{node.module}.{alias.name}"
                yield whole if inside.with_suffix(".py").exists() else str(node.module)


def module_name(path: Path) -> str:
    """The name by which a module of the package is imported."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def test_packages_import_one_way() -> None:
    """No module imports one that imports it, and none one of a layer above its own."""
    modules = {module_name(path): set(imports_of(path)) for path in PACKAGE.rglob("*.py")}
    assert list(TopologicalSorter(modules).static_order())
    for name, imported in modules.items():
        layer = name.split(".")[1] if "." in name else ""
        if layer in LAYERS:
            lower = LAYERS[: LAYERS.index(layer) + 1]
            assert {it.split(".")[1] for it in imported} <= set(lower), name


@pytest.mark.parametrize("names", ["status", "track_status", "*"])
def test_importing_the_package_takes_arq_and_redis_only(names: str) -> None:
    """No part that comes with an extra is imported before it is asked for."""
    assert imported_with(names) >= {"arq", "redis"}
    extras = {"starlette", "jinja2", "uvicorn", "rich", "fastapi", "pytest"}
    assert not imported_with(names) & extras


def imported_with(names: str) -> set[str]:
    """The packages that a Python has imported with these names."""
    source = f"import sys\nfrom arq_status import {names}\nprint(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", source], capture_output=True, check=True)
    return {name.partition(".")[0] for name in found.stdout.decode().split()}


def test_the_package_is_typed() -> None:
    """Type checkers are told so."""
    assert (PACKAGE / "py.typed").is_file()
