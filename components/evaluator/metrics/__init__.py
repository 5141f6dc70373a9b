"""Metrics that TFMA lacks, as metrics of TFMA.

An EvalConfig names them by this package, so TFX's own Evaluator computes them as well, row by row. The evaluation in bulk fills
their accumulators with whole batches.
"""

from components.evaluator.accumulator import Accumulator
from components.evaluator.metrics import multiclass, regression
from components.evaluator.metrics.multiclass import MacroF1, OneVersusRestAuc
from components.evaluator.metrics.regression import AbsoluteErrorQuantile, CoefficientOfDetermination

__all__ = ["ACCUMULATORS", "AbsoluteErrorQuantile", "CoefficientOfDetermination", "MacroF1", "OneVersusRestAuc"]

ACCUMULATORS: dict[type, type[Accumulator]] = {**regression.ACCUMULATORS, **multiclass.ACCUMULATORS}
"""By combiner, what fills its accumulators in bulk."""
