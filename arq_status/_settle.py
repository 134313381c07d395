"""Ends the records of jobs that no worker will end any more."""

from collections.abc import Sequence
from dataclasses import replace

from redis.exceptions import ResponseError

from arq_status._record import build_record
from arq_status._store import Census, Row, Store
from arq_status._track import State, Track
from arq_status._truth import DeadWorker, Facts, Status, decide

#: For so many ms after arq's own end a living worker may still have its record to write.
_GRACE_MS = 30_000
#: Jobs at the front of a queue among which those of a dead worker are looked for.
_FRONT = 1_000


async def take_census(store: Store, limit: int) -> Census:
    """What the indexes hold, after what they should no longer hold was put right."""
    census = await store.census(limit)
    over = [special.job_id for special in census.specials if not special.live]
    settled = bool(over) and await settle(store, over)
    if await _adopt(store, census.dead) or settled:
        census = await store.census(limit)
    return census


async def _adopt(store: Store, dead: Sequence[DeadWorker]) -> bool:
    """Write records of the jobs that dead workers began without one; whether there were any.

    They read ``interrupted`` without it, but no index would know them.
    """
    rows: list[Row] = []
    for worker in dead:
        if worker.name not in store.searched:
            store.searched.add(worker.name)
            for facts, _ in await store.facts(await store.front(worker.queue, _FRONT), short=True):
                if facts.lost_worker == worker.name and decide(facts) is Status.INTERRUPTED:
                    rows.append(_first_row(facts, worker))
    return bool(rows) and await _write(store, rows)


def _first_row(facts: Facts, worker: DeadWorker) -> Row:
    payload = facts.payload
    track = Track(
        run=(payload.enqueued_ms if payload else None) or 0,
        job_try=facts.tries or 1,
        function=payload.function if payload else None,
        args=payload.args if payload else "",
        queue=worker.queue,
        due=facts.due,
        updated=facts.now,
        worker=worker.name,
        expires=facts.expires,
    )
    return Row(facts.job_id, True, track.encode(), {})


async def settle(store: Store, job_ids: Sequence[str]) -> bool:
    """End those of the jobs that are over; whether there were any.

    Their clock starts now, for nobody knows when they ended but for arq's result.
    """
    found = await store.facts(job_ids)
    rows = [row for facts, _ in found if (row := _last_row(facts)) is not None]
    return bool(rows) and await _write(store, rows)


async def _write(store: Store, rows: Sequence[Row]) -> bool:
    try:
        await store.write(rows)
    except ResponseError:
        # a replica takes no writes; what is shown does not depend on this one
        return False
    return True


def _last_row(facts: Facts) -> Row | None:
    track, result = facts.track, facts.result
    if facts.live or track is None or track.ended is not None or track.state is State.DELETED:
        return None
    finished = result.finished_ms if result else None
    if facts.worker_alive and finished is not None and facts.now - finished < _GRACE_MS:
        return None
    record = build_record(facts)
    last = replace(track, version=track.version + 1, updated=facts.now, ended=facts.now)
    if record is None or facts.own_track is None:
        # the record is of a run that arq forgot, and arq knows better of a later one
        last.state = State.INTERRUPTED
    else:
        last.state, last.error = State(record.status), record.error
        last.updated = last.ended = finished or facts.now
    return Row(facts.job_id, False, last.encode(), {})
