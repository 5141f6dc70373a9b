"""What sections of a configuration ask of each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from pipeline.config.evaluation import Bounds, Threshold
from pipeline.config.flaws import Flaw
from pipeline.config.training import Task
from pipeline.contracts.metrics import BELOW_ZERO
from pipeline.util.suggestions import did_you_mean

if TYPE_CHECKING:
    from pipeline.config.pipeline import PipelineConfig

METRICS: dict[Task, tuple[str, ...]] = {
    Task.BINARY: ("auc", "accuracy", "precision", "recall", "selection_rate", "false_positive_rate", "calibration", "loss"),
    Task.MULTICLASS: ("accuracy", "macro_f1", "auc_ovr", "top_3_accuracy", "top_5_accuracy", "loss"),
    Task.REGRESSION: ("rmse", "mse", "mae", "mape", "median_absolute_error", "p90_absolute_error", "r2"),
}
"""By task, the metrics that thresholds can name, the primary one first. The Evaluator's results have the same names."""

_AT_MOST_ONE = (
    "auc",
    "accuracy",
    "precision",
    "recall",
    "selection_rate",
    "false_positive_rate",
    "macro_f1",
    "auc_ovr",
    "top_3_accuracy",
    "top_5_accuracy",
    "r2",
)
# By metric, why it cannot be compared with the baseline's, and what bounds could stand in the place of that.
_CANNOT_REGRESS = {
    "calibration": ("has no better direction", "bounds around the best value: calibration: {min: 0.9, max: 1.1}"),
    "selection_rate": ("has no better direction", "bounds: selection_rate: {min: 0.1, max: 0.3}"),
    "auc_ovr": ("has no interval for what may be chance", "a bound: auc_ovr: {min: 0.8}"),
}
_NO_INTERVAL = ("calibration", "auc_ovr")


def contradictions(config: PipelineConfig) -> Iterator[Flaw]:
    """What does not hold together in a configuration whose sections are valid each."""
    has_span = "{SPAN}" in config.data.input
    if config.data.split.method == "window" and not has_span:
        yield Flaw(
            "data.split.method 'window' divides rows by span, so data.input must contain {SPAN}",
            ("data", "split", "method"),
            "{SPAN} in data.input",
            config.data.input,
            "Write {SPAN} in the place of the number in the files' names, or: method: hash",
        )
    if "{VERSION}" in config.data.input and not has_span:
        yield Flaw(
            "data.input has {VERSION} without {SPAN}: a version is a version of a span",
            ("data", "input"),
            "{SPAN} beside {VERSION}",
            config.data.input,
            "Write {SPAN} in place of {VERSION}, or beside it.",
        )
    if config.positive_class is not None and config.task is not Task.BINARY:
        yield Flaw(
            f"positive_class is for a label with two classes, and the task is {config.task.value}",
            ("positive_class",),
            "no positive_class",
            str(config.positive_class),
            "Remove positive_class, or set: task: binary_classification",
        )
    if config.label in config.data.split.columns:
        yield Flaw(
            f"data.split.by names {config.label}, the label: its values must occur in both splits",
            ("data", "split", "by"),
            "columns other than the label",
            config.label,
            "Name another column.",
        )
    if config.data.split.stratify and config.task is Task.REGRESSION:
        yield Flaw(
            "data.split.stratify is for the classes of a label, and the task is regression",
            ("data", "split", "stratify"),
            "a classification",
            "true",
            "Remove it.",
        )
    if config.training.class_weights is not None and config.task is Task.REGRESSION:
        yield Flaw(
            "training.class_weights is for the classes of a label, and the task is regression",
            ("training", "class_weights"),
            "no class_weights",
            str(config.training.class_weights),
            "Remove class_weights, or weigh rows by a column: training.weight",
        )
    if config.training.weight == config.label:
        yield Flaw(
            f"training.weight names {config.label}, the label",
            ("training", "weight"),
            "columns other than the label",
            config.label,
            "Name another column, or remove weight.",
        )
    weight = config.training.weight
    if weight in config.features and config.features[weight].kind != "ignore":
        yield Flaw(
            f"features names {weight}, the weight of rows: it is not one of the model's inputs",
            ("features", weight),
            "columns other than the weight",
            weight,
            "Remove it from features, or remove training.weight.",
        )
    yield from _weights_of_metrics(config)
    if config.label in config.features:
        yield Flaw(
            f"features names {config.label}, the label: what the model predicts is not one of its inputs",
            ("features", config.label),
            "columns other than the label",
            config.label,
            "Remove it there.",
        )
    if config.tuner.enabled and config.training.validation_fraction == 0:
        yield Flaw(
            "The tuner has no rows to compare its trials on.",
            ("training", "validation_fraction"),
            "more than 0 while tuner.enabled is true",
            "0",
            "Write: validation_fraction: 0.1",
        )
    yield from _kinds(config)
    yield from _decision(config)
    yield from _thresholds(config, config.evaluation.thresholds, ("evaluation", "thresholds"))
    for column, thresholds in config.evaluation.slice_thresholds.items():
        yield from _thresholds(config, thresholds, ("evaluation", "slice_thresholds", column))
    yield from _gaps(config)


