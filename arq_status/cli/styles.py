"""Colours of the statuses, and progress bars."""

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
    """Return the status in its colour."""
    return Text(f"● {status}", STYLES[status])


def progress_bar(record: JobRecord, width: int) -> ProgressBar:
    """Return the progress bar of a job; it pulses while a running job has no total."""
    style = STYLES[record.status]
    return ProgressBar(
        total=100,
        completed=record.pct_complete,
        width=width,
        pulse=record.status is Status.WORKING and not has_percentage(record),
        complete_style=style,
        finished_style=style,
        pulse_style=style,
    )


def has_percentage(record: JobRecord) -> bool:
    """Return True if ``pct_complete`` is meaningful: while a job has no total it is not."""
    return bool(record.total) or record.status is Status.COMPLETE
