"""Which changes of a job are reported to those who watch it."""

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
    """Everything counts except the time that has passed."""
    assert has_changed(RECORD, new) is changed
    assert has_changed(new, RECORD) is changed


def test_an_unknown_job_has_not_changed() -> None:
    """It has not changed as long as it stays unknown."""
    assert has_changed(None, None) is False
