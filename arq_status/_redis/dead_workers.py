"""The workers that are dead at one moment."""

from arq_status._model.facts import DEAD_AFTER_MS, DeadWorker


class DeadWorkers:
    """The workers that are dead at one moment."""

    __slots__ = ("_dead", "now")

    def __init__(self, now: int, dead: list[DeadWorker]) -> None:
        self.now = now
        self._dead = dead

    def is_alive(self, last_beat: int | None) -> bool:
        """Return True if a worker with this last heartbeat is alive."""
        return last_beat is not None and self.now - last_beat < DEAD_AFTER_MS

    def lost(self, queue: str | None, expires_in: int) -> str | None:
        """Return the worker that may have started a job, by the TTL (ms) of its in-progress key."""
        if expires_in >= 0:
            for worker in self._dead:
                if worker.may_have_begun(queue, self.now, expires_in):
                    return worker.name
        return None


NO_WORKERS = DeadWorkers(0, [])
