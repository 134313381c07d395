"""The stored record of a job: JSON in Redis, written by workers, clients and recovery."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from json.encoder import encode_basestring as _quoted
from typing import Any, Self

from arq.constants import default_queue_name

from arq_status._model.text import clean

#: How long the record of an ended job is kept by default, in ms.
DEFAULT_EXPIRES_MS = 1_800_000
#: ``total`` until the job sets it.
DEFAULT_TOTAL = 100
#: Upper bound of stored times, in the year 5138: anything later is damage.
LAST_MS = 10**14

#: One-letter names of the fields in the JSON. Times are relative to the enqueue time.
LETTERS: Mapping[str, str] = {
    "enqueued_ms": "r",
    "generation": "g",
    "version": "v",
    "job_try": "n",
    "state": "s",
    "function": "f",
    "args": "a",
    "queue": "q",
    "due": "d",
    "started": "b",
    "updated": "u",
    "ended": "e",
    "at": "p",
    "total": "t",
    "remaining": "l",
    "message": "m",
    "error": "x",
    "worker": "w",
    "expires_after_ms": "z",
    "hides_args": "y",
    "tags": "k",
    "group": "j",
    # only in tries, which are stored separately
    "traceback": "c",
}
#: How each field starts in the JSON.
_BEGIN = {field: f',"{letter}":' for field, letter in LETTERS.items()}
_ENQUEUED, _STATE, _ENDED = f'{{"{LETTERS["enqueued_ms"]}":', _BEGIN["state"], _BEGIN["ended"]
_GENERATION, _VERSION, _TRY = _BEGIN["generation"], _BEGIN["version"], _BEGIN["job_try"]
_FUNCTION, _ARGS, _QUEUE, _WORKER = (_BEGIN[it] for it in ("function", "args", "queue", "worker"))
_DUE, _STARTED, _UPDATED = _BEGIN["due"], _BEGIN["started"], _BEGIN["updated"]
_AT, _TOTAL, _MESSAGE = _BEGIN["at"], _BEGIN["total"], _BEGIN["message"]
_REMAINING = _BEGIN["remaining"]
_ERROR, _EXPIRES, _HIDES_ARGS = _BEGIN["error"], _BEGIN["expires_after_ms"], _BEGIN["hides_args"]
_TAGS, _GROUP = _BEGIN["tags"], _BEGIN["group"]

#: Unlike ``json.loads`` it does not look for surrounding whitespace, because there is none.
_scan = json.JSONDecoder().raw_decode


class State(StrEnum):
    """The state of a job in its stored record. Its status also depends on arq's own keys."""

    #: not started; recorded because of data, tags, a group or a ``retry``
    WAITING = "waiting"
    WORKING = "working"
    #: the try ended with Retry
    RETRYING = "retrying"
    COMPLETE = "complete"
    FAILED = "failed"
    STOPPED = "stopped"
    #: for good if it has an end; otherwise by a shutdown, and arq will run it again
    INTERRUPTED = "interrupted"
    #: its tracking data was deleted, and late writes of that run are rejected
    DELETED = "deleted"


_STATES: Mapping[str | None, State] = {state.value: state for state in State}


@dataclass(slots=True, kw_only=True)
class StoredRecord:
    """The stored record. Times are epoch milliseconds, ``None`` if unknown."""

    #: when the run was enqueued, 0 if unknown; distinguishes the runs of a job id
    enqueued_ms: int
    job_try: int
    #: 1, and one more after each ``retry``
    generation: int = 1
    #: grows with every write of a try, so that an older write never overwrites a newer one; an end
    #: overrides them all and is stored without a version
    version: int = 0
    state: State = State.WORKING
    function: str | None = None
    args: str = ""
    queue: str = default_queue_name
    #: when the try was due or, between two tries, when the next one is due
    due: int | None = None
    started: int | None = None
    updated: int = 0
    ended: int | None = None
    at: float = 0
    total: float = DEFAULT_TOTAL
    #: estimated remaining time in ms, counted from ``updated``
    remaining: int | None = None
    message: str | None = None
    error: str | None = None
    #: HOST:PID:RANDOM, different for every process; HOST:PID once the job has ended
    worker: str | None = None
    #: how long the record is kept after the end
    expires_after_ms: int = DEFAULT_EXPIRES_MS
    #: its arguments are confidential, so no payload is kept for ``retry``
    hides_args: bool = False
    tags: tuple[str, ...] = ()
    #: the id of the group that it was enqueued in
    group: str | None = None

    def encode(self) -> str:  # noqa: C901, PLR0912 - a branch per field, and called for every write
        """Encode as JSON, omitting values that are the same for most jobs."""
        run, ended = self.enqueued_ms, self.ended
        common = common_text(
            self.function,
            self.queue,
            self.worker,
            self.expires_after_ms,
            hides_args=self.hides_args,
        )
        text = f"{_ENQUEUED}{run}{common}"
        if self.generation != 1:
            text += f"{_GENERATION}{self.generation}"
        if ended is None:
            text += f"{_VERSION}{self.version}"
        if self.job_try != 1:
            text += f"{_TRY}{self.job_try}"
        if ended is None or self.state is not State.COMPLETE:
            text += f'{_STATE}"{self.state}"'
        if self.args:
            text += f"{_ARGS}{_quoted(self.args)}"
        if self.due is not None and self.due != run:
            text += f"{_DUE}{self.due - run}"
        if self.started is not None:
            text += f"{_STARTED}{self.started - run}"
        if ended is not None:
            text += f"{_ENDED}{ended - run}"
        if self.updated != ended:
            text += f"{_UPDATED}{self.updated - run}"
        if self.at:
            text += f"{_AT}{self.at}"
        if self.total != DEFAULT_TOTAL:
            text += f"{_TOTAL}{self.total}"
        if self.remaining is not None and ended is None:
            text += f"{_REMAINING}{self.remaining}"
        if self.message is not None:
            text += f"{_MESSAGE}{_quoted(self.message)}"
        if self.error is not None:
            text += f"{_ERROR}{_quoted(self.error)}"
        if self.tags:
            text += f"{_TAGS}[{','.join(map(_quoted, self.tags))}]"
        if self.group is not None:
            text += f"{_GROUP}{_quoted(self.group)}"
        return text + "}"

    @classmethod
    def decode(cls, raw: bytes) -> Self | None:
        """Decode a record, ignoring damaged fields; ``None`` if it cannot be read at all."""
        try:
            text = raw.decode()
            fields, end = _scan(text)
        except (ValueError, RecursionError):
            return None
        if type(fields) is not dict or end != len(text):
            return None
        run = _time(fields.get(_RUN)) or 0
        values: dict[str, Any] = {"job_try": 1, "state": State.COMPLETE, "updated": run}
        if fields.get(_END) is not None:
            values["updated"] = _since(run, fields[_END]) or run
        elif _STATUS not in fields:
            return None
        for letter, value in fields.items():
            if letter in _TIMES:
                known = _since(run, value)
            elif letter in _READERS:
                known = _READERS[letter](value)
            else:
                continue
            if known is not None:
                values[_FIELDS[letter]] = known
            elif letter == _STATUS:
                return None
        return cls(enqueued_ms=run, **values)


