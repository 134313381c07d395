"""HTML."""

from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment, PackageLoader
from starlette.responses import HTMLResponse

from arq_status._model import durations
from arq_status._model.json import readable
from arq_status._model.status import Status
from arq_status.web.actions import applicable


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("arq_status.web"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        clock=durations.clock,
        duration=durations.duration,
        whole=durations.whole,
        relative=durations.relative,
        readable=readable,
        number=_number,
    )
    environment.globals.update(Status=Status, actions_of=applicable)
    return environment


def _number(number: float) -> str:
    return f"{int(number):,}" if number == int(number) else f"{number:,.10g}"


def render(name: str, status_code: int = 200, **context: Any) -> HTMLResponse:
    """A page made of a template."""
    html = _templates.get_template(name).render(now=datetime.now(UTC), **context)
    # what jobs stored may hold lone surrogates
    return HTMLResponse(html.encode("utf-8", "replace"), status_code)


_templates = _environment()
