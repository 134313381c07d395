"""The installed packages."""

from collections.abc import Iterator

from arq_status._arq.worker import is_untested
from arq_status.cli.doctor.finding import Finding, Level
from arq_status.cli.packages import distribution


def check_packages() -> Iterator[Finding]:
    """Check the versions of arq-status, arq and redis-py."""
    found = {package: distribution(package) for package in ("arq_status", "arq", "redis")}
    text = ", ".join(" ".join(it) for it in found.values())
    _, arq = found["arq"]
    if not is_untested(arq):
        yield Finding(Level.OK, "packages", text)
    else:
        advice = "look for a newer version of arq-status"
        yield Finding(
            Level.NOTE, "packages", f"{text}: not tested with this version of arq", advice
        )
