"""The jobs and groups that the page started: each has a bar, and its own browser may stop it."""

import secrets
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from arq_status.web import progress_token

_REMEMBERED = 100
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Bar:
    """A job or a group for ``<job-progress>``."""

    label: str
    #: its page in the dashboard
    path: str
    #: shows its progress, and stops it for the browser that started it
    token: str


@dataclass(frozen=True, slots=True)
class _Job:
    id: str
    label: str
    key: str
    is_group: bool

    def has_key(self, key: str) -> bool:
        return secrets.compare_digest(self.key.encode(), key.encode())


class StartedJobs:
    """Remember who started which job, as another app does in its database and its sessions."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._jobs: deque[_Job] = deque(maxlen=_REMEMBERED)

    def add(self, job_id: str, label: str, *, is_group: bool = False) -> str:
        """Remember a job or a group. Returns a key that only its own browser may get."""
        job = _Job(job_id, label, secrets.token_urlsafe(), is_group)
        self._jobs.appendleft(job)
        return job.key

    def bars(self, key: str) -> list[Bar]:
        """Return the newest jobs, first the one that this key belongs to."""
        jobs = sorted(self._jobs, key=lambda job: not job.has_key(key))
        return [self._bar(job, may=("stop",) if job.has_key(key) else ()) for job in jobs[:_SHOWN]]

    def _bar(self, job: _Job, may: Iterable[str]) -> Bar:
        if job.is_group:
            token = progress_token(self._secret, group=job.id, may=may)
            return Bar(job.label, f"/groups/{quote(job.id)}", token)
        token = progress_token(self._secret, job.id, may=may)
        return Bar(job.label, f"/statuses/{quote(job.id)}", token)
