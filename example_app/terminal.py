"""A job followed in the terminal."""

import asyncio
import shutil
from typing import TextIO

from arq_status import JobRecord, StatusClient
from example_app.wording import line, table

_PERIOD = 0.15


class ProgressLine:
    """A line that is rewritten in a terminal; elsewhere a line now and then."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._live = out.isatty()
        self._last: object = None

    def show(self, record: JobRecord) -> None:
        """Show how far the job is."""
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            self._out.write(f"\r{line(record, width)}\x1b[K")
            self._out.flush()
        elif (step := (record.status, record.pct_complete // 10)) != self._last:
            self._last = step
            print(line(record), file=self._out, flush=True)

    def clear(self) -> None:
        """Leave the terminal as if the line had never been there."""
        if self._live:
            self._out.write("\r\x1b[K")
            self._out.flush()


async def follow(client: StatusClient, job_id: str, out: TextIO) -> JobRecord:
    """Show a job's progress until it has ended, then its record."""
    progress = ProgressLine(out)
    try:
        while (record := await client.job(job_id)) is None or record.ended_at is None:
            if record is not None:
                progress.show(record)
            await asyncio.sleep(_PERIOD)
    finally:
        progress.clear()
    for row in table(record):
        print(row, file=out)
    return record
