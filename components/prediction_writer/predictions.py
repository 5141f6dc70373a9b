"""Predictions as columns, under the names that `conveyor predict` gives them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import tensorflow as tf

from pipeline.contracts.model import (
    LABELS,
    PREDICTIONS,
    PROBABILITIES,
    PROBABILITY,
    SCORE,
    SCORED_OUTPUT_KEY,
    free_name,
)

PREDICTION, VERSION = "prediction", "model_version"

# tf.make_ndarray does the same for every type, 20 times as slowly.
_FIELDS = {tf.float32: "float_val", tf.int64: "int64_val", tf.string: "string_val"}


@dataclass(frozen=True)
class PredictionColumns:
    """The columns that are added to a scored table.

    Attributes:
      version: the version of the model that answered.
      classes: a classifier's label values by class index; empty for a regression.
      taken: the columns of the table.
    """

    version: int
    classes: Sequence[str | int]
    taken: Collection[str]

    def of(self, answers: Sequence[Any]) -> Mapping[pa.Field, pa.Array]:
        """The columns for some rows.

        Args:
          answers: their PredictLogs.

        Returns:
          Classification: `prediction`, `probability` (of the predicted class), `score` (of two classes: the probability of
          the positive one) and `probabilities`, a struct with a field for each class. Regression: `prediction`. Both:
          `model_version`. Probabilities and numbers are float32. A name that the table has got is `predicted_<name>`; the
          field's metadata has the plain one.
        """
        outputs = answers[0].response.outputs
        columns: dict[str, pa.Array] = {}
        if PREDICTIONS in outputs:
            columns[PREDICTION] = pa.array(_values(answers, PREDICTIONS)[:, 0])
        else:
            probabilities = _values(answers, PROBABILITIES)
            labels = pa.array(_values(answers, LABELS)[:, 0])
            columns[PREDICTION] = labels.cast(pa.string()) if pa.types.is_binary(labels.type) else labels
            # Without a threshold of its own, a model answers with the most probable class.
            of_labels = _values(answers, PROBABILITY)[:, 0] if PROBABILITY in outputs else probabilities.max(axis=1)
            columns[PROBABILITY] = pa.array(of_labels)
            if SCORE in outputs:
                columns[SCORE] = pa.array(_values(answers, SCORE)[:, 0])
            columns[PROBABILITIES] = pa.StructArray.from_arrays(
                [pa.array(each) for each in probabilities.T], [str(value) for value in self.classes]
            )
        columns[VERSION] = pa.array(np.full(len(answers), self.version))
        return {self._field(name, values.type): values for name, values in columns.items()}

    def _field(self, name: str, arrow_type: pa.DataType) -> pa.Field:
        return pa.field(free_name(name, self.taken), arrow_type, metadata={SCORED_OUTPUT_KEY: name})


def _values(answers: Sequence[Any], output: str) -> npt.NDArray[Any]:
    """An output of the model for some rows, [N, values]."""
    first = answers[0].response.outputs[output]
    size = int(np.prod([dimension.size for dimension in first.tensor_shape.dim], dtype=np.int64))
    dtype = tf.as_dtype(first.dtype)
    values = [value for answer in answers for value in _of_row(answer.response.outputs[output], dtype, size)]
    return np.array(values, dtype.as_numpy_dtype).reshape(-1, size)


def _of_row(tensor: Any, dtype: tf.DType, size: int) -> list[Any]:
    if tensor.tensor_content:
        return list(np.frombuffer(tensor.tensor_content, dtype.as_numpy_dtype).tolist())
    values = list(getattr(tensor, _FIELDS[dtype]))
    # A tensor proto leaves out the repetitions of its last value.
    return values + values[-1:] * (size - len(values))
