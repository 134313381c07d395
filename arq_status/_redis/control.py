"""Writes from outside the job: stop, cancel, retry, delete, store, tag."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from arq_status._model.facts import Facts
from arq_status._model.labels import MOST_TAGS
from arq_status._model.record import StoredRecord
from arq_status._model.validation import check_data_size
from arq_status._redis import keys, scripts
from arq_status._redis.batch import flat
from arq_status._redis.scripts import Argument, Script

#: Minimum time in ms for which late writes are rejected after a delete.
_TOMBSTONE_MS = 60_000
#: Default lifetime of arq's payloads in ms.
_PAYLOAD_EXPIRES_MS = 86_400_000


class Call(NamedTuple):
    """A script to run, with its arguments."""

    script: Script
    arguments: tuple[Argument, ...]


class Control:
    """The part of the store that changes jobs from outside their workers."""

    redis: Any
    channel: str
    _queues: Sequence[str]

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        """Run calls, with one round trip per script, and return their replies in order."""
        replies: list[Any] = [None] * len(calls)
        for script in {call.script for call in calls}:
            places = [place for place, call in enumerate(calls) if call.script is script]
            answers = await script.many(self.redis, [calls[place].arguments for place in places])
            for place, answer in zip(places, answers, strict=True):
                replies[place] = answer
        return replies

    def stop(self, job_id: str, run: int, *, force: bool) -> Call:
        """Ask a running job to stop; the reply is 0 if the run has no record or is not running."""
        asked = f"{run}!" if force else str(run)
        return Call(scripts.stop, (job_id, run, asked))

    def cancel(self, facts: Facts, last: StoredRecord, *, drop_key: bool) -> Call:
        """Remove a waiting job from its queue; the reply is 0 if it has changed meanwhile."""
        return Call(
            scripts.cancel,
            (
                self.channel, facts.job_id, facts.stored_text, facts.in_progress_expires_at,
                "drop" if drop_key else "keep", last.encode(), *self._queues,
            ),
        )  # fmt: skip

    def retry(self, facts: Facts, waiting: StoredRecord) -> Call:
        """Put an ended job back into its queue; the reply is 0 if that is not possible."""
        assert waiting.due is not None
        return Call(
            scripts.retry,
            (
                self.channel, facts.job_id, facts.stored_text, waiting.queue, waiting.due,
                _PAYLOAD_EXPIRES_MS, waiting.encode(), *self._queues,
            ),
        )  # fmt: skip

    def delete(self, job_id: str, tombstone: StoredRecord) -> Call:
        """Delete the tracking data of a job; if it is not live, the tombstone replaces it."""
        expires = max(_TOMBSTONE_MS, tombstone.expires_after_ms)
        return Call(
            scripts.delete, (self.channel, job_id, tombstone.encode(), expires, *self._queues)
        )

    async def store(self, job_id: str, waiting: StoredRecord, fields: Mapping[str, str]) -> bool:
        """Store fields from outside the job; return False if it is unknown.

        Raises:
            ValueError: the job's data would take more than 1 MiB.
        """
        stored: int = await scripts.store(
            self.redis, self.channel, job_id, waiting.encode(),
            json.dumps(flat(fields), ensure_ascii=False), *self._queues,
        )  # fmt: skip
        check_data_size(-stored)
        return bool(stored)

    async def tag(self, job_id: str, waiting: StoredRecord) -> bool:
        """Add the tags of this record to a job; return False if it is unknown.

        Raises:
            ValueError: it would have too many.
        """
        [tagged] = await self.run([self._tag(job_id, waiting, "known")])
        if tagged < 0:
            raise ValueError(f"job {job_id!r} can have at most {MOST_TAGS} tags")
        return bool(tagged)

    def tag_enqueued(self, job_id: str, waiting: StoredRecord) -> Call:
        """Add the tags and the group of this record to a job that was just enqueued."""
        return self._tag(job_id, waiting, "enqueued")

    def tag_enqueueing(self, job_id: str, waiting: StoredRecord) -> Call:
        """Do the same in the transaction that enqueues the job, if it does."""
        return self._tag(job_id, waiting, "enqueueing")

    def _tag(self, job_id: str, waiting: StoredRecord, how: str) -> Call:
        labels = [keys.TAGGED + tag for tag in waiting.tags]
        if waiting.group is not None:
            labels.append(keys.GROUPED + waiting.group)
        return Call(
            scripts.tag,
            (
                self.channel, job_id, waiting.encode(), how, waiting.queue, waiting.group or "",
                b"".join(b"\xff" + it.encode() for it in labels), *self._queues,
            ),
        )  # fmt: skip

    async def set_group(self, group_id: str, *, closed: bool, title: str | None = None) -> None:
        """Open or close a group."""
        how = "close" if closed else "open"
        await scripts.group(self.redis, self.channel, group_id, how, title or "")
