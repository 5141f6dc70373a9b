"""Columns that may know the label before it is known, rows that stand twice, and rows that add up others."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.config.training import Task
from pipeline.profile.table import TableProfile
from pipeline.profile.values import as_floats
from pipeline.profile.words import listed, name_words, of_rows, shortened

_LEAKING_AUC, _LEAKING_R2 = 0.995, 0.99
_BINS = 100
_MOST_CLASSES = 20
_FEWEST_ROWS = 50
_REPEATED = 0.01
_FEWEST_SUMMED = 3

# What is known only once the case is closed.
_AFTERWARDS = {
    *("actual", "outcome", "result", "final", "resolved", "resolution", "closed", "settled", "settlement"),
    *("cancelled", "canceled", "cancellation", "refund", "refunded", "chargeback", "recovered", "recovery"),
    *("reason", "posterior", "predicted", "prediction"),
}


def warnings(table: TableProfile, label: str, task: Task, features: Iterable[str]) -> dict[str, str]:
    """A sentence for each column that should be looked at before the model is trusted, by name.

    Args:
      table: the table.
      label: the column that is predicted.
      task: the kind of prediction.
      features: the columns that the model uses.
    """
    found = {}
    target = _codes(table.sample.column(label), _BINS)
    for name in features:
        strength = _strength(table.sample, name, label, target, task)
        if strength:
            found[name] = f"{shortened(name)} alone tells {shortened(label)} ({strength}): is it known beforehand?"
        elif _sounds_late(name, label):
            found[name] = f"{shortened(name)} may be known only after {shortened(label)}, by its name."
    return found


def repeated_rows(table: TableProfile) -> str:
    """A sentence on rows that are equal in every column; empty where there are few."""
    if table.repeated <= _REPEATED * table.rows:
        return ""
    return f"{of_rows(table.repeated, table.rows)} repeat an earlier row in every column, and count again."


def total_row(table: TableProfile) -> str:
    """A sentence on a last row that has the sums of all others, as spreadsheets end with; empty where there is none.

    Args:
      table: the table. One that is longer than its sample is left alone.
    """
    if table.rows != table.sample.num_rows or table.rows <= _FEWEST_SUMMED:
        return ""
    summed = []
    for name in table.sample.column_names:
        numbers = as_floats(table.sample.column(name)) if table.columns[name].is_number else None
        if numbers is None or not np.isfinite(numbers[-1]) or np.count_nonzero(numbers[:-1] > 0) < _FEWEST_SUMMED:
            continue
        if np.isclose(numbers[-1], np.nansum(numbers[:-1]), rtol=1e-9) and numbers[-1] > np.nanmax(numbers[:-1]):
            summed.append(shortened(name))
    if not summed:
        return ""
    return f"The last row may be a total: {listed(summed)} in it is what all other rows add up to. Leave it out if so."


def _sounds_late(name: str, label: str) -> bool:
    words, of_label = set(name_words(name)), set(name_words(label))
    return bool(words & _AFTERWARDS - of_label) or (len(of_label) > 0 and of_label < words and max(map(len, of_label)) > 3)


def _strength(sample: pa.Table, name: str, label: str, target: npt.NDArray[np.int64], task: Task) -> str:
    """How well a column alone predicts the label, in words, where that is too good to be true."""
    if sample.num_rows < _FEWEST_ROWS:
        return ""
    codes = _codes(sample.column(name), _BINS)
    if task is Task.REGRESSION:
        actual = as_floats(sample.column(label))
        if actual is None or not np.isfinite(actual).all():
            return ""
        score = max(_r2(_cross_fitted(codes, actual), actual), _linear_r2(as_floats(sample.column(name)), actual))
        return f"R² {score:.3f}" if score >= _LEAKING_R2 else ""
    classes = np.unique(target)
    if len(classes) > _MOST_CLASSES:
        return ""
    chosen = classes[1:] if len(classes) == 2 else classes
    numbers = as_floats(sample.column(name))
    score = float(np.mean([_best_auc(codes, numbers, target == one) for one in chosen]))
    return f"AUC {score:.3f}" if score >= _LEAKING_AUC else ""


def _codes(column: pa.ChunkedArray, bins: int) -> npt.NDArray[np.int64]:
    """Values as whole numbers: each its own or, where numbers are many, their quantile; 0 for a missing one."""
    values = column.combine_chunks()
    encoded = values.dictionary_encode()
    if not pa.types.is_large_binary(values.type) and len(encoded.dictionary) > bins:
        numbers = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        edges = np.unique(np.quantile(numbers[np.isfinite(numbers)], np.linspace(0, 1, bins + 1)[1:-1]))
        return np.where(np.isnan(numbers), 0, 1 + np.searchsorted(edges, numbers, side="right"))
    return encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64) + 1


def _cross_fitted(codes: npt.NDArray[np.int64], target: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    """For each row the target's mean among the rows of the other half with the same code, so that no row tells on itself."""
    half = np.arange(len(codes)) % 2 == 0
    numbers = target.astype(np.float64)
    fitted = np.empty(len(codes))
    for of_half in (half, ~half):
        sums = np.bincount(codes[~of_half], weights=numbers[~of_half], minlength=codes.max() + 1)
        counts = np.bincount(codes[~of_half], minlength=codes.max() + 1)
        means = np.where(counts > 0, sums / np.maximum(counts, 1), numbers[~of_half].mean())
        fitted[of_half] = means[codes[of_half]]
    return fitted


def _best_auc(codes: npt.NDArray[np.int64], numbers: npt.NDArray[np.float64] | None, positive: npt.NDArray[np.bool_]) -> float:
    """The AUC of the column's codes or, where it has numbers, of these, whichever is better; more may mean either class."""
    by_code = _auc(_cross_fitted(codes, positive), positive)
    if numbers is None or np.isnan(numbers).any():
        return by_code
    by_size = _auc(numbers, positive)
    return max(by_code, by_size, 1 - by_size)


def _auc(scores: npt.NDArray[np.float64], positive: npt.NDArray[np.bool_]) -> float:
    """The area under the ROC curve: the share of pairs of a positive and a negative row in which the positive scores higher."""
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return 0.5
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return float((ranks[positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def _r2(predicted: npt.NDArray[np.float64], actual: npt.NDArray[np.float64]) -> float:
    spread = float(((actual - actual.mean()) ** 2).sum())
    return 1 - float(((actual - predicted) ** 2).sum()) / spread if spread > 0 else 0.0


def _linear_r2(numbers: npt.NDArray[np.float64] | None, actual: npt.NDArray[np.float64]) -> float:
    """The squared correlation of a column of numbers with the label, rows without a number left out."""
    if numbers is None:
        return 0.0
    known = np.isfinite(numbers)
    if known.sum() < max(_FEWEST_ROWS, len(known) / 2) or not np.ptp(numbers[known]) or not np.ptp(actual[known]):
        return 0.0
    return float(np.corrcoef(numbers[known], actual[known])[0, 1] ** 2)
