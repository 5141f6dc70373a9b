"""What a model leans on, measured on models whose answer is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from components.evaluator.importance import measure, rows_to_ask
from components.evaluator.reservoir import Reservoir
from pipeline.contracts.importance import Importance

ROWS = 1_000


class Model:
    """Columns that are there already, and a function of them in the place of a SavedModel."""

    def __init__(self, columns: Mapping[str, Any], predict: Callable[[Mapping[str, Any]], Any]) -> None:
        self.data = {name: np.asarray(values) for name, values in columns.items()}
        self.columns = list(columns)
        self._predict = predict

    def parse(self, examples: Any) -> dict[str, Any]:
        """The columns, whatever the examples are."""
        return self.data

    def predict(self, columns: Mapping[str, Any]) -> Any:
        """Predictions, [N, outputs]."""
        predictions = np.asarray(self._predict(columns), np.float32)
        return predictions if predictions.ndim == 2 else predictions[:, np.newaxis]


def found(model: Model, labels: Any, metric: str) -> Importance:
    importance = measure(model, None, np.asarray(labels), np.ones(ROWS), metric)  # type: ignore[arg-type]
    assert importance is not None
    return importance


@pytest.fixture
def numbers() -> dict[str, Any]:
    random = np.random.default_rng(0)
    texts = np.array([b"a", b"b", b"c"], object)
    return {
        "used": random.normal(size=ROWS).astype(np.float32),
        "text": texts[random.integers(0, 3, ROWS)],
        "unused": random.normal(size=ROWS).astype(np.float32),
    }


def sigmoid(values: Any) -> Any:
    return 1 / (1 + np.exp(-values))


def test_what_the_model_uses_comes_first_and_what_it_does_not_use_is_worth_nothing(numbers):
    model = Model(numbers, lambda columns: sigmoid(3 * columns["used"] + (columns["text"] == b"a")))
    labels = (model.predict(numbers)[:, 0] > np.random.default_rng(1).random(ROWS)).astype(np.int64)

    importance = found(model, labels, "auc")

    assert [column.column for column in importance.columns] == ["used", "text", "unused"]
    used, _, unused = importance.columns
    assert 0 < used.lower < used.loss < used.upper
    assert (unused.loss, unused.lower, unused.upper) == (0, 0, 0)
    assert importance.rows == ROWS


def test_errors_rise(numbers):
    model = Model(numbers, lambda columns: 5 * columns["used"])

    (first, *others) = found(model, 5 * numbers["used"], "rmse").columns

    assert first.column == "used"
    assert first.loss == pytest.approx(5 * math.sqrt(2), rel=0.1)
    assert [each.loss for each in others] == [0, 0]


def test_many_classes_have_no_single_prediction_to_follow(numbers):
    def one_hot(columns: Mapping[str, Any]) -> Any:
        return np.stack([columns["text"] == value for value in (b"a", b"b", b"c")], axis=1)

    model = Model(numbers, one_hot)

    importance = found(model, np.argmax(one_hot(numbers), axis=1), "accuracy")

    assert importance.columns[0].column == "text"
    assert importance.columns[0].loss == pytest.approx(2 / 3, abs=0.1)
    assert importance.dependences == ()


def test_mean_predictions_follow_the_values(numbers):
    model = Model(numbers, lambda columns: sigmoid(3 * columns["used"] + 4 * (columns["text"] == b"a")))
    labels = (model.predict(numbers)[:, 0] > np.random.default_rng(1).random(ROWS)).astype(np.int64)

    by_column = {each.column: each for each in found(model, labels, "auc").dependences}

    assert list(by_column["used"].values) == sorted(by_column["used"].values)
    assert list(by_column["used"].predictions) == sorted(by_column["used"].predictions)
    texts = dict(zip(by_column["text"].values, by_column["text"].predictions, strict=True))
    assert set(texts) == {"a", "b", "c"}
    assert texts["a"] > texts["b"] == texts["c"]
    assert "unused" not in by_column


def test_lists_are_shuffled_as_a_whole_and_missing_values_too():
    random = np.random.default_rng(0)
    lists = random.integers(0, 5, (ROWS, 3))
    gaps = np.where(random.random(ROWS) < 0.5, np.nan, 1.0).astype(np.float32)
    model = Model({"lists": lists, "gaps": gaps}, lambda columns: columns["lists"].sum(axis=1) + 5 * np.isnan(columns["gaps"]))

    importance = found(model, model.predict(model.data)[:, 0], "rmse")

    assert [each.column for each in importance.columns] == ["gaps", "lists"]
    assert importance.columns[1].lower > 0
    assert importance.dependences == ()  # a list has no single value, and the other column has one


def test_a_metric_without_a_value_says_nothing(numbers):
    model = Model(numbers, lambda columns: sigmoid(columns["used"]))

    assert measure(model, None, np.ones(ROWS, np.int64), np.ones(ROWS), "auc") is None  # type: ignore[arg-type]


def test_it_is_the_same_each_time(numbers):
    model = Model(numbers, lambda columns: 5 * columns["used"])

    assert found(model, numbers["used"], "rmse") == found(model, numbers["used"], "rmse")


def test_wide_tables_are_asked_with_fewer_rows_and_very_wide_ones_not_at_all():
    assert rows_to_ask(23) == 2_000
    assert 200 <= rows_to_ask(200) < 2_000
    assert rows_to_ask(2_000) == 0


def test_it_is_read_as_it_was_written(numbers):
    model = Model(numbers, lambda columns: 5 * columns["used"])
    importance = found(model, numbers["used"], "rmse")
    assert Importance.from_json(importance.to_json()) == importance

    unknown = Importance("auc", 0.5, 2, (type(importance.columns[0])("x", 0.1, -math.inf, math.inf),))
    assert Importance.from_json(unknown.to_json()) == unknown


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_each_row_is_as_likely_to_be_kept_wherever_it_stands(batch: int):
    kept = np.zeros(100)
    for seed in range(200):
        reservoir = Reservoir(20, seed)
        for start in range(0, 100, batch):
            rows = np.arange(start, min(start + batch, 100))
            reservoir.add(rows.astype(object), rows / 2, rows / 3)
        assert len(reservoir.examples) == 20
        assert list(reservoir.examples / 2) == list(reservoir.labels)
        assert list(reservoir.examples / 3) == list(reservoir.weights)
        kept[reservoir.examples.astype(int)] += 1

    assert kept.min() > 20  # of 40 that are expected, with a deviation below 6
    assert kept.max() < 62
    assert abs(kept[:50].sum() - 2_000) < 150


def test_fewer_rows_than_wanted_are_all_kept():
    reservoir = Reservoir(20, 0)
    reservoir.add(np.array([b"a", b"b"], object), np.array([0, 1]), np.ones(2))

    assert list(reservoir.examples) == [b"a", b"b"]
