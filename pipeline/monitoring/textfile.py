"""A look, and quality by labels, as metrics of Prometheus, for the textfile collector of its node exporter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Gauge, generate_latest

if TYPE_CHECKING:
    from pipeline.monitoring.look import Look
    from pipeline.monitoring.quality import LabelledQuality


class _Gauges:
    """Gauges of one model. Alerts and boards read them: names and labels must stay."""

    def __init__(self, prefix: str, model: str) -> None:
        self._prefix, self._model = prefix, model
        self._registry = CollectorRegistry()
        self._gauges: dict[str, Gauge] = {}

    def set(self, name: str, text: str, value: float | None, **labels: str) -> None:
        """Sets a gauge to a value; one without a value is left out."""
        if value is None:
            return
        full = f"{self._prefix}_{name}"
        metric = self._gauges.get(full) or Gauge(full, text, ("model", *labels), registry=self._registry)
        self._gauges[full] = metric
        metric.labels(self._model, *labels.values()).set(value)

    def text(self) -> str:
        """All of them in Prometheus' text format."""
        return generate_latest(self._registry).decode()


def render(look: Look) -> str:
    """A look in Prometheus' text format."""
    gauges, version = _Gauges("conveyor_monitor", look.name), {"version": look.version}
    gauges.set("time_seconds", "When this look was taken, in seconds since 1970.", look.moment, **version)
    gauges.set("rows", "Rows that were looked at.", look.current.rows, **version)
    gauges.set("drifted_columns", "Features and predictions that have drifted.", len(look.drifted), **version)
    gauges.set("anomalies", "Anomalies by the schema.", len(look.anomalies), **version)
    gauges.set("model_pushed_seconds", "When the model was pushed, in seconds since 1970.", look.pushed, **version)
    gauges.set("data_read_seconds", "When the model's data was read, in seconds since 1970.", look.data_read, **version)
    for column in (*look.columns, *look.predictions):
        of_column = {**version, "column": column.name}
        gauges.set("importance", "How much worse the model is without the column.", column.importance, **of_column)
        for check in column.checks:
            labels = {**of_column, "check": check.kind}
            gauges.set("difference", "How far the column is from the reference.", check.value, **labels)
            gauges.set("floor", "What chance alone may reach.", check.floor, **labels)
            gauges.set("drift", "Whether that is drift.", check.is_drift, **labels)
    for each in look.traffic:
        gauges.set("answered_rows", "Rows by the version that answered.", each.rows, **version, answered_by=str(each.version))
    return gauges.text()


def render_quality(name: str, found: LabelledQuality, judged: Mapping[str, float], moment: float) -> str:
    """Quality by labels in Prometheus' text format, for each version.

    Args:
      name: the pipeline's name.
      found: the quality.
      judged: what the Evaluator has measured of the primary metric, by version, where that is known.
      moment: when this was measured, in seconds since 1970.
    """
    gauges = _Gauges("conveyor_labels", name)
    gauges.set("time_seconds", "When the quality was measured, in seconds since 1970.", moment)
    for group in found.groups:
        if group.by != "version":
            continue
        labels = {"version": group.value, "metric": group.primary}
        gauges.set("rows", "Rows with a label.", group.rows, **labels)
        gauges.set("quality", "The primary metric of the rows with a label.", group.metrics[group.primary], **labels)
        gauges.set("quality_lower", "The lower end of its interval of 95 %.", group.lower, **labels)
        gauges.set("quality_upper", "The upper end of its interval of 95 %.", group.upper, **labels)
        reference = judged.get(group.value)
        if reference is not None:
            gauges.set("judged", "The metric of the rows that the version was judged on.", reference, **labels)
            gauges.set("decayed", "Whether all of the interval is worse.", group.is_worse_than(reference), **labels)
    return gauges.text()
