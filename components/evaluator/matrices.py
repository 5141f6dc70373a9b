"""Confusion matrices from a histogram of predictions, for which TFMA loops over 10,000 buckets in Python."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from tensorflow_model_analysis.metrics import binary_confusion_matrices, calibration_histogram, metric_types

from components.evaluator.sums import FloatArray

Result = Callable[[dict[Any, Any]], dict[Any, Any]]

_EPSILON = binary_confusion_matrices._EPSILON


def result_function(derived: metric_types.DerivedMetricComputation) -> Result:
    """The function that computes a derived metric, with numpy where it is TFMA's from a histogram to confusion matrices."""
    if derived.result.__module__ != binary_confusion_matrices.__name__:
        return derived.result
    variables = inspect.getclosurevars(derived.result).nonlocals
    thresholds, input_key, matrices_key = (variables[name] for name in ("thresholds", "input_metric_key", "matrices_key"))
    if not variables["use_histogram"] or len(thresholds) == 1:
        return derived.result
    # The boundaries, sums and corrections are TFMA's, in the same order, so that not a bit of the result differs.
    boundaries = [threshold + _EPSILON if threshold != 0 else threshold for threshold in thresholds]
    offset = 0
    if thresholds[0] >= 0:
        boundaries, offset = [-_EPSILON, *boundaries], 1
    if thresholds[-1] < 1:
        boundaries = [*boundaries, 1 + _EPSILON]
    selected = slice(offset, offset + len(thresholds))
    edges = np.array(boundaries)
    beyond = np.array(thresholds) >= 1 + _EPSILON

    def result(metrics: Mapping[Any, Any]) -> dict[Any, Any]:
        positives, negatives = _rebinned(edges, metrics[input_key])
        tp, fp = (np.cumsum(counts[::-1])[::-1][selected] for counts in (positives, negatives))
        fn, tn = (np.concatenate([[0.0], np.cumsum(counts)[:-1]])[selected] for counts in (positives, negatives))
        tp[beyond], fp[beyond] = 0, 0
        fn[beyond], tn[beyond] = tp[0], fp[0]
        matrices = binary_confusion_matrices.Matrices(thresholds, tp.tolist(), tn.tolist(), fp.tolist(), fn.tolist())
        return {matrices_key: matrices}

    return result


def _rebinned(edges: FloatArray, histogram: list[calibration_histogram.Bucket]) -> tuple[FloatArray, FloatArray]:
    """Positives and negatives by the interval between edges that a bucket begins in."""
    num_buckets = calibration_histogram.DEFAULT_NUM_BUCKETS
    buckets = [(bucket.bucket_id, bucket.weighted_labels, bucket.weighted_examples) for bucket in histogram]
    ids, labels, examples = np.array(buckets).T
    begins = (ids - 1) / num_buckets
    begins[ids == 0], begins[ids > num_buckets] = -np.inf, np.inf
    intervals = np.maximum(np.searchsorted(edges, begins, side="right") - 1, 0)
    positives: FloatArray = np.bincount(intervals, labels, len(edges)).astype(np.float64)
    return positives, np.bincount(intervals, examples, len(edges)) - positives
