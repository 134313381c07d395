"""How a status and progress look in the terminal."""

from rich.progress_bar import ProgressBar
from rich.text import Text

from arq_status._model.snapshot import JobRecord
from arq_status._model.status import Status

DIM = "bright_black"
STYLES = {
    Status.DEFERRED: DIM,
    Status.QUEUED: "cyan",
    Status.WORKING: "bold bright_blue",
    Status.RETRYING: "yellow",
    Status.COMPLETE: "green",
    Status.FAILED: "bold red",
    Status.STOPPED: "magenta",
    Status.INTERRUPTED: "bold yellow",
}


def status_text(status: Status) -> Text:
    """The status with its colour."""
    return Text(f"● {status}", STYLES[status])


def bar(record: JobRecord, width: int) -> ProgressBar:
    """How far the job is; it swings while nobody knows how far it has to go."""
    style = STYLES[record.status]
    swings = record.status is Status.WORKING and not is_known(record)
    return ProgressBar(
        total=100,
        completed=record.pct_complete,
        width=width,
        pulse=swings,
        complete_style=style,
        finished_style=style,
        pulse_style=style,
    )


def is_known(record: JobRecord) -> bool:
    """Whether anybody knows how far it has to go."""
    return bool(record.total) or record.status is Status.COMPLETE
