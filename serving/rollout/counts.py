"""The gateways' counts of each version: read from their metrics pages, added up, and counted from a moment on."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

Snapshot = dict[str, dict[str, float]]
"""Counters by gateway (its address, or the name of its pod), then by name and labels as a metrics page has them."""

# The names of the gateway's metrics that a rollout reads.
TRAFFIC_GAUGE = "gateway_canary_traffic_percent"
PREDICTIONS_COUNTER = "gateway_predictions"
DURATIONS_HISTOGRAM = "gateway_prediction_duration_seconds"
CLASSES_COUNTER = "gateway_predicted_class"
SCORES_HISTOGRAM = "gateway_predicted_score"
VALUES_HISTOGRAM = "gateway_predicted_value"
SHADOW_GAUGE = "gateway_canary_is_shadow"
START_GAUGE = "gateway_start_time_seconds"
AGREEMENT_COUNTER = "gateway_shadow_agreement"
SAME, OTHER = "same", "other"
"""The values of its label `answer`."""


SCORE_BOUNDS = tuple(step / 20 for step in range(1, 21))
_POSITIVE = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1e3, 3e3, 1e4, 3e4, 1e5, 1e6)
VALUE_BOUNDS = (*(-value for value in reversed(_POSITIVE)), 0.0, *_POSITIVE)
"""Upper bounds of the buckets of scores and of a regression's values."""


def answer_of(label: str | int | None, value: float | None) -> str | int:
    """What two versions have to have in common to agree on a row: the class, or the bucket of the number."""
    return str(label) if value is None else bisect_left(VALUE_BOUNDS, value)


def of_shadow(name: str) -> str:
    """The name of a metric of what a shadow answers."""
    return name.replace("gateway_", "gateway_shadow_", 1)


_PREDICTIONS = f"{PREDICTIONS_COUNTER}_total"
_DURATIONS = f"{DURATIONS_HISTOGRAM}_bucket"
_CLASSES = f"{CLASSES_COUNTER}_total"
_SCORES = (f"{SCORES_HISTOGRAM}_bucket", f"{VALUES_HISTOGRAM}_bucket")
_AGREEMENT = f"{AGREEMENT_COUNTER}_total"
_ANSWERS = {_PREDICTIONS: "outcome", _DURATIONS: "le", _CLASSES: "label", **dict.fromkeys(_SCORES, "le")}
# The label that tells the samples of a counter and a version apart.
_LABELS = {**_ANSWERS, **{of_shadow(name): label for name, label in _ANSWERS.items()}, _AGREEMENT: "answer"}
_SEPARATOR = "|"
_SECONDS = 5.0


@dataclass(frozen=True)
class Counts:
    """The counts of one version.

    Attributes:
      ok: rows that were answered.
      errors: rows that were not answered.
      durations: calls of the model server by the upper bound of their duration in seconds, cumulative, as in a histogram.
      classes: rows by predicted class.
      scores: rows by the upper bound of their score (or value, for regression), cumulative.
      same: rows of a shadow that the stable version has answered alike: with the same class, or a value of the same bucket.
      other: rows of a shadow that it has answered otherwise.
    """

    ok: int = 0
    errors: int = 0
    durations: Mapping[float, int] = field(default_factory=dict)
    classes: Mapping[str, int] = field(default_factory=dict)
    scores: Mapping[float, int] = field(default_factory=dict)
    same: int = 0
    other: int = 0

    @property
    def rows(self) -> int:
        """All rows."""
        return self.ok + self.errors

    @property
    def error_rate(self) -> float:
        """The share of rows that were not answered; 0 when there were none."""
        return self.errors / self.rows if self.rows else 0.0


def read_metrics(address: str) -> str:
    """The metrics page of a gateway, asked without a proxy; empty where no gateway answers.

    Args:
      address: the gateway's address, such as http://localhost:8088.
    """
    import urllib.request

    try:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(f"{address.rstrip('/')}/metrics", timeout=_SECONDS) as reply:
            page = str(reply.read().decode())
    except (OSError, ValueError):
        return ""
    return page if TRAFFIC_GAUGE in page else ""


def read_page(text: str, model: str, versions: Collection[int]) -> dict[str, float]:
    """The counters of some versions on a metrics page.

    Args:
      text: the page, in Prometheus' text format.
      model: the model's name.
      versions: the versions to read.

    Raises:
      ValueError: the text is not a metrics page.
    """
    wanted = {str(version) for version in versions}
    return {
        _SEPARATOR.join((name, labels["version"], labels[_LABELS[name]])): value
        for name, labels, value in _samples(text)
        if name in _LABELS and labels.get("model") == model and labels.get("version") in wanted
    }


def follows(text: str, traffic: int, *, shadow: bool) -> bool:
    """Whether a gateway divides the traffic in this way, by its metrics page.

    Args:
      text: the page, in Prometheus' text format; empty where the gateway does not answer.
      traffic: the percentage of requests that the canary is to get.
      shadow: whether the canary is to be a shadow.

    Raises:
      ValueError: the text is not a metrics page.
    """
    gauges = {name: value for name, _, value in _samples(text) if name in (TRAFFIC_GAUGE, SHADOW_GAUGE)}
    # Gateways of earlier releases know no shadow.
    return gauges.get(TRAFFIC_GAUGE) == traffic and gauges.get(SHADOW_GAUGE, 0) == shadow


def started(text: str) -> float | None:
    """When a gateway began to count, in seconds since 1970, by its metrics page; None for one of an earlier release.

    Raises:
      ValueError: the text is not a metrics page.
    """
    return next((value for name, _, value in _samples(text) if name == START_GAUGE), None)


def count(now: Snapshot, since: Snapshot | None, version: int, *, shadow: bool = False) -> Counts:
    """The counts of a version since a moment, added up over the gateways.

    A gateway whose counters have fallen was restarted, and one that was not there before is new: both count from zero. The
    counts of a gateway that has ended since are lost, for both versions alike.

    Args:
      now: the gateways' present counters.
      since: their counters at that moment; None for the beginning.
      version: the version to count.
      shadow: whether to count what it has answered as a shadow.
    """
    totals: dict[str, float] = defaultdict(float)
    for gateway, counters in now.items():
        before = (since or {}).get(gateway, {})
        if any(counters.get(key, 0.0) < value for key, value in before.items()):
            before = {}
        for key, value in counters.items():
            totals[key] += value - before.get(key, 0.0)
    return _counts(totals, version, of_shadow if shadow else str)


def _counts(totals: Mapping[str, float], version: int, named: Callable[[str], str]) -> Counts:
    by_name: dict[str, dict[str, int]] = defaultdict(dict)
    for key, value in totals.items():
        name, its_version, label = key.split(_SEPARATOR, 2)
        if its_version == str(version):
            by_name[name][label] = round(value)
    predictions, agreement = by_name[named(_PREDICTIONS)], by_name[_AGREEMENT]
    return Counts(
        ok=predictions.get("ok", 0),
        errors=predictions.get("error", 0),
        durations=_by_bound(by_name[named(_DURATIONS)]),
        classes=by_name[named(_CLASSES)],
        scores=_by_bound(next((found for name in _SCORES if (found := by_name[named(name)])), {})),
        same=agreement.get(SAME, 0),
        other=agreement.get(OTHER, 0),
    )


def _by_bound(buckets: Mapping[str, int]) -> dict[float, int]:
    return {bound: buckets[text] for bound, text in sorted((float(text), text) for text in buckets)}


def _samples(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    from prometheus_client.parser import text_string_to_metric_families

    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value
