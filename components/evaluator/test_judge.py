"""What the gate lets through, on predictions whose truth is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import validation_result_pb2

from components.evaluator.config import eval_config, gate_of
from components.evaluator.judge import Contestants, decide, judge
from components.evaluator.sample import Sample
from components.evaluator.significance import best_constant, constant_interval, gain_interval
from pipeline.config import PipelineConfig, Task
from pipeline.contracts.judgement import Advantage, Judgement
from pipeline.contracts.metrics import higher_is_better

SEEDS = range(100)
PRIMARY = {Task.BINARY: "auc", Task.MULTICLASS: "accuracy", Task.REGRESSION: "mse"}


def _auc(labels: np.ndarray, scores: np.ndarray) -> float:
    positives = labels > 0.5
    pairs = positives.sum() * (~positives).sum()
    return float(stats.mannwhitneyu(scores[positives], scores[~positives]).statistic / pairs)


METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "auc": lambda labels, predictions: _auc(labels, predictions[:, 0]),
    "accuracy": lambda labels, predictions: float(np.mean(predictions.argmax(axis=1) == labels)),
    "precision": lambda labels, predictions: float(np.mean(labels[predictions[:, 0] > 0.5])),
    "recall": lambda labels, predictions: float(np.mean(predictions[labels == 1, 0] > 0.5)),
    "mse": lambda labels, predictions: float(np.mean((labels - predictions[:, 0]) ** 2)),
    "rmse": lambda labels, predictions: float(np.sqrt(np.mean((labels - predictions[:, 0]) ** 2))),
    "mae": lambda labels, predictions: float(np.mean(np.abs(labels - predictions[:, 0]))),
}


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


def _sample(labels: np.ndarray, predictions: np.ndarray) -> Sample:
    sample = Sample()
    half = len(labels) // 2
    for rows in (slice(0, half), slice(half, None)):
        sample.add(labels[rows], predictions[rows])
    return sample


def _judge(
    task: Task, labels: np.ndarray, candidate: np.ndarray, baseline: np.ndarray | None = None, **evaluation: Any
) -> Judgement:
    config = PipelineConfig.model_validate(
        {"name": "rows", "label": "y", "task": task.value, "data": {"input": "rows.csv"}, "evaluation": evaluation}
    )
    models = {"candidate": candidate} | ({} if baseline is None else {"baseline": baseline})
    metrics = {
        metric_types.MetricKey(name=metric, model_name=name): METRICS[metric](labels, predictions)
        for name, predictions in models.items()
        for metric in {PRIMARY[task], *config.evaluation.thresholds}
    }
    samples = {name: _sample(labels, predictions) for name, predictions in models.items()}
    contestants = Contestants(metrics, samples, "candidate", None if baseline is None else "baseline")
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
    assert lost.gain == pytest.approx(-0.02 if task is Task.REGRESSION else -0.01, abs=0.004)
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


@pytest.mark.parametrize("metric", ["auc", "precision", "recall", "mse", "rmse", "mae"])
def test_an_interval_is_as_wide_as_a_bootstrap_says(metric: str) -> None:
    random = np.random.default_rng(2)
    task = Task.REGRESSION if metric in ("mse", "rmse", "mae") else Task.BINARY
    labels = _labels(task, 1_500, random)
    shared = random.normal(size=(len(labels), 3))
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
    metric=st.sampled_from(["auc", "accuracy", "precision", "recall", "loss", "mse", "rmse", "mae"]),
)
@settings(deadline=None)
def test_every_table_has_an_interval_and_it_is_the_mirror_image_of_the_opponents(
    labels: np.ndarray, first: np.ndarray, second: np.ndarray, metric: str
) -> None:
    one, other = (_sample(labels, each[:, np.newaxis]) for each in (first, second))
    with np.errstate(all="ignore"):
        lower, upper = gain_interval(metric, 0.1, one, other, 0.9)
        mirrored = gain_interval(metric, -0.1, other, one, 0.9)
    assert lower <= upper
    assert mirrored == (pytest.approx(-upper), pytest.approx(-lower))
    if metric in ("auc", "accuracy", "mse"):
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


def _advantage(metric: str, *, holds: bool) -> Advantage:
    return Advantage(metric, 0.6, 0.7, -0.1, -0.2, -0.05, holds)


def test_the_judgement_goes_before_a_change_that_tfma_refuses_and_not_before_a_bound() -> None:
    validation = validation_result_pb2.ValidationResult(validation_ok=False)
    overall, sliced = validation.metric_validations_per_slice.add(), validation.metric_validations_per_slice.add()
    change, bound = overall.failures.add(), sliced.failures.add()
    change.metric_key.name, bound.metric_key.name = "auc", "auc"
    change.metric_threshold.change_threshold.absolute.value = -0.01
    bound.metric_threshold.value_threshold.lower_bound.value = 0.9
    sliced.slice_key.single_slice_keys.add(column="origin", bytes_value=b"JFK")

    tolerated = Judgement(0.95, baseline={"auc": _advantage("auc", holds=True)})
    assert [list(each.failures) for each in decide(validation, tolerated, "candidate").metric_validations_per_slice] == [
        [bound]
    ]
    del validation.metric_validations_per_slice[1:]
    assert decide(validation, tolerated, "candidate").validation_ok
    refused = decide(validation, Judgement(0.95, baseline={"auc": _advantage("auc", holds=False)}), "candidate")
    assert not refused.validation_ok


def test_a_judgement_is_read_as_it_was_written() -> None:
    unknown = Advantage("auc", 1.0, 0.5, 0.5, -math.inf, math.inf, holds=False)
    judgement = Judgement(0.9, unknown, True, {"mse": _advantage("mse", holds=True)})
    assert Judgement.from_json(judgement.to_json()) == judgement
    assert Judgement.from_json(Judgement(0.9).to_json()) == Judgement(0.9)
