"""TFX's Transform with analysis and materialisation in large batches."""

from __future__ import annotations

from typing import Any, Literal

from tfx.components.transform.component import Transform
from tfx.dsl.components.base import executor_spec
from tfx.proto import transform_pb2
from tfx.types import BaseChannel

from components.shared.fast_executor import FORCE_KEY
from components.transform.executor import Executor


class FastTransform(Transform):
    """Analyses the training split, writes the transform graph and the transformed splits.

    Transform graph and transformed examples are those of TFX's Transform, with the same values, but for the rounding of sums in
    analyzers and the error of the sketches of quantiles. Statistics and an analyzer cache are not written. Where the
    preprocessing function or the data need TFX's own executor, that is used, and the log says why.

    Args:
      examples: an `Examples` artifact.
      schema: a `Schema`.
      preprocessing_fn: the import path of the function.
      splits_config: the splits to analyse and to transform; `train`, and all of them, when not given.
      materialize: write `transformed_examples`.
      custom_config: what JSON can represent, passed to the function if it has an argument of this name. The executor adds
        `lists`, where the schema has any: the columns with several values in a row, with their number, None where rows differ.
      force: `fast` fails where the fast implementation does not apply; `stock` always uses TFX's own.
    """

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        examples: BaseChannel,
        schema: BaseChannel,
        preprocessing_fn: str,
        splits_config: transform_pb2.SplitsConfig | None = None,
        materialize: bool = True,
        custom_config: dict[str, Any] | None = None,
        force: Literal["auto", "fast", "stock"] = "auto",
    ) -> None:
        super().__init__(
            examples=examples,
            schema=schema,
            preprocessing_fn=preprocessing_fn,
            splits_config=splits_config,
            materialize=materialize,
            custom_config=custom_config,
            disable_statistics=True,
            disable_analyzer_cache=True,
        )
        # TFX's constructor makes its own specification, so what is new is added to that.
        self.spec.exec_properties[FORCE_KEY] = force
