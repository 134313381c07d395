"""A demo of arq-status: index a directory of Python source in an arq job and watch it."""

from importlib.util import find_spec

for _package in ("jinja2", "python_multipart", "starlette", "uvicorn"):
    if find_spec(_package) is None:
        raise ModuleNotFoundError(
            f"the demo needs {_package}: pip install -e '.[example]'", name=_package
        )
