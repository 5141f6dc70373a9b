"""A model that is asked with raw columns, so that one of them can be changed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipeline.contracts.model import COLUMNS_SIGNATURE, MISSING
from pipeline.contracts.model_description import DESCRIPTION_PATH, ModelDescription

_MISSING: Mapping[tf.DType, float | bytes] = {
    tf.float32: MISSING["float"],
    tf.int64: MISSING["int"],
    tf.string: MISSING["string"],
}
# Of each row, trees make some ten kilobytes: of thousands at once, the system looks for memory for longer than the model works.
_ROWS_AT_ONCE = 512
_MOST_AT_ONCE = 4
# What tf.saved_model.load calls an input whose column has no name for a parameter of Python.
_POSITION = re.compile(r"column_+(\d+)")

_Part = TypeVar("_Part")
_Answer = TypeVar("_Answer")


class RawModel:
    """A SavedModel with the signature `predict_raw`.

    Args:
      model: as tf.saved_model.load returns it.
      folder: its folder.
      output: the output that counts.
    """

    def __init__(self, model: Any, folder: str, output: str) -> None:
        self._predict = model.signatures[COLUMNS_SIGNATURE]
        self._output = output
        with tf.io.gfile.GFile(f"{folder}/{DESCRIPTION_PATH}") as file:
            columns = list(ModelDescription.from_json(file.read()).features)
        arguments = self._predict.structured_input_signature[1]
        self._inputs: dict[str, tuple[str, tf.TensorSpec]] = {
            _column(argument, columns): (argument, spec) for argument, spec in sorted(arguments.items())
        }

    @staticmethod
    def suits(model: Any, folder: str) -> bool:
        """Whether a model has the signature, and says which columns it takes."""
        return COLUMNS_SIGNATURE in model.signatures and tf.io.gfile.exists(f"{folder}/{DESCRIPTION_PATH}")

    @property
    def columns(self) -> list[str]:
        """The columns that it takes."""
        return list(self._inputs)

    def parse(self, examples: tf.Tensor) -> dict[str, npt.NDArray[Any]]:
        """The columns of serialized tf.Examples, [N]: each [N], or [N, values] of lists."""
        features = {name: tf.io.VarLenFeature(spec.dtype) for name, (_, spec) in self._inputs.items()}
        parsed = tf.io.parse_example(examples, features)
        return {name: _dense(parsed[name], spec) for name, (_, spec) in self._inputs.items()}

    def predict(self, columns: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        """Predictions, [N, outputs]."""
        tensors = {argument: tf.constant(columns[name], spec.dtype) for name, (argument, spec) in self._inputs.items()}
        parts = list(zip(*map(in_parts, tensors.values()), strict=True))
        answers = side_by_side(lambda part: self._predict(**dict(zip(tensors, part, strict=True))), parts)
        return np.concatenate([answer[self._output].numpy() for answer in answers])


def in_parts(rows: tf.Tensor) -> Sequence[tf.Tensor]:
    """Rows, [N, ...], in parts of as many as a model is best asked about at once; no rows are one part."""
    whole, rest = divmod(len(rows), _ROWS_AT_ONCE)
    sizes = [_ROWS_AT_ONCE] * whole + ([rest] if rest or not whole else [])
    parts: Sequence[tf.Tensor] = tf.split(rows, sizes)
    return parts


def side_by_side(ask: Callable[[_Part], _Answer], parts: Sequence[_Part]) -> list[_Answer]:
    """The answers for parts of rows, in order, of which as many as there are cores are asked for at the same time.

    TensorFlow does the operations of a model one after the other where none is large.
    """
    with ThreadPoolExecutor(min(_MOST_AT_ONCE, len(os.sched_getaffinity(0)))) as pool:
        return list(pool.map(ask, parts))


def _column(argument: str, columns: list[str]) -> str:
    match = _POSITION.fullmatch(argument)
    return argument if argument in columns or match is None else columns[int(match[1])]


def _dense(sparse: tf.SparseTensor, spec: tf.TensorSpec) -> npt.NDArray[Any]:
    missing = _MISSING[spec.dtype]
    values = tf.sparse.to_dense(sparse, default_value=tf.constant(missing, spec.dtype)).numpy()
    width = 1 if spec.shape.rank == 1 else spec.shape[1] or max(1, values.shape[1])
    lacking = width - values.shape[1]
    if lacking > 0:
        filler = np.full((len(values), lacking), missing, values.dtype)
        values = np.concatenate([values, filler], axis=1)
    return values[:, 0] if spec.shape.rank == 1 else values[:, :width]


def is_missing(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which values of a column, [N], are missing."""
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype.kind == "i":
        return values == MISSING["int"]
    return np.array([value == MISSING["string"] for value in values], np.bool_)
