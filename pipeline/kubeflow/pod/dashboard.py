"""The artifacts of nodes for Kubeflow's dashboard: a page, metrics, and a classifier's ROC curve and confusion matrix."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline import nodes
from pipeline.config import PipelineConfig, Task
from pipeline.kubeflow.pod.names import component_name
from pipeline.report.html.evaluation_view import MOST_CLASSES_SHOWN, EvaluationView
from pipeline.report.html.page import render_nodes, render_report
from pipeline.report.read.plots import Plots
from pipeline.report.read.run_details import RunDetails
from pipeline.report.read.slices import CANDIDATE, EXAMPLE_COUNT
from pipeline.report.read.training import VALIDATION

REPORT, METRICS, CLASSIFICATION = "report", "metrics", "classification"

# The dashboard draws every point; closer ones cannot be told apart.
_ROC_STEP = 0.01
# The folders of the pod that KFP's launcher uploads from, by the scheme of the object store.
_LOCAL_FOLDERS = {"gs://": "/gcs/", "minio://": "/minio/", "s3://": "/s3/"}


@dataclass(frozen=True)
class Dashboard:
    """The artifacts of a node, or of a run.

    Attributes:
      title: the name under which the dashboard shows them; that of the output when empty.
      html: the page, complete in itself.
      metrics: numbers by name.
      classification: `confidenceMetrics` and `confusionMatrix` as the dashboard reads them; empty without a classifier.
    """

    title: str
    html: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    classification: Mapping[str, Any] = field(default_factory=dict)


def prefixes(node_ids: Sequence[str]) -> dict[str, str]:
    """How the names of a node's artifacts begin in its task, by node: with the node's own name where the task runs several.

    Args:
      node_ids: the nodes that the task runs.
    """
    return {node: f"{component_name(node)}_" if len(node_ids) > 1 else "" for node in node_ids}


def declared(node_ids: Sequence[str], config: PipelineConfig) -> dict[str, str]:
    """The artifacts that a task has to declare.

    Args:
      node_ids: the nodes that the task runs.
      config: the pipeline's configuration.

    Returns:
      By the artifact's name, the class in `kfp.dsl` that stands for its type.
    """
    outputs = {}
    for node_id, prefix in prefixes(node_ids).items():
        outputs[prefix + REPORT] = "HTML"
        node = nodes.NODES.get(node_id)
        if node is not None and (node.scalars or node.properties):
            outputs[prefix + METRICS] = "Metrics"
        if node is nodes.EVALUATOR and config.task is not Task.REGRESSION:
            outputs[prefix + CLASSIFICATION] = "ClassificationMetrics"
    return outputs


def artifacts_of(details: RunDetails, node_ids: Sequence[str]) -> dict[str, Dashboard]:
    """The artifacts of a task, whether its nodes did their work or took it from the cache.

    Args:
      details: what is known of the run so far.
      node_ids: the nodes that the task runs.

    Returns:
      Those of each node, by the beginning of their names.
    """
    return {prefix: _artifacts_of_node(details, node) for node, prefix in prefixes(node_ids).items()}


def _artifacts_of_node(details: RunDetails, node: str) -> Dashboard:
    execution = details.run.executions.get(node)
    return Dashboard(
        title=f"{node}: {execution.state.value}" if execution else node,
        html=render_nodes(details, [node]),
        metrics=metrics_of(details, node),
        classification=_classification(details) if node == nodes.EVALUATOR.id else {},
    )


def artifacts_of_run(details: RunDetails) -> dict[str, Dashboard]:
    """The artifact of a whole run at its end: its report."""
    return {"": Dashboard(title="", html=render_report(details, embedded=True))}


def metrics_of(details: RunDetails, node_id: str) -> dict[str, float]:
    """The numbers of a node by which the dashboard compares runs.

    Unknown and not finite ones are left out, such as a precision without positives.

    Args:
      details: what is known of the run so far.
      node_id: the node.
    """
    node = nodes.NODES.get(node_id)
    if node is None:
        return {}
    found = dict(_SCALARS[node.scalars](details)) if node.scalars else {}
    output = details.run.output(node.id, node.main_output) if node.properties else None
    values = {name: output.properties.get(name) if output else None for name in node.properties}
    found |= {name: value for name, value in values.items() if isinstance(value, (int, float))}
    return {name: float(value) for name, value in found.items() if value is not None and math.isfinite(value)}


def write(dashboards: Mapping[str, Dashboard], executor_input: Mapping[str, Any]) -> None:
    """Hands Kubeflow the artifacts that the task declares; a task that is run by hand declares none.

    Args:
      dashboards: what to show, by the beginning of the artifacts' names.
      executor_input: what KFP puts in place of `{{$}}`, decoded.
    """
    outputs = executor_input.get("outputs", {})
    artifacts = {name: each["artifacts"][0] for name, each in outputs.get("artifacts", {}).items() if each.get("artifacts")}
    described = {}
    for prefix, dashboard in dashboards.items():
        # The dashboard's own name for an artifact is the output's.
        title = {"display_name": dashboard.title} if dashboard.title else {}
        metadata = {REPORT: {}, METRICS: dashboard.metrics, CLASSIFICATION: dashboard.classification}
        for kind, values in metadata.items():
            if artifact := artifacts.get(prefix + kind):
                entry = {"name": artifact.get("name", ""), "uri": artifact["uri"], "metadata": {**title, **values}}
                described[prefix + kind] = {"artifacts": [entry]}
        if prefix + REPORT in artifacts:
            _write(local_path(artifacts[prefix + REPORT]), dashboard.html)
    if "outputFile" in outputs:
        _write(Path(outputs["outputFile"]), json.dumps({"artifacts": described}, allow_nan=False))


def local_path(artifact: Mapping[str, Any]) -> Path:
    """The path at which the launcher looks for an artifact's file; outside a cluster the URI is a path itself."""
    if artifact.get("customPath"):
        return Path(artifact["customPath"])
    uri = str(artifact["uri"])
    for scheme, folder in _LOCAL_FOLDERS.items():
        if uri.startswith(scheme):
            return Path(folder + uri.removeprefix(scheme))
    return Path(uri)


