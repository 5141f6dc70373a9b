"""What fills the accumulators of a combiner of TFMA with whole batches of rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from tensorflow_model_analysis.metrics import metric_types

from components.evaluator.predicted_rows import PredictedRows
from components.evaluator.sums import IntArray


class Accumulator(ABC):
    """The accumulators of one combiner, for all slices at once."""

    def __init__(self, combiner: Any) -> None:
        self._combiner = combiner

    @abstractmethod
    def add(self, slices: Sequence[IntArray], rows: PredictedRows) -> None:
        """Adds a batch of rows.

        Args:
          slices: for each slicing spec, the number of the slice that a row belongs to, [N]; -1 where it belongs to none.
          rows: the rows.

        Raises:
          DataError: the metric does not exist for a label.
          UnsupportedError: this accumulator cannot add such predictions.
        """

    @abstractmethod
    def accumulated(self, slice_id: int) -> Any:
        """The combiner's accumulator after the rows of one slice."""

    def output(self, slice_id: int) -> dict[metric_types.MetricKey, Any]:
        """The combiner's output for one slice."""
        return self._combiner.extract_output(self.accumulated(slice_id))
