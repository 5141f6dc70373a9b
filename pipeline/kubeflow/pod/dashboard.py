"""What Kubeflow's dashboard shows of a task: a page, scalars, and the ROC and confusion matrix of a classifier."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.config import PipelineConfig, Task
from pipeline.kubeflow.pod.scalars import NODES_WITH_SCALARS, scalars_of
from pipeline.report.html.evaluation_view import MOST_CLASSES_SHOWN, EvaluationView
from pipeline.report.html.page import render_nodes, render_report
from pipeline.report.read.evaluation import CANDIDATE, Plots
from pipeline.report.read.run_details import RunFacts

REPORT, METRICS, CLASSIFICATION = "report", "metrics", "classification"

# The dashboard draws every point; more cannot be told apart.
_ROC_STEP = 0.01
# Where KFP's launcher keeps, in the pod, what it uploads from there.
_LOCAL_FOLDERS = {"gs://": "/gcs/", "minio://": "/minio/", "s3://": "/s3/"}


@dataclass(frozen=True)
class Dashboard:
    """The artifacts of a task.

    Attributes:
      html: the page, complete in itself.
      metrics: scalars by name.
      classification: `confidenceMetrics` and `confusionMatrix` as the dashboard reads them; empty when it is no classifier.
    """

    html: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    classification: Mapping[str, Any] = field(default_factory=dict)


def declared(node_ids: Sequence[str], config: PipelineConfig) -> dict[str, str]:
    """The artifacts that a task has to declare.

    Args:
      node_ids: the nodes that the task runs.
      config: the pipeline's configuration.

    Returns:
      By name of the artifact, the class in `kfp.dsl` that stands for its type.
    """
    outputs = {REPORT: "HTML"}
    if any(node in NODES_WITH_SCALARS for node in node_ids):
        outputs[METRICS] = "Metrics"
    if "Evaluator" in node_ids and config.task is not Task.REGRESSION:
        outputs[CLASSIFICATION] = "ClassificationMetrics"
    return outputs


def artifacts_of(facts: RunFacts, node_ids: Sequence[str]) -> Dashboard:
    """What there is to see of a task, whether its nodes did their work or took it from the cache.

    Args:
      facts: what is known of the run so far.
      node_ids: the nodes that the task runs.
    """
    return Dashboard(
        html=render_nodes(facts, node_ids),
        metrics=scalars_of(facts, node_ids),
        classification=_classification(facts) if "Evaluator" in node_ids else {},
    )


def artifacts_of_run(facts: RunFacts) -> Dashboard:
    """What there is to see of a run at its end: its report."""
    return Dashboard(html=render_report(facts, embedded=True))


def write(dashboard: Dashboard, executor_input: Mapping[str, Any]) -> None:
    """Hands the artifacts to Kubeflow: those that the task declares; none to a task run by hand, which declares none.

    Args:
      dashboard: what to show.
      executor_input: what KFP puts in place of `{{$}}`, decoded.
    """
    outputs = executor_input.get("outputs", {})
    artifacts = {name: each["artifacts"][0] for name, each in outputs.get("artifacts", {}).items() if each.get("artifacts")}
    if REPORT in artifacts:
        _write(local_path(artifacts[REPORT]), dashboard.html)
    metadata = {REPORT: {}, METRICS: dashboard.metrics, CLASSIFICATION: dashboard.classification}
    told = {
        name: {"artifacts": [{"name": artifact.get("name", ""), "uri": artifact["uri"], "metadata": metadata[name]}]}
        for name, artifact in artifacts.items()
        if name in metadata
    }
    if "outputFile" in outputs:
        _write(Path(outputs["outputFile"]), json.dumps({"artifacts": told}, allow_nan=False))


def local_path(artifact: Mapping[str, Any]) -> Path:
    """Where the launcher looks for an artifact's file; outside a cluster the address is a path itself."""
    if artifact.get("customPath"):
        return Path(artifact["customPath"])
    uri = str(artifact["uri"])
    for scheme, folder in _LOCAL_FOLDERS.items():
        if uri.startswith(scheme):
            return Path(folder + uri.removeprefix(scheme))
    return Path(uri)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _classification(facts: RunFacts) -> dict[str, Any]:
    if facts.evaluation is None:
        return {}
    plots = facts.evaluation.plots.get(CANDIDATE, Plots())
    classification: dict[str, Any] = {}
    if plots.thresholds:
        classification["confidenceMetrics"] = [
            {"confidenceThreshold": threshold, "falsePositiveRate": false_positives, "recall": true_positives}
            for threshold, false_positives, true_positives in thinned(plots.thresholds)
        ]
    view = EvaluationView(facts.evaluation, classes=facts.saved_model.classes if facts.saved_model else ())
    if view.confusion and len(view.confusion.counts) <= MOST_CLASSES_SHOWN:
        counts = view.confusion.counts
        classification["confusionMatrix"] = {
            "annotationSpecs": [{"displayName": view.class_name(index)} for index in range(len(counts))],
            "rows": [{"row": list(row)} for row in counts],
        }
    return classification


def thinned(points: Sequence[tuple[float, float, float]]) -> list[tuple[float, float, float]]:
    """The points that stand apart from the one before, and the last."""
    kept = [points[0]]
    for point in points[1:]:
        if abs(point[1] - kept[-1][1]) + abs(point[2] - kept[-1][2]) >= _ROC_STEP:
            kept.append(point)
    return kept if kept[-1] == points[-1] else [*kept, points[-1]]
