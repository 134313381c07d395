"""What ``doctor`` makes of what it has read."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib.metadata import version

from arq_status._arq.worker import is_untested
from arq_status._model.builder import shown_worker
from arq_status._model.durations import duration
from arq_status.cli.doctor.examination import Examination, Server, Worker
from arq_status.cli.doctor.sample import Sample


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    #: worth knowing
    NOTE = "note"
    #: some jobs are not shown as they should be
    WARNING = "warning"
    #: tracking does not work
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was found, and what to do about it."""

    level: Level
    about: str
    text: str
    advice: str | None = None

    def as_json(self) -> dict[str, str | None]:
        """Its fields."""
        return asdict(self)


def of_server(server: Server, dsn: str) -> Iterator[Finding]:
    """What is to be said of the server."""
    where = f"{server.name} {server.version} at {dsn}"
    if not server.suits:
        advice = "upgrade it: arq-status needs Redis 6.2 or newer, or Valkey"
        yield Finding(Level.PROBLEM, "server", f"{where} is too old", advice)
    else:
        yield Finding(Level.OK, "server", where)
    if server.clustered:
        advice = "use a Redis that is no cluster"
        yield Finding(Level.PROBLEM, "server", "arq does not run on Redis Cluster", advice)
    if server.replica:
        text = "it is a replica, in which nothing can be written"
        yield Finding(Level.PROBLEM, "server", text, "give the address of the primary")
    if server.maxmemory and server.policy != "noeviction":
        yield Finding(
            Level.WARNING,
            "server",
            f"when its memory is full it drops keys ({server.policy}): jobs, results and records"
            " may vanish",
            "set maxmemory-policy to noeviction",
        )


def of_versions() -> Iterator[Finding]:
    """What is to be said of the packages."""
    names = ("arq-status", "arq", "redis")
    text = ", ".join(f"{name} {version(name)}" for name in names)
    if not is_untested(version("arq")):
        yield Finding(Level.OK, "packages", text)
    else:
        advice = "look for a newer arq-status"
        yield Finding(Level.NOTE, "packages", f"{text}: this arq was not tested", advice)


def of_workers(examination: Examination) -> Iterator[Finding]:
    """What is to be said of the workers."""
    alive = [it for it in examination.workers if it.alive]
    for worker in alive:
        text = f"{shown_worker(worker.name)} on {worker.queue}, runs {_jobs(worker.running)}"
        yield Finding(Level.OK, "workers", text)
    for worker in examination.workers:
        if not worker.alive:
            yield _of_dead(worker, examination)
    if not alive:
        advice = "decorate its settings with @track_status and start it: arq module.WorkerSettings"
        yield Finding(Level.PROBLEM, "workers", "no tracked worker is alive", advice)
    tracked = sorted(name for name, it in examination.functions.items() if it.track)
    untracked = sorted(name for name, it in examination.functions.items() if not it.track)
    if tracked:
        yield Finding(Level.OK, "functions", f"tracked: {', '.join(tracked)}")
    if untracked:
        yield Finding(Level.OK, "functions", f"not tracked: {', '.join(untracked)}")


def _of_dead(worker: Worker, examination: Examination) -> Finding:
    silent = "" if worker.silent is None else f" {duration(int(worker.silent))} ago"
    text = f"{shown_worker(worker.name)} died{silent}"
    if not worker.running:
        return Finding(Level.NOTE, "workers", text)
    if examination.alive_on(worker.queue):
        advice = "arq runs them again when their in-progress keys expire"
    else:
        advice = f"start a worker for {worker.queue}, and arq runs them again"
    text += f" and has left {_jobs(worker.running)}, which read interrupted"
    return Finding(Level.WARNING, "workers", text, advice)


def of_queues(examination: Examination) -> Iterator[Finding]:
    """What is to be said of the queues."""
    for queue in examination.queues:
        text = f"{queue.name}: {_jobs(queue.jobs)}, {queue.due} due"
        if examination.alive_on(queue.name):
            yield Finding(Level.OK, "queues", text)
        elif queue.served:
            text += "; a worker takes them that is not tracked, or was there within the hour"
            advice = "decorate its settings with @track_status"
            yield Finding(Level.WARNING, "queues", text, advice)
        elif queue.due:
            text += f", the first for {duration(int(queue.oldest))}, and nobody takes them"
            advice = f"start a worker with queue_name={queue.name!r}"
            yield Finding(Level.PROBLEM, "queues", text, advice)
        else:
            yield Finding(Level.OK, "queues", text)


def of_sample(sample: Sample) -> Iterator[Finding]:
    """What is to be said of the keys."""
    text = (
        f"{_jobs(len(sample.jobs))}, {_counted(len(sample.results), 'result')} of arq's and"
        f" {_counted(len(sample.records), 'record')} looked at"
    )
    yield Finding(Level.OK, "keys", text if sample.whole else f"{text}, a sample of all")
    for ids, level, words, advice in _sorts_of(sample):
        if ids:
            yield Finding(level, "keys", f"{_jobs(len(ids))} {words}, such as {ids[0]!r}", advice)


def _sorts_of(sample: Sample) -> Iterator[tuple[list[str], Level, str, str]]:
    yield (
        sample.nowhere,
        Level.WARNING,
        "in a queue that nobody has announced",
        "track its worker, or name it: --queue, StatusClient(queues=...)",
    )
    yield (
        sample.unrecorded,
        Level.NOTE,
        "with a result of arq's and no record",
        "they were not tracked, or keep_result is longer than expires",
    )
    yield (
        sample.over,
        Level.NOTE,
        "with a record whose end nobody wrote",
        "the next list or count does",
    )
    yield (
        sample.undying,
        Level.WARNING,
        "ended, with a record that never expires",
        "somebody took its expiry away (PERSIST, a restore): arq-status delete",
    )
    yield (
        sample.dying,
        Level.WARNING,
        "not ended, with a record that expires",
        "somebody gave it an expiry (EXPIRE, a restore); the job's next report mends it",
    )
    yield (
        sample.damaged,
        Level.WARNING,
        "with a record that cannot be read",
        "arq-status delete",
    )


def _jobs(number: int) -> str:
    return _counted(number, "job")


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what if number == 1 else what + 's'}"
