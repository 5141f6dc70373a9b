"""The gateway's counts and times, for Prometheus."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from serving.client import Prediction
from serving.rollout import counts

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_SCORES = tuple(step / 20 for step in range(1, 21))
_POSITIVE = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1e3, 3e3, 1e4, 3e4, 1e5, 1e6)
_VALUES = (*(-value for value in reversed(_POSITIVE)), 0.0, *_POSITIVE)


class GatewayMetrics:
    """The counts and times of one gateway. Dashboards and rollouts read them: names and labels must stay."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "gateway_requests", "Requests by route and status.", ("route", "method", "status"), registry=self.registry
        )
        self.request_seconds = Histogram(
            "gateway_request_duration_seconds", "How long requests took.", ("route",), buckets=_SECONDS, registry=self.registry
        )
        self.predictions = Counter(
            counts.PREDICTIONS_COUNTER, "Rows by outcome, ok or error.", ("model", "version", "outcome"), registry=self.registry
        )
        self.prediction_seconds = Histogram(
            counts.DURATIONS_HISTOGRAM,
            "How long calls of the model server took.",
            ("model", "version"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.classes = Counter(
            counts.CLASSES_COUNTER, "Rows by predicted label.", ("model", "version", "label"), registry=self.registry
        )
        self.scores = Histogram(
            counts.SCORES_HISTOGRAM,
            "The probability of the positive class, or of the predicted one.",
            ("model", "version"),
            buckets=_SCORES,
            registry=self.registry,
        )
        self.values = Histogram(
            counts.VALUES_HISTOGRAM, "Regression: predictions.", ("model", "version"), buckets=_VALUES, registry=self.registry
        )
        self.cache_hits = Counter("gateway_cache_hits", "Rows answered by the cache.", registry=self.registry)
        self.cache_misses = Counter("gateway_cache_misses", "Rows that the cache did not have.", registry=self.registry)
        self.canary_percent = Gauge(counts.TRAFFIC_GAUGE, "Share of traffic for the canary.", registry=self.registry)
        self.log_dropped = Counter(
            "gateway_log_dropped", "Rows that should have been logged and were not.", registry=self.registry
        )

    def count(self, predictions: Sequence[Prediction]) -> None:
        """Counts rows that were answered, by the model or by the cache."""
        for prediction in predictions:
            labels = prediction.model, str(prediction.version)
            self.predictions.labels(*labels, "ok").inc()
            if prediction.value is not None:
                self.values.labels(*labels).observe(prediction.value)
            else:
                self.classes.labels(*labels, str(prediction.label)).inc()
                self.scores.labels(*labels).observe(confidence(prediction))

    def text(self) -> bytes:
        """The metrics page in Prometheus' text format."""
        return generate_latest(self.registry)


def confidence(prediction: Prediction) -> float:
    """The confidence of a classification: the probability of the positive class, or that of the predicted one of several."""
    return prediction.score if prediction.score is not None else max(prediction.probabilities)
