"""An evaluation, arranged for showing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby

from pipeline.contracts.judgement import Gap
from pipeline.report.html.charts import Series
from pipeline.report.read.evaluation import Evaluation
from pipeline.report.read.plots import ConfusionMatrix, Plots
from pipeline.report.read.slices import BASELINE, CANDIDATE, EXAMPLE_COUNT, Slice

# What is compared slice by slice, besides the primary metric, as far as it was measured.
_SLICE_METRICS = (
    "precision",
    "recall",
    "selection_rate",
    "false_positive_rate",
    "calibration",
    "macro_f1",
    "loss",
    "mae",
    "r2",
)

# By metric, how many classes a row's own is looked for among: of as few classes it would be found in any case.
_MOST_PROBABLE = {"top_3_accuracy": 3, "top_5_accuracy": 5}

# A larger matrix cannot be read: the classes confused most are listed instead.
MOST_CLASSES_SHOWN = 20
_CONFUSIONS_SHOWN = 15


@dataclass(frozen=True)
class EvaluationView:
    """An evaluation as tables and charts.

    Attributes:
      evaluation: what is shown.
      min_slice_rows: slices with fewer rows are left out.
      classes: names of the classes in their order; numbers stand for them when not given.
      remarks: how a linear model does, how this one decides, and how its probabilities are calibrated, in sentences.
    """

    evaluation: Evaluation
    min_slice_rows: int = 1
    classes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def metrics(self) -> list[str]:
        """All metrics of all rows, the primary one first."""
        num_classes = len(self.classes) or math.inf
        names = [
            name
            for name in self.evaluation.overall.metrics
            if name != EXAMPLE_COUNT and _MOST_PROBABLE.get(name, 0) < num_classes
        ]
        order = (
            self.evaluation.primary_metric,
            "accuracy",
            "precision",
            "recall",
            "selection_rate",
            "false_positive_rate",
            "auc_precision_recall",
            "macro_f1",
            "auc_ovr",
            "top_3_accuracy",
            "top_5_accuracy",
            "loss",
            "mae",
            "median_absolute_error",
            "p90_absolute_error",
            "mape",
            "r2",
            "calibration",
        )
        return sorted(names, key=lambda name: (order.index(name) if name in order else len(order), name))

    @property
    def positive_class(self) -> str:
        """The class of two whose probability the score is; empty where there is none."""
        return self.classes[1] if len(self.classes) == 2 and "auc" in self.evaluation.overall.metrics else ""

    @property
    def slice_metrics(self) -> list[str]:
        """The metrics that are compared slice by slice, besides the primary one."""
        return [name for name in _SLICE_METRICS if name in self.evaluation.overall.metrics]

    @property
    def groups(self) -> list[tuple[str, list[Slice]]]:
        """The slices that have enough rows, by the columns that they divide the rows by."""
        shown = [each for each in self.evaluation.slices if each.key and (each.rows or 0) >= self.min_slice_rows]
        return [(" and ".join(columns), list(slices)) for columns, slices in groupby(shown, key=lambda each: each.columns)]

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """The largest differences between slices, where they are bounded."""
        return self.evaluation.judgement.gaps if self.evaluation.judgement else ()

    @property
    def left_out(self) -> int:
        """How many slices have too few rows."""
        return sum(1 for each in self.evaluation.slices if each.key and (each.rows or 0) < self.min_slice_rows)

    @property
    def primary_range(self) -> tuple[float, float]:
        """The smallest and largest primary metric of all slices shown, for a scale that they share."""
        comparisons = [each.metric(self.evaluation.primary_metric) for _, slices in self.groups for each in slices]
        values = [value for each in comparisons for value in (each.candidate, each.baseline) if value is not None]
        finite = [value for value in values if math.isfinite(value)]
        return (min(finite), max(finite)) if finite else (0.0, 1.0)

    @property
    def roc(self) -> list[Series]:
        """Receiver operating characteristic of the candidate and the baseline."""
        lines = [
            Series(name, ((0.0, 0.0), *plots.roc, (1.0, 1.0)), style) for name, plots, style in self._models() if plots.roc
        ]
        return [*lines, Series("chance", ((0.0, 0.0), (1.0, 1.0)), "guide")] if lines else []

    @property
    def precision_recall(self) -> list[Series]:
        """Precision over recall of the candidate and the baseline."""
        return [Series(name, plots.precision_recall, style) for name, plots, style in self._models() if plots.precision_recall]

    @property
    def calibration(self) -> list[Series]:
        """Mean label over mean prediction, with the rows of each bucket as the area of its point."""
        lines = [
            Series(
                name,
                [(prediction, label) for prediction, label, _ in plots.calibration],
                style,
                dots=True,
                weights=[rows for _, _, rows in plots.calibration],
            )
            for name, plots, style in self._models()
            if plots.calibration
        ]
        points = [value for line in lines for point in line.points for value in point]
        return [*lines, Series("perfect", ((min(points), min(points)), (max(points), max(points))), "guide")] if lines else []

    @property
    def confusion(self) -> ConfusionMatrix | None:
        """The candidate's confusion matrix."""
        return self.evaluation.plots.get(CANDIDATE, Plots()).confusion

    @property
    def confusions(self) -> list[tuple[str, str, float]]:
        """Actual class, predicted class and rows of the pairs that the candidate confuses most, where classes are many."""
        matrix = self.confusion
        if matrix is None or len(matrix.counts) <= MOST_CLASSES_SHOWN:
            return []
        pairs = [
            (self.class_name(actual), self.class_name(predicted), count)
            for actual, counts in enumerate(matrix.counts)
            for predicted, count in enumerate(counts)
            if actual != predicted and count
        ]
        return sorted(pairs, key=lambda pair: -pair[2])[:_CONFUSIONS_SHOWN]

    def class_name(self, index: int) -> str:
        """The name of a class."""
        return self.classes[index] if index < len(self.classes) else str(index)

    def place(self, value: float | None) -> float | None:
        """The position of a primary metric on the shared scale, in percent from the left."""
        low, high = self.primary_range
        if value is None or not math.isfinite(value) or high <= low:
            return None
        return min(100.0, max(0.0, 100 * (value - low) / (high - low)))

    def _models(self) -> list[tuple[str, Plots, str]]:
        styles = ((CANDIDATE, "first"), (BASELINE, "second"))
        return [(name, self.evaluation.plots[name], style) for name, style in styles if name in self.evaluation.plots]
