"""A row of the table as a request to the gateway."""

from __future__ import annotations

import datetime
import math
from collections.abc import Collection

import numpy as np
import pyarrow as pa

from components.shared.examples.kinds import Kind
from pipeline.profile.columns import ColumnProfile
from pipeline.profile.table import TableProfile

_LOOKED_AT = 1000
_MOST_FEATURES = 50
_LONGEST_TEXT = 200


def request(table: TableProfile, features: Collection[str]) -> dict[str, int | float | str]:
    """The row that has a value in most features, as JSON would hold it; the first of several.

    Args:
      table: the table.
      features: the columns that the model sees. Lists are left out, and of more than 50 columns all.
    """
    chosen = [table.columns[name] for name in features if not table.columns[name].is_list]
    if not chosen or len(chosen) > _MOST_FEATURES:
        return {}
    sample = table.sample.slice(0, _LOOKED_AT)
    known = sum(sample.column(column.name).is_valid().to_numpy().astype(int) for column in chosen)
    row = int(np.argmax(known))
    values = {column.name: _as_json(sample.column(column.name)[row], column) for column in chosen}
    return {name: value for name, value in values.items() if value is not None}


def _as_json(value: pa.Scalar, column: ColumnProfile) -> int | float | str | None:
    plain = value.as_py()
    if plain is None or (isinstance(plain, float) and not math.isfinite(plain)):
        return None
    if isinstance(plain, bytes):
        try:
            return plain.decode()[:_LONGEST_TEXT]
        except UnicodeDecodeError:
            return None
    if column.is_time:
        try:
            moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=plain)
        except OverflowError:
            return None
        return moment.isoformat(timespec="seconds") + ("Z" if column.kind is Kind.ZONED_TIME else "")
    return plain
