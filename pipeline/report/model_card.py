"""The model card: what the model is for, what it was made from, and what is known about its limits."""

from __future__ import annotations

import math
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pipeline import nodes
from pipeline.config import PipelineConfig, Task
from pipeline.contracts.model import REFERENCE_ROWS
from pipeline.report import formats
from pipeline.report.read.evaluation import Evaluation
from pipeline.report.read.run_details import RunDetails
from pipeline.report.read.saved_model import SavedModel
from pipeline.report.read.tuning import read_hyperparameters

_PACKAGES = ("tfx-conveyor", "tfx", "tensorflow", "keras", "tensorflow-transform", "tensorflow-model-analysis", "apache-beam")
_MANY_MISSING = 0.2
_CARRIES = (
    f"up to {REFERENCE_ROWS} rows of the training data without their labels, with which predictions are explained: whoever can "
    "ask a model server can read them; training.explainable: false leaves them out"
)
_TASKS = {
    Task.BINARY: "Binary classification",
    Task.MULTICLASS: "Multiclass classification",
    Task.REGRESSION: "Regression",
}


@dataclass(frozen=True)
class ModelCard:
    """A model card.

    Attributes:
      facts: headings, each with pairs of name and value.
      purpose: what the model is for, in a sentence or more.
      limits: sentences, those of the configuration first.
      owners: who answers for it.
      license: the terms of its use; None where the configuration has none.
    """

    facts: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    purpose: str
    limits: tuple[str, ...]
    owners: tuple[str, ...] = ()
    license: str | None = None


def model_card(details: RunDetails) -> ModelCard:
    """Writes the model card of a run's model from what is known of the run."""
    config = details.config
    return ModelCard(
        facts=(
            ("Task", (("Kind", _TASKS[config.task]), ("Predicts", config.label), *_columns(details))),
            ("Data", _data(details)),
            ("Model", _model(details)),
            ("Training", _training(details)),
            ("Made with", _packages()),
        ),
        purpose=config.card.purpose or _purpose(details),
        limits=(*config.card.limitations, *_limits(details)),
        owners=config.card.owners,
        license=config.card.license,
    )


def _purpose(details: RunDetails) -> str:
    what = {Task.BINARY: "the probability of", Task.MULTICLASS: "the class of", Task.REGRESSION: "the value of"}
    return (
        f"Estimates {what[details.config.task]} {details.config.label} for rows like those it was trained on, "
        "from the raw columns: the preprocessing is part of the model, and a missing optional column is imputed."
    )


def _columns(details: RunDetails) -> tuple[tuple[str, str], ...]:
    if details.saved_model is None or not details.saved_model.columns:
        return ()
    columns, classes = details.saved_model.columns, details.saved_model.classes
    pairs = [("From", f"{len(columns)} columns: {', '.join(columns)}")]
    if details.config.task is Task.BINARY and len(classes) == 2:
        pairs = [("Positive class", classes[1]), *pairs]
    return (("Classes", ", ".join(classes)), *pairs) if classes else tuple(pairs)


def _data(details: RunDetails) -> tuple[tuple[str, str], ...]:
    data = details.config.data
    rows = details.statistics.rows if details.statistics else {}
    return (
        ("Files", details.config.resolve(data.input)),
        *((("Split", details.data.division),) if details.data.division else ()),
        *((("Read", details.data.summary),) if details.data.sources else ()),
        *((f"Rows, {name}", f"{count:,}") for name, count in rows.items()),
    )


def _model(details: RunDetails) -> tuple[tuple[str, str], ...]:
    model = details.config.model
    if model.build_model:
        architecture = f"your own: {Path(model.build_model).name}"
    else:
        recipe = _recipe(details)
        units = " → ".join(map(str, recipe["hidden_units"]))
        columns = "columns embedded, standardised or bucketised"
        architecture = f"Keras: {columns}, then hidden layers of {units} units"
        if "dropout" in recipe:
            architecture += f", dropout {recipe['dropout']:g}"
    if composition := details.training.composition if details.training else "":
        architecture = f"{composition}; {architecture}" if "network" in composition else composition
    saved = details.saved_model
    parameters = saved.parameters if saved else None
    return (
        ("Architecture", architecture),
        *((("Parameters", f"{parameters:,}"),) if parameters else ()),
        *((("Decision", saved.decision),) if saved and saved.decision else ()),
        *((("Calibration", saved.calibrated),) if saved and saved.calibrated else ()),
        *((("Carries", _CARRIES),) if details.config.training.explainable else ()),
        ("Size on disk", formats.size(saved.size if saved else None)),
        ("Artifact", f"{details.model.id}, {details.model.uri}" if details.model else formats.DASH),
    )


