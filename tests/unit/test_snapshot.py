"""When a job has changed for those who watch it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from arq_status import JobRecord, Status
from arq_status._model.snapshot import has_changed

SECOND = timedelta(seconds=1)
RECORD = JobRecord(job_id="job", status=Status.WORKING, at=1, message="one")


@pytest.mark.parametrize(
    ("new", "changed"),
    [
        (RECORD, False),
        (replace(RECORD, elapsed=SECOND, waited=SECOND, eta=SECOND), False),
        (replace(RECORD, at=2), True),
        (replace(RECORD, message=None), True),
        (replace(RECORD, status=Status.COMPLETE), True),
        (None, True),
    ],
)
def test_a_job_has_changed(new: JobRecord | None, changed: bool) -> None:
    """In anything but the time that has passed since."""
    assert has_changed(RECORD, new) is changed
    assert has_changed(new, RECORD) is changed


def test_an_unknown_job_has_not_changed() -> None:
    """As long as it stays unknown."""
    assert has_changed(None, None) is False
