"""What is kept of the evaluated rows, for what is found out when all have been seen."""

from __future__ import annotations

from collections.abc import Sequence

from components.evaluator import importance
from components.evaluator.membership import Membership
from components.evaluator.plan import Plan
from components.evaluator.reservoir import Reservoir
from components.evaluator.rows import Batch, Models
from components.evaluator.sample import Sample
from components.evaluator.slices import SliceIndex
from components.evaluator.sums import IntArray
from components.evaluator.thresholds import threshold_of
from components.evaluator.wrong_rows import WorstRows

_SAMPLE_SEED = 11


class KeptRows:
    """What is kept of each row, and some rows as they are.

    Args:
      plan: the evaluation's plan.
      models: its models.
      slices: its slices.
      metric: that which sums a model up: auc, accuracy or rmse.

    Attributes:
      samples: labels, weights and predictions, by model name.
      membership: the slices by single columns that rows belong to.
      asked: the rows with which the candidate is asked what it leans on; None where it cannot be.
      worst: those that the candidate is most wrong about.
    """

    def __init__(self, plan: Plan, models: Models, slices: SliceIndex, metric: str) -> None:
        self._comparisons, self._candidate = plan.comparisons, plan.comparisons[plan.candidate]
        self.samples = {name: Sample(threshold_of(each.path)) for name, each in plan.comparisons.items()}
        self.membership = Membership(slices, [spec[0] for spec in slices.specs if len(spec) == 1])
        model = models.raw(self._candidate)
        size = importance.rows_to_ask(len(model.columns)) if model else 0
        self.asked = Reservoir(size, _SAMPLE_SEED) if size else None
        self.worst = WorstRows(metric)

    def add(self, batch: Batch, numbers: Sequence[IntArray]) -> None:
        """Adds a batch of rows.

        Args:
          batch: the rows.
          numbers: for each slicing spec, the number of the slice that a row belongs to, [N].
        """
        self.membership.add(numbers)
        for name, sample in self.samples.items():
            sample.add(batch.rows[self._comparisons[name]])
        examples, rows = batch.examples.numpy(), batch.rows[self._candidate]
        self.worst.add(examples, rows)
        if self.asked:
            self.asked.add(examples, rows.labels, rows.weights)
