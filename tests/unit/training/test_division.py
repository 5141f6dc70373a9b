"""The rows that judge are those that stand for the rows to come."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import Split
from pipeline.training import division
from pipeline.training.division import Arrangement, Grouped, Ordered, Unrelated, arranged, divide

BY_TIME = Split(method="time", by="when")
BY_GROUP = Split(method="group", by=("customer", "shop"))
BY_SPAN = Split(method="window")
NOTHING = math.nan


def arrange(split: Split, num_rows: int = 0, spans: Any = (), classes: Any = None, **columns: Any) -> Arrangement:
    arrays = {name: np.array(values) for name, values in columns.items()}
    return arranged(split, num_rows or len(next(iter(arrays.values()))), arrays, spans, classes)


def held_back(rows: Arrangement, fraction: float = 0.2) -> list[int]:
    return divide(rows, fraction, seed=3, num_outputs=1).validation.tolist()


@st.composite
def arrangements(draw: st.DrawFn) -> Arrangement:
    num_rows = draw(st.integers(2, 40))
    values = np.array([0, 1, *draw(st.lists(st.integers(0, 6), min_size=num_rows - 2, max_size=num_rows - 2))])
    kind = draw(st.sampled_from(["unrelated", "ordered", "grouped"]))
    if kind == "ordered":
        return Ordered(values, draw(st.sampled_from([0.0, 1.0, 9.0])), draw(st.sampled_from([None, values % 2])))
    return Grouped(np.unique(values, return_inverse=True)[1]) if kind == "grouped" else Unrelated(num_rows, values % 2)


@given(arrangements(), st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9]), st.integers(0, 3), st.sampled_from([1, 10_000]))
def test_what_judges_is_not_learnt_from(rows: Arrangement, fraction: float, seed: int, num_outputs: int) -> None:
    divided = divide(rows, fraction, seed, num_outputs)

    assert divided.num_rows == rows.num_rows
    assert len(divided.train)
    for learnt_from, judged in ((divided.train, divided.validation), *divided.parts):
        assert not set(learnt_from) & set(judged)
        assert learnt_from.tolist() == sorted(set(learnt_from))
        assert judged.tolist() == sorted(set(judged))
    assert sum(len(judged) for _, judged in divided.parts) == len(np.unique(divided.judged)) > 0
    assert set(divided.validation) <= set(divided.judged)
    again = divide(rows, fraction, seed, num_outputs)
    assert again.train.tolist() == divided.train.tolist()
    assert again.validation.tolist() == divided.validation.tolist()


@pytest.mark.parametrize("fraction", [0, 0.1, 0.5])
def test_rows_at_random_have_their_share(fraction: float) -> None:
    divided = divide(Unrelated(100), fraction, 3, num_outputs=100)
    assert len(divided.validation) == round(100 * fraction)
    assert sorted([*divided.train, *divided.validation]) == list(range(100))
    assert divided.validation.tolist() != list(range(100 - len(divided.validation), 100)) or not fraction


@pytest.mark.parametrize("seed", range(5))
def test_a_rare_class_has_its_share_of_both_parts(seed: int) -> None:
    classes = np.array([0] * 90 + [1] * 10)
    divided = divide(Unrelated(100, classes), 0.2, seed, num_outputs=1)
    assert np.bincount(classes[divided.train]).tolist() == [72, 8]
    assert np.bincount(classes[divided.validation]).tolist() == [18, 2]


def test_the_newest_times_judge_in_whatever_order_rows_are() -> None:
    when = np.random.default_rng(0).permutation(100)
    assert sorted(when[held_back(arrange(BY_TIME, when=when))]) == list(range(80, 100))


def test_rows_of_one_time_stay_together_and_rows_without_one_count_as_old() -> None:
    assert held_back(arrange(BY_TIME, when=[3.0, 2.0, NOTHING, 1.0, 1.0, 3.0, 1.0, 2.0, 1.0, NOTHING])) == [0, 5]
    smallest = np.iinfo(np.int64).min
    assert held_back(arrange(BY_TIME, when=[3, 2, smallest, 1, 1, 3, 1, 2, 1, smallest])) == [0, 5]


@pytest.mark.parametrize(("gap", "learnt_from"), [(None, 90), (5.0, 86), ("40s", 51), ("1min", 90)])
def test_a_gap_is_left_before_the_rows_that_judge_unless_it_takes_half_of_the_others(gap: Any, learnt_from: int) -> None:
    divided = divide(arrange(Split(method="time", by="when", gap=gap), when=list(range(100))), 0.1, 0, num_outputs=100)
    assert divided.validation.tolist() == list(range(90, 100))
    assert divided.train.tolist() == list(range(learnt_from))


def test_the_newest_spans_judge() -> None:
    divided = divide(arrange(BY_SPAN, 100, [20, 30, 30, 10, 10]), 0.2, 0, num_outputs=100)
    assert divided.validation.tolist() == list(range(80, 100))
    assert divided.words == "the newest"


def test_of_a_large_newest_span_some_rows_judge_with_each_class_among_them() -> None:
    classes = np.array([0] * 50 + [0] * 45 + [1] * 5)
    judging = held_back(arrange(BY_SPAN, 100, [50, 50], classes))
    assert len(judging) == 20
    assert min(judging) >= 50
    assert np.bincount(classes[judging]).tolist() == [18, 2]


def test_groups_judge_as_a_whole() -> None:
    customer = np.random.default_rng(0).integers(0, 30, 300)
    shop = customer % 2
    judging = held_back(arrange(BY_GROUP, customer=customer, shop=shop))
    assert abs(len(judging) - 60) < 10
    assert not set(customer[judging]) & set(np.delete(customer, judging))


def test_rows_without_any_value_of_a_group_are_alone() -> None:
    rows = arrange(BY_GROUP, customer=np.array([b"", b"", b"", b"a", b"a"], object), shop=[NOTHING, NOTHING, 1.0, 1.0, 1.0])
    assert isinstance(rows, Grouped)
    assert np.bincount(rows.groups).tolist() == [1, 2, 1, 1]


def test_a_group_of_most_rows_is_learnt_from() -> None:
    assert held_back(arrange(BY_GROUP, customer=[1] * 90 + [2] * 10, shop=[0] * 100)) == list(range(90, 100))


@pytest.mark.parametrize(
    ("split", "columns"),
    [
        (BY_TIME, {"when": [1, 1, 1]}),
        (BY_TIME, {"when": [NOTHING] * 3}),
        (BY_GROUP, {"customer": [1, 1, 1], "shop": [2, 2, 2]}),
        (BY_GROUP, {}),
        (BY_TIME, {}),
        (BY_SPAN, {}),
        (Split(), {}),
    ],
)
def test_rows_that_nothing_tells_apart_are_unrelated(split: Split, columns: dict[str, Any]) -> None:
    assert arrange(split, 3, **columns) == Unrelated(3)


@pytest.mark.parametrize("spans", [[3], [3, 0], [1, 1], [2, 2]])
def test_spans_that_tell_nothing_are_passed_over(spans: list[int]) -> None:
    assert arrange(BY_SPAN, 3, spans) == Unrelated(3)


def test_folds_in_order_are_judged_by_what_is_older() -> None:
    divided = divide(arrange(BY_TIME, when=list(range(100))), 0.2, 0, num_outputs=1)
    assert [(len(learnt), judged.min(), judged.max()) for learnt, judged in divided.parts] == [
        (50, 50, 59),
        (60, 60, 69),
        (70, 70, 79),
        (80, 80, 89),
        (90, 90, 99),
    ]


def test_folds_of_groups_are_as_equal_as_groups_allow() -> None:
    groups = np.repeat([0, 1, 2, 3, 4, 5], [40, 20, 20, 20, 15, 5])
    parts = divide(Grouped(groups), 0.2, 0, num_outputs=1).parts
    assert sorted(len(judged) for _, judged in parts) == [20, 20, 20, 20, 40]
    for learnt_from, judged in parts:
        assert not set(groups[learnt_from]) & set(groups[judged])


def test_large_tables_have_one_part() -> None:
    divided = divide(Unrelated(division._MOST_FOR_FOLDS + 1), 0.2, 0, num_outputs=1)
    assert [tuple(map(len, part)) for part in divided.parts] == [(len(divided.train), len(divided.validation))]
    assert len(divide(Unrelated(division._MOST_FOR_FOLDS + 1), 0.0, 0, num_outputs=1).parts) == 5
