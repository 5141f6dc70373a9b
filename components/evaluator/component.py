"""TFX's Evaluator with predictions and metrics in bulk."""

from __future__ import annotations

from typing import Literal

from tensorflow_model_analysis.proto import config_pb2
from tfx.components.evaluator.component import Evaluator
from tfx.dsl.components.base import executor_spec
from tfx.types import BaseChannel

from components.evaluator.executor import GATE_KEY, Executor
from components.evaluator.gate import Gate
from components.shared.fast_executor import FORCE_KEY


class FastEvaluator(Evaluator):
    """Evaluates a candidate model, against a baseline where there is one, and blesses it or not.

    Specification, outputs and results are those of TFX's Evaluator; numbers are equal to 1e-6. Where a model, a metric or the
    data need TFMA's row-by-row evaluation, that is used, and the log says why.

    Args:
      examples: an `Examples` artifact.
      model: the candidate, a `Model`.
      baseline_model: the `Model` to compare it with.
      fairness_indicator_thresholds: as in TFX's Evaluator.
      example_splits: the splits to evaluate on; `eval` when not given.
      eval_config: the metrics, slices and thresholds.
      schema: a `Schema`, used by TFX's own evaluation.
      module_file: a Python file with functions for TFX's own evaluation.
      module_path: the same as an importable module.
      gate: what the candidate has to show besides the thresholds in `eval_config`, whose thresholds of change for all rows then
        tolerate what may be chance. TFX's own evaluation knows no chance, and keeps to the thresholds.
      force: `fast` fails where the evaluation in bulk does not apply; `stock` always uses TFX's own.
    """

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        examples: BaseChannel,
        model: BaseChannel | None = None,
        baseline_model: BaseChannel | None = None,
        fairness_indicator_thresholds: list[float] | None = None,
        example_splits: list[str] | None = None,
        eval_config: config_pb2.EvalConfig | None = None,
        schema: BaseChannel | None = None,
        module_file: str | None = None,
        module_path: str | None = None,
        gate: Gate | None = None,
        force: Literal["auto", "fast", "stock"] = "auto",
    ) -> None:
        super().__init__(
            examples=examples,
            model=model,
            baseline_model=baseline_model,
            fairness_indicator_thresholds=fairness_indicator_thresholds,
            example_splits=example_splits,
            eval_config=eval_config,
            schema=schema,
            module_file=module_file,
            module_path=module_path,
        )
        # TFX's constructor makes its own specification, so what is new is added to that.
        self.spec.exec_properties[FORCE_KEY] = force
        self.spec.exec_properties[GATE_KEY] = gate.to_json() if gate else ""
