"""Which column is predicted, and as what."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import pytest

from pipeline.config import Task
from pipeline.errors import UsageError
from pipeline.profile import likely_labels, require_label
from pipeline.profile.label import mistyped
from pipeline.profile.task import decide
from tests.unit.profile.tables import profile

ROWS = 200
FEATURE = [(7 * row) % 50 for row in range(ROWS)]


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["no", "yes"] * 100, Task.BINARY),
        ([0, 1] * 100, Task.BINARY),
        ([True, False] * 100, Task.BINARY),
        ([1.0, 2.0] * 100, Task.BINARY),
        ([1.5, 2.5] * 100, Task.REGRESSION),
        ([0.0, -0.0, 1.0] * 100, Task.BINARY),
        (["a", "b", "c", "d"] * 50, Task.MULTICLASS),
        ([3, 4, 5, 6, 7] * 40, Task.MULTICLASS),
        ([3.0, 4.0, 5.0, 6.0] * 50, Task.MULTICLASS),
        ([3.0, 4.0, 5.5, 6.0] * 50, Task.REGRESSION),
        (list(range(ROWS)), Task.REGRESSION),
        ([row % 25 for row in range(ROWS)], Task.REGRESSION),
    ],
)
def test_the_values_tell_the_task(values, task):
    decision = decide(profile({"y": values}).columns["y"])

    assert decision.task is task
    assert decision.reason.startswith("y has ")


def test_of_two_classes_the_positive_one_is_named():
    assert decide(profile({"y": ["no", "yes"]}).columns["y"]).classes == ("no", "yes")
    assert "'yes'" in decide(profile({"y": ["no", "yes"]}).columns["y"]).reason


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (["yes"] * ROWS, "yes in every row"),
        ([None] * ROWS, "it has no values"),
        ([f"name {row}" for row in range(ROWS)], "names or identifiers"),
        ([datetime(2024, 1, 1) + timedelta(row) for row in range(ROWS)], "times"),
        ([["a", "b"]] * ROWS, "several values"),
    ],
)
def test_a_column_that_cannot_be_predicted_is_refused_with_candidates(values, reason):
    table = profile({"bad": values, "good": FEATURE})
    with pytest.raises(UsageError) as caught:
        require_label(table, "bad")

    assert reason in caught.value.seen
    assert "good: regression" in caught.value.expected


@pytest.mark.parametrize("gap", [None, math.nan, math.inf])
def test_a_column_with_gaps_can_be_predicted_but_others_come_first(gap):
    table = profile({"size": FEATURE, "height": [gap, *FEATURE[1:]], "y": [gap, *(11 * row % 60 for row in range(1, ROWS))]})

    assert [column.name for column in likely_labels(table)] == ["y", "size", "height"]
    assert require_label(table, "y") == "y"


def test_a_misspelt_label_is_refused_with_the_one_that_was_meant():
    with pytest.raises(UsageError) as caught:
        require_label(profile({"price": FEATURE, "size": FEATURE}), "prise")

    assert "Did you mean 'price'?" in caught.value.what
    assert caught.value.fix == "Name a column: --label price"


def test_without_a_label_the_candidates_are_listed_and_the_remedy_names_the_likeliest():
    table = profile({"id": list(range(ROWS)), "size": [row / 3 for row in FEATURE], "sold": ["no", "yes"] * 100, "w": FEATURE})
    with pytest.raises(UsageError) as caught:
        require_label(table, None)

    assert [column.name for column in likely_labels(table)] == ["sold", "w", "size"]
    assert caught.value.fix == "Name a column: --label sold"
    assert require_label(table, caught.value.fix.rpartition(" ")[2]) == "sold"


def test_a_telling_name_comes_first():
    assert likely_labels(profile({"target": FEATURE, "sold": ["no", "yes"] * 100}))[0].name == "target"


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["a", "b"] * 100, Task.REGRESSION),
        ([0.5, 1.5, 2.5, 3.5] * 50, Task.MULTICLASS),
        ([0.5, 1.5] * 100, Task.MULTICLASS),
        ([0.5, 1.5] * 100, Task.BINARY),
        (["a", "b", "c", "d"] * 50, Task.BINARY),
    ],
)
def test_a_task_that_does_not_suit_is_refused_and_the_remedy_works(values, task):
    table = profile({"y": values})
    with pytest.raises(UsageError) as caught:
        require_label(table, "y", task)

    assert require_label(table, "y", Task(caught.value.fix.removeprefix("--task "))) == "y"


def test_numbers_can_be_predicted_as_quantities():
    assert require_label(profile({"y": [1, 2, 3] * 60}), "y", Task.REGRESSION) == "y"


@pytest.mark.parametrize(
    ("rare", "told"),
    [
        ("Aproved", "'Aproved' (3 rows) for 'Approved' (60 rows)"),
        ("approvedd", "'approvedd' (3 rows) for 'Approved' (60 rows)"),
        ("Appruved", "'Appruved' (3 rows) for 'Approved' (60 rows)"),
        ("Unproved", ""),
        ("approved", ""),
        ("Approved 2", ""),
    ],
)
def test_a_rare_class_that_looks_like_a_frequent_one_is_told(rare, told):
    remark = mistyped(profile({"y": ["Approved"] * 60 + ["Rejected"] * 60 + [rare] * 3}).columns["y"])

    assert told in remark if told else not remark


def test_classes_that_are_about_as_frequent_are_not_mistyped():
    assert not mistyped(profile({"y": ["typical", "topical"] * 60}).columns["y"])
