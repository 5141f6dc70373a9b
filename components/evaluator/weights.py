"""How much each evaluated row counts in metrics."""

from __future__ import annotations

import numpy as np

from components.evaluator.slices import Column
from components.evaluator.sums import FloatArray
from pipeline.errors import DataError


def row_weights(name: str, column: Column) -> FloatArray:
    """The weights of a batch of rows, [N].

    Args:
      name: the column's name.
      column: its values.

    Raises:
      DataError: a row has no weight, or one that is not a number from 0 on.
    """
    values = column.values.to_numpy(zero_copy_only=False)
    if not column.present.all():
        raise unweighable(name, f"{np.count_nonzero(~column.present):,} of {len(column.present):,} rows without a weight")
    if values.dtype.kind not in "if":
        raise unweighable(name, "text")
    wrong = ~(np.isfinite(values) & (values >= 0))
    if wrong.any():
        raise unweighable(name, f"for instance {values[wrong][0]:g}")
    return values.astype(np.float64)


def unweighable(name: str, seen: str) -> DataError:
    """The error for a column with `seen` in it, which is no weight."""
    return DataError(
        f"The column {name!r} cannot weigh rows.",
        where=f"column {name}, split eval",
        expected="a number from 0 on in each row, and not 0 in all",
        seen=seen,
        fix="Correct the column, or name another by evaluation.weight.",
    )
