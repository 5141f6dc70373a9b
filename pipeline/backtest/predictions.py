"""What models say of the rows of spans, kept row by row, so that any two models can be compared on the same rows."""

from __future__ import annotations

import contextlib
import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_model_analysis as tfma

from components.evaluator import importance
from components.evaluator.config import eval_config
from components.evaluator.plan import Plan
from components.evaluator.predicted_rows import PredictedRows
from components.evaluator.reservoir import Reservoir
from components.evaluator.rows import Batch, Comparison, Models, read_batches
from components.evaluator.sample import Sample
from components.shared.fast_executor import UnsupportedError
from pipeline.backtest.trials import Trial, Trials
from pipeline.config.consistency import METRICS
from pipeline.contracts.importance import Importance
from pipeline.errors import UsageError
from pipeline.util import files
from pipeline.util.imports import silently

_SEED = 11
_MOST_LOADED = 3


class Predictions:
    """The predictions of trained models. They are made once, and kept beside the record of the model.

    Args:
      trials: the models and the rows.
    """

    def __init__(self, trials: Trials) -> None:
        self._trials = trials
        self._loaded: dict[str, tuple[Plan, Models, Comparison]] = {}
        self._samples: dict[Path, Sample] = {}

    def sample(self, trial: Trial, span: int) -> Sample:
        """The labels, weights and predictions of a span's rows.

        Raises:
          ConveyorError: the rows cannot be read, or a label is none of the model's.
        """
        path = self._path(trial, span)
        if path not in self._samples:
            self._samples = dict(list(self._samples.items())[-4 * _MOST_LOADED :])
            self._samples[path] = _read(path) or self._predicted(trial, span, path)
        return self._samples[path]

    def importance(self, trial: Trial) -> dict[str, float]:
        """How much worse the model is with the values of a column shuffled, by column; empty where that is not known.

        It is measured on rows of the span that came after those of training.
        """
        path = self._importance_path(trial)
        found = _read_importance(path)
        if found is None:
            self._predicted(trial, trial.before, self._path(trial, trial.before))
            found = _read_importance(path)
        return {each.column: each.loss for each in found.columns} if found else {}

    def _predicted(self, trial: Trial, span: int, path: Path) -> Sample:
        names = self._trials.files(span)
        plan, models, comparison = self._model(trial)
        raw = models.raw(comparison) if span == trial.before else None
        asked = Reservoir(importance.rows_to_ask(len(raw.columns)), _SEED) if raw else None
        sample, rows = Sample(), []
        with _refusing(), silently():
            for batch in _batches(names, models, plan.weight):
                rows.append(batch.rows[comparison])
                sample.add(rows[-1])
                if asked:
                    asked.add(batch.examples.numpy(), rows[-1].labels, rows[-1].weights)
        if raw and asked and len(asked.labels):
            metric = METRICS[self._trials.config.task][0]
            with silently():
                found = importance.measure(raw, tf.constant(asked.examples), asked.labels, asked.weights, metric)
            if found:
                files.write(self._importance_path(trial), found.to_json())
        _write(path, rows)
        return sample

    def _model(self, trial: Trial) -> tuple[Plan, Models, Comparison]:
        if trial.key not in self._loaded:
            self._loaded = dict(list(self._loaded.items())[1 - _MOST_LOADED :])
            complete = tfma.utils.update_eval_config_with_defaults(
                eval_config(self._trials.config), has_baseline=False, rubber_stamp=True
            )
            with _refusing(), silently():
                plan = Plan.of(complete, {spec.name: trial.model for spec in complete.model_specs})
                models = Models(plan.comparisons.values())
            self._loaded[trial.key] = plan, models, plan.comparisons[plan.candidate]
        return self._loaded[trial.key]

    def _path(self, trial: Trial, span: int) -> Path:
        content = self._trials.content(span).rpartition(":")[2][:16]
        return self._trials.folder / "predictions" / trial.key / f"{span}-{content}.npz"

    def _importance_path(self, trial: Trial) -> Path:
        return self._trials.folder / "predictions" / trial.key / "importance.json"


def _batches(names: list[str], models: Models, weight: str) -> Iterator[Batch]:
    # What the Evaluator tells of its progress is for the log of a node.
    with contextlib.redirect_stdout(io.StringIO()):
        yield from read_batches(names, (), models, weight)


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except UnsupportedError as error:
        raise UsageError(
            "This model cannot be compared row by row.",
            where="model.build_model",
            expected="a model with one prediction a row, or one for each class, that takes the columns of the table",
            seen=str(error),
            fix="Play the derived model: remove model.build_model from a copy of the configuration.",
        ) from error


def _read_importance(path: Path) -> Importance | None:
    try:
        return Importance.from_json(path.read_text())
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _read(path: Path) -> Sample | None:
    try:
        with np.load(path) as stored:
            rows = PredictedRows(stored["labels"], stored["predictions"], stored["weights"])
    except (OSError, ValueError, LookupError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    sample = Sample()
    sample.add(rows)
    return sample


def _write(path: Path, rows: list[PredictedRows]) -> None:
    content = io.BytesIO()
    np.savez_compressed(
        content,
        labels=np.concatenate([each.labels for each in rows]),
        predictions=np.concatenate([each.predictions for each in rows]),
        weights=np.concatenate([each.weights for each in rows]),
    )
    files.write(path, content.getvalue())
