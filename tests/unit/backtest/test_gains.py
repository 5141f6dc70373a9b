"""What one policy gains over another, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from components.evaluator.predicted_rows import PredictedRows
from components.evaluator.sample import Sample
from pipeline.backtest.gains import gains
from pipeline.backtest.play import Quality, Turn
from pipeline.backtest.policies import Policy, Trigger

NEVER, EVERY, SHORT = Policy(Trigger.NEVER), Policy(Trigger.EVERY), Policy(Trigger.EVERY, 1)


class Judged:
    """Models that know a number better the more spans they have seen, and the newer these are."""

    def __init__(self, rows: int = 2000) -> None:
        self.rows = rows

    def sample(self, spans: Sequence[int], span: int) -> Sample:
        random = np.random.default_rng(span)
        labels = random.normal(size=self.rows)
        noise = random.normal(size=self.rows) * (span - spans[-1]) / math.sqrt(len(spans))
        sample = Sample()
        sample.add(PredictedRows(labels, (labels + noise).astype(np.float32)[:, np.newaxis], np.ones(self.rows)))
        return sample


def turn(span: int, *spans: int) -> Turn:
    return Turn(span, spans, True, "", Quality(0.0, 0.0, 0))


def played(judged: Judged) -> dict[tuple[str, str], float]:
    turns = {
        NEVER: [turn(3, 1, 2), turn(4, 1, 2)],
        EVERY: [turn(3, 1, 2), turn(4, 1, 2, 3)],
        SHORT: [turn(3, 2), turn(4, 3)],
    }
    return {(each.what, each.over): each for each in gains(turns, "rmse", judged)}


def test_gains_are_means_over_spans_and_positive_where_better():
    found = played(Judged())
    policy = found["every span, all spans", "never retrained"]
    assert policy.by_span[0].gain == policy.by_span[0].upper == 0  # the same model
    one = policy.by_span[1]
    assert one.lower < one.gain < one.upper
    assert policy.gain == pytest.approx(one.gain / 2)
    # Two spans of which one is certain: half the width.
    assert policy.upper - policy.lower == pytest.approx((one.upper - one.lower) / 2)
    assert policy.lower > 0
    assert found["every span, 1 span", "never retrained"].by_span[0].gain < 0


def test_a_retraining_is_compared_with_the_model_of_the_span_before_on_the_same_rows():
    found = played(Judged())
    assert [each.span for each in found["retrained, all spans", "the model of one span earlier"].by_span] == [4]
    assert found["retrained, all spans", "the model of one span earlier"].lower > 0


def test_more_history_is_told_for_the_window_and_for_each_span_of_it():
    found = played(Judged())
    window = found["all spans", "1 span"]
    one = found["one more span, between 1 span and all spans", "one less"]
    assert [each.gain for each in one.by_span] == pytest.approx([window.by_span[0].gain, window.by_span[1].gain / 2])


def test_more_rows_make_intervals_narrow():
    few, many = (played(Judged(rows))["all spans", "1 span"] for rows in (200, 20_000))
    assert many.upper - many.lower < (few.upper - few.lower) / 5


def test_spans_without_the_metric_are_left_out_of_the_mean():
    class OneClass(Judged):
        def sample(self, spans: Sequence[int], span: int) -> Sample:
            random = np.random.default_rng(span)
            labels = np.zeros(500, np.int64) if span == 3 else random.integers(0, 2, 500)
            scores = labels * len(spans) * 0.1 + random.random(500)
            sample = Sample()
            sample.add(PredictedRows(labels, scores.astype(np.float32)[:, np.newaxis], np.ones(500)))
            return sample

    turns = {EVERY: [turn(3, 1, 2), turn(4, 1, 2, 3)], SHORT: [turn(3, 2), turn(4, 3)]}
    window = next(each for each in gains(turns, "auc", OneClass()) if each.kind == "history")
    assert math.isnan(window.by_span[0].gain)
    assert window.gain == window.by_span[1].gain > 0
