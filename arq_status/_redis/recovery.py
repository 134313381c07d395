"""Cleans up after dead workers: ends the records of jobs that arq will not run again."""

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
from arq_status._redis.indexes import ListReply
from arq_status._redis.store import Store

#: How long after arq's own end a live worker may still have to write its record, in ms.
_GRACE_MS = 30_000
#: How many jobs at the front of a queue are searched for those of a dead worker.
_FRONT = 1_000
#: How many jobs of the indexes are checked in one pass, and in one call.
_CHECKED, _CHECKED_AT_ONCE = 5_000, 200


async def recover_orphans(store: Store) -> None:
    """End the records of all jobs that arq no longer has.

    One pass checks a limited number of jobs; the next one continues where it stopped.
    """
    reply = await store.read_indexes()
    await recover_dead(store, reply)
    budget, start = _CHECKED, store.recovered_up_to
    for index in sorted(it for it in reply.live_indexes if it >= start[0]):
        rank = start[1] if index == start[0] else 0
        while rank >= 0:
            if budget <= 0:
                store.recovered_up_to = (index, rank)
                return
            budget -= _CHECKED_AT_ONCE
            following, found = await store.orphans(index, rank, _CHECKED_AT_ONCE)
            gone = await end_lost_jobs(store, found)
            # the ended jobs are no longer in this index
            rank = -1 if following < 0 else max(0, following - gone)
    store.recovered_up_to = ("", 0)


async def recover_dead(store: Store, reply: ListReply) -> bool:
    """End the records left behind by dead workers; return True if anything was written.

    Jobs that they started without writing a record get one, so that lists contain them.
    """
    ended = await end_lost_jobs(store, reply.orphans)
    return await _adopt(store, reply.dead) or ended > 0


async def _adopt(store: Store, dead: Sequence[DeadWorker]) -> bool:
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
        job_try=facts.tries_begun or 1,
        function=payload.function if payload else None,
        args=payload.args if payload else "",
        queue=worker.queue,
        due=facts.due,
        updated=facts.now,
        worker=worker.name,
        expires_after_ms=facts.options.expires,
        hides_args=not facts.options.record_args,
    )
    return Row(facts.job_id, True, stored.encode(), {})


async def end_lost_jobs(store: Store, job_ids: Sequence[str]) -> int:
    """End the records of those jobs that arq will not run again; return how many.

    Their expiry starts now, unless arq's result contains the time of their end.
    """
    rows, forgotten = [], []
    for facts, _ in await store.facts(job_ids):
        stored = facts.stored_record
        if stored is None or not _is_over(facts, stored):
            continue
        record = build_record(facts)
        if record is None:
            # according to arq's result it ended so long ago that it has expired
            forgotten.append(facts)
        else:
            rows.append(_last_row(facts, stored, record))
    over = len(rows) + len(forgotten)
    return over if over and await _write(store, rows, forgotten) else 0


async def _write(store: Store, rows: Sequence[Row], forgotten: Sequence[Facts] = ()) -> bool:
    try:
        await store.write(rows)
        await store.run([store.delete(facts.job_id, tombstone(facts)) for facts in forgotten])
    except ResponseError:
        # a replica accepts no writes; what is shown does not depend on them
        return False
    return True


def _is_over(facts: Facts, stored: StoredRecord) -> bool:
    if facts.live or stored.ended is not None or stored.state is State.DELETED:
        return False
    finished = facts.result.finished_ms if facts.result else None
    return not facts.worker_alive or finished is None or facts.now - finished >= _GRACE_MS


def _last_row(facts: Facts, stored: StoredRecord, record: JobRecord) -> Row:
    result = facts.result
    if facts.current_record is None and result is not None:
        # the id was reused for a run without tracking
        last = StoredRecord(
            enqueued_ms=result.enqueued_ms or 0,
            job_try=result.job_try or 1,
            function=result.function,
            args=result.args,
            queue=result.queue or stored.queue,
            started=result.started_ms,
        )
    else:
        last = replace(stored)
    last.state, last.error = State(record.status), record.error
    last.expires_after_ms = facts.options.expires_after(last.state)
    last.updated = last.ended = (result and result.finished_ms) or facts.now
    last.worker = shown_worker(last.worker)
    return Row(facts.job_id, False, last.encode(), {}, seen=stored.version)
