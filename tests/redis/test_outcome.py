"""How a try ended: what arq put in its books, and what we say of it."""

import asyncio
import json
import pickle
from concurrent.futures import CancelledError as CancelledFuture
from typing import Any

import pytest
from arq import Retry, func
from arq.connections import ArqRedis
from arq.jobs import Job
from arq.worker import JobExecutionFailed, RetryJob

from arq_status import JobStopped, Status, StatusClient, track_status
from arq_status._model.record import State
from arq_status._tracking.outcome import COMPLETE, Circumstances, Outcome, judge
from tests.conftest import RunJob, StartWorker, ended

Context = dict[str, Any]

CANCELLED = asyncio.CancelledError()
#: arq could not store the result, and puts this in its place
NO_RESULT = "unable to serialize result"


def result(stored: object, *, success: bool = False) -> dict[str, Any]:
    """A result as arq stores it, as far as it counts here."""
    return {"s": success, "r": stored}


def failed(error: str) -> Outcome:
    return Outcome(State.FAILED, error)


def again(state: State, error: str | None = None) -> Outcome:
    """The end of a try that arq repeats."""
    return Outcome(state, error, final=False)


ABORTED = Outcome(State.STOPPED, "aborted")
TABLE: dict[str, tuple[BaseException | None, dict[str, Any] | None, dict[str, Any], Outcome]] = {
    # what it raised, what arq stored, what arq went by, what we say
    "returned, kept": (None, result(5, success=True), {}, COMPLETE),
    "returned, not kept": (None, None, {}, COMPLETE),
    "returned what cannot be stored": (None, result(NO_RESULT), {}, failed(NO_RESULT)),
    "raised, kept": (ValueError("no"), result(ValueError("no")), {}, failed("ValueError: no")),
    "raised, not kept": (ValueError("no"), None, {}, failed("ValueError: no")),
    "raised what cannot be stored": (ValueError("no"), result(NO_RESULT), {},
        failed("ValueError: no")),
    "given up": (None, result(JobExecutionFailed("max 5 retries exceeded")), {},
        failed("max 5 tries exceeded")),
    "Retry": (Retry(), None, {}, again(State.RETRYING)),
    "RetryJob": (RetryJob(), None, {}, again(State.RETRYING)),
    "Retry, not repeated": (Retry(), None, {"retry_jobs": False},
        failed("Retry: <Retry defer 0.00s>")),
    "Retry, not repeated, kept": (Retry(), result(Retry()), {"retry_jobs": False},
        failed("Retry: <Retry defer 0.00s>")),
    "its own TimeoutError": (TimeoutError("slow"), result(TimeoutError("slow")), {},
        failed("TimeoutError: slow")),
    "timeout, kept": (CANCELLED, result(TimeoutError()),
        {"cancelled": True, "seconds": 2.0, "timeout": 2.0}, failed("timed out after 2s")),
    "timeout, kept, with a clock that is late": (CANCELLED, result(TimeoutError()),
        {"cancelled": True, "seconds": 1.9, "timeout": 2.5}, failed("timed out after 1.9s")),
    "timeout, kept, without times": (CANCELLED, result(TimeoutError()),
        {"cancelled": True}, failed("timed out")),
    "timeout, not kept": (CANCELLED, None,
        {"cancelled": True, "seconds": 0.2, "timeout": 0.25}, failed("timed out after 0.25s")),
    "timeout that cannot be stored": (CANCELLED, result(NO_RESULT),
        {"cancelled": True, "seconds": 2.0, "timeout": 2.0}, failed("timed out after 2s")),
    "abort, kept": (CANCELLED, result(CANCELLED), {"cancelled": True, "aborted": True}, ABORTED),
    "abort, not kept": (CANCELLED, None, {"cancelled": True, "aborted": True}, ABORTED),
    "abort, not kept, when it is due": (CANCELLED, None,
        {"cancelled": True, "aborted": True, "seconds": 2.0, "timeout": 2.0}, ABORTED),
    "abort in a shutdown": (CANCELLED, result(CANCELLED),
        {"cancelled": True, "aborted": True, "shutdown": True}, ABORTED),
    "abort that cannot be stored": (CANCELLED, result(NO_RESULT),
        {"cancelled": True, "aborted": True}, ABORTED),
    "shutdown": (CANCELLED, None, {"cancelled": True, "shutdown": True},
        again(State.INTERRUPTED, "cut off by a shutdown")),
    "shutdown, not repeated": (CANCELLED, result(CANCELLED),
        {"cancelled": True, "shutdown": True, "retry_jobs": False},
        Outcome(State.INTERRUPTED, "cut off by a shutdown")),
    "shutdown, not repeated, not kept": (CANCELLED, None,
        {"cancelled": True, "shutdown": True, "retry_jobs": False},
        Outcome(State.INTERRUPTED, "cut off by a shutdown")),
    "cancelled itself": (CANCELLED, None, {"seconds": 9.0, "timeout": 9.0},
        again(State.RETRYING, "cancelled itself")),
    "cancelled by its own code": (CANCELLED, None,
        {"cancelled": True, "seconds": 1.0, "timeout": 9.0},
        again(State.RETRYING, "cancelled itself")),
    "cancelled, without a timeout": (CANCELLED, None, {"cancelled": True, "seconds": 1.0},
        again(State.RETRYING, "cancelled itself")),
    "cancelled itself, not repeated": (CANCELLED, result(CANCELLED),
        {"retry_jobs": False}, ABORTED),
    "cancelled itself, not repeated, not kept": (CANCELLED, None, {"retry_jobs": False}, ABORTED),
    "a cancelled future": (CancelledFuture(), result(CancelledFuture()), {}, failed("aborted")),
    "JobStopped, kept": (JobStopped("stopped"), result(JobStopped("stopped")), {},
        Outcome(State.STOPPED, "stopped")),
    "JobStopped, not kept": (JobStopped("enough"), None, {}, Outcome(State.STOPPED, "enough")),
    "JobStopped without words": (JobStopped(), None, {}, Outcome(State.STOPPED, "stopped")),
    "JobStopped that cannot be stored": (JobStopped("enough"), result(NO_RESULT), {},
        Outcome(State.STOPPED, "enough")),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_outcomes(name: str) -> None:
    """Each way to end has its state, its words and whether it was the last try."""
    raised, stored, given, expected = TABLE[name]
    assert judge(raised, stored, Circumstances(**given)) == expected


def test_words_of_a_stopped_job_are_text() -> None:
    """What a job says when it stops is cut to a bounded, clean text."""
    error = judge(JobStopped("\ud800" + "x" * 1_000_000), None, Circumstances()).error
    assert error is not None
    assert error.startswith("?xxx")
    assert len(error) <= 10_000
    error.encode()


def test_job_stopped_pickles_as_a_cancellation() -> None:
    """``JobStopped`` can be read where there is no arq-status, and is what arq calls an abort."""
    raw = pickle.dumps(JobStopped("enough"))
    assert b"arq_status" not in raw
    read = pickle.loads(raw)
    assert type(read) is asyncio.CancelledError
    assert read.args == ("enough",)


async def test_job_result_of_a_stopped_job(run_job: RunJob, pool: ArqRedis) -> None:
    """``Job.result()`` of a job that raised ``JobStopped`` raises ``CancelledError``."""

    async def stop(ctx: Context) -> None:
        raise JobStopped("enough")

    record = await run_job(stop)
    assert (record.status, record.error) == (Status.STOPPED, "enough")
    with pytest.raises(asyncio.CancelledError):
        await Job("job", pool).result(timeout=5)


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (ValueError("no"), Status.FAILED, "ValueError: no"),
        (JobStopped("enough"), Status.STOPPED, "enough"),
        (None, Status.FAILED, "timed out after 0.1s"),
    ],
)
async def test_a_serializer_that_takes_no_exceptions(
    run_job: RunJob, pool: ArqRedis, error: Exception | None, status: Status, words: str
) -> None:
    """Where arq stores only that there is nothing to store, the record still says what happened."""

    async def job(ctx: Context) -> None:
        if error is None:
            await asyncio.Event().wait()
        else:
            raise error

    def as_json(data: Any) -> bytes:
        return json.dumps(data).encode()

    # enqueued with the pool's pickles, read by a worker that stores JSON
    record = await run_job(
        job, job_serializer=as_json, job_deserializer=pickle.loads, job_timeout=0.1
    )
    assert (record.status, record.error) == (status, words)
    raw = await pool.get("arq:result:job")
    assert raw is not None
    stored = json.loads(raw)
    assert (stored["s"], stored["r"]) == (False, NO_RESULT)


