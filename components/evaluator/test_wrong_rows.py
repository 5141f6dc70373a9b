"""The rows that a model is most wrong about."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from components.evaluator.predicted_rows import PredictedRows
from components.evaluator.wrong_rows import WorstRows
from pipeline.contracts.wrong_rows import WrongRows


def _examples(count: int) -> np.ndarray:
    examples = []
    for number in range(count):
        example = tf.train.Example()
        example.features.feature["number"].int64_list.value.append(number)
        examples.append(example.SerializeToString())
    return np.array(examples, object)


@pytest.mark.parametrize("batch", [1, 7, 50])
def test_the_largest_errors_are_kept_however_rows_come(batch: int) -> None:
    random = np.random.default_rng(0)
    labels, predictions = random.normal(size=50), random.normal(size=(50, 1)).astype(np.float32)
    worst = WorstRows("rmse")
    for start in range(0, 50, batch):
        rows = slice(start, start + batch)
        part = PredictedRows(labels[rows], predictions[rows], np.ones(len(labels[rows])))
        worst.add(_examples(50)[rows], part)
    found = worst.rows(["number"])

    expected = np.argsort(-np.abs(labels - predictions[:, 0]))[:10]
    assert [each.values["number"] for each in found.rows] == [(number,) for number in expected]
    assert [each.loss for each in found.rows] == pytest.approx(np.abs(labels - predictions[:, 0])[expected])
    assert WrongRows.from_json(found.to_json()) == found


def test_a_classifier_is_wrong_by_the_cross_entropy_and_says_what_it_took_the_row_for() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], np.float32)
    worst = WorstRows("accuracy")
    worst.add(_examples(2), PredictedRows(np.array([2, 2]), probabilities, np.ones(2)))
    first, _ = worst.rows(["number"]).rows
    assert (first.label, first.prediction, first.values) == (2, 0, {"number": (0,)})
    assert first.probability == pytest.approx(0.1)
    assert first.loss == pytest.approx(-math.log(0.1))


def test_values_are_those_of_the_data_and_missing_ones_are_none() -> None:
    example = tf.train.Example()
    example.features.feature["price"].float_list.value.extend([0.1, math.nan])
    example.features.feature["city"].bytes_list.value.append("Zürich".encode())
    worst = WorstRows("auc")
    examples = np.array([example.SerializeToString()], object)
    worst.add(examples, PredictedRows(np.array([1]), np.array([[0.25]], np.float32), np.ones(1)))
    (row,) = worst.rows(["price", "city", "absent"]).rows
    assert row.values == {"price": (0.1,), "city": ("Zürich",), "absent": ()}
    assert row.probability is None
