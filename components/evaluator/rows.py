"""Rows of an Examples artifact with the predictions of models, batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from components.evaluator.slices import Column
from components.evaluator.unsupported import UnsupportedError

# Large enough for the model and numpy to work in bulk, small enough for memory not to matter.
BATCH_SIZE = 8192

# Functions of a model that TFMA calls by default, to slice by what they return.
_PREPROCESSING = ("transformed_features", "transformed_labels")


@dataclass(frozen=True)
class ModelOutput:
    """Where a prediction comes from.

    Attributes:
      path: the folder of a SavedModel.
      signature: one that takes serialized tf.Examples.
      key: which of the signature's outputs; the only one when empty.
    """

    path: str
    signature: str
    key: str


@dataclass(frozen=True)
class Batch:
    """Rows as columns, [N] each, and predictions by model output, [N, outputs]."""

    num_rows: int
    columns: Mapping[str, Column]
    predictions: Mapping[ModelOutput, npt.NDArray[np.float32]]


class Predictor:
    """Models, loaded once each, that predict batches of serialized tf.Examples."""

    def __init__(self, outputs: Iterable[ModelOutput]) -> None:
        """Loads the models.

        Raises:
          UnsupportedError: a model lacks the signature, or the signature is not one from serialized examples to the output.
        """
        self._outputs = sorted(set(outputs), key=lambda output: (output.path, output.signature, output.key))
        self._models = {path: tf.saved_model.load(path) for path in {output.path for output in self._outputs}}
        self._functions = {}
        for model in self._models.values():
            if any(name in model.signatures or hasattr(model, name) for name in _PREPROCESSING):
                raise UnsupportedError("the model transforms labels or the columns of slices")
        for output in self._outputs:
            function = self._models[output.path].signatures.get(output.signature)
            if function is None:
                raise UnsupportedError(f"the model has no signature {output.signature!r}")
            inputs = list(function.structured_input_signature[1].values())
            if len(inputs) != 1 or inputs[0].dtype != tf.string or inputs[0].shape.rank not in (None, 1):
                raise UnsupportedError(f"the signature {output.signature!r} does not take serialized tf.Examples alone")
            names = list(function.structured_outputs)
            if output.key not in names and not (output.key == "" and len(names) == 1):
                raise UnsupportedError(f"the signature {output.signature!r} has no output {output.key!r}")
            (input_name,) = function.structured_input_signature[1]
            self._functions[output.path, output.signature] = (function, input_name)

    def predict(self, examples: tf.Tensor) -> dict[ModelOutput, npt.NDArray[np.float32]]:
        """Predictions by model output, [N, outputs], of serialized examples, [N].

        Raises:
          UnsupportedError: an output is not one or more finite numbers a row.
        """
        results = {key: function(**{name: examples}) for key, (function, name) in self._functions.items()}
        predictions = {}
        for output in self._outputs:
            result = results[output.path, output.signature]
            values = (result[output.key] if output.key else next(iter(result.values()))).numpy()
            if values.ndim == 1:
                values = values[:, np.newaxis]
            if values.ndim != 2 or values.dtype != np.float32 or len(values) != len(examples):
                raise UnsupportedError(f"the output {output.key!r} is not one or more float32 a row")
            if not np.isfinite(values).all():
                raise UnsupportedError(f"the output {output.key!r} has NaN or infinity")
            predictions[output] = values
        return predictions


def read_batches(files: Sequence[str], columns: Iterable[str], predictor: Predictor) -> Iterator[Batch]:
    """Reads TFRecord files of tf.Examples in their order.

    Args:
      files: TFRecords, gzipped where the name ends in .gz.
      columns: the features to decode.
      predictor: makes the predictions.

    Raises:
      UnsupportedError: a row has several values in one of the columns, or a prediction is not finite.
    """
    names = sorted(columns)
    decoder = ExamplesToRecordBatchDecoder()
    for file in files:
        compression = "GZIP" if file.endswith(".gz") else ""
        for examples in tf.data.TFRecordDataset(file, compression).batch(BATCH_SIZE).prefetch(1):
            decoded = decoder.DecodeBatch(examples.numpy().tolist())
            yield Batch(
                num_rows=decoded.num_rows,
                columns={name: Column.of(decoded, name) for name in names},
                predictions=predictor.predict(examples),
            )
