"""One job in memory."""

from dataclasses import dataclass, field

from arq_status._model.record import StoredRecord
from arq_status._redis.keys import LARGEST_PAYLOAD


@dataclass(slots=True, kw_only=True)
class Entry:
    """A job: what arq holds of it, and what is recorded. Times are epoch milliseconds."""

    job_id: str
    #: what it was enqueued with, for as long as arq will run it or runs it
    payload: bytes | None = None
    queue: str = ""
    due: int = 0
    #: a try is running
    ongoing: bool = False
    #: the tries begun
    tries: int = 0
    #: arq's result and when it expires, ``None`` for never
    result: bytes | None = None
    result_expires: int | None = None
    track: StoredRecord | None = None
    stored: bytes = b""
    fields: dict[bytes, bytes] = field(default_factory=dict)
    #: what it was enqueued with, for ``retry``
    kept: bytes | None = None

    @property
    def live(self) -> bool:
        """Arq will run the job, or runs it."""
        return self.payload is not None

    def put(self, track: StoredRecord | None) -> None:
        """Put a record in the place of the one that is there."""
        self.track = track
        self.stored = b"" if track is None else track.encode().encode()

    def expire(self, now: int) -> None:
        """Drop what would have expired by now."""
        if self.result_expires is not None and self.result_expires <= now:
            self.result = self.result_expires = None
        track = self.track
        if track is not None and track.ended is not None and track.ended + track.expires <= now:
            self.forget()

    def keep_payload(self) -> None:
        """Keep what arq has of it for ``retry``."""
        if self.payload is not None and len(self.payload) <= LARGEST_PAYLOAD:
            self.kept = self.payload

    def forget(self) -> None:
        """Drop what is recorded."""
        self.put(None)
        self.fields, self.kept = {}, None
