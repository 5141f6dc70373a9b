"""How much each row counts in training: by a column, and by its class."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipeline.contracts.label import require_weighed_classes
from pipeline.errors import ConfigError, DataError
from pipeline.training import raw
from pipeline.training.labels import LabelEncoding
from pipeline.util.suggestions import did_you_mean

Weights = npt.NDArray[np.float32]


def row_weights(
    label: str,
    class_weights: Literal["balanced"] | Mapping[str, float] | None,
    encoding: LabelEncoding,
    labels: npt.NDArray[np.float32],
    column: npt.NDArray[np.float64] | None,
) -> Weights | None:
    """The weights of rows, with a mean of 1, so that a learning rate means the same with and without them.

    Args:
      label: the label's name.
      class_weights: that of each class by its name, 1 for others; `balanced`: all classes count the same in total, each row
        N / (classes * rows of its class), scikit-learn's rule.
      encoding: how the label is learnt.
      labels: the labels as they are learnt, [N].
      column: the values of the weight column as `checked` returns them, [N].

    Returns:
      [N]; None where all rows count the same.

    Raises:
      ConfigError: a class has a weight that the label does not have.
    """
    weights = np.ones(len(labels)) if column is None else column
    if class_weights is not None:
        weights = weights * by_class(label, class_weights, encoding, labels)[labels.astype(np.int64)]
    elif column is None:
        return None
    return (weights / weights.mean()).astype(np.float32)


def by_class(
    label: str,
    class_weights: Literal["balanced"] | Mapping[str, float],
    encoding: LabelEncoding,
    labels: npt.NDArray[np.float32],
) -> npt.NDArray[np.float64]:
    """How much a row of each class counts, [classes]. Arguments and errors are those of `row_weights`."""
    if class_weights == "balanced":
        counts = np.bincount(labels.astype(np.int64), minlength=len(encoding.classes))
        return counts.sum() / (len(counts) * counts)
    classes = [str(each) for each in encoding.classes]
    require_weighed_classes(label, class_weights, classes)
    return np.array([class_weights.get(each, 1.0) for each in classes])


def require_column(name: str, columns: Collection[str]) -> None:
    """Checks that there is a weight column.

    Args:
      name: the column.
      columns: those of the data.

    Raises:
      ConfigError: there is none.
    """
    if name not in columns:
        raise ConfigError(
            f"There is no column {name!r} in the data.",
            where="training.weight",
            expected=f"one of {', '.join(sorted(columns))}",
            seen=name,
            fix=did_you_mean(name, columns) or "Name a column of the data, or remove training.weight.",
        )


def checked(name: str, values: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    """The values of a weight column, [N].

    Args:
      name: the column.
      values: what the rows have there, [N].

    Raises:
      DataError: a row has no weight, or one that is no number from 0 on, or all have 0.
    """
    where = f"column {name}, split train"
    expected = "a number from 0 on in each row, and not 0 in all"
    fix = "Correct the column, or name another by training.weight."
    what = f"The column {name!r} cannot weigh rows."
    if values.dtype.kind not in "if":
        raise DataError(what, where=where, expected=expected, seen="text", fix=fix)
    missing = raw.is_missing(tf.convert_to_tensor(values)).numpy()
    if missing.any():
        raise DataError(
            what, where=where, expected=expected, seen=f"{missing.sum():,} of {len(values):,} rows without a weight", fix=fix
        )
    weights = values.astype(np.float64)
    wrong = weights[weights < 0]
    if len(wrong) or not weights.any():
        seen = f"for instance {wrong[0]:g}" if len(wrong) else "0 in every row"
        raise DataError(what, where=where, expected=expected, seen=seen, fix=fix)
    return weights
