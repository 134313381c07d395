"""The dashboard: a Starlette app to mount or to serve alone."""

from arq_status.web.extra import requires_extra

with requires_extra():
    from arq_status.web.app import create_app
    from arq_status.web.authorization import basic_auth
    from arq_status.web.serve import serve

__all__ = ["basic_auth", "create_app", "serve"]
