"""What Kubeflow's dashboard shows of a task: a page, scalars, and the ROC and confusion matrix of a classifier."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.config import PipelineConfig, Task
from pipeline.report.evaluation import CANDIDATE, EXAMPLE_COUNT, Plots
from pipeline.report.evaluation_view import MOST_CLASSES_SHOWN, EvaluationView
from pipeline.report.facts import RunFacts
from pipeline.report.page import render_nodes, render_report

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
    if any(node in _METRICS for node in node_ids):
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
    metrics = {name: value for node in node_ids if node in _METRICS for name, value in _METRICS[node](facts).items()}
    return Dashboard(
        html=render_nodes(facts, node_ids),
        metrics={name: float(value) for name, value in metrics.items() if value is not None and math.isfinite(value)},
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
        path = local_path(artifacts[REPORT])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dashboard.html, encoding="utf-8")
    written: dict[str, Mapping[str, Any]] = {REPORT: {}, METRICS: dashboard.metrics, CLASSIFICATION: dashboard.classification}
    if "outputFile" in outputs:
        output = {
            "artifacts": {
                name: {
                    "artifacts": [
                        {"name": artifacts[name].get("name", ""), "uri": artifacts[name]["uri"], "metadata": metadata}
                    ]
                }
                for name, metadata in written.items()
                if name in artifacts
            }
        }
        path = Path(outputs["outputFile"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(output, allow_nan=False), encoding="utf-8")


def local_path(artifact: Mapping[str, Any]) -> Path:
    """Where the launcher looks for an artifact's file; outside a cluster the address is a path itself."""
    if artifact.get("customPath"):
        return Path(artifact["customPath"])
    uri = str(artifact["uri"])
    for scheme, folder in _LOCAL_FOLDERS.items():
        if uri.startswith(scheme):
            return Path(folder + uri.removeprefix(scheme))
    return Path(uri)


def _example_gen(facts: RunFacts) -> dict[str, float | None]:
    spans = {f"spans_{split}": len(source.spans) for split, source in facts.data.sources.items() if source.spans}
    files = {f"files_{split}": len(source.files) for split, source in facts.data.sources.items()}
    newest = max((span for source in facts.data.sources.values() for span in source.spans), default=None)
    return {**_rows(facts.data.rows), **files, **spans, "newest_span": newest}


def _statistics_gen(facts: RunFacts) -> dict[str, float | None]:
    return {**_rows(facts.statistics.rows), "features": len(facts.statistics.features)} if facts.statistics else {}


def _example_validator(facts: RunFacts) -> dict[str, float | None]:
    return {"anomalies": len(facts.anomalies.found)} if facts.anomalies else {}


def _tuner(facts: RunFacts) -> dict[str, float | None]:
    search = facts.search
    return {"trials": len(search.trials), "best_val_loss": search.trials[0].score} if search and search.trials else {}


def _trainer(facts: RunFacts) -> dict[str, float | None]:
    training = facts.training
    if training is None or not training.epochs:
        return {}
    kept = training.best_epoch or len(training.epochs)
    weights = {name: value for name, value in training.epochs[kept - 1].items() if name not in ("epoch", "seconds")}
    parameters = facts.saved_model.parameters if facts.saved_model else None
    return {
        **weights,
        "epochs": len(training.epochs),
        "best_epoch": kept,
        "seconds": training.seconds,
        "parameters": parameters,
    }


def _evaluator(facts: RunFacts) -> dict[str, float | None]:
    if facts.evaluation is None:
        return {}
    overall = facts.evaluation.overall.metrics.items()
    metrics = {name: comparison.candidate for name, comparison in overall}
    baseline = {f"{name}_baseline": comparison.baseline for name, comparison in overall if name != EXAMPLE_COUNT}
    return {**metrics, **baseline, "blessed": facts.blessed}


def _infra_validator(facts: RunFacts) -> dict[str, float | None]:
    properties = facts.infra_blessing.properties if facts.infra_blessing else {}
    names = ("requests", "load_seconds", "latency_p50_ms", "latency_p99_ms")
    return {**{name: properties.get(name) for name in names}, "can_be_served": properties.get("blessed")}


def _pusher(facts: RunFacts) -> dict[str, float | None]:
    return {"pushed": bool(facts.version), "version": int(facts.version) if facts.version.isdecimal() else None}


_METRICS: Mapping[str, Callable[[RunFacts], Mapping[str, float | None]]] = {
    "ExampleGen": _example_gen,
    "StatisticsGen": _statistics_gen,
    "ExampleValidator": _example_validator,
    "Tuner": _tuner,
    "Trainer": _trainer,
    "Evaluator": _evaluator,
    "InfraValidator": _infra_validator,
    "Pusher": _pusher,
}


def _rows(rows: Mapping[str, int]) -> dict[str, float | None]:
    return {f"rows_{split}": count for split, count in rows.items()}


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
