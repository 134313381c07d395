"""The dashboard: a Starlette app to mount, or to serve alone."""

from arq_status.web._extra import missing

try:
    from arq_status.web._app import create_app
    from arq_status.web._serve import serve
except ModuleNotFoundError as error:
    raise missing(error) from error

__all__ = ["create_app", "serve"]
