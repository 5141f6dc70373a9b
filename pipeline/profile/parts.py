"""Columns that make up a label: two counts of which it is the sum, a price and a quantity of which it is the product."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.profile.table import TableProfile
from pipeline.profile.values import as_floats
from pipeline.profile.words import listed, shortened

# What rounding to cents or to the last digit leaves of a sum. Nothing that is measured comes as close.
_EXACT_R2 = 0.99999
_FEWEST_ROWS, _ROWS_A_COLUMN, _MOST_COLUMNS = 50, 5, 500
_MOST_MISSING = 0.5
# Keeps the equations solvable where columns say the same.
_RIDGE = 1e-9

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Parts:
    """Columns that make up the label together.

    Attributes:
      names: the columns, at least two, none of which can be left out.
      warning: a sentence on them.
    """

    names: Sequence[str]
    warning: str


def parts_of(table: TableProfile, label: str, features: Iterable[str]) -> Parts | None:
    """The columns of numbers whose weighted sum or product is the label.

    Args:
      table: the table.
      label: the column of numbers that is predicted.
      features: the columns that the model uses and that do not tell the label alone.

    Returns:
      A smallest group of such columns; None where there is none.
    """
    names, columns = [], []
    for name in features:
        numbers = as_floats(table.sample.column(name)) if table.columns[name].is_number else None
        if numbers is not None and np.isfinite(numbers).mean() > _MOST_MISSING:
            names.append(name)
            columns.append(numbers)
    actual = as_floats(table.sample.column(label))
    if actual is None or not 2 <= len(names) <= _MOST_COLUMNS:
        return None
    rows = np.column_stack([*columns, actual])
    rows = rows[np.isfinite(rows).all(axis=1)]
    if found := _smallest(rows):
        return _parts([names[place] for place in found], label, "a weighted sum")
    factors = [place for place in range(len(names)) if (rows[:, place] > 0).all()]
    if len(factors) > 1 and (rows[:, -1] > 0).all() and (found := _smallest(np.log(rows[:, [*factors, -1]]))):
        return _parts([names[factors[place]] for place in found], label, "a product or quotient")
    return None


def _parts(names: Sequence[str], label: str, how: str) -> Parts:
    return Parts(names, f"{listed(names)} together tell {shortened(label)}, {how} of them: are they known beforehand?")


def _smallest(rows: _Floats) -> list[int]:
    """The places of at least two columns whose weighted sum is the last one and none of which can be left out; else nothing."""
    varying = np.flatnonzero(np.ptp(rows[:, :-1], axis=0)) if len(rows) else np.array([], int)
    if len(rows) < max(_FEWEST_ROWS, _ROWS_A_COLUMN * len(varying)) or not np.ptp(rows[:, -1]):
        return []
    chosen = rows[:, [*varying, -1]]
    standard = (chosen - chosen.mean(axis=0)) / chosen.std(axis=0)
    related = standard.T @ standard / len(standard)
    columns, with_label = related[:-1, :-1], related[:-1, -1]

    def weights(places: Sequence[int]) -> _Floats:
        return np.linalg.solve(columns[np.ix_(places, places)] + _RIDGE * np.eye(len(places)), with_label[places])

    def is_exact(places: Sequence[int]) -> bool:
        return len(places) > 0 and float(weights(places) @ with_label[places]) >= _EXACT_R2

    kept = list(range(len(varying)))
    if not is_exact(kept):
        return []
    for place in sorted(kept, key=dict(zip(kept, np.abs(weights(kept)), strict=True)).__getitem__):
        fewer = [each for each in kept if each != place]
        if is_exact(fewer):
            kept = fewer
    return [int(varying[place]) for place in kept] if len(kept) > 1 else []
