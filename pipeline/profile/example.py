"""A row of the table as a request to the gateway."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import numpy as np

from components.shared.examples.kinds import Kind
from pipeline.profile.columns import ColumnProfile, Value, as_datetime
from pipeline.profile.table import TableProfile
from pipeline.profile.values import SEPARATOR

_LOOKED_AT = 1000
_MOST_FEATURES = 50
_LONGEST_TEXT = 200


def request(table: TableProfile, features: Collection[str]) -> dict[str, Value | list[Value]]:
    """The row that has a value in most features, as JSON would hold it; the first of several.

    Args:
      table: the table.
      features: the columns that the model sees; of more than 50 none is in the row, and its values are made up from the schema.
    """
    chosen = [table.columns[name] for name in features]
    if not chosen or len(chosen) > _MOST_FEATURES:
        return {}
    sample = table.sample.slice(0, _LOOKED_AT)
    known = sum(sample.column(column.name).is_valid().to_numpy().astype(int) for column in chosen)
    row = int(np.argmax(known))
    values = {column.name: _as_json(sample.column(column.name)[row].as_py(), column) for column in chosen}
    return {name: value for name, value in values.items() if value is not None}


def _as_json(value: Any, column: ColumnProfile) -> Value | list[Value] | None:
    """A normalised value as a request has it; None where it has none or cannot hold it."""
    if not column.is_list or not isinstance(value, bytes):
        return _scalar(value, column.kind)
    convert = {Kind.TEXT: str, Kind.INTEGER: int, Kind.FLOAT: float}.get(column.kind)
    words = value.decode(errors="replace").split(SEPARATOR)
    if convert is None:
        return None
    values = [convert(word) for word in words]
    return [value for value in values if not isinstance(value, float) or math.isfinite(value)] or None


def _scalar(value: Any, kind: Kind) -> Value | None:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, bytes):
        try:
            return value.decode()[:_LONGEST_TEXT]
        except UnicodeDecodeError:
            return None
    if value is not None and kind in (Kind.TIME, Kind.ZONED_TIME):
        moment = as_datetime(value)
        return None if moment is None else moment.isoformat(timespec="seconds") + ("Z" if kind is Kind.ZONED_TIME else "")
    return value