class NoWordsError(Exception):
    """An error that cannot say what it is."""

    @property
    def args(self) -> Any:  # type: ignore[override]
        raise RuntimeError("no words")


class NoWordsStopped(JobStopped):
    """The same of a job that stops."""

    args = NoWordsError.args


@pytest.mark.parametrize("keep_result", [0, 60])
@pytest.mark.parametrize(
    ("error", "told"),
    [
        (NoWordsError, (Status.FAILED, "NoWordsError")),
        (NoWordsStopped, (Status.STOPPED, "stopped")),
    ],
)
async def test_an_error_that_cannot_be_read(
    run_job: RunJob, keep_result: int, error: type[Exception], told: tuple[Status, str]
) -> None:
    """A job that ends with an error that breaks whoever looks at it ends like any other."""

    async def job(ctx: Context) -> None:
        raise error

    record = await run_job(job, keep_result=keep_result)
    assert (record.status, record.error) == told


async def test_what_breaks_the_tracking_breaks_nothing_else(
    pool: ArqRedis,
    client: StatusClient,
    start_worker: StartWorker,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where an end cannot be recorded that is logged, arq's books tell it, the worker goes on."""

    async def job(ctx: Context) -> None:
        raise JobStopped

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    async def fine(ctx: Context) -> None:
        pass

    settings = {"functions": [func(job, name="job"), func(fine, name="fine")]}
    monkeypatch.setattr("arq_status._tracking.ending.traceback_of", fail)
    worker = await start_worker(track_status(settings))
    await pool.enqueue_job("job", _job_id="job")
    assert (await ended(client, "job")).status is Status.STOPPED
    assert "could not record the end of job job" in caplog.text
    await pool.enqueue_job("fine", _job_id="fine")
    assert (await ended(client, "fine")).status is Status.COMPLETE
    assert (worker.jobs_failed, worker.jobs_complete) == (1, 1)


async def test_functions_given_as_an_argument(
    pool: ArqRedis, client: StatusClient, start_worker: StartWorker
) -> None:
    """Functions that an argument puts in the place of the settings' are judged by their result."""

    async def job(ctx: Context) -> None:
        raise ValueError("no")

    await start_worker(track_status({"functions": []}), functions=[func(job, name="job")])
    await pool.enqueue_job("job", _job_id="job")
    record = await ended(client, "job")
    assert (record.status, record.error) == (Status.FAILED, "ValueError: no")
