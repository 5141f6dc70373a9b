"""The model server's metrics for Prometheus, under TensorFlow Serving's names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from threading import Lock

from prometheus_client import CollectorRegistry, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import UnknownMetricFamily
from prometheus_client.registry import Collector

DEFAULT_PATH = "/monitoring/prometheus/metrics"
"""The path of TensorFlow Serving's metrics page."""

_REGISTRY = CollectorRegistry()
_MICROS = 1e6
# TensorFlow Serving's default name; here one pool serves all models.
_THREAD_POOL = "model_server_batch_threads"
_LATENCY_BUCKETS = [10 * 1.8**power for power in range(33)]
_QUEUING_BUCKETS = [100 * 1.2**power for power in range(52)]
_EXAMPLE_BUCKETS = [2.0**power for power in range(15)]

disable_created_metrics()  # type: ignore[no-untyped-call]


class _Counts(Collector):
    """A counter whose name does not end in _total, as TensorFlow Serving's do not and prometheus_client's always do."""

    def __init__(self, name: str, help: str, *labels: str) -> None:
        self.name, self._help, self._labels = f":tensorflow:{name}", help, labels
        self._counts: Counter[tuple[str, ...]] = Counter()
        self._lock = Lock()
        _REGISTRY.register(self)

    def add(self, *values: str, amount: int = 1) -> None:
        with self._lock:
            self._counts[values] += amount

    def total(self) -> int:
        with self._lock:
            return sum(self._counts.values())

    def collect(self) -> Iterator[UnknownMetricFamily]:
        family = UnknownMetricFamily(self.name, self._help, labels=self._labels)
        with self._lock:
            for values, count in sorted(self._counts.items()):
                family.add_metric(values, count)
        yield family


def _histogram(name: str, help: str, *labels: str, buckets: list[float]) -> Histogram:
    return Histogram(f":tensorflow:serving:{name}", help, labels, registry=_REGISTRY, buckets=buckets)


_REQUESTS = _Counts("serving:request_count", "The total number of requests.", "model_name", "status")
_EXAMPLES = _Counts("serving:request_example_count_total", "The total number of tensorflow.Examples.", "model")
_WARMUP_RECORDS = _Counts("serving:model_warmup_records_read", "Warm-up records that were replayed.", "model_path", "status")
_LOADS = _Counts("cc:saved_model:load_attempt_count", "How often loading a version was tried.", "model_path", "status")
_EXAMPLES_PER_REQUEST = _histogram(
    "request_example_counts", "The number of tensorflow.Examples per request.", "model", buckets=_EXAMPLE_BUCKETS
)
_REQUEST_LATENCY = _histogram(
    "request_latency", "Wall time of a request (us).", "model_name", "API", "entrypoint", buckets=_LATENCY_BUCKETS
)
_RUNTIME_LATENCY = _histogram(
    "runtime_latency", "Wall time in TensorFlow (us).", "model_name", "API", "runtime", buckets=_LATENCY_BUCKETS
)
_QUEUING_LATENCY = _histogram(
    "batching_session:queuing_latency",
    "Wall time that requests wait for their batch (us).",
    "thread_pool_name",
    buckets=_QUEUING_BUCKETS,
)
_WARMUP_LATENCY = _histogram(
    "model_warmup_latency", "Wall time to warm a version up (us).", "model_path", "status", buckets=_LATENCY_BUCKETS
)


def record_request(model: str, api: str, entrypoint: str, seconds: float, status: str) -> None:
    """Counts a request; its latency counts only if its status is OK."""
    _REQUESTS.add(model, status)
    if status == "OK":
        _REQUEST_LATENCY.labels(model, api, entrypoint).observe(seconds * _MICROS)


def record_run(model: str, api: str, seconds: float) -> None:
    """Counts a run of a model's graph."""
    _RUNTIME_LATENCY.labels(model, api, "TF1").observe(seconds * _MICROS)


def record_examples(model: str, count: int) -> None:
    """Counts the tf.Examples of a request."""
    _EXAMPLES.add(model, amount=count)
    _EXAMPLES_PER_REQUEST.labels(model).observe(count)


def record_queuing(seconds: float) -> None:
    """Counts the time that a request waited for its batch."""
    _QUEUING_LATENCY.labels(_THREAD_POOL).observe(seconds * _MICROS)


def record_warmup(path: str, seconds: float, records: int, status: str) -> None:
    """Counts a version's warm-up and the requests that it replayed."""
    _WARMUP_LATENCY.labels(path, status).observe(seconds * _MICROS)
    _WARMUP_RECORDS.add(path, status, amount=records)


def record_load(path: str, status: str) -> None:
    """Counts an attempt to load a version."""
    _LOADS.add(path, status)


def page() -> bytes:
    """All metrics in Prometheus' text format."""
    # The untyped ones are the counters above.
    return generate_latest(_REGISTRY).replace(b" untyped\n", b" counter\n")


def counter_value(name: str) -> int:
    """The value of a counter over all labels, by TensorFlow's name such as /tensorflow/serving/request_count; 0 if unknown."""
    counters = (_REQUESTS, _EXAMPLES, _WARMUP_RECORDS, _LOADS)
    return next((counter.total() for counter in counters if counter.name == name.replace("/", ":")), 0)