def may_contain(raw: bytes, needle: str) -> bool:
    """Return False only if a search for ``needle`` cannot match the job.

    ``needle`` is JSON-escaped and casefolded. Returns True for jobs that have not ended, because
    their stored records do not contain everything that is shown.
    """
    text = raw.decode(errors="replace")
    if _ENDED not in text or "\\u" in text or (_STATE in text and _ERROR not in text):
        return True
    return needle in text.casefold()


def encode_completed(
    run: int, common: str, args: str, due: int | None, started: int, ended: int
) -> str:
    """Encode the record of a job that completed on its first try and reported nothing.

    Returns the same as ``StoredRecord.encode``, much faster because no record is created.

    Args:
        run: when it was enqueued.
        common: the ``common_text`` of its function.
        args: its arguments, as shown.
        due: when it was due.
        started: when it started.
        ended: when it ended.
    """
    text = f"{_ENQUEUED}{run}{common}"
    if args:
        text += f"{_ARGS}{_quoted(args)}"
    if due is not None and due != run:
        text += f"{_DUE}{due - run}"
    return f"{text}{_STARTED}{started - run}{_ENDED}{ended - run}}}"


@lru_cache(maxsize=256)
def common_text(
    function: str | None, queue: str, worker: str | None, expires_after_ms: int, *, hides_args: bool
) -> str:
    """Return the part of the JSON that jobs of the same function and worker have in common."""
    text = "" if function is None else f"{_FUNCTION}{_quoted(function)}"
    if queue != default_queue_name:
        text += f"{_QUEUE}{_quoted(queue)}"
    if worker is not None:
        text += f"{_WORKER}{_quoted(worker)}"
    if expires_after_ms != DEFAULT_EXPIRES_MS:
        text += f"{_EXPIRES}{expires_after_ms}"
    return f"{text}{_HIDES_ARGS}1" if hides_args else text


def _time(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < LAST_MS else None


def _since(run: int, value: object) -> int | None:
    return _time(run + value) if type(value) is int else None


def _positive(value: object) -> int | None:
    return _time(value) or None


def _amount(value: object) -> float | None:
    if type(value) is int or type(value) is float:
        # NaN and infinities fail the comparison, too
        return value if 0 <= value <= 1e300 else None
    return None


def _texts(value: object) -> tuple[str, ...]:
    return tuple(clean(it) for it in value if isinstance(it, str)) if type(value) is list else ()


def _text(value: object) -> str | None:
    # JSON can contain lone surrogates, which nothing else accepts
    return clean(value) if isinstance(value, str) else None


def _name(value: object) -> str | None:
    return _text(value) or None


def _state(value: object) -> State | None:
    return _STATES.get(_text(value))


def _yes(value: object) -> bool:
    return True


_RUN, _END, _STATUS = LETTERS["enqueued_ms"], LETTERS["ended"], LETTERS["state"]
_FIELDS: Mapping[str, str] = {letter: field for field, letter in LETTERS.items()}
#: The letters of times, which are relative to the enqueue time, and the readers of other fields.
_TIMES = frozenset(LETTERS[it] for it in ("due", "started", "updated", "ended"))
_READERS: Mapping[str, Callable[[object], Any]] = {
    LETTERS[field]: read
    for read, fields in {
        _state: ("state",),
        _positive: ("generation", "expires_after_ms"),
        _time: ("version", "job_try", "remaining"),
        _amount: ("at", "total"),
        _text: ("function", "args", "message", "error", "worker", "group"),
        _name: ("queue",),
        _texts: ("tags",),
        _yes: ("hides_args",),
    }.items()
    for field in fields
}
