"""A run as a tracking server is told of it: plain values, and the files that go with them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import nodes
from pipeline.report.card_files import JSON, MARKDOWN
from pipeline.report.html.page import FILE_NAME as REPORT
from pipeline.report.read.evaluation import Evaluation
from pipeline.report.read.run_details import RunDetails
from pipeline.report.read.saved_model import FOLDER
from pipeline.report.read.slices import Key
from pipeline.runs.status import RunState
from pipeline.tracking import names

RUN_TAG, VERSION_TAG, PIPELINE_TAG = "conveyor.run_id", "conveyor.version", "conveyor.pipeline"
DESTINATION_TAG, DIGEST_TAG = "conveyor.destination", "conveyor.model.digest"

_STATUSES = {RunState.FAILED: "FAILED", RunState.INTERRUPTED: "KILLED"}
# What decides nothing about a model, and would hide what does.
_LEFT_OUT = ("name", "workspace", "card", "execution", "kubeflow", "prices", "gateway", "monitoring", "loop", "tracking")

_LONGEST_SLICE = 150


@dataclass(frozen=True)
class Metric:
    """A value of a metric.

    Attributes:
      name: as MLflow takes it.
      value: finite.
      step: the epoch, counted from 1; 0 for what was measured once.
    """

    name: str
    value: float
    step: int = 0


@dataclass(frozen=True)
class TrackedModel:
    """A model that was pushed.

    Attributes:
      version: the version that it was pushed as.
      destination: the folder that it was pushed to, with the version.
      digest: of what it consists of; empty where an earlier release made it.
      folder: its SavedModel.
      columns: the raw columns that it takes, with their types.
    """

    version: str
    destination: str
    digest: str
    folder: Path
    columns: Mapping[str, str]


@dataclass(frozen=True)
class RunRecord:
    """A run that has ended.

    Attributes:
      pipeline: the pipeline's name.
      run_id: the run's id.
      status: `FINISHED`, `FAILED` or `KILLED`, as MLflow has it.
      started: when, in seconds since 1970.
      ended: when, in seconds since 1970.
      parameters: what was configured and what training made of it.
      metrics: of all rows, of slices, of epochs, and the seconds of nodes.
      tags: the data, the code, what came of it, and the lineage.
      files: files by the names that they are to have.
      model: the model, if it was pushed.
    """

    pipeline: str
    run_id: str
    status: str
    started: float
    ended: float
    parameters: Mapping[str, str]
    metrics: tuple[Metric, ...]
    tags: Mapping[str, str]
    files: Mapping[str, Path]
    model: TrackedModel | None


def record_of(details: RunDetails) -> RunRecord:
    """What is told of a run.

    Args:
      details: what is known of the run, which has ended.

    Raises:
      StorageError: the state of the run, or what a node has made, cannot be read.
    """
    if details.damage is not None:
        raise details.damage
    outcome = details.outcome
    ended = outcome.ended or max((node.ended or 0.0 for node in outcome.nodes.values()), default=0.0) or outcome.started
    files = {name: details.folder / name for name in (REPORT, MARKDOWN, JSON)}
    return RunRecord(
        pipeline=details.config.name,
        run_id=outcome.run_id,
        status=_STATUSES.get(outcome.state, "FINISHED"),
        started=outcome.started,
        ended=ended,
        parameters=names.distinct(_parameters(details)),
        metrics=tuple(_metrics(details)),
        tags={name: names.shortened(value, names.LONGEST_TAG) for name, value in _tags(details) if value},
        files={name: path for name, path in files.items() if path.is_file()},
        model=_model(details),
    )


def _parameters(details: RunDetails) -> Iterator[tuple[str, str]]:
    configured = {name: value for name, value in details.config.effective().items() if name not in _LEFT_OUT}
    made = details.training.recipe if details.training else {}
    for prefix, content in (("", configured), ("training.made.", made)):
        for name, value in _flat(content, prefix):
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield names.part(name), names.shortened(text, names.LONGEST_VALUE)


def _flat(content: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif value not in (None, [], ()):
            yield f"{prefix}{name}", value


def _metrics(details: RunDetails) -> Iterator[Metric]:
    pairs = list(_measured(details.evaluation, details.config.evaluation.min_slice_rows)) if details.evaluation else []
    nodes_run = details.outcome.nodes.items()
    pairs += [(f"seconds/{names.part(name)}", node.seconds) for name, node in nodes_run if node.seconds]
    pairs += [(f"peak_bytes/{names.part(name)}", float(node.peak_bytes)) for name, node in nodes_run if node.peak_bytes]
    yield from (Metric(name, value) for name, value in names.distinct(pairs).items() if math.isfinite(value))
    for step, epoch in enumerate(details.training.epochs if details.training else (), start=1):
        values = names.distinct((f"epoch/{names.part(name)}", value) for name, value in epoch.items() if name != "epoch")
        yield from (Metric(name, float(value), step) for name, value in values.items() if math.isfinite(value))


def _measured(evaluation: Evaluation, min_rows: int) -> Iterator[tuple[str, float]]:
    """Metrics of all rows and of the slices that have enough, and the baseline's of all rows."""
    for each in evaluation.slices:
        if each.key and (each.rows or 0) < min_rows:
            continue
        prefix = f"slices/{_slice(each.key)}/" if each.key else ""
        for name, metric in sorted(each.metrics.items()):
            if metric.candidate is not None:
                yield prefix + names.part(name), metric.candidate
            if metric.baseline is not None and not each.key:
                yield f"baseline/{names.part(name)}", metric.baseline


def _slice(key: Key) -> str:
    # Behind it there must be room for the metric.
    return names.part(" - ".join(f"{column}: {value}" for column, value in key))[:_LONGEST_SLICE].strip()


def _tags(details: RunDetails) -> Iterator[tuple[str, str]]:
    outcome, made = details.outcome, details.outcome.provenance
    yield RUN_TAG, outcome.run_id
    yield PIPELINE_TAG, details.config.name
    yield "conveyor.state", outcome.state.value
    yield "conveyor.blessed", "" if details.blessed is None else str(details.blessed).lower()
    yield VERSION_TAG, details.version
    yield "conveyor.baseline", details.baseline_name if details.baseline_version else ""
    yield "conveyor.data.input", details.data.pattern
    for split, source in details.data.sources.items():
        yield f"conveyor.data.{names.part(split)}", source.spans_text or source.files_text
    yield "conveyor.data.rows", details.data.rows_text
    yield "conveyor.lineage.runs", ", ".join(details.lineage.runs) if details.lineage else ""
    yield DIGEST_TAG, details.saved_model.digest if details.saved_model else ""
    yield "conveyor.problem", outcome.problem.what if outcome.problem else ""
    yield "mlflow.source.name", "conveyor run"
    yield "mlflow.source.git.commit", made.commit if made else ""
    yield "conveyor.changed", ", ".join(made.changed or ()) if made else ""
    yield "mlflow.note.content", outcome.note


def _model(details: RunDetails) -> TrackedModel | None:
    pushed, saved = details.run.output(nodes.PUSHER.id, "pushed_model"), details.saved_model
    if pushed is None or details.model is None or saved is None or not details.version:
        return None
    destination = str(pushed.properties["pushed_destination"])
    return TrackedModel(details.version, destination, saved.digest, details.model.path / FOLDER, saved.columns)
