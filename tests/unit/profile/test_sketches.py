"""Bounded memory of a table of any length."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from pipeline.profile.sketches import Distinct, RowSample
from pipeline.profile.values import mixed


def hashes(numbers: range | list[int]) -> np.ndarray:
    return mixed(np.array(list(numbers), dtype=np.uint64))


def test_a_few_values_are_counted_exactly():
    distinct = Distinct(kept=100)
    distinct.add(hashes(range(60)))
    distinct.add(hashes(range(40, 100)))

    assert distinct.is_exact
    assert distinct.count == 100
    assert distinct.repeated_share == pytest.approx(20 / 120)


def test_many_values_are_estimated():
    distinct = Distinct(kept=1000)
    for start in range(0, 100_000, 5000):
        distinct.add(hashes(range(start, start + 5000)))

    assert not distinct.is_exact
    assert distinct.count == pytest.approx(100_000, rel=0.1)
    assert distinct.repeated_share == 0


def test_repetitions_are_counted_beyond_what_is_kept():
    distinct = Distinct(kept=1000)
    for _ in range(4):
        distinct.add(hashes(range(20_000)))

    assert distinct.repeated_share == pytest.approx(0.75)


def test_counts_are_added():
    distinct = Distinct()
    distinct.add(hashes([1, 2]), np.array([3, 1]))

    assert distinct.count == 2
    assert distinct.repeated_share == pytest.approx(0.5)


def test_a_sample_does_not_depend_on_the_batches():
    numbers = pa.array(range(50_000))
    whole, parts = RowSample(1000), RowSample(1000)
    whole.add([numbers], ["x"])
    for start in range(0, 50_000, 777):
        parts.add([numbers.slice(start, 777)], ["x"])

    drawn = whole.rows().column("x").to_pylist()
    assert drawn == parts.rows().column("x").to_pylist()
    assert drawn == sorted(drawn)
    assert len(drawn) == 1000
    assert np.mean(drawn) == pytest.approx(25_000, rel=0.1)


def test_of_a_short_table_the_sample_has_all_rows():
    sample = RowSample(1000)
    sample.add([pa.array(["a", None])], ["x"])

    assert sample.rows().column("x").to_pylist() == ["a", None]
