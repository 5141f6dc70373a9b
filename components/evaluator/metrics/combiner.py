"""Combiners of rows, and the computations of TFMA that they make."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis.metrics import metric_types, metric_util

from components.evaluator.predicted_rows import PredictedRows

Computations = Callable[..., metric_types.MetricComputations]


class RowCombiner(beam.CombineFn):
    """Combines rows, one at a time."""

    def __init__(self, key: metric_types.MetricKey, eval_config: Any) -> None:
        self._key = key
        self._eval_config = eval_config

    def add_input(self, accumulator: Any, element: metric_types.StandardMetricInputs) -> Any:
        """The accumulator with one more row."""
        label, predictions, weight = next(
            metric_util.to_label_prediction_example_weight(
                element,
                eval_config=self._eval_config,
                model_name=self._key.model_name,
                output_name=self._key.output_name,
                example_weighted=self._key.example_weighted,
                flatten=False,
                require_single_example_weight=True,
            )
        )
        rows = PredictedRows(np.reshape(label, 1), np.reshape(predictions, (1, -1)), np.reshape(weight, 1))
        return self.merge_accumulators([accumulator, self.summed(rows)])

    def extract_output(self, accumulator: Any) -> dict[metric_types.MetricKey, float]:
        """The metric of an accumulator."""
        return {self._key: self.value(accumulator)}

    @abstractmethod
    def summed(self, rows: PredictedRows) -> Any:
        """The accumulator after these rows alone."""

    @abstractmethod
    def value(self, accumulator: Any) -> float:
        """The metric; NaN where it is undefined."""


class PartsCombiner(RowCombiner):
    """Keeps what the rows are summed to, in parts."""

    def create_accumulator(self) -> list[Any]:
        """No parts."""
        return []

    def merge_accumulators(self, accumulators: Iterable[list[Any]]) -> list[Any]:
        """All parts, in the first of the lists."""
        first, *others = accumulators
        for each in others:
            first.extend(each)
        return first


def by_model(computations: Computations) -> Computations:
    """Computations of one model, for each model that TFMA asks for."""
    return metric_util.merge_per_key_computations(computations)


def combined(combiner: Callable[..., RowCombiner]) -> Computations:
    """The computation by one combiner, for TFMA, which finds out by the names of parameters what to pass."""

    def computations(
        name: str,
        eval_config: Any = None,
        model_name: str = "",
        output_name: str = "",
        example_weighted: bool = False,
        **options: Any,
    ) -> metric_types.MetricComputations:
        key = metric_types.MetricKey(
            name=name, model_name=model_name, output_name=output_name, example_weighted=example_weighted
        )
        return [metric_types.MetricComputation(keys=[key], preprocessors=None, combiner=combiner(key, eval_config, **options))]

    return computations
