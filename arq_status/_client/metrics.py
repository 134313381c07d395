"""Metrics in Prometheus' text format."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from arq_status._client.activity import counted_names
from arq_status._model.tally import ENDS, RETRIED
from arq_status._redis.announcements import split_function_key
from arq_status._redis.indexes import QueueCounts
from arq_status._redis.store import Store
from arq_status._redis.tallies import read_totals

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

#: The media type of ``metrics``.
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: Histograms have buckets from 1 ms to 70 minutes, each twice as wide as the one before.
_DOUBLINGS = range(23)

#: A queue and a function, and its counters.
Totals = tuple[list[str], Mapping[str, int]]


async def metrics(store: Store) -> bytes:
    """Return the metrics of all queues and functions.

    Raises:
        ModuleNotFoundError: prometheus-client is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"metrics need {error.name}: pip install 'arq-status[prometheus]'", name=error.name
        ) from error
    _, queues = await store.queues()
    now, names = await counted_names(store)
    found = zip(names, await read_totals(store.redis, names), strict=True)
    totals = [(list(split_function_key(name)), it) for name, it in found]
    collected = [*_of_queues(now, queues), *_of_functions(totals)]
    registry = CollectorRegistry()
    registry.register(_Collected(collected))
    return generate_latest(registry)


class _Collected:
    """A collector that returns given metrics."""

    def __init__(self, found: Sequence["Metric"]) -> None:
        self._found = found

    def collect(self) -> Iterable["Metric"]:
        """Return the metrics."""
        return self._found


def _of_queues(now: int, queues: Sequence[QueueCounts]) -> Iterator["Metric"]:
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415 - comes with an extra

    jobs = GaugeMetricFamily(
        "arq_jobs", "Jobs in a queue that have not ended.", labels=["queue", "status"]
    )
    latency = GaugeMetricFamily(
        "arq_queue_latency_seconds",
        "Seconds since the oldest waiting job became due.",
        labels=["queue"],
    )
    workers = GaugeMetricFamily("arq_workers", "Tracked workers that are alive.", labels=["queue"])
    for it in queues:
        for status in ("queued", "deferred", "retrying", "working"):
            jobs.add_metric([it.name, status], getattr(it, status))
        latency.add_metric([it.name], (now - (it.oldest_due or now)) / 1000)
        workers.add_metric([it.name], it.workers)
    return iter((jobs, latency, workers))


def _of_functions(totals: Sequence[Totals]) -> Iterator["Metric"]:
    from prometheus_client.core import CounterMetricFamily  # noqa: PLC0415 - comes with an extra

    labels = ["queue", "function"]
    ended = CounterMetricFamily("arq_jobs_ended", "Jobs that ended.", labels=[*labels, "status"])
    tries = CounterMetricFamily("arq_job_tries", "Tries that ended.", labels=labels)
    for of, numbers in totals:
        for status in ENDS:
            ended.add_metric([*of, status], numbers.get(status, 0))
        ran = sum(_weights(numbers, "run").values())
        tries.add_metric(of, ran + numbers.get(RETRIED, 0))
    yield ended
    yield tries
    yield _histogram("arq_job_run_seconds", "Run time of the last try of each job.", totals, "run")
    yield _histogram(
        "arq_job_wait_seconds",
        "Time from being due to the start of the last try of each job.",
        totals,
        "wait",
    )


def _histogram(name: str, description: str, totals: Sequence[Totals], kind: str) -> "Metric":
    from prometheus_client.core import HistogramMetricFamily  # noqa: PLC0415 - comes with an extra

    family = HistogramMetricFamily(name, description, labels=["queue", "function"])
    for of, numbers in totals:
        weights = _weights(numbers, kind)
        below = sum(number for doubling, number in weights.items() if doubling < 0)
        counts = accumulate((weights.get(it, 0) for it in _DOUBLINGS), initial=below)
        next(counts)
        bounds = [(str(2**it / 1000), count) for it, count in zip(_DOUBLINGS, counts, strict=True)]
        bounds.append(("+Inf", sum(weights.values())))
        family.add_metric(of, bounds, numbers.get(f"{kind}_us", 0) / 1_000_000)
    return family


def _weights(numbers: Mapping[str, int], kind: str) -> dict[int, int]:
    """Return, by n, the number of durations that are below 2**n ms and at least half of that."""
    found = {}
    for name, number in numbers.items():
        doubling = name.removeprefix(kind)
        if doubling != name and doubling.lstrip("-").isdecimal():
            found[int(doubling)] = number
    return found
