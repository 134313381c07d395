"""Builds what is published, and uses it as those do who install it.

Run it with the root of the project on the path, and with redis installed.
"""

import json
import os
import subprocess
import tarfile
import time
import tomllib
import venv
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen
from zipfile import ZipFile

from tests.server import free_port, running_server

ROOT = Path(__file__).parents[1]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
NAME = f"arq_status-{VERSION}"
#: What the project has around it is not to be found by what is installed.
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith("PYTHON") and name != "REDIS_URL"
}
#: Kinds of files that are not Python, and that the package does not work without.
DATA = {".css", ".html", ".js", ".lua", ".svg", ".typed"}
#: Tests that need files beside the package: the README, the demo, the benchmarks.
TESTS = [
    f"tests/{name}.py"
    for name in (
        "unit/test_docs",
        "redis/test_package",
        "redis/test_docs",
        "redis/test_docstrings",
        "redis/test_readme",
        "typing/test_typing",
    )
]


class Environment:
    """A Python of its own, used from a folder that holds nothing of the project."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder / "venv", with_pip=True)
        self._bin = folder / "venv" / "bin"
        self.folder = folder / "elsewhere"
        self.folder.mkdir()

    def run(self, program: str, *arguments: str, code: int = 0, cwd: Path | None = None) -> str:
        """What a program of it prints; it has to exit with this code."""
        done = subprocess.run(
            self.command(program, *arguments),
            cwd=cwd or self.folder,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != code:
            raise SystemExit(f"{program} {' '.join(arguments)}: {done.returncode}\n{done.stdout}")
        return done.stdout

    def command(self, program: str, *arguments: str) -> list[str]:
        """The command line of a program of it."""
        return [str(self._bin / program), *arguments]

    def install(self, *requirements: str) -> None:
        """Install these, and what they need."""
        self.run("python", "-m", "pip", "install", "-q", *requirements)

    def packages(self) -> Mapping[str, str]:
        """What is installed, and in which version."""
        # what pip has to say besides stands on other lines
        listed = self.run("python", "-m", "pip", "list", "--format", "json").splitlines()
        [found] = [json.loads(line) for line in listed if line.startswith("[{")]
        return {it["name"].lower().replace("_", "-"): it["version"] for it in found}


def build(folder: Path) -> tuple[Path, Path]:
    """A wheel, built of the sdist as pip does it, and the sdist."""
    builder = Environment(folder)
    builder.install("build")
    builder.run("python", "-m", "build", "--outdir", str(folder), str(ROOT))
    return folder / f"{NAME}-py3-none-any.whl", folder / f"{NAME}.tar.gz"


def tracked(*paths: str) -> set[str]:
    """The files that the project has there."""
    command = ["git", "-C", str(ROOT), "ls-files", *paths]
    return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())


def check_wheel(wheel: Path) -> None:
    """It holds the package and what is said of it."""
    package = tracked("arq_status")
    assert {Path(name).suffix for name in package} == {".py", *DATA}, package
    said = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
    assert_same(ZipFile(wheel).namelist(), package | {f"{NAME}.dist-info/{it}" for it in said})


def check_sdist(sdist: Path) -> None:
    """It holds the package, its tests, the demo with the pictures of the README, and papers."""
    papers = [
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "LICENSE",
        "README.md",
        "pyproject.toml",
        ".gitignore",
    ]
    wanted = tracked("arq_status", "tests", "example_app", "docs", *papers) | {"PKG-INFO"}
    assert {"README.md", "LICENSE", "example_app/dashboard.png", "tests/conftest.py"} <= wanted
    with tarfile.open(sdist) as archive:
        files = [it.name for it in archive.getmembers() if it.isfile()]
    assert_same(files, {f"{NAME}/{it}" for it in wanted})


def assert_same(found: list[str], wanted: set[str]) -> None:
    """Tell what is there and should not be, and what is missing."""
    assert set(found) == wanted, {
        "too many": sorted(set(found) - wanted),
        "missing": sorted(wanted - set(found)),
    }


def check_without_extras(folder: Path, wheel: Path, dsn: str) -> None:
    """Arq and redis are all it needs to track and to ask; the rest says what it wants."""
    without, bare = Environment(folder / "bare"), Environment(folder / "installed")
    without.install("arq", "redis[hiredis]")
    bare.install(str(wheel))
    assert bare.packages() == {**without.packages(), "arq-status": VERSION}, bare.packages()

    where = bare.run("python", "-c", "import arq_status; print(arq_status.__file__)")
    assert str(folder / "installed" / "venv") in where, where
    check_jobs(bare, dsn)

    web, cli = "pip install 'arq-status[web]'", "pip install 'arq-status[cli]'"
    assert web in bare.run("python", "-c", "import arq_status.web", code=1)
    assert cli in bare.run("arq-status", "list", code=2)
    assert cli in bare.run("python", "-m", "arq_status", "--version", code=2)
    bare.install(f"{wheel}[cli]")
    assert "uvicorn" not in bare.packages()
    assert web in bare.run("arq-status", "serve", code=2)


def check_jobs(environment: Environment, dsn: str) -> None:
    """A job is run and asked about."""
    script = environment.folder / "user.py"
    script.write_text((ROOT / ".ci" / "user.py").read_text())
    printed = environment.run("python", str(script), dsn)
    assert printed.splitlines()[-2:] == ["queued", "complete 3 Importing veritas"], printed


def check_with_extras(folder: Path, wheel: Path, dsn: str) -> None:
    """The command and the dashboard work, with what they read from files."""
    full = Environment(folder)
    full.install(f"{wheel}[web,cli]")
    assert full.run("arq-status", "--version") == f"{VERSION}\n"
    shown = json.loads(full.run("arq-status", "show", "rows", "--redis", dsn, "--json"))
    assert shown["data"] == {"vino": "veritas"}, shown

    port = free_port()
    source = f"from arq_status.web import serve; serve({dsn!r}, port={port}, log_level='warning')"
    command = full.command("python", "-c", source)
    with subprocess.Popen(command, cwd=full.folder, env=ENVIRONMENT) as server:
        try:
            page = fetch(f"http://127.0.0.1:{port}/statuses", server)
            assert "<title>Jobs</title>" in page, page
            assert "import_rows" in page, page
            for name in ("style.css", "list.js", "icon.svg"):
                assert name in page, page
                found = fetch(f"http://127.0.0.1:{port}/static/{name}", server)
                assert found == (ROOT / "arq_status/web/static" / name).read_text(), name
            assert "veritas" in fetch(f"http://127.0.0.1:{port}/statuses/rows", server)
        finally:
            server.terminate()


def fetch(url: str, server: "subprocess.Popen[bytes]") -> str:
    """What a server that may only just have started answers."""
    deadline = time.monotonic() + 20
    while True:
        try:
            with urlopen(url, timeout=20) as response:
                return str(response.read().decode())
        except (ConnectionError, HTTPException, OSError):
            if time.monotonic() > deadline or server.poll() is not None:
                raise
            time.sleep(0.05)


def check_tests(folder: Path, sdist: Path) -> None:
    """The tests run in the sdist, where there is nothing else of the project."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    unpacked = folder / NAME
    tester = Environment(folder)
    tester.install("-e", f"{unpacked}[test]")
    pytest = ("python", "-m", "pytest", "-q", "-n0", "--no-cov")
    tester.run(*pytest, "--collect-only", cwd=unpacked)
    print(tester.run(*pytest, *TESTS, cwd=unpacked).splitlines()[-1])


def main() -> None:
    """Build and check."""
    with TemporaryDirectory() as name, running_server() as dsn:
        folder = Path(name)
        wheel, sdist = build(folder / "built")
        check_wheel(wheel)
        check_sdist(sdist)
        check_without_extras(folder, wheel, dsn)
        check_with_extras(folder / "full", wheel, dsn)
        check_tests(folder / "unpacked", sdist)


if __name__ == "__main__":
    main()