def _training(details: RunDetails) -> tuple[tuple[str, str], ...]:
    training, recipe = details.training, _recipe(details)
    most = f"at most {recipe['epochs']}" if "epochs" in recipe else ""
    epochs = " of ".join(filter(None, (str(len(training.epochs)) if training else "", most)))
    if training and training.has_learnt_again:
        epochs += f"; epoch {training.best_epoch} was the best, and then the model learnt again from all rows"
    elif training and training.best_epoch and training.best_epoch != len(training.epochs):
        epochs += f"; the weights are those of epoch {training.best_epoch}"
    tuned = ", ".join(f"{name} {value}" for name, value in _tuned(details).items())
    return (
        *((("Epochs", epochs),) if epochs else ()),
        *((("Patience", f"{recipe['patience']} epochs"),) if "patience" in recipe else ()),
        *((("Batch size", f"{recipe['batch_size']:,}"),) if "batch_size" in recipe else ()),
        *((("Learning rate", f"{recipe['learning_rate']:g} (Adam)"),) if "learning_rate" in recipe else ()),
        ("Seed", str(details.config.training.seed)),
        *((("Tuned", tuned),) if tuned else ()),
        *((("Time", formats.seconds(training.seconds)),) if training and training.seconds else ()),
    )


def _recipe(details: RunDetails) -> dict[str, Any]:
    """What the training followed; before it, what is configured of that."""
    sections = {**details.config.model.model_dump(), **details.config.training.model_dump()}
    configured = {name: value for name, value in sections.items() if value is not None}
    return {**configured, **(details.training.recipe if details.training else {})}


def _tuned(details: RunDetails) -> dict[str, Any]:
    """The hyperparameters that a Tuner found, which go before those of the configuration."""
    artifact = details.run.input(nodes.TRAINER.id, "hyperparameters")
    return read_hyperparameters(artifact.path) if artifact else {}


def _packages() -> tuple[tuple[str, str], ...]:
    found = [("python", platform.python_version())]
    for package in _PACKAGES:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            continue
    return tuple(found)


def _limits(details: RunDetails) -> list[str]:
    limits = []
    if details.evaluation:
        limits += _evaluation_limits(details.evaluation, details.config, details.saved_model)
        limits += [details.evaluation.uncertainty] if details.evaluation.uncertainty else []
    if details.statistics:
        sparse = [each for each in details.statistics.features if each.missing > _MANY_MISSING]
        if sparse:
            named = ", ".join(f"{each.name} ({formats.percent(each.missing)})" for each in sparse)
            limits.append(f"Columns that are often missing, and then imputed: {named}.")
    method = details.config.data.split.method
    if method == "window":
        newest = details.config.data.split.eval_spans
        spans = "the newest span" if newest == 1 else f"the newest {newest} spans"
        limits.append(f"It was judged on {spans} alone; on later data it may do worse: watch its metrics, and retrain.")
    elif method == "time":
        limits.append("It was judged on the latest rows alone; on later data it may do worse: watch its metrics, and retrain.")
    else:
        limits.append("Rows of one time are in both splits, so this evaluation does not show how it does on later data.")
    return limits


def _evaluation_limits(evaluation: Evaluation, config: PipelineConfig, model: SavedModel | None) -> list[str]:
    primary, limits = evaluation.primary_metric, []
    worst = evaluation.worst_slices(1, config.evaluation.min_slice_rows)
    overall = evaluation.overall.metric(primary).candidate
    if worst:
        value = worst[0].metric(primary).candidate
        limits.append(
            f"Weakest where {worst[0].label}: {primary} {formats.metric(value)} on {worst[0].rows:,} rows, "
            f"{formats.metric(overall)} on all."
        )
    threshold = f"{0.5 if model is None or model.threshold is None else model.threshold:.4g}"
    recall, precision = (evaluation.overall.metric(name).candidate for name in ("recall", "precision"))
    if precision is not None and math.isnan(precision):
        limits.append(f"At the threshold {threshold} it calls no row positive; a lower threshold would.")
    elif recall is not None and precision is not None:
        limits.append(
            f"At the threshold {threshold} it finds {formats.percent(recall)} of the positives, and "
            f"{formats.percent(precision)} of what it calls positive is so; another threshold trades one for the other."
        )
    small = sum(1 for each in evaluation.slices if each.key and (each.rows or 0) < config.evaluation.min_slice_rows)
    if small:
        limits.append(f"Nothing is claimed for {small} slices with fewer than {config.evaluation.min_slice_rows} rows.")
    return limits
