"""All keys of arq-status in Redis. The version in the prefix is that of the storage format."""

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

#: string, JSON: the stored record of a job. The key is short because there is one per job.
RECORD = PREFIX.rstrip(":") + "/"
#: hash, field name -> JSON: data stored by the job or from outside
DATA = PREFIX + "data:"
#: hash, field name -> JSON: the data stored from outside, for ``retry``
OUTSIDE = PREFIX + "outside:"
#: string: arq's payload of a job that has started and is not complete, for ``retry``
PAYLOAD = PREFIX + "payload:"
#: list, generation and JSON: tries that are not in the stored record (see ``history``)
TRIES = PREFIX + "tries:"
#: list, position in the log and JSON: the lines of the log (see ``history``)
LOGS = PREFIX + "logs:"
#: Maximum bytes of a payload that is kept.
LARGEST_PAYLOAD = 1_048_576

#: sorted set, worker -> time of its last heartbeat
WORKERS = PREFIX + "workers"
#: string, JSON: the description that a worker sends with every heartbeat
WORKER = PREFIX + "worker:"
#: string, JSON: the part of a worker's description that rarely changes
WORKER_DETAILS = PREFIX + "about:"
#: hash, queue and function -> JSON: the options that tracked workers announced
FUNCTIONS = PREFIX + "functions"
#: sorted sets, queue and function, and queue -> time of the last announcement
FUNCTIONS_SEEN = PREFIX + "functions:seen"
QUEUES = PREFIX + "queues"
#: string: changes whenever FUNCTIONS or QUEUES does
ANNOUNCED = PREFIX + "announced"
#: Milliseconds after which an announcement is forgotten unless it is repeated.
FORGOTTEN_AFTER_MS = 86_400_000

#: sorted set per worker, job id -> last update: jobs that it is running
RUNNING = PREFIX + "running:"
#: set per worker: jobs that it has started and that have no stored record
BEGUN = PREFIX + "begun:"
#: sorted sets per queue, job id -> last update: jobs that wait after ``Retry``; jobs interrupted by
#: a shutdown; jobs that have a record but have not started
RETRYING = PREFIX + "retrying:"
INTERRUPTED = PREFIX + "interrupted:"
WAITING = PREFIX + "waiting:"
#: sorted set per queue, job id -> when it is due: jobs in arq's queue that have started (working,
#: retrying, interrupted), to be subtracted from the counts of queued and deferred jobs
STARTED_BY_DUE = PREFIX + "recorded:"
#: sorted set per state and expiry, job id -> end: sorted by end and by expiry at the same time
ENDED = PREFIX + "ended:"
#: set: the suffixes of ENDED in use, "<state>:<expiry in ms>"
ENDED_SETS = PREFIX + "ended"

#: Suffixes of the keys of indexes by tag and by group. In those of waiting jobs the score is the
#: time when a job is due.
TAGGED, GROUPED = "\0#", "\0@"
#: sorted set, key of an index of ended jobs by tag or group -> when its oldest job expires
LABELLED = PREFIX + "labelled"
#: hash: a group's title, whether it is closed, how many of its jobs are live and how many ended in
#: each state, when the first started, when the last ended or changed, and until when it is kept
GROUP = PREFIX + "group:"

#: hash, job id -> enqueue time, with "!" appended to force it: jobs that were asked to stop
STOPS = PREFIX + "stops"

#: sorted set, queue and function -> when one of its jobs last ended: functions that have counts
COUNTED_FUNCTIONS = PREFIX + "counted"
#: lists per queue and function: counts per minute and per hour (see ``count.lua``)
MINUTES = PREFIX + "minutes:"
HOURS = PREFIX + "hours:"
#: How many of them are kept.
MINUTES_KEPT, HOURS_KEPT = 180, 720
#: hash per queue and function, name -> number: totals, which never decrease
TOTALS = PREFIX + "totals:"
#: hash, state, queue and function -> number: ended jobs that no worker counts, to be counted
UNCOUNTED = PREFIX + "uncounted"
#: string per worker: the number of the last batch that was counted
COUNTED_BATCH = PREFIX + "batch:"
#: hash, queue and cron job -> JSON: its last job
LAST_CRON_JOBS = PREFIX + "crons"
#: Maximum number of functions counted by name, and how long (ms) their counts are kept after their
#: last job.
MOST_COUNTED, COUNTED_FOR_MS = 2_000, 7_776_000_000

#: pub/sub channel; these do not belong to a database, so its number is part of the name
CHANGES = PREFIX + "changes:"
#: Prefix of the id of a group that changed, among ids of jobs.
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
    """Return the channel on which changes of a database are published."""
    return f"{CHANGES}{database}"


def script_constants() -> Mapping[str, Mapping[str, str]]:
    """Return the constants that the scripts call ``K.name``, ``F.name`` and ``S.name``.

    K: the constants here, in lower case, and arq's keys; F: the letters of the fields of a stored
    record; S: its states.
    """
    named = {**_LIMITS, **globals()}
    constants = {name.lower(): _spelled(it) for name, it in named.items() if name.isupper()}
    states = {state.value: state.value for state in State}
    return {"K": constants | _ARQ, "F": LETTERS, "S": states}


def _spelled(value: object) -> str:
    """Return a constant as it is written in a Lua string."""
    words = " ".join(value) if isinstance(value, tuple) else str(value)
    return words.replace("\0", "\\0")
