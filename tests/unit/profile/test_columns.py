"""A column described by all of its values."""

from __future__ import annotations

import math
from datetime import datetime

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.profile.label import obstacle
from pipeline.profile.task import decide
from pipeline.profile.usage import usages
from tests.unit.profile.tables import profile


def test_numbers():
    column = profile({"x": [3.0, None, math.nan, 1.0, 3.0]}).columns["x"]

    assert (column.rows, column.missing, column.distinct) == (5, 2, 2)
    assert column.counts == {3.0: 2, 1.0: 1}
    assert (column.smallest, column.largest, column.is_whole) == (1, 3, True)


def test_text_with_empty_and_damaged_values():
    column = profile({"x": pa.array([b"caf\xe9 au lait", b"", b"a"], pa.binary())}).columns["x"]

    assert (column.missing, column.distinct, column.longest) == (1, 2, 12)
    assert column.words == pytest.approx(2)
    assert column.counts == {"caf\\xe9 au lait": 1, "a": 1}


def test_order_is_seen_across_batches():
    columns = profile({"up": [1, 2, 2, 3], "down": [3, 2, 1, 1], "neither": [1, 3, 2, 4]}, batch_rows=2).columns

    assert [name for name, column in columns.items() if column.is_ascending] == ["up"]
    assert [name for name, column in columns.items() if column.is_descending] == ["down"]


def test_times_know_whether_they_are_whole_days():
    days, hours = [datetime(2024, 1, day) for day in (1, 2)], [datetime(2024, 1, 1, hour) for hour in (1, 2)]
    columns = profile({"day": days, "hour": hours}).columns

    assert columns["day"].is_whole
    assert not columns["hour"].is_whole


def test_equal_columns_have_one_digest():
    table = {"a": [1, 2, None], "b": [1, 2, None], "order": [2, 1, None], "null": [1, None, 2]}
    digests = {name: column.digest for name, column in profile(table).columns.items()}

    assert digests["a"] == digests["b"]
    assert len(set(digests.values())) == 3


def test_values_are_counted_up_to_a_thousand_different_ones():
    columns = profile({"few": list(range(1000)), "many": [*range(999), 2000]}, batch_rows=300).columns
    longer = profile({"x": [*range(1001), 0]}, batch_rows=500).columns["x"]

    assert len(columns["few"].counts) == len(columns["many"].counts) == 1000
    assert longer.distinct == 1001
    assert longer.counts == {}


def test_an_estimate_is_no_more_than_there_are_rows():
    column = profile({"x": range(40_000)}, batch_rows=10_000).columns["x"]

    assert not column.is_exact
    assert 0.9 <= column.distinct_share <= 1
    assert column.distinct <= 40_000


def test_repeated_rows_and_the_sample():
    table = profile({"x": [1, 1, 2, 1], "y": ["a", "a", "a", "b"]})

    assert table.repeated == 1
    assert table.sample.to_pydict() == {"x": [1, 1, 2, 1], "y": [b"a", b"a", b"a", b"b"]}


def test_a_column_that_a_batch_lacks_is_missing_there():
    from components.shared.examples.kinds import Kind
    from pipeline.profile import TableProfile

    batches = [pa.record_batch({"x": [1]}), pa.record_batch({"x": [2], "y": [3]})]
    table = TableProfile.read({"x": Kind.INTEGER, "y": Kind.INTEGER}, batches, {}, lambda rows: None)

    assert table.columns["y"].missing == 1


def test_lists_are_compared_as_wholes():
    column = profile({"x": [["a", "b"], ["ab"], [], None, ["a", "b"]]}).columns["x"]

    assert column.is_list
    assert (column.distinct, column.missing) == (2, 2)


@pytest.mark.parametrize("values", [[["a", None], ["a"]], [[1.5, math.nan], [1.5]], [[b"a"], [None, b"a"]]])
def test_lists_have_their_values_without_null_and_nan(values):
    column = profile({"x": [*values, [None], [None, None]]}).columns["x"]

    assert (column.distinct, column.missing) == (1, 2)


def test_zero_is_one_value_whatever_its_sign():
    column = profile({"x": [0.0, -0.0, 1.0]}).columns["x"]

    assert column.distinct == len(column.counts) == 2


@given(st.lists(st.floats(), min_size=1, max_size=10))
def test_whatever_numbers_there_are_they_can_be_told(values):
    table = profile({"x": pa.array(values, pa.float64()), "y": list(range(len(values)))})
    column = table.columns["x"]

    assert column.distinct == len(column.counts)
    assert usages(table, "y")["x"].reason
    assert obstacle(column) or decide(column).reason


@given(st.lists(st.one_of(st.none(), st.text(max_size=3)), min_size=1, max_size=40), st.integers(1, 7))
def test_batches_change_nothing(values, batch_rows):
    table = {"x": pa.array(values, pa.string())}

    assert profile(table, batch_rows).columns == profile(table).columns
