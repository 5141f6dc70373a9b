"""Distributions of numbers, counted in one pass."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.monitoring import numbers
from pipeline.monitoring.numbers import Numbers, common_bins, even_bins

VALUES = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=60)


def counted(*parts: list[float]) -> Numbers:
    found = Numbers()
    for part in parts:
        found.add(np.array(part, np.float64))
    return found


@given(VALUES, st.integers(0, 60))
def test_it_does_not_matter_in_which_batches_rows_come(values: list[float], cut: int) -> None:
    whole, parts = counted(values), counted(values[:cut], values[cut:])
    for one, other in zip(whole.cells(), parts.cells(), strict=True):
        assert one.tolist() == other.tolist()
    assert (whole.smallest, whole.largest, whole.zeros) == (min(values), max(values), values.count(0))
    assert whole.rows == len(values)


@given(VALUES)
def test_quantiles_are_right_to_the_width_of_a_cell(values: list[float]) -> None:
    found = counted(values)
    for share in (0.0, 0.5, 1.0):
        exact = float(np.quantile(values, share, method="inverted_cdf"))
        assert found.quantile(share) == pytest.approx(exact, rel=2**-11, abs=1e-300)


@given(VALUES, VALUES, st.integers(1, 30), st.floats(0, 10))
def test_bins_hold_every_number_once_and_none_is_empty(one: list[float], other: list[float], most: int, fewest: float) -> None:
    edges, table = common_bins([counted(one), counted(other)], most, fewest)
    assert table.sum(axis=1).tolist() == [len(one), len(other)]
    assert 1 <= table.shape[1] <= most
    assert (table.sum(axis=0) > 0).all()
    assert len(edges) == table.shape[1] + 1
    assert (np.diff(edges) >= 0).all()
    assert (edges[0], edges[-1]) == (min(one + other), max(one + other))
    smaller, rows = min(len(one), len(other)), len(one) + len(other)
    if table.shape[1] > 1:
        assert (table.sum(axis=0) * smaller / rows >= fewest - 1e-9).all()


def test_whole_numbers_that_many_rows_have_are_bins_of_their_own() -> None:
    months = np.repeat(np.arange(1.0, 13.0), 50)
    _, table = common_bins([counted(months.tolist()), counted(months.tolist())], 20, 10)
    assert table.tolist() == [[50] * 12] * 2


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbers, "_MOST_CELLS", 100)
    rng = np.random.default_rng(0)
    found = Numbers()
    for _ in range(20):
        found.add(np.exp(rng.normal(0, 20, 1000)) * rng.choice([-1, 1], 1000))
    assert len(found.cells()[0]) <= 100
    assert found.rows == 20_000


def test_columns_with_cells_of_other_widths_are_compared_in_the_wider_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=4000)
    fine = counted(values.tolist())
    monkeypatch.setattr(numbers, "_MOST_CELLS", 100)
    coarse = counted(values.tolist())
    coarse.cells()
    _, table = common_bins([fine, coarse], 20, 10)
    assert table[0].tolist() == table[1].tolist()
    assert table.shape[1] > 10


def test_a_constant_column_is_drawn_too() -> None:
    edges, table = even_bins([counted([3.0] * 5), counted([3.0] * 2)], 4)
    assert table.sum(axis=1).tolist() == [5, 2]
    assert (np.diff(edges) > 0).all()
