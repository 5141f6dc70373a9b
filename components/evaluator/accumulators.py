"""TFMA's metric accumulators, filled with whole batches of rows instead of row by row.

A metric in TFMA is a combiner, which sees every row, and derived metrics, which see the combiner's output. Here the rows are
summed with numpy, the sums are put into the accumulator that the combiner would have filled, and the combiner makes its
output of it; all that follows is TFMA's. The combiners and their accumulators are private to TFMA: this module alone knows
them, for the version of TFMA that the project pins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow_model_analysis.contrib.aggregates import binary_confusion_matrices as matrix_entries
from tensorflow_model_analysis.metrics import (
    binary_confusion_matrices,
    calibration,
    calibration_histogram,
    example_count,
    mean_regression_error,
    metric_types,
    multi_class_confusion_matrix_metrics,
    tf_metric_wrapper,
)
from tensorflow_model_analysis.utils.keras_lib import tf_keras

from components.evaluator import metrics
from components.evaluator.accumulator import Accumulator
from components.evaluator.predicted_rows import PredictedRows
from components.evaluator.sums import BinnedSums, FloatArray, IntArray, SliceSums
from components.shared.fast_executor import UnsupportedError


class _ExampleCount(Accumulator):
    def __init__(self, combiner: Any) -> None:
        super().__init__(combiner)
        self._sums = SliceSums(width=1)

    def add(self, slices: Sequence[IntArray], rows: PredictedRows) -> None:
        self._sums.add(slices, rows.weighed(rows.ones))

    def accumulated(self, slice_id: int) -> float:
        return float(self._sums.of(slice_id)[0])


class _Totals(Accumulator):
    """The sums behind mean label, mean prediction and calibration."""

    def __init__(self, combiner: Any) -> None:
        super().__init__(combiner)
        self._sums = SliceSums(width=3)

    def add(self, slices: Sequence[IntArray], rows: PredictedRows) -> None:
        self._sums.add(slices, rows.weighed(rows.labels, rows.scores, rows.ones))

    def accumulated(self, slice_id: int) -> Any:
        totals = calibration._WeightedLabelsPredictionsExamples()
        totals.total_weighted_labels, totals.total_weighted_predictions, totals.total_weighted_examples = self._sums.of(
            slice_id
        ).tolist()
        return totals


class _Histogram(Accumulator):
    """Labels and predictions by bucket of the prediction: behind AUC, its plots and the calibration plot."""

    def __init__(self, combiner: Any) -> None:
        super().__init__(combiner)
        if not combiner._prediction_based_bucketing:
            raise UnsupportedError("a histogram has buckets of labels")
        self._num_buckets: int = combiner._num_buckets
        self._sums = BinnedSums(num_bins=self._num_buckets + 2, width=3)

    def add(self, slices: Sequence[IntArray], rows: PredictedRows) -> None:
        labels = rows.fractions if self._combiner._fractional_labels else rows.labels
        scores = rows.scores
        # As _CalibrationHistogramCombiner._bucket_index does it: bucket 0 is below the interval, the last one above.
        position = (scores - self._combiner._left) / self._combiner._range * self._num_buckets + 1
        buckets = np.clip(np.trunc(position), 0, self._num_buckets + 1).astype(np.int64)
        self._sums.add(slices, buckets, rows.weighed(labels, scores, rows.ones))

    def accumulated(self, slice_id: int) -> dict[int, calibration_histogram.Bucket]:
        buckets, sums = self._sums.of(slice_id)
        return {
            bucket: calibration_histogram.Bucket(bucket, *totals)
            for bucket, totals in zip(buckets.tolist(), sums.tolist(), strict=True)
        }


class _ConfusionMatrix(Accumulator):
    """True and false positives and negatives at given thresholds."""

    def __init__(self, combiner: Any) -> None:
        super().__init__(combiner)
        if combiner._example_id_key or not combiner._enable_fractional_labels:
            raise UnsupportedError("a confusion matrix samples examples or has a threshold for labels")
        self._thresholds: list[float] = combiner._binary_confusion_matrices._thresholds
        self._sums = SliceSums(width=4 * len(self._thresholds))

    def add(self, slices: Sequence[IntArray], rows: PredictedRows) -> None:
        labels, scores = rows.fractions, rows.scores
        columns = []
        for threshold in self._thresholds:
            above = scores > threshold
            # A label between 0 and 1 is so much of a positive, and the rest a negative.
            columns += [labels * above, (1 - labels) * ~above, (1 - labels) * above, labels * ~above]
        self._sums.add(slices, rows.weighed(*columns))

    def accumulated(self, slice_id: int) -> dict[float, Any]:
        matrices = self._sums.of(slice_id).reshape(-1, 4).tolist()
        return {
            threshold: matrix_entries._ThresholdEntry(
                matrix_entries.Matrix(tp, tn, fp, fn), tp_examples=[], tn_examples=[], fp_examples=[], fn_examples=[]
            )
            for threshold, (tp, tn, fp, fn) in zip(self._thresholds, matrices, strict=True)
        }


class _RegressionError(Accumulator):
    def __init__(self, combiner: Any) -> None:
        super().__init__(combiner)
        self._error = _REGRESSION_ERRORS[type(combiner)]
        self._sums = SliceSums(width=2)

    def add(self, slices: Sequence[IntArray], rows: PredictedRows) -> None:
        errors = self._error(rows.labels, rows.prediction)
        # A row for which the error is undefined does not count.
        counts = np.isfinite(errors)
        self._sums.add(slices, rows.weighed(counts, np.where(counts, errors, 0)))

    def accumulated(self, slice_id: int) -> Any:
        return mean_regression_error._MeanRegressionErrorAccumulator(*self._sums.of(slice_id).tolist())


class _MultiClassMatrix(Accumulator):
    """Examples by actual and predicted class, at given thresholds."""

    def __init__(self, combiner: Any) -> None:
        super().__init__(combiner)
        self._thresholds: list[float] = combiner._thresholds
        self._num_classes = 0
        self._sums: BinnedSums | None = None

    def add(self, slices: Sequence[IntArray], rows: PredictedRows) -> None:
        actual, predictions = rows.class_ids, rows.predictions
        if self._sums is None:
            self._num_classes = predictions.shape[1]
            self._sums = BinnedSums(len(self._thresholds) * self._num_classes * (self._num_classes + 1), width=1)
        order = np.arange(len(rows))
        predicted = np.argmax(predictions, axis=1)
        for i, threshold in enumerate(self._thresholds):
            predicted = np.where(predictions[order, predicted] > threshold, predicted, _NO_PREDICTION)
            bins = (i * self._num_classes + actual) * (self._num_classes + 1) + predicted - _NO_PREDICTION
            self._sums.add(slices, bins, rows.weighed(rows.ones))

    def accumulated(self, slice_id: int) -> Any:
        matrices = multi_class_confusion_matrix_metrics.Matrices({threshold: {} for threshold in self._thresholds})
        if self._sums is None:
            return matrices
        bins, sums = self._sums.of(slice_id)
        for key, count in zip(bins.tolist(), sums[:, 0].tolist(), strict=True):
            matrix, predicted = divmod(key, self._num_classes + 1)
            i, actual = divmod(matrix, self._num_classes)
            entry = multi_class_confusion_matrix_metrics.MatrixEntryKey(actual, predicted + _NO_PREDICTION)
            matrices[self._thresholds[i]][entry] = count
        return matrices


class _KerasMeans(Accumulator):
    """Keras metrics that are a mean of one value a row."""

    def __init__(self, combiner: Any) -> None:
        super().__init__(combiner)
        combiner.setup()
        if list(combiner._metrics) != [""]:
            raise UnsupportedError("a metric is for one output of several")
        self._metrics = combiner._metrics[""]
        for metric in self._metrics:
            if type(metric) not in _ROW_VALUES or metric.get_config().get("ignore_class") is not None:
                raise UnsupportedError(f"the metric {metric.name!r} ({type(metric).__name__}) is computed row by row")
        self._sums = SliceSums(width=len(self._metrics) + 1)

    def add(self, slices: Sequence[IntArray], rows: PredictedRows) -> None:
        values = []
        for metric in self._metrics:
            labels = rows.class_ids if type(metric) in _SPARSE_METRICS else rows.labels
            predictions = rows.predictions if type(metric) in _SPARSE_METRICS else rows.prediction[:, np.newaxis]
            options = {key: value for key, value in metric.get_config().items() if key not in ("name", "dtype")}
            values.append(
                _ROW_VALUES[type(metric)](
                    tf.constant(labels[:, np.newaxis], tf.float32), tf.constant(predictions, tf.float32), **options
                )
                .numpy()
                .reshape(len(rows))
            )
        self._sums.add(slices, rows.weighed(*values, rows.ones))

    def accumulated(self, slice_id: int) -> Any:
        accumulator = self._combiner.create_accumulator()
        *totals, count = self._sums.of(slice_id).tolist()
        for i, total in enumerate(totals):
            accumulator.add_weights(0, i, [np.float32(total), np.float32(count)])
        return accumulator


_NO_PREDICTION = multi_class_confusion_matrix_metrics.NO_PREDICTED_CLASS_ID

_ACCUMULATORS: dict[type, type[Accumulator]] = {
    example_count._ExampleCountCombiner: _ExampleCount,
    calibration._WeightedLabelsPredictionsExamplesCombiner: _Totals,
    calibration_histogram._CalibrationHistogramCombiner: _Histogram,
    binary_confusion_matrices._BinaryConfusionMatrixCombiner: _ConfusionMatrix,
    mean_regression_error._MeanAbsoluteErrorCombiner: _RegressionError,
    mean_regression_error._MeanSquaredErrorCombiner: _RegressionError,
    mean_regression_error._MeanAbsolutePercentageErrorCombiner: _RegressionError,
    multi_class_confusion_matrix_metrics._MultiClassConfusionMatrixCombiner: _MultiClassMatrix,
    tf_metric_wrapper._CompilableMetricsCombiner: _KerasMeans,
    **metrics.ACCUMULATORS,
}


def is_weighted(computation: metric_types.MetricComputation) -> bool:
    """Whether rows count by their weights."""
    return any(key.example_weighted for key in computation.keys)


def _percentage_errors(labels: npt.NDArray[Any], predictions: npt.NDArray[Any]) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(labels == 0, np.nan, 100 * np.abs((labels - predictions) / labels))


_REGRESSION_ERRORS: dict[type, Callable[[Any, Any], FloatArray]] = {
    mean_regression_error._MeanAbsoluteErrorCombiner: lambda labels, predictions: np.abs(labels - predictions),
    mean_regression_error._MeanSquaredErrorCombiner: lambda labels, predictions: (labels - predictions).astype(np.float64) ** 2,
    mean_regression_error._MeanAbsolutePercentageErrorCombiner: _percentage_errors,
}

_ROW_VALUES: dict[type, Callable[..., tf.Tensor]] = {
    tf_keras.metrics.BinaryCrossentropy: tf_keras.metrics.binary_crossentropy,
    tf_keras.metrics.SparseCategoricalAccuracy: tf_keras.metrics.sparse_categorical_accuracy,
    tf_keras.metrics.SparseCategoricalCrossentropy: tf_keras.metrics.sparse_categorical_crossentropy,
    tf_keras.metrics.SparseTopKCategoricalAccuracy: tf_keras.metrics.sparse_top_k_categorical_accuracy,
    tf_keras.metrics.RootMeanSquaredError: tf_keras.metrics.mean_squared_error,
}
_SPARSE_METRICS = (
    tf_keras.metrics.SparseCategoricalAccuracy,
    tf_keras.metrics.SparseCategoricalCrossentropy,
    tf_keras.metrics.SparseTopKCategoricalAccuracy,
)


def accumulator_for(computation: metric_types.MetricComputation) -> Accumulator:
    """The accumulator that fills a computation's combiner in bulk.

    Raises:
      UnsupportedError: there is none for this metric or these options of it.
    """
    name = ", ".join(sorted({key.name for key in computation.keys})) or type(computation.combiner).__name__
    if any(type(step) is not metric_types.StandardMetricInputsPreprocessor for step in computation.preprocessors):
        raise UnsupportedError(f"the metric {name!r} prepares its input itself")
    if any(key.sub_key or key.aggregation_type or key.output_name for key in computation.keys):
        raise UnsupportedError(f"the metric {name!r} is aggregated, or for one class or output of several")
    kind = _ACCUMULATORS.get(type(computation.combiner))
    if kind is None:
        raise UnsupportedError(f"the metric {name!r} is computed row by row")
    return kind(computation.combiner)
