"""Reads the progress of a group."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from arq_status._model.facts import Facts
from arq_status._model.group import GroupFacts, GroupRecord, build_group
from arq_status._model.record import State, StoredRecord
from arq_status._model.status import ENDED, Status
from arq_status._model.text import clean
from arq_status._model.truth import decide
from arq_status._redis import scripts
from arq_status._redis.recovery import end_lost_jobs
from arq_status._redis.replies import integer, pairs, text
from arq_status._redis.store import Store

#: Live jobs to examine in one call, so that it does not block Redis.
_AT_ONCE = 4_000

#: How long after arq's own end a worker may still have to write its record, in ms.
_UNWRITTEN_MS = 2_000

_STATUSES = {status.value: status for status in Status}


@dataclass(slots=True)
class _Census:
    """The jobs of a group that have been counted so far."""

    now: int = 0
    fields: Mapping[bytes, bytes] = field(default_factory=dict)
    left: int = -2
    counts: dict[Status, int] = field(default_factory=lambda: dict.fromkeys(Status, 0))
    done: int = 0
    progress: float = 0.0
    unclear: list[str] = field(default_factory=list)
    #: jobs that have ended and are still in a queue
    ending: list[str] = field(default_factory=list)

    def number(self, name: str) -> int | None:
        return integer(self.fields.get(name.encode()))


async def read_group(store: Store, group_id: str) -> GroupRecord | None:
    """Return the record of a group; ``None`` if it is unknown.

    Also ends the records of its lost jobs, which writes to Redis. The time this takes does not
    depend on how many of its jobs have ended.
    """
    census = await _take_census(store, clean(group_id))
    if await _clear_up(store, census):
        # the records of lost jobs were ended: count again
        census = await _take_census(store, clean(group_id))
        await _clear_up(store, census)
    return build_group(_facts_of(group_id, census)) if census.fields else None


async def _take_census(store: Store, group_id: str) -> _Census:
    found = _Census()
    index, rank = b"", 0
    while True:
        reply = await scripts.group_census(store.redis, group_id, index, rank, _AT_ONCE)
        now, fields, left, numbers, progress, unclear, ending, index, rank = reply
        found.now, found.fields, found.left = now, pairs(fields), left
        for name, jobs in zip(map(text, numbers[::2]), numbers[1::2], strict=True):
            found.counts[_STATUSES[name]] += jobs
        found.progress += int(progress) / 1_000_000
        found.unclear += map(text, unclear)
        found.ending += map(text, ending)
        if not index:
            return found


async def _clear_up(store: Store, census: _Census) -> bool:
    """Count the ended jobs, and the jobs whose status depends on their facts.

    The latter are jobs of dead workers, and jobs that arq no longer has. Ends the records of those
    that are lost; returns True if there were any.
    """
    for status in ENDED:
        jobs = max(0, census.number(status) or 0)
        census.counts[status] += jobs
        census.done += jobs
    for facts, _ in await store.facts(census.ending, short=True):
        current, decided = facts.current_record, decide(facts)
        if facts.live and current is not None and current.ended is not None and decided is not None:
            # for arq it has not ended yet
            census.counts[Status(current.state)] -= 1
            census.counts[decided] += 1
            census.done -= 1
    lost = []
    for facts, _ in await store.facts(census.unclear, short=True):
        stored = facts.stored_record
        status = _status_in_group(facts, stored)
        census.counts[status] += 1
        if status is Status.WORKING and stored is not None and stored.total:
            census.progress += min(1.0, stored.at / stored.total)
        if not facts.live or facts.current_record is None:
            census.done += 1
            if not _has_just_ended(facts):
                lost.append(facts.job_id)
    return bool(lost) and await end_lost_jobs(store, lost) > 0


def _has_just_ended(facts: Facts) -> bool:
    """Return True if a worker may be about to record the end that arq has stored."""
    finished = facts.result.finished_ms if facts.result is not None else None
    return finished is not None and facts.now - finished < _UNWRITTEN_MS


def _status_in_group(facts: Facts, stored: StoredRecord | None) -> Status:
    if facts.live and facts.current_record is None and stored is not None:
        # lost: its id is now used by another run
        waited = stored.state in (State.WAITING, State.RETRYING)
        return Status.FAILED if waited else Status.INTERRUPTED
    return decide(facts) or Status.INTERRUPTED


def _facts_of(group_id: str, census: _Census) -> GroupFacts:
    title = census.fields.get(b"title")
    return GroupFacts(
        group_id=group_id,
        now=census.now,
        title=None if title is None else text(title),
        closed=census.fields.get(b"closed") == b"1",
        counts=census.counts,
        done=census.done,
        progress=census.progress,
        started=census.number("started"),
        updated=census.number("updated"),
        ended=census.number("ended"),
        expires_at=None if census.left < 0 else census.now + census.left,
    )
