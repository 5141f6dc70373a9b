"""What the gate lets through, on predictions whose truth is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats
from sklearn.metrics import f1_score
from tensorflow_model_analysis.metrics import metric_types

from components.evaluator.config import eval_config, gate_of
from components.evaluator.contestants import Contestants
from components.evaluator.judge import judge
from components.evaluator.membership import Membership
from components.evaluator.predicted_rows import PredictedRows
from components.evaluator.sample import Sample
from components.evaluator.significance import best_constant, constant_interval, gain_interval, metric_of, standard_error
from components.evaluator.slices import Column, SliceIndex
from pipeline.config import PipelineConfig, Task
from pipeline.config.consistency import METRICS as METRICS_OF_TASKS
from pipeline.contracts.judgement import Judgement
from pipeline.contracts.metrics import higher_is_better

SEEDS = range(100)
PRIMARY = {Task.BINARY: "auc", Task.MULTICLASS: "accuracy", Task.REGRESSION: "rmse"}


def _auc(labels: np.ndarray, scores: np.ndarray) -> float:
    positives = labels > 0.5
    pairs = positives.sum() * (~positives).sum()
    return float(stats.mannwhitneyu(scores[positives], scores[~positives]).statistic / pairs)


METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "auc": lambda labels, predictions: _auc(labels, predictions[:, 0]),
    "accuracy": lambda labels, predictions: float(np.mean(predictions.argmax(axis=1) == labels)),
    "precision": lambda labels, predictions: float(np.mean(labels[predictions[:, 0] > 0.5])),
    "recall": lambda labels, predictions: float(np.mean(predictions[labels == 1, 0] > 0.5)),
    "selection_rate": lambda labels, predictions: float(np.mean(predictions[:, 0] > 0.5)),
    "false_positive_rate": lambda labels, predictions: float(np.mean(predictions[labels == 0, 0] > 0.5)),
    "mse": lambda labels, predictions: float(np.mean((labels - predictions[:, 0]) ** 2)),
    "rmse": lambda labels, predictions: float(np.sqrt(np.mean((labels - predictions[:, 0]) ** 2))),
    "mae": lambda labels, predictions: float(np.mean(np.abs(labels - predictions[:, 0]))),
    "mape": lambda labels, predictions: float(100 * np.mean(np.abs(1 - predictions[:, 0] / labels))),
    "median_absolute_error": lambda labels, predictions: float(np.median(np.abs(labels - predictions[:, 0]))),
    "p90_absolute_error": lambda labels, predictions: float(np.quantile(np.abs(labels - predictions[:, 0]), 0.9)),
    "r2": lambda labels, predictions: float(1 - np.mean((labels - predictions[:, 0]) ** 2) / np.var(labels)),
    "macro_f1": lambda labels, predictions: float(f1_score(labels, predictions.argmax(axis=1), average="macro")),
    "top_3_accuracy": lambda labels, predictions: float(
        np.mean(np.any(predictions.argsort(axis=1)[:, -3:] == labels[:, np.newaxis], axis=1))
    ),
}


def _task_of(metric: str) -> Task:
    return next(task for task in (Task.REGRESSION, Task.MULTICLASS, Task.BINARY) if metric in METRICS_OF_TASKS[task])


def _predictions(task: Task, labels: np.ndarray, skill: float, noise: np.ndarray) -> np.ndarray:
    """Predictions that follow the label by `skill` and are noise for the rest."""
    if task is Task.MULTICLASS:
        scores = noise.copy()
        scores[np.arange(len(labels)), labels] += skill
        return (np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)).astype(np.float32)
    signal = skill * (labels - np.mean(labels)) + noise[:, 0]
    predictions = np.mean(labels) + signal if task is Task.REGRESSION else 1 / (1 + np.exp(-signal))
    return predictions[:, np.newaxis].astype(np.float32)


def _labels(task: Task, rows: int, random: np.random.Generator) -> np.ndarray:
    if task is Task.REGRESSION:
        return random.normal(10, 2, rows)
    return random.choice(
        3 if task is Task.MULTICLASS else 2, rows, p=[0.5, 0.3, 0.2] if task is Task.MULTICLASS else [0.7, 0.3]
    )


def _sample(labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None = None) -> Sample:
    sample = Sample()
    weights = np.ones(len(labels)) if weights is None else weights
    half = len(labels) // 2
    for rows in (slice(0, half), slice(half, None)):
        sample.add(PredictedRows(labels[rows], predictions[rows], weights[rows]))
    return sample


def _grouped(groups: np.ndarray) -> Membership:
    index = SliceIndex([(), ("group",)])
    membership = Membership(index, ["group"])
    column = Column(pa.array([f"g{each}".encode() for each in groups]), np.ones(len(groups), np.bool_))
    membership.add(index.number({"group": column}, len(groups)))
    return membership


def _judge(
    task: Task,
    labels: np.ndarray,
    candidate: np.ndarray,
    baseline: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    **evaluation: Any,
) -> Judgement:
    """The judgement of rows that may be in groups, the slices by the column `group`."""
    config = PipelineConfig.model_validate(
        {"name": "rows", "label": "y", "task": task.value, "data": {"input": "rows.csv"}, "evaluation": evaluation}
    )
    models = {"candidate": candidate} | ({} if baseline is None else {"baseline": baseline})
    membership = _grouped(np.zeros(len(labels), np.int64) if groups is None else groups)
    members = {(): np.arange(len(labels)), **membership.rows("group")}
    names = {PRIMARY[task], *config.evaluation.thresholds}
    names |= {
        metric
        for by_metric in (*config.evaluation.slice_thresholds.values(), *config.evaluation.max_gaps.values())
        for metric in by_metric
    }
    metrics = {
        key: {
            metric_types.MetricKey(name=metric, model_name=name): METRICS[metric](labels[rows], predictions[rows])
            for name, predictions in models.items()
            for metric in names
        }
        for key, rows in members.items()
    }
    samples = {name: _sample(labels, predictions, weights) for name, predictions in models.items()}
    baseline_name = None if baseline is None else "baseline"
    contestants = Contestants(metrics, samples, "candidate", baseline_name, membership)
    return judge(gate_of(config), eval_config(config), contestants)


@pytest.mark.parametrize("task", Task)
def test_of_equal_models_at_least_95_of_100_pass(task: Task) -> None:
    passed = 0
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        labels = _labels(task, 2_000, random)
        # Half of the noise is in the data, and the same for both; the rest is what two trainings differ by.
        shared = random.normal(size=(len(labels), 3))
        first, second = (_predictions(task, labels, 0.8, (shared + random.normal(size=shared.shape)) / 2) for _ in range(2))
        passed += _judge(task, labels, first, second).holds
    assert passed >= 95


@pytest.mark.parametrize("task", Task)
def test_models_that_learnt_nothing_are_refused(task: Task) -> None:
    passed = 0
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        labels = _labels(task, 1_000, random)
        passed += _judge(task, labels, _predictions(task, labels, 0, random.normal(size=(len(labels), 3)))).holds
    assert passed <= 5


@pytest.mark.parametrize("task", Task)
def test_what_says_the_same_of_every_row_is_no_better_than_itself(task: Task) -> None:
    labels = _labels(task, 300, np.random.default_rng(1))
    width = 3 if task is Task.MULTICLASS else 1
    says, value = best_constant(PRIMARY[task], _sample(labels, np.zeros((300, width), np.float32)))
    constant = np.full((300, 1), says, np.float32)
    if task is Task.MULTICLASS:
        constant = np.eye(3, dtype=np.float32)[np.full(300, int(says))]
    judged = _judge(task, labels, constant).constant
    assert judged is not None
    assert judged.gain == pytest.approx(0, abs=1e-5)
    assert judged.opponent == pytest.approx(value)
    assert not judged.holds


# By task, two skills of which the first is worse by a hundredth of the metric, or of the root of the mean squared error.
SKILLS = {Task.BINARY: (0.95, 1.0), Task.MULTICLASS: (0.96, 1.0), Task.REGRESSION: (0.93, 1.0)}


@pytest.mark.parametrize("task", Task)
def test_on_100000_rows_a_loss_of_a_hundredth_is_refused_and_such_a_gain_is_blessed(task: Task) -> None:
    random = np.random.default_rng(5)
    labels = _labels(task, 100_000, random)
    shared = random.normal(size=(len(labels), 3))
    worse, better = (
        _predictions(task, labels, skill, math.sqrt(0.9) * shared + math.sqrt(0.1) * random.normal(size=shared.shape))
        for skill in SKILLS[task]
    )
    assert _judge(task, labels, better, worse).holds
    refused = _judge(task, labels, worse, better)
    assert refused.constant is not None
    assert refused.constant.holds
    lost = refused.baseline[PRIMARY[task]]
    assert not lost.holds
    assert lost.gain == pytest.approx(-0.01, abs=0.004)
    assert lost.lower < lost.gain < lost.upper < 0


@pytest.mark.parametrize("task", Task)
def test_two_trainings_differ_by_less_than_is_allowed_whichever_comes_first(task: Task) -> None:
    # One learnt a little less than the other: sure to be worse on rows that both have almost the same predictions of.
    random = np.random.default_rng(5)
    labels = _labels(task, 2_000, random)
    noise = random.normal(size=(len(labels), 3))
    worse, better = (_predictions(task, labels, skill, noise) for skill in (0.99, 1.0))
    judged = _judge(task, labels, worse, better)
    lost = judged.baseline[PRIMARY[task]]
    assert judged.holds
    assert lost.gain < 0
    if task is Task.MULTICLASS:
        assert lost.allowed == pytest.approx(math.sqrt(lost.opponent * (1 - lost.opponent) / len(labels)), rel=0.01)


def test_a_regression_that_is_allowed_is_not_refused_until_it_is_sure_to_be_larger() -> None:
    random = np.random.default_rng(5)
    labels = _labels(Task.BINARY, 100_000, random)
    worse, better = (_predictions(Task.BINARY, labels, skill, random.normal(size=(len(labels), 3))) for skill in (1.0, 1.1))
    lost = _judge(Task.BINARY, labels, worse, better, thresholds={"auc": {"max_regression": 0.05}}).baseline["auc"]
    assert lost.holds
    assert -0.05 < lost.gain < lost.upper < 0
    assert not _judge(Task.BINARY, labels, worse, better, thresholds={"auc": {"max_regression": 0.001}}).holds


def test_a_confidence_of_nothing_takes_what_is_seen_for_the_truth() -> None:
    random = np.random.default_rng(5)
    labels = _labels(Task.BINARY, 200, random)
    worse, better = (_predictions(Task.BINARY, labels, skill, random.normal(size=(200, 3))) for skill in (1.0, 1.0))
    worse, better = sorted((worse, better), key=lambda scores: _auc(labels, scores[:, 0]))
    assert _judge(Task.BINARY, labels, worse, better).holds
    limited = {"auc": {"max_regression": 0}}
    assert _judge(Task.BINARY, labels, worse, better, thresholds=limited).holds
    assert not _judge(Task.BINARY, labels, worse, better, thresholds=limited, confidence=0).holds


GAPS = {"selection_rate": 0.05, "recall": 0.05, "false_positive_rate": 0.05, "auc": 0.05}


@pytest.mark.parametrize(
    ("metric", "weights"), [("auc", [0, 0, 0, 0]), ("auc", [1, 0, 1, 0]), ("accuracy", [0, 0, 0, 0]), ("rmse", [0, 0, 0, 0])]
)
def test_rows_without_weight_have_no_metric(metric: str, weights: list[int]) -> None:
    sample = Sample()
    predictions = np.array([[0.1], [0.9], [0.4], [0.6]], np.float32)
    sample.add(PredictedRows(np.array([0, 1, 0, 1]), predictions, np.array(weights, float)))
    assert math.isnan(metric_of(metric, sample))


def _gap_judged(seed: int, extra: float, confidence: float = 0.95, metric: str = "selection_rate") -> Judgement:
    """Of four groups, one of which gets higher scores."""
    random = np.random.default_rng(seed)
    labels, groups = _labels(Task.BINARY, 4_000, random), random.integers(0, 4, 4_000)
    scores = _predictions(Task.BINARY, labels, 1.0, random.normal(size=(4_000, 3)) + extra * (groups == 2)[:, np.newaxis])
    limits = {metric: GAPS[metric]}
    return _judge(Task.BINARY, labels, scores, groups=groups, max_gaps={"group": limits}, confidence=confidence)


@pytest.mark.parametrize("metric", GAPS)
def test_groups_that_are_treated_alike_have_no_gap_but_by_chance(metric: str) -> None:
    judged = [_gap_judged(seed, 0.0, metric=metric).gaps for seed in SEEDS[:40]]
    assert all(gap.metric == metric for (gap,) in judged)
    assert sum(gap.lower <= 0 for (gap,) in judged) >= 38
    assert sum(gap.holds for (gap,) in judged) >= 38


def test_a_gap_that_is_sure_to_be_larger_than_allowed_refuses_and_names_both_ends() -> None:
    judged = _gap_judged(1, 1.0)
    (gap,) = judged.gaps
    assert not gap.holds
    assert not judged.holds
    assert gap.high_value == "g2"
    assert gap.low_value != "g2"
    assert gap.allowed < gap.lower < gap.size < gap.upper


def test_a_gap_within_chance_of_what_is_allowed_holds_until_confidence_is_nothing() -> None:
    within = next(judged.gaps[0] for seed in SEEDS if (judged := _gap_judged(seed, 0.0)).gaps[0].size > 0.05)
    assert within.holds
    seed = next(seed for seed in SEEDS if _gap_judged(seed, 0.0).gaps[0].size == within.size)
    assert not _gap_judged(seed, 0.0, confidence=0).gaps[0].holds


def test_small_groups_and_single_ones_have_no_gap() -> None:
    random = np.random.default_rng(0)
    labels = _labels(Task.BINARY, 300, random)
    scores = _predictions(Task.BINARY, labels, 1.0, random.normal(size=(300, 3)))
    groups = (np.arange(300) > 250).astype(np.int64)
    assert not _judge(Task.BINARY, labels, scores, groups=groups, max_gaps={"group": {"recall": 0.0}}).gaps
    judged = _judge(Task.BINARY, labels, scores, groups=groups, max_gaps={"group": {"recall": 0.0}}, min_slice_rows=10)
    assert len(judged.gaps) == 1


@pytest.mark.parametrize("metric", ["auc", "accuracy", "macro_f1", "rmse", "r2", "p90_absolute_error"])
def test_a_slice_whose_rows_count_nothing_is_compared_with_nothing(metric: str) -> None:
    task = _task_of(metric)
    random = np.random.default_rng(0)
    labels, groups = _labels(task, 300, random), np.arange(300) % 3
    baseline, candidate = (_predictions(task, labels, 1.0, random.normal(size=(300, 3))) for _ in range(2))
    judged = _judge(
        task,
        labels,
        candidate,
        baseline,
        groups,
        (groups != 2).astype(np.float64),
        max_gaps={"group": {metric: 0.5}},
        slice_thresholds={"group": {metric: {"max_regression": 0.5}}},
    )
    assert {each.value for each in judged.slices} == {"g0", "g1"}
    assert {judged.gaps[0].low_value, judged.gaps[0].high_value} == {"g0", "g1"}


@pytest.mark.parametrize("is_worse", [False, True])
def test_a_slice_that_became_worse_refuses_though_all_rows_together_did_not(is_worse: bool) -> None:
    random = np.random.default_rng(4)
    labels, groups = _labels(Task.BINARY, 20_000, random), random.integers(0, 10, 20_000)
    noise = random.normal(size=(20_000, 3))
    baseline = _predictions(Task.BINARY, labels, 1.0, noise)
    candidate = _predictions(Task.BINARY, labels, 1.1, noise)
    if is_worse:
        spoilt = _predictions(Task.BINARY, labels, 0.6, noise)
        candidate = np.where((groups == 3)[:, np.newaxis], spoilt, candidate)
    limits = {"group": {"auc": {"max_regression": 0.01}}}
    judged = _judge(Task.BINARY, labels, candidate, baseline, groups, slice_thresholds=limits)
    assert all(each.holds for each in judged.baseline.values())
    assert [each.value for each in judged.slices if not each.advantage.holds] == (["g3"] if is_worse else [])
    assert len(judged.slices) == 10
    assert judged.holds == (not is_worse)


@pytest.mark.parametrize("task", Task)
def test_of_ten_slices_of_equal_models_none_refuses_in_almost_all_cases(task: Task) -> None:
    passed = 0
    for seed in SEEDS[:50]:
        random = np.random.default_rng(seed)
        labels, groups = _labels(task, 4_000, random), random.integers(0, 10, 4_000)
        shared = random.normal(size=(len(labels), 3))
        first, second = (_predictions(task, labels, 0.8, (shared + random.normal(size=shared.shape)) / 2) for _ in range(2))
        limits = {"group": {PRIMARY[task]: {"max_regression": 0.0}}}
        judged = _judge(task, labels, first, second, groups, slice_thresholds=limits)
        passed += all(each.advantage.holds for each in judged.slices)
    assert passed >= 47


WEIGHTED = ["auc", "accuracy", "recall", "rmse", "macro_f1", "r2", "p90_absolute_error"]


@pytest.mark.parametrize("metric", WEIGHTED)
def test_a_row_with_weights_of_two_counts_as_two_rows(metric: str) -> None:
    """Estimates are those of rows that stand there as often; only the interval says that there are fewer."""
    random = np.random.default_rng(2)
    task = _task_of(metric)
    labels, often = _labels(task, 400, random), random.integers(1, 4, 400)
    scores = _predictions(task, labels, 1.0, random.normal(size=(400, 3)))
    weighted, repeated = Sample(), Sample()
    weighted.add(PredictedRows(labels, scores, often.astype(np.float64)))
    repeated.add(PredictedRows(labels.repeat(often), scores.repeat(often, axis=0), np.ones(often.sum())))
    if metric in ("auc", "accuracy", "rmse"):
        assert metric_of(metric, weighted) == pytest.approx(metric_of(metric, repeated))
        assert best_constant(metric, weighted) == pytest.approx(best_constant(metric, repeated))
    assert standard_error(metric, weighted) > 1.05 * standard_error(metric, repeated)


@pytest.mark.parametrize("metric", WEIGHTED[:-1])
def test_with_weights_an_interval_is_as_wide_as_a_bootstrap_says(metric: str) -> None:
    random = np.random.default_rng(2)
    task = _task_of(metric)
    labels, weights = _labels(task, 1_500, random), random.integers(1, 6, 1_500)
    shared = random.normal(size=(len(labels), 3))
    models = [_predictions(task, labels, skill, (shared + random.normal(size=shared.shape)) / 2) for skill in (1.0, 0.8)]

    def gain(rows: np.ndarray) -> float:
        # A row of weight three as three rows.
        counted = rows.repeat(weights[rows])
        ours, theirs = (METRICS[metric](labels[counted], each[counted]) for each in models)
        return ours - theirs if higher_is_better(metric) else theirs - ours

    samples = [Sample(), Sample()]
    for sample, each in zip(samples, models, strict=True):
        sample.add(PredictedRows(labels, each, weights.astype(np.float64)))
    seen = gain(np.arange(len(labels)))
    lower, upper = gain_interval(metric, seen, *samples, 0.95)
    tries = [gain(random.integers(0, len(labels), len(labels))) for _ in range(200)]
    assert (upper - lower) / 2 == pytest.approx(1.96 * np.std(tries), rel=0.25)


@pytest.mark.parametrize("metric", [name for name in METRICS if name != "accuracy"])
def test_an_interval_is_as_wide_as_a_bootstrap_says(metric: str) -> None:
    random = np.random.default_rng(2)
    task = _task_of(metric)
    labels = _labels(task, 1_500, random)
    shared = random.normal(size=(len(labels), 5))
    models = [_predictions(task, labels, skill, (shared + random.normal(size=shared.shape)) / 2) for skill in (1.0, 0.8)]

    def gain(rows: np.ndarray | slice) -> float:
        ours, theirs = (METRICS[metric](labels[rows], each[rows]) for each in models)
        return ours - theirs if higher_is_better(metric) else theirs - ours

    seen = gain(slice(None))
    lower, upper = gain_interval(metric, seen, *(_sample(labels, each) for each in models), 0.95)
    tries = [gain(random.integers(0, len(labels), len(labels))) for _ in range(300)]
    assert (upper - lower) / 2 == pytest.approx(1.96 * np.std(tries), rel=0.2)
    assert lower < seen < upper


@given(
    labels=arrays.arrays(np.int64, st.shared(st.integers(1, 30), key="rows"), elements=st.integers(0, 1)),
    first=arrays.arrays(np.float32, st.shared(st.integers(1, 30), key="rows"), elements=st.sampled_from([0, 0.25, 0.5, 1])),
    second=arrays.arrays(np.float32, st.shared(st.integers(1, 30), key="rows"), elements=st.sampled_from([0, 0.25, 0.5, 1])),
    metric=st.sampled_from(
        ["auc", "accuracy", "precision", "recall", "loss", "rmse", "mae", "mape", "p90_absolute_error", "r2", "macro_f1"]
    ),
)
def test_every_table_has_an_interval_and_it_is_the_mirror_image_of_the_opponents(
    labels: np.ndarray, first: np.ndarray, second: np.ndarray, metric: str
) -> None:
    one, other = (_sample(labels, each[:, np.newaxis]) for each in (first, second))
    with np.errstate(all="ignore"):
        lower, upper = gain_interval(metric, 0.1, one, other, 0.9)
        mirrored = gain_interval(metric, -0.1, other, one, 0.9)
    assert lower <= upper
    assert mirrored == (pytest.approx(-upper), pytest.approx(-lower))
    if metric in ("auc", "accuracy", "rmse"):
        says, _ = best_constant(metric, one)
        lower, upper = constant_interval(metric, 0.0, one, says, 0.9)
        assert lower <= upper


@pytest.mark.parametrize("rows", [2, 10])
def test_a_few_rows_prove_nothing(rows: int) -> None:
    labels = np.arange(rows) % 2
    perfect = _judge(Task.BINARY, labels, labels[:, np.newaxis].astype(np.float32)).constant
    assert perfect is not None
    assert perfect.gain == 0.5
    # Chance ranks five positives of ten rows first once in 252 times, and one of two every other time.
    assert perfect.holds == (rows == 10)
