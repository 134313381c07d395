"""Lists and counts, answered from the indexes."""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from json.encoder import encode_basestring

from arq_status._model.builder import build_record
from arq_status._model.query import SORT_KEYS, Query
from arq_status._model.record import may_contain
from arq_status._model.snapshot import JobRecord, Page
from arq_status._model.status import Status
from arq_status._model.text import clean
from arq_status._redis.indexes import Look
from arq_status._redis.recovery import recover_dead
from arq_status._redis.store import Store

#: How many jobs a list covers where no index answers, and how many of them one look names.
NEWEST = 10_000
_NAMED_AT_ONCE = 2_000


async def count(store: Store) -> dict[Status, int]:
    """Return how many jobs there are of each status."""
    return (await _look(store)).counts


async def page_of(store: Store, query: Query) -> Page:
    """Return the page of the list that a query asks for."""
    page, _ = await overview(store, query)
    return page


async def overview(store: Store, query: Query) -> tuple[Page, dict[Status, int]]:
    """Return a page and the counts, of one look at the indexes."""
    if not query.is_indexed:
        return await _searched_page(store, query)
    look = await _look(store, query, offset=(query.page - 1) * query.per_page, count=query.per_page)
    records = await _matching(store, query, look.job_ids)
    return _page(query, records, look.total, truncated=False), look.counts


async def _look(
    store: Store, query: Query | None = None, *, offset: int = 0, count: int = 0
) -> Look:
    """Look at the indexes, again if they told of jobs that dead workers left behind."""
    statuses = () if query is None else query.statuses
    descending = query is None or not query.is_indexed or query.descending
    ask = partial(store.look, statuses, offset=offset, count=count, descending=descending)
    look = await ask()
    return await ask() if await recover_dead(store, look) else look


async def _searched_page(store: Store, query: Query) -> tuple[Page, dict[Status, int]]:
    look = await _look(store, query, count=min(NEWEST, _NAMED_AT_ONCE))
    newest = dict.fromkeys(look.job_ids)
    for offset in range(_NAMED_AT_ONCE, min(NEWEST, look.total), _NAMED_AT_ONCE):
        more = await _look(store, query, offset=offset, count=min(NEWEST - offset, _NAMED_AT_ONCE))
        newest.update(dict.fromkeys(more.job_ids))
    candidates = list(newest)
    if query.search:
        candidates = await _possible(store, query.search, candidates)
        if query.search not in candidates and clean(query.search) == query.search:
            candidates.append(query.search)
    matches = _sorted(await _matching(store, query, candidates, short=True), query)
    offset = (query.page - 1) * query.per_page
    shown = [record.job_id for record in matches[offset : offset + query.per_page]]
    records = await _matching(store, query, shown)
    return _page(query, records, len(matches), truncated=look.total > NEWEST), look.counts


async def _possible(store: Store, search: str, job_ids: list[str]) -> list[str]:
    """Leave out the ended jobs whose ids and stored texts do not have what is searched for.

    That takes a fraction of the time of building their records.
    """
    texts = await store.stored_texts(job_ids)
    needle = encode_basestring(search)[1:-1].casefold()
    return [
        job_id
        for job_id, raw in zip(job_ids, texts, strict=True)
        if raw is None or job_id.startswith(search) or may_contain(raw, needle)
    ]


async def _matching(
    store: Store, query: Query, job_ids: list[str], *, short: bool = False
) -> list[JobRecord]:
    """Return the records of those of the jobs that match, in their order, without their data."""
    return [
        record
        for facts, _ in await store.facts(job_ids, short=short)
        if (record := build_record(facts))
        and query.matches(record, datetime.fromtimestamp(facts.now / 1000, UTC))
    ]


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