def thinned(points: Sequence[tuple[float, float, float]]) -> list[tuple[float, float, float]]:
    """The points that lie apart from the one before, and the last.

    Args:
      points: the points of an ROC curve: threshold, false positive rate and true positive rate.
    """
    kept = [points[0]]
    for point in points[1:]:
        if abs(point[1] - kept[-1][1]) + abs(point[2] - kept[-1][2]) >= _ROC_STEP:
            kept.append(point)
    return kept if kept[-1] == points[-1] else [*kept, points[-1]]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _classification(details: RunDetails) -> dict[str, Any]:
    if details.evaluation is None:
        return {}
    plots = details.evaluation.plots.get(CANDIDATE, Plots())
    classification: dict[str, Any] = {}
    if plots.thresholds:
        classification["confidenceMetrics"] = [
            {"confidenceThreshold": threshold, "falsePositiveRate": false_positives, "recall": true_positives}
            for threshold, false_positives, true_positives in thinned(plots.thresholds)
        ]
    view = EvaluationView(details.evaluation, classes=details.saved_model.classes if details.saved_model else ())
    if view.confusion and len(view.confusion.counts) <= MOST_CLASSES_SHOWN:
        counts = view.confusion.counts
        classification["confusionMatrix"] = {
            "annotationSpecs": [{"displayName": view.class_name(index)} for index in range(len(counts))],
            "rows": [{"row": list(row)} for row in counts],
        }
    return classification


def _data(details: RunDetails) -> dict[str, float | None]:
    spans = {f"spans_{split}": len(source.spans) for split, source in details.data.sources.items() if source.spans}
    files = {f"files_{split}": len(source.files) for split, source in details.data.sources.items()}
    newest = max((span for source in details.data.sources.values() for span in source.spans), default=None)
    return {**_rows(details.data.rows), **files, **spans, "newest_span": newest}


def _statistics(details: RunDetails) -> dict[str, float | None]:
    return {**_rows(details.statistics.rows), "features": len(details.statistics.features)} if details.statistics else {}


def _anomalies(details: RunDetails) -> dict[str, float | None]:
    return {"anomalies": len(details.anomalies.found)} if details.anomalies else {}


def _tuning(details: RunDetails) -> dict[str, float | None]:
    tuning = details.tuning
    return {"trials": tuning.num_trials, "best_val_loss": tuning.loss} if tuning else {}


def _training(details: RunDetails) -> dict[str, float | None]:
    training = details.training
    if training is None or not training.epochs:
        return {}
    best = training.best_epoch or len(training.epochs)
    reached = training.epochs[best - 1]
    return {
        # Not by their bare names, which are the Evaluator's.
        **{f"train_{name}": reached.get(name) for name in training.metrics},
        **{f"{VALIDATION}{name}": reached.get(f"{VALIDATION}{name}") for name in training.metrics},
        "epochs": len(training.epochs),
        "best_epoch": best,
        "training_seconds": training.seconds,
        "parameters": details.saved_model.parameters if details.saved_model else None,
    }


def _evaluation(details: RunDetails) -> dict[str, float | None]:
    if details.evaluation is None:
        return {}
    overall = details.evaluation.overall.metrics.items()
    metrics = {name: comparison.candidate for name, comparison in overall}
    baseline = {f"{name}_baseline": comparison.baseline for name, comparison in overall if name != EXAMPLE_COUNT}
    return {**metrics, **baseline, "blessed": details.blessed}


def _serving(details: RunDetails) -> dict[str, float | None]:
    properties = details.infra_blessing.properties if details.infra_blessing else {}
    names = ("requests", "load_seconds", "latency_p50_ms", "latency_p99_ms")
    return {**{name: properties.get(name) for name in names}, "can_be_served": properties.get("blessed")}


def _push(details: RunDetails) -> dict[str, float | None]:
    if not details.run.completed(nodes.PUSHER.id):
        return {}
    return {"pushed": bool(details.version), "version": int(details.version) if details.version.isdecimal() else None}


def _rows(rows: Mapping[str, int]) -> dict[str, float | None]:
    return {f"rows_{split}": count for split, count in rows.items()}


_SCALARS: Mapping[str, Callable[[RunDetails], Mapping[str, float | None]]] = {
    "data": _data,
    "statistics": _statistics,
    "anomalies": _anomalies,
    "tuning": _tuning,
    "training": _training,
    "evaluation": _evaluation,
    "serving": _serving,
    "push": _push,
}
