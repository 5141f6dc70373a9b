"""The score above which a row is positive."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import Decision
from pipeline.training.decision import Threshold, choose_threshold

SCORES = [0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.9]
LABELS = [0, 0, 0, 1, 0, 1, 0, 1]

AIMS: list[dict[str, Any]] = [
    {"aim": "f1"},
    {"aim": "cost", "false_positive": 1, "false_negative": 10},
    {"precision": 0.9},
    {"recall": 0.6},
]


def choose(aim: dict[str, Any], scores: Any = SCORES, labels: Any = LABELS, counts: Any = None) -> Threshold:
    scores = np.array(scores, np.float32)
    counts = np.ones(len(scores)) if counts is None else np.array(counts, np.float64)
    return choose_threshold(Decision.model_validate(aim), scores, np.array(labels, np.float64), counts, Threshold())


@pytest.mark.parametrize(
    ("aim", "threshold", "reason"),
    [
        ({}, 0.5, ""),
        ({"threshold": 0.3}, 0.3, "as decision.threshold says"),
        ({"aim": "f1"}, 0.2, "for the largest F1 on 8 validation rows: 0.7500, at 0.5 0.6667"),
        ({"aim": "cost"}, 0.5, "for the smallest cost of errors on 8 validation rows: 0.25 a row, at 0.5 0.25"),
        (
            {"aim": "cost", "false_negative": 10},
            0.2,
            "for the smallest cost of errors on 8 validation rows: 0.25 a row, at 0.5 1.375",
        ),
        (
            {"precision": 0.9},
            0.8,
            "for a precision of at least 0.9 on 8 validation rows: precision 1.0000, recall 0.3333",
        ),
        ({"recall": 0.6}, 0.5, "for a recall of at least 0.6 on 8 validation rows: recall 0.6667, precision 0.6667"),
    ],
)
def test_the_threshold_serves_the_aim(aim: dict[str, Any], threshold: float, reason: str) -> None:
    chosen = choose(aim)
    assert np.array(SCORES, np.float32)[np.array(SCORES) > threshold].tolist() == [
        score for score in np.array(SCORES, np.float32).tolist() if score > chosen.value
    ]
    assert chosen.reason == reason
    assert chosen.unmet == ""


def test_of_thresholds_that_are_as_good_the_nearest_to_a_half_is_taken() -> None:
    # Anything from 0.2 to 0.9 tells these apart.
    assert choose({"aim": "f1"}, [0.1, 0.2, 0.9, 0.95], [0, 0, 1, 1]).value == 0.5
    assert choose({"aim": "f1"}, [0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1]).value == pytest.approx(0.25, abs=0.051)


@pytest.mark.parametrize("aim", AIMS)
@pytest.mark.parametrize("label", [0, 1])
def test_rows_of_one_class_choose_nothing(aim: dict[str, Any], label: int) -> None:
    chosen = choose(aim, labels=[label] * len(SCORES))
    assert chosen.value == 0.5
    lacking = f"no {'negative' if label else 'positive'} validation rows"
    assert chosen.reason == f"as there are {lacking} to choose it for decision.{next(iter(aim))} by"
    assert f"The threshold stays at 0.5, as there are {lacking}" in chosen.unmet


@pytest.mark.parametrize("aim", AIMS)
def test_without_validation_rows_a_half_is_kept_and_told(aim: dict[str, Any]) -> None:
    chosen = choose(aim, [], [])
    assert chosen.value == 0.5
    assert "as there are no validation rows" in chosen.unmet
    assert "write decision.threshold yourself" in chosen.unmet


def test_a_precision_that_no_threshold_has_is_told() -> None:
    chosen = choose({"precision": 0.9}, [0.1, 0.4, 0.9], [0, 1, 0])
    assert chosen.unmet.startswith("No threshold has a precision of 0.9 on the validation rows; the largest is 0.5000.")
    assert 0.1 <= chosen.value < 0.4


def test_rows_count_as_much_as_they_weigh() -> None:
    assert choose({"aim": "cost"}, [0.2, 0.4, 0.4], [0, 0, 1], [1, 1, 5]).value < 0.4
    assert choose({"aim": "cost"}, [0.2, 0.4, 0.4], [0, 0, 1], [1, 5, 1]).value >= 0.4


def _rows(draw_scores: st.SearchStrategy[float]) -> st.SearchStrategy[list[tuple[float, int]]]:
    rows = st.lists(st.tuples(draw_scores, st.integers(0, 1)), min_size=2, max_size=40)
    return rows.filter(lambda drawn: len({label for _, label in drawn}) == 2)


@given(rows=_rows(st.one_of(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.floats(0, 1, width=32))))
def test_no_other_threshold_is_better(rows: list[tuple[float, int]]) -> None:
    scores, labels = (np.array(side) for side in zip(*rows, strict=True))
    scores = scores.astype(np.float32)

    def counts(threshold: float) -> tuple[int, int, int]:
        """True positives, false positives and false negatives."""
        called, positive = scores > threshold, labels == 1
        return int(np.sum(called & positive)), int(np.sum(called & ~positive)), int(np.sum(~called & positive))

    def f1(threshold: float) -> float:
        tp, fp, fn = counts(threshold)
        return 2 * tp / (2 * tp + fp + fn)

    def cost(threshold: float) -> float:
        _, fp, fn = counts(threshold)
        return 3 * fp + fn

    def precision(threshold: float) -> float:
        tp, fp, _ = counts(threshold)
        return tp / max(tp + fp, 1)

    others = [0.5, 0.0, *scores.astype(np.float64).tolist()]
    best = choose({"aim": "f1"}, scores, labels).value
    assert f1(best) >= max(map(f1, others)) - 1e-9
    cheapest = choose({"aim": "cost", "false_positive": 3}, scores, labels).value
    assert cost(cheapest) <= min(map(cost, others))
    sure = choose({"precision": 0.7}, scores, labels)
    reached = [other for other in others if precision(other) >= 0.7]
    assert bool(reached) is not bool(sure.unmet)
    if reached:
        assert precision(sure.value) >= 0.7
        assert counts(sure.value)[0] == max(counts(other)[0] for other in reached)
    # A threshold holds in 32 bits, with which the graph compares.
    assert all(each == float(np.float32(each)) for each in (best, cheapest, sure.value))
    assert all(0 <= each <= 1 for each in (best, cheapest, sure.value))
