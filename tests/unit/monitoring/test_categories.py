"""Values of text, counted in one pass."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.monitoring import categories
from pipeline.monitoring.categories import Categories, common_values

VALUES = st.lists(st.text(max_size=3), min_size=1, max_size=40)


def counted(values: list[str], cut: int = 0) -> Categories:
    found = Categories()
    for part in (values[:cut], values[cut:]):
        found.add(pa.array(part, pa.large_string()))
    return found


@given(VALUES, VALUES)
def test_values_of_two_columns_side_by_side(one: list[str], other: list[str]) -> None:
    names, table = common_values([counted(one), counted(other)])
    assert names == sorted({*one, *other})
    assert table.tolist() == [[values.count(name) for name in names] for values in (one, other)]


@given(VALUES, VALUES)
def test_unseen_values_are_those_that_the_other_column_lacks(one: list[str], other: list[str]) -> None:
    unseen = counted(one).unseen(counted(other))
    assert unseen is not None
    assert unseen.sum() == sum(value not in other for value in one)


@given(VALUES, st.integers(0, 40))
def test_too_many_values_become_groups_whatever_their_order(values: list[str], cut: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(categories, "MOST_VALUES", 5)
        one, other = counted(values), counted(values[::-1], cut)
        assert one.is_grouped == other.is_grouped == (len(set(values)) > 5)
        assert one.rows == other.rows == len(values)
        _, table = common_values([one, other])
        assert table[0].tolist() == table[1].tolist()


def test_a_new_value_in_every_row_is_unseen_although_values_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(categories, "MOST_VALUES", 50)
    known, new = counted(["a", "b", "c"] * 100), counted([f"id-{number}" for number in range(1000)])
    unseen = new.unseen(known)
    assert unseen is not None
    assert unseen.sum() > 950
    # What many values were known of is not told from what they are now.
    assert known.unseen(new) is None
