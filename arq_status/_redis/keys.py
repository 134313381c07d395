"""Every key of ours in Redis. The version in the prefix is that of the format behind it."""

from collections.abc import Mapping

from arq import constants as arq

from arq_status._model.facts import DEAD_AFTER_MS
from arq_status._model.histogram import BUCKET_OF_1_MS, PER_DOUBLING
from arq_status._model.history import LAST_TRIES, LOG_BYTES, LOG_LINES
from arq_status._model.labels import MOST_TAGS
from arq_status._model.record import DEFAULT_EXPIRES_MS, DEFAULT_TOTAL, LETTERS, State
from arq_status._model.tally import COUNTED, OTHER
from arq_status._model.validation import DATA_LIMIT

PREFIX = "arqstatus:1:"

#: string, JSON: the stored record of a job. Kept short: there is one per job.
RECORD = PREFIX.rstrip(":") + "/"
#: hash, field name -> JSON: what the job or others stored
DATA = PREFIX + "data:"
#: hash, field name -> JSON: those of them that came from outside, for ``retry``
OUTSIDE = PREFIX + "outside:"
#: string: arq's payload of a job that has begun and is not complete, for ``retry``
PAYLOAD = PREFIX + "payload:"
#: list, JSON after the generation: tries that are not told by the stored record (see ``history``)
TRIES = PREFIX + "tries:"
#: list, JSON after its place in the log: what the job logged (see ``history``)
LOGS = PREFIX + "logs:"
#: Bytes of a payload that are kept at most.
LARGEST_PAYLOAD = 1_048_576

#: sorted set, worker -> time of its last heartbeat
WORKERS = PREFIX + "workers"
#: string, JSON: how a worker describes itself
WORKER = PREFIX + "worker:"
#: string, JSON: what of a worker does not change with every heartbeat
WORKER_DETAILS = PREFIX + "about:"
#: hash, queue and function -> JSON: the options that tracked workers announced
FUNCTIONS = PREFIX + "functions"
#: sorted sets, queue and function, and queue -> time of the last announcement
FUNCTIONS_SEEN = PREFIX + "functions:seen"
QUEUES = PREFIX + "queues"
#: string: changes whenever FUNCTIONS or QUEUES does
ANNOUNCED = PREFIX + "announced"
#: Milliseconds after which an announcement that nobody repeats is forgotten.
FORGOTTEN_AFTER_MS = 86_400_000

#: sorted set per worker, job id -> last update: jobs that run there
RUNNING = PREFIX + "running:"
#: set per worker: jobs that arq began there and that have no stored record
BEGUN = PREFIX + "begun:"
#: sorted sets per queue, job id -> last update: jobs that wait after ``Retry``; jobs cut off by a
#: shutdown; jobs that have a record but have not begun
RETRYING = PREFIX + "retrying:"
INTERRUPTED = PREFIX + "interrupted:"
WAITING = PREFIX + "waiting:"
#: sorted set per queue, job id -> when it is due there: the jobs of the queue that are neither
#: queued nor deferred, for their records tell that they work, retry or are interrupted
STARTED_BY_DUE = PREFIX + "recorded:"
#: sorted set per state and expiry, job id -> end: in the order of end and of expiry at once
ENDED = PREFIX + "ended:"
#: set: the names behind ENDED that are in use, "<state>:<expiry in ms>"
ENDED_SETS = PREFIX + "ended"

#: Suffixes of the keys of the indexes by tag and by group. In those of waiting jobs the score is
#: the time at which a job is due.
TAGGED, GROUPED = "\0#", "\0@"
#: sorted set, key of an index of ended jobs with one tag or of one group -> when its oldest expires
LABELLED = PREFIX + "labelled"
#: hash: a group's title, whether it is closed, how many of its jobs are live and how many ended in
#: each state, when the first began, when the last ended and changed, and until when it is kept
GROUP = PREFIX + "group:"

#: hash, job id -> its enqueue time, with "!" behind it to stop by force: jobs that are to stop
STOPS = PREFIX + "stops"

#: sorted set, queue and function -> when a job of it last ended: what jobs are counted by
COUNTED_FUNCTIONS = PREFIX + "counted"
#: lists per queue and function: the minutes and hours in which jobs ended (see ``count.lua``)
MINUTES = PREFIX + "minutes:"
HOURS = PREFIX + "hours:"
#: How many of them are kept.
MINUTES_KEPT, HOURS_KEPT = 180, 720
#: hash per queue and function, name -> number: what never falls
TOTALS = PREFIX + "totals:"
#: hash, end, queue and function -> number: jobs that others ended for dead workers, to be counted
UNCOUNTED = PREFIX + "uncounted"
#: string per worker: the number of the last batch that was counted
COUNTED_BATCH = PREFIX + "batch:"
#: hash, queue and cron job -> JSON: its last job
LAST_CRON_JOBS = PREFIX + "crons"
#: Maximum number of functions counted by name, and how long (ms) their counts are kept after their
#: last job.
MOST_COUNTED, COUNTED_FOR_MS = 2_000, 7_776_000_000

#: pub/sub; Redis knows no databases there, so the number is part of the name
CHANGES = PREFIX + "changes:"
#: Stands before the id of a group that changed, among the ids of jobs.
GROUP_SUBJECT = "\0@"


#: Constants of other modules that the scripts use.
_LIMITS: Mapping[str, object] = {
    "BUCKET_OF_1_MS": BUCKET_OF_1_MS,
    "COUNTED": COUNTED,
    "DATA_LIMIT": DATA_LIMIT,
    "DEAD_AFTER_MS": DEAD_AFTER_MS,
    "DEFAULT_EXPIRES_MS": DEFAULT_EXPIRES_MS,
    "DEFAULT_TOTAL": DEFAULT_TOTAL,
    "LAST_TRIES": LAST_TRIES,
    "LOG_BYTES": LOG_BYTES,
    "LOG_LINES": LOG_LINES,
    "MOST_TAGS": MOST_TAGS,
    "OTHER": OTHER,
    "PER_DOUBLING": PER_DOUBLING,
}
_ARQ = {
    "arq_queue": arq.default_queue_name,
    "arq_job": arq.job_key_prefix,
    "arq_in_progress": arq.in_progress_key_prefix,
    "arq_result": arq.result_key_prefix,
    "arq_retry": arq.retry_key_prefix,
    "arq_abort": arq.abort_jobs_ss,
}


def changes(database: int) -> str:
    """Return the channel that tells which jobs of a database changed."""
    return f"{CHANGES}{database}"


def script_constants() -> Mapping[str, Mapping[str, str]]:
    """Return what the scripts call ``K.name``, ``F.name`` and ``S.name``.

    The constants in small letters and arq's keys; the letters of the stored record; its states.
    """
    named = {**_LIMITS, **globals()}
    constants = {name.lower(): _spelled(it) for name, it in named.items() if name.isupper()}
    states = {state.value: state.value for state in State}
    return {"K": constants | _ARQ, "F": LETTERS, "S": states}


def _spelled(value: object) -> str:
    """Return a constant as Lua spells it between quotes."""
    words = " ".join(value) if isinstance(value, tuple) else str(value)
    return words.replace("\0", "\\0")
