"""Numbers that stand for no value, such as -999 among temperatures."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pipeline.profile.table import TableProfile
from pipeline.profile.words import number, of_rows, shortened

_SENTINELS = [sign * value for value in (99, 999, 9999, 99999, 999999, 32767, 32768) for sign in (-1, 1)]
_FEWEST_ROWS, _FEWEST_OTHERS = 2, 4


def warnings(table: TableProfile, features: Iterable[str]) -> list[str]:
    """A sentence for each column with such a number, which several rows have, far from all others.

    Args:
      table: the table.
      features: the columns that the model uses.
    """
    return [warning for name in features if table.columns[name].is_number and (warning := _warning(table, name))]


def _warning(table: TableProfile, name: str) -> str:
    numbers = table.sample.column(name).drop_null().to_numpy().astype(np.float64)
    numbers = numbers[np.isfinite(numbers)]
    for sentinel in (each for each in _SENTINELS if each in (np.min(numbers, initial=0), np.max(numbers, initial=0))):
        others = numbers[numbers != sentinel]
        rows = len(numbers) - len(others)
        if rows < _FEWEST_ROWS or len(np.unique(others)) < _FEWEST_OTHERS:
            continue
        # Farther away than the others are apart.
        if np.abs(others - sentinel).min() > np.ptp(others):
            return (
                f"{shortened(name)} is {number(sentinel)} in {of_rows(rows, len(numbers))}, far from all others. If that "
                "stands for no value, leave the cells empty or, in delimited text, name it as it is written, for all columns: "
                f'data.csv.nulls: ["{sentinel}"].'
            )
    return ""
