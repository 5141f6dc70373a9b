"""Accumulators filled in bulk against TFMA's combiners, which add row after row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tensorflow_model_analysis.metrics import metric_specs, metric_types
from tensorflow_model_analysis.proto import config_pb2

from components.evaluator import metrics
from components.evaluator.accumulators import accumulator_for
from components.evaluator.matrices import result_function
from components.evaluator.predicted_rows import PredictedRows
from components.shared.fast_executor import UnsupportedError
from pipeline.errors import DataError

RANDOM = np.random.default_rng(3)
ROWS = 60
# On thresholds and the borders of buckets, just beside them, outside of [0, 1], and anywhere.
EDGES = [0, 1, 0.5, 0.25, 1e-7, 1 - 1e-7, 0.50000006, -0.5, 1.5, 0.1]
SCORES = np.concatenate([EDGES, RANDOM.random(ROWS - len(EDGES))]).astype(np.float32)
FRACTIONS = np.where(RANDOM.random(ROWS) < 0.2, RANDOM.random(ROWS), RANDOM.integers(0, 2, ROWS)).astype(np.float32)
PROBABILITIES = RANDOM.dirichlet([1, 1, 1], ROWS).astype(np.float32)
# Two slicing specs: the first has the slices 0 and 2, the second 1; some rows are in neither.
SLICES = [np.where(np.arange(ROWS) % 3, 0, 2), np.where(np.arange(ROWS) % 2, 1, -1)]


def _computations(class_name: str, config: str = "", **options: Any) -> list[Any]:
    module = metrics.__name__ if hasattr(metrics, class_name) else ""
    metric = config_pb2.MetricConfig(class_name=class_name, module=module, config=config)
    spec = config_pb2.MetricsSpec(metrics=[metric], **options)
    model = config_pb2.ModelSpec(label_key="y")
    return metric_specs.to_computations([spec], eval_config=config_pb2.EvalConfig(model_specs=[model], metrics_specs=[spec]))


def _sums(computations: list[Any]) -> list[metric_types.MetricComputation]:
    return [c for c in dict.fromkeys(computations) if isinstance(c, metric_types.MetricComputation)]


def _row_by_row(combiner: Any, labels: np.ndarray, predictions: np.ndarray) -> dict[Any, Any]:
    if hasattr(combiner, "setup"):
        combiner.setup()
    accumulator = combiner.create_accumulator()
    for label, prediction in zip(labels, predictions, strict=True):
        inputs = metric_types.StandardMetricInputs(labels=np.array([label]), predictions=np.array(prediction))
        accumulator = combiner.add_input(accumulator, inputs)
    return combiner.extract_output(accumulator)


def _numbers(value: Any) -> Any:
    """Numbers in lists and dicts, instead of TFMA's own classes."""
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_numbers(item) for item in value]
    fields = getattr(value, "__slots__", None) or getattr(value, "__dict__", None)
    if fields and not isinstance(value, np.generic):
        return [_numbers(getattr(value, name)) for name in fields]
    return value


