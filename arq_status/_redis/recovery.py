"""Ends the records of jobs that no worker will end any more."""

from collections.abc import Sequence
from dataclasses import replace

from redis.exceptions import ResponseError

from arq_status._model.builder import build_record, shown_worker
from arq_status._model.facts import DeadWorker, Facts
from arq_status._model.record import State, StoredRecord
from arq_status._model.snapshot import JobRecord
from arq_status._model.status import Status
from arq_status._model.transitions import tombstone
from arq_status._model.truth import decide
from arq_status._redis.batch import Row
from arq_status._redis.indexes import IndexSnapshot
from arq_status._redis.store import Store

#: For so many ms after arq's own end a living worker may still have its record to write.
_GRACE_MS = 30_000
#: Jobs at the front of a queue among which those of a dead worker are looked for.
_FRONT = 1_000


async def take_census(store: Store, limit: int) -> IndexSnapshot:
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
    stored = StoredRecord(
        enqueued_ms=(payload.enqueued_ms if payload else None) or 0,
        job_try=facts.tries or 1,
        function=payload.function if payload else None,
        args=payload.args if payload else "",
        queue=worker.queue,
        due=facts.due,
        updated=facts.now,
        worker=worker.name,
        expires=facts.options.expires,
    )
    return Row(facts.job_id, True, stored.encode(), {})


async def settle(store: Store, job_ids: Sequence[str]) -> bool:
    """End those of the jobs that are over; whether there were any.

    Their clock starts now, for nobody knows when they ended but for arq's result.
    """
    rows, forgotten = [], []
    for facts, _ in await store.facts(job_ids):
        if facts.stored_record is None or not _is_over(facts, facts.stored_record):
            continue
        record = build_record(facts)
        if record is None:
            # arq's result is of an end so long ago that it has expired
            forgotten.append(facts)
        else:
            rows.append(_last_row(facts, facts.stored_record, record))
    return bool(rows or forgotten) and await _write(store, rows, forgotten)


async def _write(store: Store, rows: Sequence[Row], forgotten: Sequence[Facts] = ()) -> bool:
    try:
        await store.write(rows)
        for facts in forgotten:
            await store.delete(facts.job_id, tombstone(facts))
    except ResponseError:
        # a replica takes no writes; what is shown does not depend on this one
        return False
    return True


def _is_over(facts: Facts, stored: StoredRecord) -> bool:
    if facts.live or stored.ended is not None or stored.state is State.DELETED:
        return False
    finished = facts.result.finished_ms if facts.result else None
    return not facts.worker_alive or finished is None or facts.now - finished >= _GRACE_MS


def _last_row(facts: Facts, stored: StoredRecord, record: JobRecord) -> Row:
    result = facts.result
    run = (result.enqueued_ms if result else None) or 0
    if facts.current_record is None and result is not None and run > stored.enqueued_ms:
        # the id was used again, and no tracked worker ran it
        last = StoredRecord(
            enqueued_ms=run,
            job_try=result.job_try or 1,
            function=result.function,
            args=result.args,
            queue=result.queue or stored.queue,
            started=result.started_ms,
        )
    else:
        last = replace(stored)
    last.state, last.error = State(record.status), record.error
    last.expires = facts.options.expires_after(last.state)
    last.updated = last.ended = (result and result.finished_ms) or facts.now
    last.worker = shown_worker(last.worker)
    return Row(facts.job_id, False, last.encode(), {}, seen=stored.version)
