"""What few rows are worth, against what chance does to them."""

from __future__ import annotations

import re

import numpy as np
import pytest

from pipeline.report.read.evaluation import Evaluation
from pipeline.report.read.plots import ConfusionMatrix, Plots
from pipeline.report.read.slices import EXAMPLE_COUNT, Comparison, Slice

_TRIES = 4_000


def uncertainty(metric: str, rows: int, positives: int = 0) -> list[float]:
    """The numbers in the sentence for so many rows."""
    values = {metric: Comparison(metric, 0.7), EXAMPLE_COUNT: Comparison(EXAMPLE_COUNT, rows)}
    confusion = ConfusionMatrix(((rows - positives, 0.0), (0.0, positives)))
    evaluation = Evaluation((Slice((), values),), plots={"candidate": Plots(confusion=confusion)} if positives else {})
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", evaluation.uncertainty)][:-1]


@pytest.mark.parametrize(("rows", "positives"), [(40, 20), (100, 10)])
def test_the_auc_of_a_model_that_knows_nothing(rows: int, positives: int) -> None:
    scores = np.random.default_rng(1).normal(size=(_TRIES, rows))
    ranks = scores.argsort(axis=1).argsort(axis=1)[:, :positives].sum(axis=1) - positives * (positives - 1) / 2
    seen = np.quantile(ranks / (positives * (rows - positives)), [0.025, 0.975])
    assert uncertainty("auc", rows, positives) == pytest.approx(seen, abs=0.03)


def test_a_rate_at_a_half() -> None:
    seen = np.random.default_rng(1).binomial(50, 0.5, _TRIES) / 50
    assert uncertainty("accuracy", 50) == [pytest.approx(np.quantile(seen, 0.975) - 0.5, abs=0.03)]


def test_an_error_as_a_share_of_it() -> None:
    rmse = np.sqrt((np.random.default_rng(1).normal(size=(_TRIES, 50)) ** 2).mean(axis=1))
    assert uncertainty("rmse", 50) == [pytest.approx(100 * (np.quantile(rmse, 0.975) - 1), abs=2)]


@pytest.mark.parametrize(("metric", "rows"), [("auc", 400), ("rmse", 0)])
def test_many_rows_and_none_are_not_worth_a_word(metric: str, rows: int) -> None:
    assert uncertainty(metric, rows) == []
