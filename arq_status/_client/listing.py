"""Lists and counts, answered from the indexes."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from arq_status._model.builder import build_record
from arq_status._model.facts import Facts
from arq_status._model.query import SORT_KEYS, Query
from arq_status._model.snapshot import JobRecord, Page
from arq_status._model.status import ENDED, Status
from arq_status._model.text import clean
from arq_status._model.truth import decide
from arq_status._redis import keys
from arq_status._redis.indexes import IndexRange, IndexSnapshot
from arq_status._redis.recovery import take_census
from arq_status._redis.store import Store

#: How many jobs a list covers where no index answers.
NEWEST = 10_000


async def count(store: Store) -> dict[Status, int]:
    """How many jobs there are of each status."""
    return await _count(store, await take_census(store, NEWEST))


async def page_of(store: Store, query: Query) -> Page:
    """The page of the list that a query asks for."""
    return await _page_of(store, query, await take_census(store, NEWEST))


async def overview(store: Store, query: Query) -> tuple[Page, dict[Status, int]]:
    """A page and the counts, of one look at the indexes."""
    census = await take_census(store, NEWEST)
    return await _page_of(store, query, census), await _count(store, census)


async def _count(store: Store, census: IndexSnapshot) -> dict[Status, int]:
    counts = dict.fromkeys(Status, 0)
    for ended in census.ended:
        if ended.status in counts:
            counts[Status(ended.status)] += ended.jobs - len(ended.again)
    for queue in census.queues:
        counts[Status.QUEUED] += queue.due
        counts[Status.DEFERRED] += queue.jobs - queue.due
    unclear = []
    for special in census.specials:
        if special.due is not None:
            counts[Status.QUEUED if special.due <= census.now else Status.DEFERRED] -= 1
        if special.kind == "running" and special.live:
            counts[Status.WORKING] += 1
        else:
            unclear.append(special.job_id)
    for facts, _ in await store.facts(unclear, short=True):
        if (status := decide(facts)) is not None:
            counts[status] += 1
    return {status: max(0, number) for status, number in counts.items()}


async def _page_of(store: Store, query: Query, census: IndexSnapshot) -> Page:
    candidates = await _find_candidates(store, query, census)
    if query.is_indexed:
        return await _indexed_page(store, query, candidates)
    return await _searched_page(store, query, candidates)


@dataclass(frozen=True, slots=True)
class _Candidates:
    """The jobs of the chosen status: parts of indexes, and jobs that no index has in order."""

    sources: list[IndexRange]
    #: ids and times of their last update in ms; -1 for jobs of another status
    merged: dict[str, int]
    total: int
    truncated: bool


async def _find_candidates(store: Store, query: Query, census: IndexSnapshot) -> _Candidates:
    merged = dict.fromkeys((special.job_id for special in census.specials), -1)
    later: dict[str, int] = {}
    deferred = 0
    if query.wants(Status.DEFERRED):
        later = await store.due_later([queue.name for queue in census.queues], NEWEST)
        deferred = sum(queue.jobs - queue.due for queue in census.queues)
        merged.update(dict.fromkeys(later, -1))
    for facts, _ in await store.facts(list(merged), short=True):
        if (updated := _time_in_list(facts, query)) is not None:
            merged[facts.job_id] = updated
    sources, indexed = _sources(census, query)
    return _Candidates(
        sources,
        merged,
        indexed + sum(updated >= 0 for updated in merged.values()),
        deferred > len(later) + sum(1 for it in census.specials if (it.due or 0) > census.now),
    )


def _time_in_list(facts: Facts, query: Query) -> int | None:
    record = build_record(facts)
    if record is None or not query.wants(record.status):
        return None
    return 0 if record.updated_at is None else round(record.updated_at.timestamp() * 1000)


def _sources(census: IndexSnapshot, query: Query) -> tuple[list[IndexRange], int]:
    """The parts of the indexes that hold jobs of a status, and how many jobs that is."""
    sources, jobs = [], 0
    if query.wants(Status.QUEUED):
        for queue in census.queues:
            skipped = [
                special.due
                for special in census.specials
                if special.queue == queue.name
                and special.due is not None
                and special.due <= census.now
            ]
            jobs += max(0, queue.due - len(skipped))
            sources.append(IndexRange(queue.name, "-inf", str(census.now), skipped))
    for ended in census.ended:
        if ended.status in ENDED and query.wants(Status(ended.status)):
            oldest = str(census.now - ended.expires + 1)
            sources.append(IndexRange(keys.ENDED + ended.name, oldest, "+inf", ended.again))
            jobs += ended.jobs - len(ended.again)
    return sources, jobs


async def _indexed_page(store: Store, query: Query, candidates: _Candidates) -> Page:
    total = candidates.total
    offset = (query.page - 1) * query.per_page
    number = max(0, min(query.per_page, total - offset))
    if not query.descending:
        offset = total - offset - number
    job_ids: list[str] = []
    if number:
        job_ids = await store.newest(candidates.sources, candidates.merged, offset, number)
    records = await _matching(store, query, job_ids)
    return _page(query, _sorted(records, query), total, candidates.truncated)


async def _searched_page(store: Store, query: Query, candidates: _Candidates) -> Page:
    newest = await store.newest(candidates.sources, candidates.merged, 0, NEWEST)
    if query.search and query.search not in newest and clean(query.search) == query.search:
        newest.append(query.search)
    found = await store.facts(newest, short=True)
    matches = _sorted(
        (
            record
            for facts, _ in found
            if (record := build_record(facts)) and query.matches(record, _moment(facts.now))
        ),
        query,
    )
    offset = (query.page - 1) * query.per_page
    shown = [record.job_id for record in matches[offset : offset + query.per_page]]
    records = await _matching(store, query, shown)
    truncated = candidates.truncated or candidates.total > NEWEST
    return _page(query, records, len(matches), truncated)


async def _matching(store: Store, query: Query, job_ids: list[str]) -> list[JobRecord]:
    """Return the records of those of the jobs that still match, in their order."""
    return [
        record
        for facts, _ in await store.facts(job_ids)
        if (record := build_record(facts)) and query.matches(record, _moment(facts.now))
    ]


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _sorted(records: Iterable[JobRecord], query: Query) -> list[JobRecord]:
    """In the order asked for, those without a value last, and else the newest first."""
    key = SORT_KEYS[query.sort]
    newest = sorted(
        records, key=_newest_key, reverse=query.descending or query.sort != "updated_at"
    )
    known = [record for record in newest if key(record) is not None]
    known.sort(key=key, reverse=query.descending)
    return known + [record for record in newest if key(record) is None]


def _newest_key(record: JobRecord) -> tuple[float, str]:
    updated: datetime | None = record.updated_at
    return (updated.timestamp() if updated else 0.0, record.job_id)


def _page(query: Query, items: list[JobRecord], total: int, truncated: bool) -> Page:
    return Page(
        items=items,
        total=total,
        page=query.page,
        per_page=query.per_page,
        truncated=truncated,
    )
