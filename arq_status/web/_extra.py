"""What to say when a package of the extra is missing."""


def missing(error: ModuleNotFoundError) -> ModuleNotFoundError:
    """The error that tells which installation brings what could not be imported."""
    return ModuleNotFoundError(
        f"arq_status.web needs {error.name}: pip install 'arq-status[web]'", name=error.name
    )