def _weights_of_metrics(config: PipelineConfig) -> Iterator[Flaw]:
    weight = config.evaluation.weight
    if weight == config.label:
        yield Flaw(
            f"evaluation.weight names {config.label}, the label",
            ("evaluation", "weight"),
            "columns other than the label",
            config.label,
            "Name another column, or remove weight.",
        )
    if weight in config.features and config.features[weight].kind != "ignore":
        yield Flaw(
            f"features names {weight}, the weight of rows in metrics: it is not one of the model's inputs",
            ("features", weight),
            "columns other than the weight",
            weight,
            "Remove it from features, or remove evaluation.weight.",
        )


def _gaps(config: PipelineConfig) -> Iterator[Flaw]:
    known = tuple(name for name in METRICS[config.task] if name not in _NO_INTERVAL)
    for column, limits in config.evaluation.max_gaps.items():
        for name in limits:
            if name not in known:
                yield Flaw(
                    f"A gap in {name!r} cannot be judged.",
                    ("evaluation", "max_gaps", column, name),
                    f"one of {', '.join(known)}",
                    name,
                    did_you_mean(name, known) or f"Write {known[0]} in its place, or remove it.",
                )
    if config.evaluation.max_gaps and config.execution.beam.runner != "direct":
        yield Flaw(
            "Gaps between slices are judged on this machine or in the pod, not on a cluster of Beam.",
            ("evaluation", "max_gaps"),
            "no max_gaps, or execution.beam.runner direct",
            config.execution.beam.runner,
            "Remove max_gaps.",
        )


def _kinds(config: PipelineConfig) -> Iterator[Flaw]:
    kind = config.model.kind
    seen = kind if isinstance(kind, str) else ", ".join(kind)
    if config.tuner.enabled and not {"auto", "network", "trees"} & {kind, *kind}:
        yield Flaw(
            "The tuner searches the settings of a network and of trees, and the model has neither.",
            ("model", "kind"),
            "auto, or a list with network or trees while tuner.enabled is true",
            seen,
            "Write: kind: auto",
        )
    if config.model.build_model and kind not in ("auto", "network", ("network",)):
        yield Flaw(
            "model.build_model is a network of your own, and model.kind names something else",
            ("model", "kind"),
            "network, or nothing",
            seen,
            "Write: kind: network",
        )


def _decision(config: PipelineConfig) -> Iterator[Flaw]:
    decision = config.decision
    given = (*decision.stated, *decision.costs)
    if given and config.task is not Task.BINARY:
        yield Flaw(
            f"decision is for a label with two classes, and the task is {config.task.value}",
            ("decision",),
            "no decision",
            ", ".join(given),
            "Remove the section decision, or set: task: binary_classification",
        )
    elif len(decision.stated) > 1:
        yield Flaw(
            "There is one threshold, and decision says in several ways what it is for.",
            ("decision", decision.stated[1]),
            "one of threshold, aim, precision and recall",
            ", ".join(decision.stated),
            f"Keep one of them: remove {' and '.join(decision.stated[1:])}.",
        )
    elif decision.costs and decision.aim != "cost":
        yield Flaw(
            f"decision.{decision.costs[0]} is a cost, and costs are not the aim.",
            ("decision", decision.costs[0]),
            "no costs, or: aim: cost",
            ", ".join(given),
            f"Remove {' and '.join(decision.costs)}." if decision.stated else "Write beside it: aim: cost",
        )


def _thresholds(config: PipelineConfig, thresholds: Mapping[str, Bounds], section: tuple[str, ...]) -> Iterator[Flaw]:
    known = METRICS[config.task]
    for name, threshold in thresholds.items():
        field = (*section, name)
        largest = 1 if name in _AT_MOST_ONE else None
        if name not in known:
            yield Flaw(
                f"The task {config.task.value} has no metric {name!r}.",
                field,
                f"one of {', '.join(known)}",
                name,
                did_you_mean(name, known) or f"Write {known[0]} in its place, or remove it.",
            )
            continue
        if isinstance(threshold, Threshold) and threshold.max_regression is not None and name in _CANNOT_REGRESS:
            reason, bounds = _CANNOT_REGRESS[name]
            yield Flaw(
                f"{name} {reason}, so it cannot regress.",
                (*field, "max_regression"),
                "min and max",
                fix=f"Replace it with {bounds}",
            )
        if largest is not None and threshold.min is not None and threshold.min > largest:
            yield Flaw(
                f"No model reaches this: {name} is at most {largest}.",
                (*field, "min"),
                f"at most {largest}",
                f"{threshold.min:g}",
                "Write a share, such as 0.8 for 80 %.",
            )
        if threshold.max is not None and threshold.max < 0 and name not in BELOW_ZERO:
            yield Flaw(
                f"No model reaches this: {name} is never below 0.",
                (*field, "max"),
                "0 or more",
                f"{threshold.max:g}",
                "Write a number of 0 or more.",
            )