def _approximately(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _approximately(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_approximately(item) for item in value]
    return pytest.approx(value, rel=1e-6, abs=1e-7, nan_ok=True)


CASES = {
    "example count": ("ExampleCount", "", FRACTIONS, SCORES[:, np.newaxis]),
    "calibration": ("Calibration", "", FRACTIONS, SCORES[:, np.newaxis]),
    "AUC": ("AUC", "", FRACTIONS, SCORES[:, np.newaxis]),
    "AUC of integer labels": ("AUC", "", np.arange(ROWS) % 2, SCORES[:, np.newaxis]),
    "calibration plot beyond [0, 1]": (
        "CalibrationPlot",
        '"left": -3, "right": 12',
        10 * FRACTIONS,
        10 * SCORES[:, np.newaxis],
    ),
    "confusion matrices": ("ConfusionMatrixAtThresholds", '"thresholds": [0, 0.5, 0.1]', FRACTIONS, SCORES[:, np.newaxis]),
    "accuracy": ("BinaryAccuracy", "", FRACTIONS, SCORES[:, np.newaxis]),
    "cross-entropy": ("BinaryCrossentropy", '"label_smoothing": 0.1', FRACTIONS, np.clip(SCORES, 0, 1)[:, np.newaxis]),
    "absolute error": ("MeanAbsoluteError", "", FRACTIONS, 1000 * SCORES[:, np.newaxis]),
    "squared error": ("MeanSquaredError", "", np.arange(ROWS), SCORES[:, np.newaxis]),
    "root of the squared error": ("RootMeanSquaredError", "", np.arange(ROWS), SCORES[:, np.newaxis]),
    "percentage error": ("MeanAbsolutePercentageError", "", np.arange(ROWS) % 5, SCORES[:, np.newaxis]),
    "share of variance explained": ("CoefficientOfDetermination", "", 10 * FRACTIONS, 10 * SCORES[:, np.newaxis]),
    "median error": ("AbsoluteErrorQuantile", "", FRACTIONS, 1000 * SCORES[:, np.newaxis]),
    "large error": ("AbsoluteErrorQuantile", '"quantile": 0.9', np.arange(ROWS), SCORES[:, np.newaxis]),
    "AUC of each class": ("OneVersusRestAuc", "", np.arange(ROWS) % 3, PROBABILITIES),
    "label among the two most probable": ("SparseTopKCategoricalAccuracy", '"k": 2', np.arange(ROWS) % 3, PROBABILITIES),
    "accuracy of classes": ("SparseCategoricalAccuracy", "", np.arange(ROWS) % 3, PROBABILITIES),
    "cross-entropy of classes": ("SparseCategoricalCrossentropy", "", np.arange(ROWS) % 3, PROBABILITIES),
    "matrix of classes": ("MultiClassConfusionMatrixPlot", '"thresholds": [0.4, 0.9, 0.6]', np.arange(ROWS) % 3, PROBABILITIES),
}


@pytest.mark.parametrize("case", CASES)
def test_rows_in_bulk_are_accumulated_as_row_after_row(case: str) -> None:
    class_name, config, labels, predictions = CASES[case]
    for computation in _sums(_computations(class_name, config)):
        accumulator = accumulator_for(computation)
        for rows in (slice(0, 7), slice(7, None)):
            part = PredictedRows(labels[rows], predictions[rows], np.ones(len(labels[rows])))
            accumulator.add([ids[rows] for ids in SLICES], part)
        for number, member in enumerate([SLICES[0] == 0, SLICES[1] == 1, SLICES[0] == 2]):
            expected = _row_by_row(computation.combiner, labels[member], predictions[member])
            assert _numbers(accumulator.output(number)) == _approximately(_numbers(expected))


@pytest.mark.parametrize(
    ("class_name", "config"),
    [("AUC", ""), ("AUC", '"num_thresholds": 3'), ("ConfusionMatrixPlot", '"num_thresholds": 50'), ("ConfusionMatrixPlot", "")],
)
def test_confusion_matrices_of_a_histogram_are_tfmas_to_the_bit(class_name: str, config: str) -> None:
    computations = _computations(class_name, config)
    (histogram,) = _sums(computations)
    matrices = next(c for c in computations if isinstance(c, metric_types.DerivedMetricComputation))
    counts = _row_by_row(histogram.combiner, FRACTIONS, SCORES[:, np.newaxis])
    assert result_function(matrices) is not matrices.result
    assert result_function(matrices)(counts) == matrices.result(counts)


@pytest.mark.parametrize(
    ("class_name", "options", "reason"),
    [
        ("SquaredPearsonCorrelation", {}, "row by row"),
        ("CosineSimilarity", {}, "row by row"),
        ("AUC", {"binarize": config_pb2.BinarizationOptions(class_ids={"values": [1]})}, "for one class"),
        ("SparseCategoricalAccuracy", {"output_names": ["a"]}, "for one class or output"),
        ("MeanAttributions", {}, "row by row|prepares its input"),
    ],
)
def test_other_metrics_are_left_to_tfma(class_name: str, options: dict[str, Any], reason: str) -> None:
    computations = _sums(_computations(class_name, **options))
    with pytest.raises(UnsupportedError, match=reason):
        accumulator_for(computations[0])


@pytest.mark.parametrize(
    ("class_name", "label", "predictions"),
    [("AUC", 2, SCORES[:1, np.newaxis]), ("SparseCategoricalAccuracy", 3, PROBABILITIES[:1])],
)
def test_labels_that_a_metric_does_not_exist_for_are_named(class_name: str, label: int, predictions: np.ndarray) -> None:
    (computation,) = _sums(_computations(class_name))
    with pytest.raises(DataError) as caught:
        accumulator_for(computation).add([np.array([0])], PredictedRows(np.array([label]), predictions, np.ones(1)))
    assert caught.value.seen == str(label)
