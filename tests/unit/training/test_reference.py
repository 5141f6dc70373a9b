"""The rows of the training data that a model carries."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import tensorflow as tf

from pipeline.training.reference import candidates, choose, to_json

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("num_rows", [1, 5, 31, 32, 33, 1000])
@pytest.mark.parametrize("output", ["score", "predictions"])
def test_the_rows_stand_for_all_in_the_order_of_their_predictions(num_rows, output):
    values = RANDOM.gamma(0.5, size=(num_rows, 1))

    chosen = choose({output: tf.constant(values)})

    assert len(chosen) == min(num_rows, 32)
    assert len(set(chosen)) == len(chosen)
    assert list(values[chosen, 0]) == sorted(values[chosen, 0])
    assert values[chosen].mean() == pytest.approx(values.mean(), abs=0.1 * values.std())


def test_of_several_classes_each_has_its_share():
    probabilities = RANDOM.dirichlet([4, 2, 1], size=1000)

    chosen = choose({"probabilities": tf.constant(probabilities)})

    shares = np.bincount(probabilities.argmax(axis=1), minlength=3) / 1000
    assert np.bincount(probabilities[chosen].argmax(axis=1), minlength=3) / 32 == pytest.approx(shares, abs=1 / 32)
    assert probabilities[chosen].mean(axis=0) == pytest.approx(probabilities.mean(axis=0), abs=0.05)


@pytest.mark.parametrize(("num_rows", "expected"), [(0, 0), (1, 1), (2048, 2048), (2049, 1025), (100_000, 2041)])
def test_a_few_thousand_rows_are_enough_to_choose_from(num_rows, expected):
    sample = np.array([b"%d" % number for number in range(num_rows)], object)

    found = candidates(sample).numpy()

    assert len(found) == expected
    assert list(found[:2]) == [b"%d" % (number * math.ceil(num_rows / 2048)) for number in range(min(num_rows, 2))]


def test_a_row_is_values_by_column_as_a_caller_gives_them():
    example = tf.train.Example()
    features = example.features.feature
    features["carrier"].bytes_list.value.extend(["Köln".encode(), b"second"])
    features["count"].int64_list.value.append(2**62)
    features["far"].float_list.value.append(math.inf)
    features["distance"].float_list.value.append(0.1)
    features["empty"].float_list.value.extend([])
    features["words"].bytes_list.value.extend([b"a", b"\xff"])
    features["pair"].float_list.value.extend([math.nan, 1.5])
    features["late"].int64_list.value.append(1)
    columns = ["carrier", "count", "distance", "empty", "far", "gone", "pair", "words"]

    row = json.loads(to_json(example.SerializeToString(), columns, {"words", "pair"}))

    assert row == {
        "carrier": "Köln",
        "count": 2**62,
        "distance": float(np.float32(0.1)),
        "pair": [None, 1.5],
        "words": ["a", "\N{REPLACEMENT CHARACTER}"],
    }
