"""Which drift matters: that of columns which the model leans on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.monitoring.comparison import ColumnComparison

MATTERS = 0.1
"""A column matters if the model leans on it at least so much as on the most important one, as a share of that."""


def drift_that_matters(columns: Sequence[ColumnComparison]) -> tuple[str, ...]:
    """The columns that have drifted and that the model leans on; where that was not measured, all that have drifted.

    Args:
      columns: what was compared, of a time each part.
    """
    known: Mapping[str, float] = {each.name: each.importance for each in columns if each.importance is not None}
    least = MATTERS * max(known.values(), default=0.0)
    drifted = [each for each in columns if each.has_drifted and (not known or known.get(each.name, 0.0) >= max(least, 1e-12))]
    return tuple(each.name for each in sorted(drifted, key=lambda each: -known.get(each.name, 0.0)))
