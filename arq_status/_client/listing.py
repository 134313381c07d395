"""Lists and counts, answered from the indexes."""

from collections.abc import Iterable
from datetime import datetime
from functools import partial
from json.encoder import encode_basestring

from arq_status._model.builder import build_record, utc_datetime
from arq_status._model.query import SORT_KEYS, Query
from arq_status._model.record import may_contain
from arq_status._model.snapshot import JobRecord, Page
from arq_status._model.status import Status
from arq_status._model.text import clean
from arq_status._redis.indexes import ListReply
from arq_status._redis.keys import GROUPED, TAGGED
from arq_status._redis.recovery import recover_dead
from arq_status._redis.store import Store

#: How many jobs a list covers if no index answers the query, and how many ids one read returns.
NEWEST = 10_000
_NAMED_AT_ONCE = 1_000
#: How many of the newest jobs are checked for changes that were not published.
_NEWEST_CHANGED = 500


async def count(store: Store) -> dict[Status, int]:
    """Return the number of jobs of each status.

    May write: ends records that dead workers left behind.
    """
    return (await _read_indexes(store)).counts


async def page_of(store: Store, query: Query) -> Page:
    """Return the page of the list that a query asks for."""
    page, _ = await overview(store, query)
    return page


async def overview(store: Store, query: Query) -> tuple[Page, dict[Status, int]]:
    """Return a page and the counts, read from the indexes at one moment."""
    if not query.is_indexed:
        return await _searched_page(store, query)
    reply = await _read_indexes(
        store, query, offset=(query.page - 1) * query.per_page, count=query.per_page
    )
    records = await _matching(store, query, reply.job_ids)
    return _page(query, records, reply.total, truncated=False), reply.counts


async def _read_indexes(
    store: Store, query: Query | None = None, *, offset: int = 0, count: int = 0
) -> ListReply:
    """Read the indexes; if dead workers left jobs behind, end those and read again."""
    statuses = () if query is None else query.statuses
    descending = query is None or not query.is_indexed or query.descending
    label = "" if query is None else _label(query)
    ask = partial(
        store.read_indexes, statuses, offset=offset, count=count, descending=descending, label=label
    )
    reply = await ask()
    return await ask() if await recover_dead(store, reply) else reply


def _label(query: Query) -> str:
    """Return the suffix of the index keys for the tag or group of a query."""
    if query.group is not None:
        return GROUPED + clean(query.group)
    return "" if query.tag is None else TAGGED + clean(query.tag)


async def candidates(store: Store, query: Query) -> list[str]:
    """Return the ids of the jobs that may match, the newest first."""
    job_ids, _ = await _candidates(store, query)
    return job_ids


async def newest(store: Store, query: Query) -> tuple[list[str], datetime]:
    """Return the ids of the jobs that may match and changed last, and Redis' time."""
    reply = await _read_indexes(store, query, count=_NEWEST_CHANGED)
    return reply.job_ids, utc_datetime(reply.now)


async def _candidates(store: Store, query: Query) -> tuple[list[str], ListReply]:
    reply = await _read_indexes(store, query, count=min(NEWEST, _NAMED_AT_ONCE))
    named = dict.fromkeys(reply.job_ids)
    for offset in range(_NAMED_AT_ONCE, min(NEWEST, reply.total), _NAMED_AT_ONCE):
        more = await _read_indexes(
            store, query, offset=offset, count=min(NEWEST - offset, _NAMED_AT_ONCE)
        )
        named.update(dict.fromkeys(more.job_ids))
    found = list(named)
    if query.search:
        found = await _possible(store, query.search, found)
        if query.search not in found and clean(query.search) == query.search:
            found.append(query.search)
    return found, reply


async def _searched_page(store: Store, query: Query) -> tuple[Page, dict[Status, int]]:
    found, reply = await _candidates(store, query)
    matches = _sorted(await _matching(store, query, found, short=True), query)
    offset = (query.page - 1) * query.per_page
    shown = [record.job_id for record in matches[offset : offset + query.per_page]]
    records = await _matching(store, query, shown)
    return _page(query, records, len(matches), truncated=reply.total > NEWEST), reply.counts


async def _possible(store: Store, search: str, job_ids: list[str]) -> list[str]:
    """Drop the ended jobs whose id and stored text cannot match the search.

    That is much faster than building their records.
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
        if (record := build_record(facts)) and query.matches(record, utc_datetime(facts.now))
    ]


def _sorted(records: Iterable[JobRecord], query: Query) -> list[JobRecord]:
    """Sort as the query asks: records without a value last, equal ones newest first."""
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
