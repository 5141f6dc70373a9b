"""How rows are divided."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from pipeline.config import Split, Task
from pipeline.profile.splits import by_span, within
from tests.unit.profile.tables import profile

ROWS = 100
DAYS = [datetime(2024, 1, 1) + timedelta(row) for row in range(ROWS)]
LABEL = [row % 3 for row in range(ROWS)]


@pytest.mark.parametrize(
    "columns",
    [
        {"sold": DAYS},
        {"sold": DAYS[::-1]},
        {"ts": [1_700_000_000 + 60 * row for row in range(ROWS)]},
        {"year": [1900 + row // 2 for row in range(ROWS)]},
        {"shuffled": DAYS[50:] + DAYS[:50], "sold": DAYS},
    ],
)
def test_a_time_that_orders_the_rows_divides_them(columns):
    choice = within(profile({**columns, "y": LABEL}), "y", Task.MULTICLASS)

    assert choice.setting == {"method": "time", "by": list(columns)[-1]}
    assert Split.model_validate(choice.setting)
    assert "orders the rows" in choice.reason


@pytest.mark.parametrize(
    "columns",
    [
        {"sold": DAYS[50:] + DAYS[:50]},
        {"sold": [*DAYS[:-1], None]},
        {"sold": [DAYS[row // 20] for row in range(ROWS)]},
        {"size": list(range(ROWS))},
    ],
)
def test_others_do_not(columns):
    assert within(profile({**columns, "y": LABEL}), "y", Task.MULTICLASS).setting == {}


@pytest.mark.parametrize(
    ("label", "task"),
    [
        ([0] * 80 + [0, 1] * 10, Task.BINARY),
        ([0, 1] * 40 + [0] * 20, Task.BINARY),
        ([0, 1, 2, 3] * 20 + [0, 4] * 10, Task.MULTICLASS),
    ],
)
def test_the_later_rows_must_tell_something_of_classes_that_were_trained_on(label, task):
    assert within(profile({"sold": DAYS, "y": label}), "y", task).setting == {}


def test_quantities_need_not_repeat():
    assert within(profile({"sold": DAYS, "y": list(range(ROWS))}), "y", Task.REGRESSION).setting["method"] == "time"


@pytest.mark.parametrize(("spans", "train", "evaluate"), [(2, 1, 1), (5, 4, 1), (12, 10, 2)])
def test_the_newest_spans_are_evaluated_on(spans, train, evaluate):
    split = Split.model_validate(by_span(spans).setting)

    assert (split.method, split.train_spans, split.eval_spans) == ("window", train, evaluate)
