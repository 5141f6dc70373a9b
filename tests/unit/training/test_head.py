"""From a model's outputs to what is answered."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from pipeline.config import Decision, Task
from pipeline.training.calibration import Calibration
from pipeline.training.decision import Threshold
from pipeline.training.head import Head
from pipeline.training.labels import LabelEncoding

WORDS = LabelEncoding(Task.BINARY, ("no", "yes"))
LOGITS = np.array([[-2.0], [-1.0], [0.0], [1.0]], np.float32)


def answers(head: Head, outputs: np.ndarray = LOGITS) -> dict[str, Any]:
    return {name: values.numpy() for name, values in head(tf.constant(outputs)).items()}


def test_two_classes_by_a_half() -> None:
    given = answers(Head(WORDS))
    assert sorted(given) == ["labels", "probabilities", "score"]
    assert given["labels"].tolist() == [[b"no"], [b"no"], [b"no"], [b"yes"]]
    assert given["score"] == pytest.approx(scipy.special.expit(LOGITS))
    assert np.array_equal(given["probabilities"][:, 1:], given["score"])


def test_two_classes_by_a_threshold() -> None:
    given = answers(Head(WORDS, threshold=Threshold(0.2)))
    assert given["labels"].tolist() == [[b"no"], [b"yes"], [b"yes"], [b"yes"]]
    score = given["score"][:, 0]
    assert given["probability"][:, 0].tolist() == [1 - score[0], *score[1:]]


def test_a_score_at_the_threshold_is_negative() -> None:
    threshold = float(scipy.special.expit(np.float32(-1.0)).astype(np.float32))
    assert answers(Head(WORDS, threshold=Threshold(threshold)))["labels"].tolist() == [[b"no"], [b"no"], [b"yes"], [b"yes"]]


def test_labels_are_of_their_own_type() -> None:
    given = answers(Head(LabelEncoding(Task.BINARY, (7, -3))))
    assert (given["labels"].dtype, given["labels"].tolist()) == (np.int64, [[7], [7], [7], [-3]])


def test_logits_are_corrected() -> None:
    correction = Calibration(0.5, (1.0,), before=0.7, after=0.6, num_rows=100)
    given = answers(Head(WORDS, correction))
    assert given["score"] == pytest.approx(scipy.special.expit(0.5 * LOGITS + 1))
    several = LabelEncoding(Task.MULTICLASS, ("a", "b", "c"))
    outputs = np.array([[1.0, 3.0, 2.0]], np.float32)
    given = answers(Head(several, Calibration(0.5, (), 0.7, 0.6, 100)), outputs)
    assert given["probabilities"] == pytest.approx(scipy.special.softmax(0.5 * outputs, axis=1))
    assert given["labels"].tolist() == [[b"b"]]


def test_the_label_of_several_classes_follows_their_weights() -> None:
    several = LabelEncoding(Task.MULTICLASS, ("a", "b", "c"))
    probabilities = np.array([[0.5, 0.3, 0.2], [0.8, 0.15, 0.05]], np.float32)
    given = answers(Head(several, class_weights=(1.0, 1.0, 4.0)), np.log(probabilities))
    assert given["probabilities"] == pytest.approx(probabilities)
    assert given["weighed_probabilities"] == pytest.approx(np.array([[5, 3, 8], [80, 15, 20]]) / np.array([[16], [115]]))
    assert given["labels"].tolist() == [[b"c"], [b"a"]]
    assert given["probability"][:, 0] == pytest.approx([0.2, 0.8])


def test_class_weights_of_several_classes_are_kept_for_labels_once_probabilities_are_those_of_the_data() -> None:
    random, weights = np.random.default_rng(0), np.array([1.0, 3.0, 20.0])
    logits = random.normal(0, 1, (3000, 3)) - np.log(weights)
    labels = (logits + random.gumbel(size=logits.shape)).argmax(axis=1).astype(np.float32)
    several = LabelEncoding(Task.MULTICLASS, ("a", "b", "c"))
    outputs = logits + np.log(weights)
    head = Head.fit(several, Decision(), outputs, labels, np.ones(3000), weights, seed=0)
    given = answers(head, outputs)
    shares = np.bincount(labels.astype(int)) / 3000
    assert given["probabilities"].mean(axis=0) == pytest.approx(shares, abs=0.02)
    assert scipy.special.softmax(outputs, axis=1).mean(axis=0)[2] > 3 * shares[2]
    by_weights = np.array(["a", "b", "c"])[outputs.argmax(axis=1)]
    assert np.mean(given["labels"][:, 0].astype(str) == by_weights) > 0.95
    assert Head.fit(several, Decision(), logits, labels, np.ones(3000), None, seed=0).class_weights == ()


def test_a_number() -> None:
    assert answers(Head(LabelEncoding(Task.REGRESSION, mean=10.0, deviation=2.0)))["predictions"].tolist() == [
        [6.0],
        [8.0],
        [10.0],
        [12.0],
    ]


def _fit(decision: dict[str, Any], shift: float, class_weights: Any = None, rows: int = 4000) -> tuple[Head, np.ndarray]:
    """A head for a model whose logits are too large by `shift`, and the true shares of rows with these logits."""
    random = np.random.default_rng(0)
    logits = random.normal(-2, 1.5, (rows, 1))
    labels = (random.random(rows) < scipy.special.expit(logits[:, 0])).astype(np.float32)
    weights = None if class_weights is None else np.array(class_weights)
    return Head.fit(
        WORDS, Decision.model_validate(decision), logits + shift, labels, np.ones(rows), weights, seed=0
    ), logits + shift


def test_class_weights_move_the_threshold_with_the_probabilities() -> None:
    """A model trained with a weight of 9 for positives has logits that are too large by log 9."""
    head, outputs = _fit({}, np.log(9), (1, 9))
    assert head.calibration is not None
    assert head.threshold == Threshold(float(np.float32(0.1)), "as training.class_weights says")
    positive = answers(head, outputs)["labels"][:, 0] == b"yes"
    assert np.mean(positive == (outputs[:, 0] > 0)) > 0.97
    unshifted, _ = _fit({}, 0.0, (1, 9))
    assert unshifted.calibration is None
    assert unshifted.threshold == Threshold()


def test_a_threshold_is_chosen_for_the_corrected_scores() -> None:
    cost = {"aim": "cost", "false_positive": 1, "false_negative": 4}
    head, _ = _fit(cost, 3.0)
    # What is best for true probabilities: 1 / (1 + 4).
    assert head.threshold.value == pytest.approx(0.2, abs=0.08)


@pytest.mark.parametrize(("class_weights", "is_shifted"), [(None, False), (np.array([0.5, 3.0]), True)])
def test_the_level_of_the_newest_rows_is_not_that_of_the_answers(class_weights: Any, is_shifted: bool) -> None:
    """Rows of which a tenth as many are positive as the logits say, unless class weights are why."""
    random = np.random.default_rng(0)
    outputs = random.normal(0, 2, (4000, 1))
    labels = (random.random(4000) < scipy.special.expit(outputs[:, 0] - 2.3)).astype(np.float32)
    heads = [
        Head.fit(WORDS, Decision(), outputs, labels, np.ones(4000), class_weights, 0, is_level_free=free)
        for free in (False, True)
    ]
    intercepts = [0.0 if head.calibration is None else head.calibration.intercepts[0] for head in heads]
    assert intercepts[0] < -2
    assert (intercepts[1] < -2) is is_shifted
