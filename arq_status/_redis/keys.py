"""Every key of ours in Redis. The version in the prefix is that of the format behind it."""

from arq import constants as arq

from arq_status._model.facts import DEAD_AFTER_MS
from arq_status._model.record import DEFAULT_EXPIRES_MS

PREFIX = "arqstatus:1:"

#: string, JSON: the tracking record of a job (see ``_track``). Of all keys the shortest, for there
#: is one of it for every job.
RECORD = PREFIX.rstrip(":") + "/"
#: hash, field name -> JSON: what the job or others stored
DATA = PREFIX + "data:"
#: string: arq's payload of a job that has begun and is not complete, for ``retry``
PAYLOAD = PREFIX + "payload:"
#: Bytes of a payload that are kept at most.
LARGEST_PAYLOAD = 1_048_576
#: sorted set, worker -> time of its last heartbeat in ms, by the server's clock
WORKERS = PREFIX + "workers"
#: string, JSON: what a worker says of itself
WORKER = PREFIX + "worker:"
#: hash, function name -> JSON: the options that tracked workers announced
FUNCTIONS = PREFIX + "functions"
#: set: the queues that tracked workers announced
QUEUES = PREFIX + "queues"
#: string: changes whenever FUNCTIONS or QUEUES does
ANNOUNCED = PREFIX + "announced"

#: sorted set per worker, job id -> start in ms
RUNNING = PREFIX + "running:"
#: set per worker: jobs that arq began there and that did not come as far as a record
BEGUN = PREFIX + "begun:"
#: sorted set per queue, job id -> ms: jobs that wait for a try and have a record
#: (``waiting`` with data from outside, ``retrying``, ``interrupted``)
PENDING = PREFIX + "pending:"
#: sorted set per status and expiry, job id -> end in ms: in the order of end and of expiry at once
ENDED = PREFIX + "ended:"
#: set: the names behind ENDED that are in use, "<status>:<expiry in ms>"
ENDED_SETS = PREFIX + "ended"

#: hash, job id -> its run, with "!" behind it to stop by force: running jobs that are to stop
STOPS = PREFIX + "stops"

#: pub/sub; Redis knows no databases there, so the number is part of the name
CHANGES = PREFIX + "changes:"


def changes(database: int) -> str:
    """The channel that tells which jobs of a database changed."""
    return f"{CHANGES}{database}"


def for_scripts() -> dict[str, str]:
    """The same by the names that the scripts call them, arq's, and what else they must know."""
    return {
        "record": RECORD,
        "data": DATA,
        "payload": PAYLOAD,
        "workers": WORKERS,
        "worker": WORKER,
        "functions": FUNCTIONS,
        "queues": QUEUES,
        "announced": ANNOUNCED,
        "running": RUNNING,
        "begun": BEGUN,
        "pending": PENDING,
        "ended": ENDED,
        "ended_sets": ENDED_SETS,
        "stops": STOPS,
        "largest_payload": str(LARGEST_PAYLOAD),
        "dead_after": str(DEAD_AFTER_MS),
        "default_expires": str(DEFAULT_EXPIRES_MS),
        "arq_queue": arq.default_queue_name,
        "arq_job": arq.job_key_prefix,
        "arq_in_progress": arq.in_progress_key_prefix,
        "arq_result": arq.result_key_prefix,
        "arq_retry": arq.retry_key_prefix,
        "arq_abort": arq.abort_jobs_ss,
    }
