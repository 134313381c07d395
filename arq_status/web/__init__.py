"""Starlette apps to mount: the dashboard for operators, and progress for an app's customers."""

from arq_status.web.extra import requires_extra

with requires_extra():
    from arq_status.web.app import create_app
    from arq_status.web.authorization import basic_auth
    from arq_status.web.progress.app import create_progress_app
    from arq_status.web.progress.response import progress_response
    from arq_status.web.progress.token import progress_token
    from arq_status.web.serve import serve

__all__ = [
    "basic_auth",
    "create_app",
    "create_progress_app",
    "progress_response",
    "progress_token",
    "serve",
]


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
