"""A look as metrics of Prometheus, for the textfile collector of its node exporter."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from pipeline.monitoring.look import Look


def render(look: Look) -> str:
    """The metrics in Prometheus' text format. Alerts and boards read them: names and labels must stay."""
    registry = CollectorRegistry()

    def gauge(name: str, text: str, value: float | None, **labels: str) -> None:
        if value is None:
            return
        full = f"conveyor_monitor_{name}"
        metric = gauges.get(full) or Gauge(full, text, ("model", "version", *labels), registry=registry)
        gauges[full] = metric
        metric.labels(look.name, look.version, *labels.values()).set(value)

    gauges: dict[str, Gauge] = {}
    gauge("time_seconds", "When this look was taken, in seconds since 1970.", look.moment)
    gauge("rows", "Rows that were looked at.", look.current.rows)
    gauge("drifted_columns", "Features and predictions that have drifted.", len(look.drifted))
    gauge("anomalies", "Anomalies by the schema.", len(look.anomalies))
    gauge("model_pushed_seconds", "When the model was pushed, in seconds since 1970.", look.pushed)
    gauge("data_read_seconds", "When the model's data was read, in seconds since 1970.", look.data_read)
    for column in (*look.columns, *look.predictions):
        gauge("importance", "How much worse the model is without the column.", column.importance, column=column.name)
        for check in column.checks:
            labels = {"column": column.name, "check": check.kind}
            gauge("difference", "How far the column is from the reference.", check.value, **labels)
            gauge("floor", "What chance alone may reach.", check.floor, **labels)
            gauge("drift", "Whether that is drift.", check.is_drift, **labels)
    for each in look.traffic:
        gauge("answered_rows", "Rows by the version that answered.", each.rows, answered_by=str(each.version))
    return generate_latest(registry).decode()
