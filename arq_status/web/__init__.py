"""The dashboard: a Starlette app to mount, or to serve alone."""

from arq_status.web.extra import of_the_extra

with of_the_extra():
    from arq_status.web.app import create_app
    from arq_status.web.serve import serve

__all__ = ["create_app", "serve"]
