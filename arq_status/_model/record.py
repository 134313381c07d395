"""The tracking record of a job as it stands in Redis: one JSON text, written by one worker."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from json.encoder import encode_basestring as _quoted
from typing import Self

from arq.constants import default_queue_name

from arq_status._model.text import clean

#: Milliseconds that an ended job's record lives when nobody says otherwise.
DEFAULT_EXPIRES_MS = 1_800_000
#: What ``total`` is until the job says otherwise.
DEFAULT_TOTAL = 100

#: without the look for white space around, which there is none of
_scan = json.JSONDecoder().raw_decode


class State(StrEnum):
    """What the tracking record says of a job; the status also heeds arq's own keys."""

    #: not begun, but something was stored for it from outside
    WAITING = "waiting"
    WORKING = "working"
    #: the try ended with Retry
    RETRYING = "retrying"
    COMPLETE = "complete"
    FAILED = "failed"
    STOPPED = "stopped"
    #: with an end: for good; without: cut off by a shutdown, arq runs it again
    INTERRUPTED = "interrupted"
    #: the tracking data was deleted: late writes of that run are refused
    DELETED = "deleted"


_STATES: Mapping[str | None, State] = {state.value: state for state in State}


@dataclass(slots=True, kw_only=True)
class StoredRecord:
    """The tracking record. Times are epoch milliseconds, ``None`` where not known."""

    #: when the run was enqueued; tells the runs of one job id apart, 0 where it is not known
    enqueued_ms: int
    job_try: int
    #: grows with every write of a try, so that an older one never overwrites a newer one; an end
    #: beats them all and is stored without it
    version: int = 0
    state: State = State.WORKING
    function: str | None = None
    args: str = ""
    queue: str = default_queue_name
    #: when the try was due; tells the tries after a ``retry`` of the run from those before it
    due: int | None = None
    started: int | None = None
    updated: int = 0
    ended: int | None = None
    at: float = 0
    total: float = DEFAULT_TOTAL
    message: str | None = None
    error: str | None = None
    #: HOST:PID:RANDOM, new at every process start; HOST:PID once it has ended
    worker: str | None = None
    expires: int = DEFAULT_EXPIRES_MS

    def encode(self) -> str:  # noqa: C901 - one line a field, and called for every write
        """The JSON text: without what is the same for most jobs, and with times since ``run``."""
        run, ended = self.enqueued_ms, self.ended
        text = f'{{"r":{run}{_common(self.function, self.queue, self.worker, self.expires)}'
        if ended is None:
            text += f',"v":{self.version}'
        if self.job_try != 1:
            text += f',"n":{self.job_try}'
        if ended is None or self.state is not State.COMPLETE:
            text += f',"s":"{self.state}"'
        if self.args:
            text += f',"a":{_quoted(self.args)}'
        if self.due is not None and self.due != run:
            text += f',"d":{self.due - run}'
        if self.started is not None:
            text += f',"b":{self.started - run}'
        if ended is not None:
            text += f',"e":{ended - run}'
        if self.updated != ended:
            text += f',"u":{self.updated - run}'
        if self.at:
            text += f',"p":{self.at}'
        if self.total != DEFAULT_TOTAL:
            text += f',"t":{self.total}'
        if self.message is not None:
            text += f',"m":{_quoted(self.message)}'
        if self.error is not None:
            text += f',"x":{_quoted(self.error)}'
        return text + "}"

    @classmethod
    def decode(cls, raw: bytes) -> Self | None:
        """Read a record, damaged ones as far as they can be read; ``None`` if not at all."""
        try:
            text = raw.decode()
            fields, end = _scan(text)
        except (ValueError, RecursionError):
            return None
        if type(fields) is not dict or end != len(text):
            return None
        state = _STATES.get(_text(fields.get("s", "complete" if "e" in fields else None)))
        if state is None:
            return None
        run = _time(fields.get("r")) or 0
        job_try = _time(fields.get("n"))
        return cls(
            enqueued_ms=run,
            job_try=1 if job_try is None else job_try,
            version=_time(fields.get("v")) or 0,
            state=state,
            function=_text(fields.get("f")),
            args=_text(fields.get("a")) or "",
            queue=_text(fields.get("q")) or default_queue_name,
            due=_since(run, fields.get("d")),
            started=_since(run, fields.get("b")),
            updated=_since(run, fields.get("u", fields.get("e"))) or run,
            ended=_since(run, fields.get("e")),
            at=_amount(fields.get("p"), 0),
            total=_amount(fields.get("t"), DEFAULT_TOTAL),
            message=_text(fields.get("m")),
            error=_text(fields.get("x")),
            worker=_text(fields.get("w")),
            expires=_time(fields.get("z")) or DEFAULT_EXPIRES_MS,
        )


@lru_cache(maxsize=256)
def _common(function: str | None, queue: str, worker: str | None, expires: int) -> str:
    """The part of the text that the jobs of one function in one worker have in common."""
    text = "" if function is None else f',"f":{_quoted(function)}'
    if queue != default_queue_name:
        text += f',"q":{_quoted(queue)}'
    if worker is not None:
        text += f',"w":{_quoted(worker)}'
    return text if expires == DEFAULT_EXPIRES_MS else f'{text},"z":{expires}'


#: Year 5138 in ms: what is beyond is damage, and ``datetime`` could not show it.
_LAST_TIME = 10**14


def _time(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < _LAST_TIME else None


def _since(run: int, value: object) -> int | None:
    return _time(run + value) if type(value) is int else None


def _amount(value: object, default: float) -> float:
    if type(value) is int or type(value) is float:
        # NaN and the infinities fail the comparison as well
        return value if 0 <= value <= 1e300 else default
    return default


def _text(value: object) -> str | None:
    # JSON can spell halves of surrogates, which nothing else takes
    return clean(value) if isinstance(value, str) else None
