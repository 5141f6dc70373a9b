"""The label as the model learns it: class indices, or a standardised number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipeline.config import Task
from pipeline.contracts.label import in_order, remedy_for, require_known_classes, require_text, require_values, require_variety
from pipeline.errors import DataError
from pipeline.training import raw


@dataclass(frozen=True)
class LabelEncoding:
    """How a label's values become what the model learns.

    Attributes:
      task: the kind of prediction.
      classes: for classifiers, the label's values; strings or integers. Of a binary label the last is positive; more classes
        are sorted.
      reason: why the last of two classes is positive.
      mean: for regression, the label's mean in the training data.
      deviation: for regression, the label's standard deviation in the training data.
    """

    task: Task
    classes: tuple[str | int, ...] = ()
    reason: str = ""
    mean: float = 0.0
    deviation: float = 1.0

    @classmethod
    def fit(
        cls, task: Task, name: str, values: npt.NDArray[np.generic], positive_class: str | int | None = None
    ) -> LabelEncoding:
        """Finds the encoding for a column of labels.

        Args:
          task: the kind of prediction.
          name: the label's name, for error messages.
          values: [N] bytes, integers or floats, in the training rows.
          positive_class: that of a binary label, where it is configured.

        Raises:
          ConfigError: the label has no such positive class.
          DataError: a row has no label, all have the same, or the values do not suit the task or are not text.
        """
        where = f"column {name}, split train"
        num_missing = int(raw.is_missing(tf.convert_to_tensor(values)).numpy().sum()) if len(values) else 0
        require_values(name, num_missing, len(values), where)
        is_number = values.dtype.kind in "if"
        if task is Task.REGRESSION and not is_number:
            raise DataError(
                f"The label {name!r} is text, and regression predicts a number.",
                where=where,
                expected="integers or floats",
                seen=f"for instance {_text(values[0])!r}",
                fix="Set `task: multiclass_classification`, or choose another label.",
            )
        unique, counts = np.unique(values, return_counts=True)
        require_variety(name, [_text(value) for value in unique[:2]], where)
        if task is Task.REGRESSION:
            numbers = values.astype(np.float64)
            return cls(task, mean=float(numbers.mean()), deviation=float(numbers.std()))
        if is_number and not np.array_equal(unique, unique.astype(np.int64)):
            raise DataError(
                f"The label {name!r} has fractions, and a classifier predicts classes.",
                where=where,
                expected="strings or whole numbers",
                seen=f"for instance {unique[unique != unique.astype(np.int64)][0]}",
                fix="Set `task: regression`, or choose another label.",
            )
        if not is_number:
            require_text(name, next((repr(value) for value in unique if not _is_text(value)), None), where)
        if task is Task.BINARY and len(unique) > 2:
            raise DataError(
                f"The label {name!r} has more than two values, and the task is binary classification.",
                where=where,
                expected="two different values",
                seen=f"{len(unique)}: {', '.join(repr(_text(value)) for value in unique[:5])}{', …' * (len(unique) > 5)}",
                fix=("" if is_number else remedy_for(name, [str(_text(value)) for value in unique]))
                or "Set `task: multiclass_classification`, or correct the label.",
            )
        classes = tuple(int(value) if is_number else str(_text(value)) for value in unique)
        if task is not Task.BINARY:
            return cls(task, classes)
        order = in_order(name, dict(zip(classes, map(int, counts), strict=True)), positive_class)
        return cls(task, (order.negative, order.positive), order.reason)

    @property
    def num_outputs(self) -> int:
        """How many numbers the model puts out for a row: one for each of several classes, otherwise one."""
        return len(self.classes) if self.task is Task.MULTICLASS else 1

    @property
    def is_index(self) -> bool:
        """Whether the label's values are class indices already."""
        return self.classes == tuple(range(len(self.classes)))

    def encode(self, values: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
        """Labels as the model learns them, [N]: class indices, or numbers of mean 0 and standard deviation 1."""
        if self.task is Task.REGRESSION:
            return ((values.astype(np.float64) - self.mean) / self.deviation).astype(np.float32)
        keys = np.array([key.encode() if isinstance(key, str) else key for key in self.classes])
        order = np.argsort(keys)
        return order[np.searchsorted(keys, values.astype(keys.dtype), sorter=order)].astype(np.float32)

    def check_known(self, name: str, values: npt.NDArray[np.generic], where: str) -> None:
        """Checks that a classifier knows all labels that it will be evaluated on.

        Args:
          name: the label's name.
          values: [N] bytes, integers or floats; rows without a label may be among them.
          where: the rows, for the message.

        Raises:
          DataError: the training data lacks a value.
        """
        if self.task is not Task.REGRESSION and len(values):
            present = values[~raw.is_missing(tf.convert_to_tensor(values)).numpy()]
            unique = {_text(value) for value in np.unique(present).tolist()}
            require_known_classes(name, sorted(unique - set(self.classes)), where)


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _text(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
