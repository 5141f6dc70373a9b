"""The order of rows by a column of times or numbers."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.example_gen.values import typed
from components.shared.examples.kinds import Kind

TIMES = (Kind.TIME, Kind.ZONED_TIME)
ORDERED = (*TIMES, Kind.INTEGER, Kind.FLOAT)
"""The kinds of columns that order rows."""

PER_SECOND = 1_000_000
"""The number of units of a time in a second."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def order_of(batch: pa.RecordBatch, column: str, kind: Kind) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """The values that order rows.

    Args:
      batch: N rows, of which each has at most one value in the column.
      column: a column of the table, which may be absent from the batch.
      kind: the kind of the column in the table as a whole, one of `ORDERED`.

    Returns:
      [N] float64 for floats, int64 for integers and for times (microseconds since 1970-01-01 UTC), and whether there is a
      value, which NaN is not.
    """
    values = np.zeros(len(batch), np.float64 if kind is Kind.FLOAT else np.int64)
    has_value = np.zeros(len(batch), np.bool_)
    if column in batch.schema.names:
        found = typed(batch.column(column), kind, has_lists=False)
        has_value = found.is_valid().to_numpy(zero_copy_only=False)
        known = found.drop_null()
        values[has_value] = known.cast(pa.int64()) if kind in TIMES else known
        has_value = has_value & ~np.isnan(values)
    return values, has_value


def shown(value: float, kind: Kind) -> str:
    """A value that orders rows, as text for people."""
    if kind not in TIMES:
        return str(value)
    seconds, rest = divmod(int(value), PER_SECOND)
    try:
        time = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return f"{seconds} s since 1970"
    if rest:
        return f"{time:%Y-%m-%d %H:%M:%S}.{rest:06} UTC"
    return time.strftime("%Y-%m-%d %H:%M:%S UTC" if seconds % 86_400 else "%Y-%m-%d")
