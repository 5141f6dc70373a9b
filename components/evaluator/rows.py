"""Rows of an Examples artifact with labels and the predictions of models, batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from absl import logging
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from components.evaluator.predicted_rows import PredictedRows
from components.evaluator.raw_model import RawModel, in_parts, side_by_side
from components.evaluator.slices import Column
from components.evaluator.weights import row_weights, unweighable
from components.shared.examples.tfrecord import compression_of
from components.shared.fast_executor import UnsupportedError
from pipeline.contracts.label import require_known_classes
from pipeline.contracts.model import TRANSFORMED_LABELS, column_of_another_type
from pipeline.errors import DataError
from pipeline.util.progress import RowProgress

# Large enough for numpy to work in bulk, small enough for memory not to matter.
BATCH_SIZE = 8192

# A function of a model that TFMA calls by default, for columns to slice by.
_FEATURES_FUNCTION = "transformed_features"


@dataclass(frozen=True, order=True)
class Comparison:
    """An output of a model, and the column that it is compared with.

    Attributes:
      path: the folder of a SavedModel.
      signature: the name of a signature that takes serialized tf.Examples.
      output: the name of the signature's output; empty for the only one.
      label: the column's name.
    """

    path: str
    signature: str
    output: str
    label: str


@dataclass(frozen=True)
class Batch:
    """Rows that have a label.

    Attributes:
      num_rows: N.
      examples: the rows as serialized tf.Examples, [N].
      columns: the columns asked for, by name.
      rows: labels and predictions, all finite, and weights.
    """

    num_rows: int
    examples: tf.Tensor
    columns: Mapping[str, Column]
    rows: Mapping[Comparison, PredictedRows]


class Models:
    """SavedModels, loaded once each.

    Raises:
      UnsupportedError: a model has no such signature or output, or transforms columns itself.
    """

    def __init__(self, comparisons: Iterable[Comparison]) -> None:
        self._comparisons = sorted(set(comparisons))
        models = {path: tf.saved_model.load(path) for path in {comparison.path for comparison in self._comparisons}}
        self._models = models
        self._predict = {
            (each.path, each.signature): _Signature(each.path, models[each.path], each.signature) for each in self._comparisons
        }
        self._label = {
            path: _Signature(path, model, TRANSFORMED_LABELS)
            for path, model in models.items()
            if _has(model, TRANSFORMED_LABELS)
        }
        for comparison in self._comparisons:
            outputs = self._predict[comparison.path, comparison.signature].outputs
            if comparison.output not in outputs and (comparison.output or len(outputs) > 1):
                raise UnsupportedError(f"the signature {comparison.signature!r} has no output {comparison.output!r}")
        if any(_has(model, _FEATURES_FUNCTION) for model in models.values()):
            raise UnsupportedError("a model transforms columns itself")

    @property
    def label_columns(self) -> set[str]:
        """The columns that predictions are compared with."""
        return {comparison.label for comparison in self._comparisons}

    @property
    def transformed(self) -> set[str]:
        """The columns that a model transforms: its label, where that is not a class index."""
        return {name for signature in self._label.values() for name in signature.outputs}

    def raw(self, comparison: Comparison) -> RawModel | None:
        """The model of a comparison, to be asked with raw columns; None where it does not take them."""
        model = self._models[comparison.path]
        return RawModel(model, comparison.path, comparison.output) if RawModel.suits(model, comparison.path) else None

    def predict(self, examples: tf.Tensor) -> dict[Comparison, npt.NDArray[np.float32]]:
        """Predictions, [N, outputs], for serialized examples, [N].

        Raises:
          DataError: a column has another type than a model was trained on.
          UnsupportedError: an output is not one or more finite numbers a row.
        """
        parts = side_by_side(self._predictions, in_parts(examples))
        return {comparison: np.concatenate([part[comparison] for part in parts]) for comparison in self._comparisons}

    def _predictions(self, examples: tf.Tensor) -> dict[Comparison, npt.NDArray[np.float32]]:
        outputs = {key: signature(examples) for key, signature in self._predict.items()}
        predictions = {}
        for comparison in self._comparisons:
            by_name = outputs[comparison.path, comparison.signature]
            values = (by_name[comparison.output] if comparison.output else next(iter(by_name.values()))).numpy()
            if values.ndim == 1:
                values = values[:, np.newaxis]
            if values.ndim != 2 or values.dtype != np.float32 or len(values) != len(examples):
                raise UnsupportedError(f"the output {comparison.output!r} is not one or more float32 a row")
            if not np.isfinite(values).all():
                raise UnsupportedError(f"the output {comparison.output!r} has NaN or infinity")
            predictions[comparison] = values
        return predictions

    def labels(self, examples: tf.Tensor, columns: Mapping[str, Column]) -> dict[Comparison, npt.NDArray[Any]]:
        """Labels, [N], for serialized examples, [N], all of which have one; class indices where a model says which.

        Raises:
          DataError: the model does not know a label, or was trained on one of another type.
          UnsupportedError: a label is not a finite number.
        """
        transformed = {path: signature(examples) for path, signature in self._label.items()}
        labels = {}
        for comparison in self._comparisons:
            raw = columns[comparison.label].values.to_numpy(zero_copy_only=False)
            values = raw
            if comparison.label in transformed.get(comparison.path, {}):
                values = transformed[comparison.path][comparison.label].numpy().reshape(len(raw), -1)[:, 0]
                if (values < 0).any():
                    unknown = {_text(value) for value in raw[values < 0].tolist()}
                    require_known_classes(comparison.label, sorted(unknown), "the rows that the model is evaluated on")
            if values.dtype.kind not in "if" or not np.isfinite(values).all():
                raise UnsupportedError(f"the label {comparison.label!r} is not a finite number in every row")
            labels[comparison] = values
        return labels


class _Signature:
    """A signature of a SavedModel that takes serialized tf.Examples."""

    def __init__(self, path: str, model: Any, name: str) -> None:
        self._path = path
        if name not in model.signatures:
            raise UnsupportedError(f"the model has no signature {name!r}")
        self._function = model.signatures[name]
        inputs = self._function.structured_input_signature[1]
        if [(spec.dtype, spec.shape.rank) for spec in inputs.values()] != [(tf.string, 1)]:
            raise UnsupportedError(f"the signature {name!r} does not take serialized tf.Examples alone")
        (self._input,) = inputs
        self.outputs = set(self._function.structured_outputs)

    def __call__(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        try:
            return self._function(**{self._input: examples})
        except tf.errors.InvalidArgumentError as error:
            if not (column := column_of_another_type(error.message)):
                raise
            raise DataError(
                "A model cannot be asked about the evaluation rows: it was trained on another type of a column.",
                where=self._path,
                expected="rows that the candidate and the baseline, the latest blessed model, both take",
                seen=column,
                fix="Give the column its type back (data.columns, or the schema), or go on as a new pipeline, which has no "
                "baseline: --set name=NAME",
            ) from error


def _has(model: Any, name: str) -> bool:
    return name in model.signatures or hasattr(model, name)


def read_batches(files: Sequence[str], columns: Iterable[str], models: Models, weight: str = "") -> Iterator[Batch]:
    """Reads TFRecord files of tf.Examples in their order. Rows without a label are left out, as they are in training.

    Args:
      files: TFRecords, gzipped where the name ends in .gz.
      columns: the features to decode besides the labels.
      models: the models that make the predictions and transform labels.
      weight: the column that says how much each row counts; without one, each counts once.

    Raises:
      DataError: no row has a label, a model does not know a label or takes a column as another type, or a row or all of them
        together have no weight.
      UnsupportedError: a row has several values in one of the columns, or a label or prediction is not a finite number.
    """
    label_names = sorted(models.label_columns)
    names = sorted({*columns, *label_names, *filter(None, [weight])})
    decoder = ExamplesToRecordBatchDecoder()
    num_rows, num_labelled, total_weight = 0, 0, 0.0
    progress = RowProgress("evaluating")
    for file in files:
        records = tf.data.TFRecordDataset(file, compression_of(file))
        for examples in progress.through(records.batch(BATCH_SIZE).prefetch(1)):
            decoded = _decode(decoder, examples, names)
            has_label = np.logical_and.reduce([decoded[name].present for name in label_names])
            num_rows, num_labelled = num_rows + len(has_label), num_labelled + int(has_label.sum())
            if not has_label.all():
                examples = tf.boolean_mask(examples, has_label)
                decoded = _decode(decoder, examples, names)
            if len(examples):
                labels, predictions = models.labels(examples, decoded), models.predict(examples)
                weights = row_weights(weight, decoded[weight]) if weight else np.ones(len(examples))
                total_weight += float(weights.sum())
                rows = {each: PredictedRows(labels[each], predictions[each], weights) for each in predictions}
                yield Batch(len(examples), examples, decoded, rows)
    if num_labelled < num_rows:
        logging.warning("%d of %d rows have no label and are left out.", num_rows - num_labelled, num_rows)
    if num_rows and not num_labelled:
        raise DataError(
            "No row has a label to evaluate the model with.",
            where=f"column {', '.join(label_names)} of the evaluation split",
            expected="a value in at least some rows",
            seen=f"none in {num_rows:,} rows",
            fix="Evaluate on data whose labels are known, or check the field `label` of the configuration.",
        )
    if num_labelled and not total_weight:
        raise unweighable(weight, "0 in every row with a label")


def _decode(decoder: ExamplesToRecordBatchDecoder, examples: tf.Tensor, names: Iterable[str]) -> dict[str, Column]:
    batch = decoder.DecodeBatch(examples.numpy().tolist())
    return {name: Column.of(batch, name) for name in names}


def _text(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
