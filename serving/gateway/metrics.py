"""The gateway's counts and times, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from serving.client import Prediction
from serving.rollout import counts

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class AnswerMetrics:
    """The counts and times of answers by version. Dashboards and rollouts read them: names and labels must stay.

    Args:
      registry: where they are exported.
      named: makes the metrics' names of those of what callers get.
    """

    def __init__(self, registry: CollectorRegistry, named: Callable[[str], str]) -> None:
        self.registry = registry
        self.predictions = Counter(
            named(counts.PREDICTIONS_COUNTER),
            "Rows by outcome, ok or error.",
            ("model", "version", "outcome"),
            registry=registry,
        )
        self.prediction_seconds = Histogram(
            named(counts.DURATIONS_HISTOGRAM),
            "How long calls of the model server took.",
            ("model", "version"),
            buckets=_SECONDS,
            registry=registry,
        )
        self.classes = Counter(
            named(counts.CLASSES_COUNTER), "Rows by predicted label.", ("model", "version", "label"), registry=registry
        )
        self.scores = Histogram(
            named(counts.SCORES_HISTOGRAM),
            "The probability of the positive class, or of the predicted one.",
            ("model", "version"),
            buckets=counts.SCORE_BOUNDS,
            registry=registry,
        )
        self.values = Histogram(
            named(counts.VALUES_HISTOGRAM),
            "Regression: predictions.",
            ("model", "version"),
            buckets=counts.VALUE_BOUNDS,
            registry=registry,
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

    def forget(self, model: str, version: int) -> None:
        """Ends the counts of a version whose number another model has got: they begin anew, as after a restart."""
        for metric in (self.predictions, self.prediction_seconds, self.classes, self.scores, self.values):
            metric.remove_by_labels({"model": model, "version": str(version)})


class ShadowMetrics(AnswerMetrics):
    """The counts and times of what a shadow answers, and how often callers got the same from the stable version."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry, counts.of_shadow)
        self.agreement = Counter(
            counts.AGREEMENT_COUNTER,
            "Rows of a shadow that the stable version has answered alike (same) or otherwise (other).",
            ("model", "version", "answer"),
            registry=registry,
        )
        self.dropped = Counter("gateway_shadow_dropped", "Rows that a shadow was not asked about.", registry=registry)

    def forget(self, model: str, version: int) -> None:
        """Ends the counts of a version, also those of how often it agrees."""
        super().forget(model, version)
        self.agreement.remove_by_labels({"model": model, "version": str(version)})

    def compare(self, predictions: Sequence[Prediction], answered: Sequence[Prediction]) -> None:
        """Counts how often a shadow agrees.

        Args:
          predictions: the shadow's answers.
          answered: what callers got for the same rows.
        """
        for prediction, given in zip(predictions, answered, strict=True):
            one, other = (counts.answer_of(each.label, each.value) for each in (prediction, given))
            # Both are there from the first row on: the share of one is 0, and not unknown.
            for answer, counted in ((counts.SAME, one == other), (counts.OTHER, one != other)):
                self.agreement.labels(prediction.model, str(prediction.version), answer).inc(counted)


class GatewayMetrics(AnswerMetrics):
    """The counts and times of one gateway."""

    def __init__(self) -> None:
        super().__init__(CollectorRegistry(), str)
        self.shadow = ShadowMetrics(self.registry)
        self.requests = Counter(
            "gateway_requests", "Requests by route and status.", ("route", "method", "status"), registry=self.registry
        )
        self.request_seconds = Histogram(
            "gateway_request_duration_seconds", "How long requests took.", ("route",), buckets=_SECONDS, registry=self.registry
        )
        self.explanations = Counter(
            "gateway_explanations",
            "Rows that were to be explained, by outcome, ok or error.",
            ("model", "version", "outcome"),
            registry=self.registry,
        )
        self.explanation_rows = Counter(
            "gateway_explanation_rows",
            "Rows that the model was asked about to explain others.",
            ("model", "version"),
            registry=self.registry,
        )
        self.explanation_seconds = Histogram(
            "gateway_explanation_duration_seconds",
            "How long it took to explain the rows of a request.",
            ("model", "version"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.cache_hits = Counter("gateway_cache_hits", "Rows answered by the cache.", registry=self.registry)
        self.cache_misses = Counter("gateway_cache_misses", "Rows that the cache did not have.", registry=self.registry)
        self.canary_percent = Gauge(counts.TRAFFIC_GAUGE, "Share of traffic for the canary.", registry=self.registry)
        self.canary_is_shadow = Gauge(
            counts.SHADOW_GAUGE, "1 where the canary is a shadow, and callers get none of its answers.", registry=self.registry
        )
        self.started = Gauge(
            counts.START_GAUGE, "When the gateway began to count, in seconds since 1970.", registry=self.registry
        )
        self.started.set_to_current_time()
        self.log_dropped = Counter(
            "gateway_log_dropped", "Rows that should have been logged and were not.", registry=self.registry
        )

    def count_explanations(self, predictions: Sequence[Prediction], seconds: float) -> None:
        """Counts the rows of a request that were explained, and what it took.

        Args:
          predictions: the predictions with their explanations.
          seconds: the duration of all of them.
        """
        labels = predictions[0].model, str(predictions[0].version)
        rows_asked = sum(one.explanation.rows_asked for one in predictions if one.explanation)
        self.explanations.labels(*labels, "ok").inc(len(predictions))
        self.explanation_rows.labels(*labels).inc(rows_asked)
        self.explanation_seconds.labels(*labels).observe(seconds)

    def text(self) -> bytes:
        """The metrics page in Prometheus' text format."""
        return generate_latest(self.registry)


def confidence(prediction: Prediction) -> float:
    """The confidence of a classification: the probability of the positive class, or that of the predicted one of several."""
    return prediction.score if prediction.score is not None else max(prediction.probabilities)
