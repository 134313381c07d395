"""Queries for queues, workers and cron jobs."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from arq_status._client.connections import Connections
from arq_status._model.builder import build_record, milliseconds, shown_worker, utc_datetime
from arq_status._model.facts import DEAD_AFTER_MS
from arq_status._model.insight import CronRecord, QueueRecord, WorkerRecord
from arq_status._model.snapshot import JobRecord
from arq_status._model.status import ENDED, Status
from arq_status._redis.announcements import function_key
from arq_status._redis.store import Store
from arq_status._redis.workers import (
    AnnouncedCron,
    AnnouncedWorker,
    LastJob,
    read_last_jobs,
    read_workers,
)


class WorkerQueries:
    """The queries of ``StatusClient`` for queues, workers and cron jobs."""

    _connections: Connections

    async def queues(self) -> list[QueueRecord]:
        """Return what is in each of the client's queues, and how long jobs wait there.

            for queue in await client.queues():
                print(queue.name, queue.queued, queue.latency, queue.workers)

        These are arq's default queue and every queue that a tracked worker has announced, or the
        client's ``queues`` if it was given any.
        """
        now, found = await (await self._connections.open()).queues()
        return [
            QueueRecord(
                name=it.name,
                queued=it.queued,
                deferred=it.deferred,
                retrying=it.retrying,
                working=it.working,
                oldest_due_at=utc_datetime(it.oldest_due),
                latency=timedelta(milliseconds=now - (it.oldest_due or now)),
                workers=it.workers,
            )
            for it in found
        ]

    async def workers(self) -> list[WorkerRecord]:
        """Return the tracked workers, the most recently heard from first.

            for worker in await client.workers():
                print(worker.name, worker.alive, len(worker.running), worker.max_jobs)

        A worker that has shut down is left out, unless it left jobs behind. Workers of all queues
        are returned.
        """
        now, found = await read_workers((await self._connections.open()).redis)
        return [_worker_record(it, now) for it in found]

    async def crons(self) -> list[CronRecord]:
        """Return the cron jobs that live workers have announced, the next to run first.

            for cron in await client.crons():
                print(cron.name, cron.schedule, cron.next_run_at, cron.status)

        The end of the last job is remembered for longer than its record is kept.
        """
        store = await self._connections.open()
        now, workers = await read_workers(store.redis)
        announced = _next_crons([it for it in workers if _is_alive(it, now)])
        noted = await read_last_jobs(store.redis) if announced else {}
        last = {key: noted.get(function_key(*key)) for key in announced}
        known = await records_of(store, [job.job_id for job in last.values() if job is not None])
        records = [
            _cron_record(queue, it, job, known.get(job.job_id) if job is not None else None)
            for ((queue, _), it), job in zip(announced.items(), last.values(), strict=True)
        ]
        return sorted(records, key=lambda it: (it.next_run_at or _END, it.queue, it.name))


_END = datetime.max.replace(tzinfo=UTC)


def _is_alive(worker: AnnouncedWorker, now: int) -> bool:
    return now - worker.beat < DEAD_AFTER_MS


def _worker_record(worker: AnnouncedWorker, now: int) -> WorkerRecord:
    host, _, pid = (shown_worker(worker.name) or "").rpartition(":")
    return WorkerRecord(
        name=worker.name,
        host=host,
        pid=int(pid) if pid.isdecimal() else None,
        queue=worker.queue,
        started_at=utc_datetime(worker.started_ms),
        seen_at=utc_datetime(worker.beat or None),
        alive=_is_alive(worker, now),
        max_jobs=worker.max_jobs,
        functions=tuple(worker.functions),
        running=tuple(worker.running),
    )


def _next_crons(workers: Sequence[AnnouncedWorker]) -> dict[tuple[str, str], AnnouncedCron]:
    """Return cron jobs by queue and name, as announced by the worker that enqueues each next."""
    found: dict[tuple[str, str], AnnouncedCron] = {}
    announced = [
        (it.queue, cron) for it in workers if it.queue is not None for cron in it.cron_jobs
    ]
    for queue, cron in announced:
        before = found.setdefault((queue, cron.name), cron)
        if cron.next_ms is not None and cron.next_ms < (before.next_ms or cron.next_ms + 1):
            found[queue, cron.name] = cron
    return found


async def records_of(store: Store, job_ids: Sequence[str]) -> dict[str, JobRecord]:
    found = await store.facts(job_ids) if job_ids else []
    return {it.job_id: record for it, _ in found if (record := build_record(it)) is not None}


def _cron_record(
    queue: str, cron: AnnouncedCron, last: LastJob | None, record: JobRecord | None
) -> CronRecord:
    """Return a cron job with its last job: from its record or, once expired, its worker's note.

    Args:
        queue: the queue of its jobs.
        cron: the cron job.
        last: its last job, if there was one.
        record: the record of that job, if it is known.
    """
    status, ended_at, elapsed = None, None, None
    if record is not None:
        status, ended_at, elapsed = record.status, record.ended_at, record.elapsed
    elif last is not None:
        # a live worker would have noted the end
        ended = last.ended_ms is not None and last.state in ENDED
        status = Status(last.state) if ended else Status.INTERRUPTED
        ended_at, elapsed = utc_datetime(last.ended_ms), milliseconds(last.elapsed_ms)
    return CronRecord(
        name=cron.name,
        function=cron.function,
        queue=queue,
        schedule=cron.schedule,
        next_run_at=utc_datetime(cron.next_ms),
        job_id=last.job_id if last is not None else None,
        status=status,
        ended_at=ended_at,
        elapsed=elapsed,
    )
