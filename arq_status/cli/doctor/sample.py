"""A sample of the keys, for ``doctor``."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from arq.constants import job_key_prefix, result_key_prefix
from redis.asyncio import Redis

from arq_status._model.record import State, StoredRecord
from arq_status._redis import keys
from arq_status.cli.raw import pipeline, some_keys

#: Keys of a kind that are looked at closely.
_MOST = 200


@dataclass(slots=True)
class Sample:
    """What stood out among the keys that were looked at; ids of jobs."""

    jobs: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    records: list[str] = field(default_factory=list)
    #: all keys were looked at
    whole: bool = False
    #: in no queue that is known
    nowhere: list[str] = field(default_factory=list)
    #: arq's result, and no record
    unrecorded: list[str] = field(default_factory=list)
    #: a record without an end of a job that is not live
    over: list[str] = field(default_factory=list)
    #: an ended job's record that never expires, a live one's that does, and one nobody can read
    undying: list[str] = field(default_factory=list)
    dying: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


async def take_sample(redis: Redis, queues: Sequence[str]) -> Sample:
    """Look at the first keys of each kind that there are."""
    sample = Sample()
    kinds = {
        job_key_prefix: sample.jobs,
        result_key_prefix: sample.results,
        keys.RECORD: sample.records,
    }
    async for names, are_last in some_keys(redis):
        for key in names:
            for prefix, ids in kinds.items():
                if key.startswith(prefix) and len(ids) < _MOST:
                    ids.append(key.removeprefix(prefix))
        sample.whole = are_last and all(len(ids) < _MOST for ids in kinds.values())
    await _look_at_jobs(redis, sample, queues)
    await look_at_records(redis, sample, queues)
    return sample


async def _look_at_jobs(redis: Redis, sample: Sample, queues: Sequence[str]) -> None:
    queued = await _are_queued(redis, sample.jobs, queues)
    sample.nowhere = [it for it in sample.jobs if it not in queued]
    recorded = await pipeline(redis, [("EXISTS", keys.RECORD + it) for it in sample.results])
    sample.unrecorded = [
        it for it, there in zip(sample.results, recorded, strict=True) if not there
    ]


async def look_at_records(redis: Redis, sample: Sample, queues: Sequence[str]) -> None:
    """Find what stands out among the records of a sample."""
    records = sample.records
    stored_records = await pipeline(redis, [("GET", keys.RECORD + it) for it in records])
    lives = await pipeline(redis, [("PTTL", keys.RECORD + it) for it in records])
    payloads = await pipeline(redis, [("EXISTS", job_key_prefix + it) for it in records])
    queued = await _are_queued(redis, records, queues)
    for job_id, raw, left, payload in zip(records, stored_records, lives, payloads, strict=True):
        stored = StoredRecord.decode(raw) if raw else None
        if left == -2:
            continue  # gone since
        if stored is None:
            sample.damaged.append(job_id)
        elif stored.state is State.DELETED or stored.ended is not None:
            sample.undying += [job_id] if left == -1 else []
        else:
            sample.dying += [job_id] if left >= 0 else []
            sample.over += [] if payload or job_id in queued else [job_id]


async def _are_queued(redis: Redis, job_ids: Sequence[str], queues: Sequence[str]) -> set[str]:
    pairs = [(queue, job_id) for job_id in job_ids for queue in queues]
    scores = await pipeline(redis, [("ZSCORE", *pair) for pair in pairs])
    return {job_id for (_, job_id), score in zip(pairs, scores, strict=True) if score is not None}
