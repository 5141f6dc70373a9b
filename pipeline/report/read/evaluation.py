"""Reads the Evaluator's results: metrics by slice beside the baseline's, thresholds, plots."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.contracts.judgement import FILE_NAME, Judgement
from pipeline.contracts.metrics import PRIMARY_METRICS, higher_is_better
from pipeline.report import formats
from pipeline.report.read.plots import ConfusionMatrix, Plots, binary_matrix, plots_of
from pipeline.report.read.protos import read_records, tfma_protos
from pipeline.report.read.slices import CANDIDATE, Slice, slice_of
from pipeline.report.read.thresholds import ThresholdResult, read_checks

_MANY_ROWS = 400


@dataclass(frozen=True)
class Evaluation:
    """The result of one evaluation.

    Attributes:
      slices: all rows first, then by columns and value.
      checks: the thresholds, failed ones first.
      plots: the plots for all rows, by model: `candidate` and `baseline`.
      has_baseline: whether there was a model to compare with.
      judgement: how the candidate compares with others; None where TFX's own Evaluator was used, or an earlier release.
    """

    slices: tuple[Slice, ...] = ()
    checks: tuple[ThresholdResult, ...] = ()
    plots: Mapping[str, Plots] = field(default_factory=dict)
    has_baseline: bool = False
    judgement: Judgement | None = None

    @property
    def overall(self) -> Slice:
        """All rows."""
        return next((each for each in self.slices if not each.key), Slice((), {}))

    @property
    def primary_metric(self) -> str:
        """The name of the metric that sums the model up."""
        return next((name for name in PRIMARY_METRICS if name in self.overall.metrics), "")

    @property
    def uncertainty(self) -> str:
        """How far metrics of few rows are off by chance, as a sentence; empty where rows are many.

        The half of a 95 % interval. Of an AUC, that of a model that knows nothing: 1.96 √((m+n+1)/12mn) with m positives and n
        negatives, as of the Mann-Whitney statistic. Of a rate, the widest there is: 1.96 √(¼/n), the normal approximation of
        the binomial distribution at ½. Of an error, as a share of it: 1.96/√(2n), that of the standard deviation of a normal
        sample.
        """
        rows = self.overall.rows
        if not rows or rows >= _MANY_ROWS or not self.primary_metric:
            return ""
        positives = self._positives if self.primary_metric == "auc" else None
        if positives and rows > positives:
            half = 1.96 * math.sqrt((rows + 1) / (12 * positives * (rows - positives)))
            off = f"a model that knows nothing has an auc between {max(0.5 - half, 0):.2f} and {min(0.5 + half, 1):.2f}"
        elif higher_is_better(self.primary_metric):
            off = f"a rate such as accuracy is off by up to {0.98 / math.sqrt(rows):.2f}"
        else:
            off = f"an error such as rmse is off by up to {formats.percent(1.96 / math.sqrt(2 * rows))}"
        return f"Few rows: by chance alone, {off} (95 % of the time)."

    @property
    def _positives(self) -> int | None:
        """How many rows of a binary label are positive, in proportion to their weights; None where that was not counted."""
        plots = self.plots.get(CANDIDATE)
        counts = plots.confusion.counts if plots and plots.confusion else ()
        total = sum(map(sum, counts))
        return round(sum(counts[1]) / total * (self.overall.rows or 0)) if len(counts) == 2 and total else None

    @property
    def failures(self) -> tuple[ThresholdResult, ...]:
        """The thresholds that did not hold."""
        return tuple(check for check in self.checks if not check.holds)

    def worst_slices(self, count: int, min_rows: int) -> list[Slice]:
        """The slices with the worst primary metric, worst first, of those with at least `min_rows` rows."""
        sign = -1 if higher_is_better(self.primary_metric) is False else 1
        known = [
            (sign * value, each)
            for each in self.slices
            if each.key and (each.rows or 0) >= min_rows
            if (value := each.metric(self.primary_metric).candidate) is not None and math.isfinite(value)
        ]
        return [each for _, each in sorted(known, key=lambda pair: pair[0])[:count]]


def read_evaluation(folder: Path) -> Evaluation:
    """Reads the `evaluation` artifact of an Evaluator.

    Args:
      folder: the artifact's folder.

    Raises:
      FileNotFoundError: the folder has no evaluation.
    """
    metrics = tfma_protos("metrics_for_slice_pb2")
    matrices: dict[str, ConfusionMatrix] = {}
    slices = []
    for record in _records(folder, "metrics"):
        message = metrics.MetricsForSlice.FromString(record)
        slices.append(slice_of(message))
        if not message.slice_key.single_slice_keys:
            matrices = _matrices(message)
    plots: dict[str, Plots] = {}
    for record in _records(folder, "plots"):
        message = metrics.PlotsForSlice.FromString(record)
        if not message.slice_key.single_slice_keys:
            plots = {
                name: replace(each, confusion=matrices.get(name, each.confusion)) for name, each in _plots(message).items()
            }
    judged = folder / FILE_NAME
    judgement = Judgement.from_json(judged.read_text()) if judged.is_file() else None
    by_columns = sorted(slices, key=lambda each: (len(each.key), each.columns, [_natural(value) for _, value in each.key]))
    return Evaluation(
        slices=tuple(by_columns),
        checks=tuple(sorted(read_checks(folder, by_columns, judgement), key=lambda check: check.holds)),
        plots=plots,
        has_baseline=any(comparison.baseline is not None for each in slices for comparison in each.metrics.values()),
        judgement=judgement,
    )


def _records(folder: Path, kind: str) -> Iterator[bytes]:
    files = sorted(folder.glob(f"{kind}-?????-of-?????.tfrecord"))
    if not files and kind == "metrics":
        raise FileNotFoundError(folder / "metrics-*.tfrecord")
    for path in files:
        yield from read_records(path)


def _natural(value: str) -> tuple[bool, float, str]:
    """Numbers by size and before text."""
    try:
        return False, float(value), value
    except ValueError:
        return True, 0.0, value


def _matrices(message: Any) -> dict[str, ConfusionMatrix]:
    """The confusion matrix of each model at the threshold by which it decides, where that is not 0.5."""
    return {
        pair.key.model_name or CANDIDATE: binary_matrix(pair.value.confusion_matrix_at_thresholds.matrices[0])
        for pair in message.metric_keys_and_values
        if pair.value.WhichOneof("type") == "confusion_matrix_at_thresholds" and not pair.key.is_diff
    }


def _plots(message: Any) -> dict[str, Plots]:
    data: dict[str, Any] = {}
    for pair in message.plot_keys_and_values:
        name = pair.key.model_name or CANDIDATE
        # Plots of one model come as one message or one for each; merged, each kind is found in one place.
        data.setdefault(name, type(pair.value)()).MergeFrom(pair.value)
    return {name: plots_of(each) for name, each in data.items()}
