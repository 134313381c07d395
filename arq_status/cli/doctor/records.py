"""The tracking records, compared with arq's keys and with the indexes of the lists."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from arq.constants import job_key_prefix, result_key_prefix
from redis.asyncio import Redis

from arq_status._model.record import State, StoredRecord
from arq_status._redis import keys
from arq_status._redis.commands import pipeline, scan
from arq_status.cli.doctor.finding import Finding, Level, counted

#: Keys of each kind that are checked closely.
_MOST = 200


@dataclass(slots=True)
class Sample:
    """The job ids of the first keys of each kind, and those with irregularities."""

    jobs: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    records: list[str] = field(default_factory=list)
    #: True if there are no other keys
    complete: bool = False
    #: in none of the known queues
    unqueued: list[str] = field(default_factory=list)
    #: an arq result without a record
    unrecorded: list[str] = field(default_factory=list)
    #: a record without an end, of a job that is not live
    unended: list[str] = field(default_factory=list)
    #: a record that is in no index
    unindexed: list[str] = field(default_factory=list)
    #: an ended job's record that never expires, a live job's that does
    permanent: list[str] = field(default_factory=list)
    expiring: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


async def take_sample(redis: Redis, queues: Sequence[str]) -> Sample:
    """Collect the first keys of each kind, and check them."""
    sample = Sample()
    kinds = {
        job_key_prefix: sample.jobs,
        result_key_prefix: sample.results,
        keys.RECORD: sample.records,
    }
    async for names, are_last in scan(redis):
        for key in names:
            for prefix, ids in kinds.items():
                if key.startswith(prefix) and len(ids) < _MOST:
                    ids.append(key.removeprefix(prefix))
        sample.complete = are_last and all(len(ids) < _MOST for ids in kinds.values())
    queued = await _are_queued(redis, sample.jobs, queues)
    sample.unqueued = [it for it in sample.jobs if it not in queued]
    recorded = await pipeline(redis, [("EXISTS", keys.RECORD + it) for it in sample.results])
    sample.unrecorded = [
        it for it, exists in zip(sample.results, recorded, strict=True) if not exists
    ]
    await compare_records(redis, sample, queues)
    return sample


async def compare_records(redis: Redis, sample: Sample, queues: Sequence[str]) -> None:
    """Find the records of a sample that are irregular."""
    ids = sample.records
    texts = await pipeline(redis, [("GET", keys.RECORD + it) for it in ids])
    ttls = await pipeline(redis, [("PTTL", keys.RECORD + it) for it in ids])
    payloads = await pipeline(redis, [("EXISTS", job_key_prefix + it) for it in ids])
    queued = await _are_queued(redis, ids, queues)
    expected: list[tuple[str, str]] = []
    for job_id, raw, ttl, payload in zip(ids, texts, ttls, payloads, strict=True):
        stored = StoredRecord.decode(raw) if raw else None
        if ttl == -2:
            continue  # it has expired in the meantime
        if stored is None:
            sample.unreadable.append(job_id)
            continue
        if stored.state is State.DELETED or stored.ended is not None:
            sample.permanent += [job_id] if ttl == -1 else []
        else:
            sample.expiring += [job_id] if ttl >= 0 else []
            sample.unended += [] if payload or job_id in queued else [job_id]
        expected += [(index, job_id) for index in _indexes_of(stored)]
    scores = await pipeline(redis, [("ZSCORE", *it) for it in expected])
    missing = [it for (_, it), score in zip(expected, scores, strict=True) if score is None]
    sample.unindexed = list(dict.fromkeys(missing))


def _indexes_of(stored: StoredRecord) -> list[str]:
    """Return the indexes that contain a record, as maintained by ``records.lua``."""
    started_by_due = keys.STARTED_BY_DUE + stored.queue
    match stored.state:
        case State.DELETED:
            return []
        case state if stored.ended is not None:
            return [f"{keys.ENDED}{state}:{stored.expires_after_ms}"]
        case State.WORKING:
            return [f"{keys.RUNNING}{stored.worker or ''}", started_by_due]
        case State.RETRYING:
            return [keys.RETRYING + stored.queue, started_by_due]
        case State.INTERRUPTED:
            return [keys.INTERRUPTED + stored.queue, started_by_due]
    return [keys.WAITING + stored.queue]


async def _are_queued(redis: Redis, job_ids: Sequence[str], queues: Sequence[str]) -> set[str]:
    pairs = [(queue, job_id) for job_id in job_ids for queue in queues]
    scores = await pipeline(redis, [("ZSCORE", *pair) for pair in pairs])
    return {job_id for (_, job_id), score in zip(pairs, scores, strict=True) if score is not None}


def check_sample(sample: Sample) -> Iterator[Finding]:
    """Report the irregularities in a sample."""
    text = (
        f"checked {counted(len(sample.jobs), 'job')}, {counted(len(sample.results), 'arq result')}"
        f" and {counted(len(sample.records), 'record')}"
    )
    yield Finding(Level.OK, "keys", text if sample.complete else f"{text}, a sample")
    for ids, level, words, advice in _kinds(sample):
        if ids:
            text = f"{counted(len(ids), 'job')} {words}, such as {ids[0]!r}"
            yield Finding(level, "keys", text, advice)


def _kinds(sample: Sample) -> Iterator[tuple[list[str], Level, str, str]]:
    warning, note = Level.WARNING, Level.NOTE
    track = "track its worker, or name its queue: --queue, StatusClient(queues=...)"
    yield sample.unqueued, warning, "in none of the known queues", track
    untracked = "they were not tracked, or keep_result is longer than expires"
    yield sample.unrecorded, note, "with an arq result and no record", untracked
    lost = "with a record that has not ended, although arq is done"
    yield sample.unended, note, lost, "the next list or count will end it"
    evicted = "Redis evicted an index, or it was deleted: set maxmemory-policy to noeviction"
    unlisted = "with a record that is missing from the lists; status finds it by its id"
    yield sample.unindexed, warning, unlisted, evicted
    kept = "its expiry was removed (PERSIST, a restore): arq-status delete"
    yield sample.permanent, warning, "ended, with a record that never expires", kept
    given = "an expiry was set (EXPIRE, a restore); the job's next report corrects it"
    yield sample.expiring, warning, "not ended, with a record that expires", given
    yield sample.unreadable, warning, "with a record that cannot be read", "arq-status delete"
