"""HTML: pages, and the parts of them that change while they are open."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from jinja2 import Environment, PackageLoader
from starlette.responses import HTMLResponse

from arq_status._client.listing import NEWEST
from arq_status._model import durations
from arq_status._model.history import LEVELS
from arq_status._model.serialization import readable
from arq_status._model.snapshot import JobRecord
from arq_status._model.status import Status
from arq_status.web.actions import ACTIONS, applicable, texts
from arq_status.web.chart import failure_rate
from arq_status.web.links import Links
from arq_status.web.parameters import moment_text
from arq_status.web.tracebacks import segments

#: The statuses in the order of the list: live ones, then what went wrong, then what is done.
STATUSES = (
    Status.WORKING, Status.QUEUED, Status.DEFERRED, Status.RETRYING, Status.FAILED,
    Status.INTERRUPTED, Status.STOPPED, Status.COMPLETE,
)  # fmt: skip
#: The statuses to which the figures of jobs that failed, ended or are due link.
_FAILED = (Status.FAILED, Status.INTERRUPTED)
_ENDED = (Status.COMPLETE, *_FAILED, Status.STOPPED)
_DUE = (Status.QUEUED, Status.RETRYING)
#: Random ids (arq's own, UUIDs) are shown by their first characters; chosen ids as long as
#: possible.
_RANDOM_ID = re.compile(r"[0-9a-f-]{20,}")
_SHORT_ID, _LONGEST_ID = 8, 28
_LONGEST_VALUE = 300


@dataclass(frozen=True, slots=True)
class View:
    """The viewer for whom a page is rendered; equal views get equal pages.

    Attributes:
        links: the URLs of the app as this viewer reaches it.
        permissions: what the viewer may do besides viewing.
        is_open: True if everyone may do everything.
    """

    links: Links
    permissions: frozenset[str]
    is_open: bool


def offered_actions(record: JobRecord, permissions: frozenset[str]) -> list[str]:
    """Return the actions that the job's state and the viewer's permissions allow."""
    return [name for name in applicable(record) if ACTIONS[name].permission in permissions]


def render_page(template: str, status_code: int = 200, **context: Any) -> HTMLResponse:
    """Render a page."""
    html = _environment.get_template(template).render(now=datetime.now(UTC), **context)
    # data may contain lone surrogates
    return HTMLResponse(html.encode("utf-8", "replace"), status_code)


def render_part(template: str, name: str, *arguments: Any) -> str:
    """Render a part of a page: a macro of a template."""
    return str(getattr(_environment.get_template(template).module, name)(*arguments))


def _number(number: float) -> str:
    return f"{int(number):,}" if number == int(number) else f"{number:,.10g}"


def _shortened(job_id: str) -> str:
    length = _SHORT_ID if _RANDOM_ID.fullmatch(job_id) else _LONGEST_ID
    return job_id if len(job_id) <= length else f"{job_id[:length]}…"


def _compact(value: Any) -> str:
    """Return a stored value on one line: a string as it is, anything else as JSON."""
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "…"
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def _after(time: timedelta) -> str:
    return f"after {durations.format_duration(max(time, timedelta()))}"


def _make_environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("arq_status.web"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        after=_after,
        clock=durations.format_time,
        compact=_compact,
        duration=durations.format_duration,
        first_line=lambda text: text.lstrip().partition("\n")[0],
        moment_text=moment_text,
        number=_number,
        rate=failure_rate,
        readable=readable,
        relative=durations.format_relative,
        segments=segments,
        shortened=_shortened,
        whole=durations.format_whole_seconds,
    )
    environment.globals.update(
        Status=Status,
        actions=ACTIONS,
        action_texts=texts(),
        due_statuses=_DUE,
        ended_statuses=_ENDED,
        failed_statuses=_FAILED,
        newest=NEWEST,
        offered_actions=offered_actions,
        statuses=STATUSES,
        units=durations.UNITS,
        levels=[*LEVELS],
    )
    return environment


_environment = _make_environment()
