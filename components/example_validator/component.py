"""TFX's ExampleValidator, whose anomalies stop the run."""

from __future__ import annotations

from typing import ClassVar, Literal

from tfx.components.example_validator.component import ExampleValidator
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import BaseChannel, Channel, standard_artifacts, standard_component_specs
from tfx.types.component_spec import ExecutionParameter

from components.example_validator.executor import Executor


class SchemaValidatorSpec(standard_component_specs.ExampleValidatorSpec):
    """Inputs and output are those of TFX's ExampleValidator."""

    PARAMETERS: ClassVar = {
        **standard_component_specs.ExampleValidatorSpec.PARAMETERS,
        "label": ExecutionParameter(type=str),
        "on_anomaly": ExecutionParameter(type=str),
    }


class SchemaValidator(ExampleValidator):
    """Compares the statistics of every split with the schema, and checks the label.

    Unlike TFX's own, which publishes anomalies and leaves it to others to look at them, it fails on anomalies, so that the
    nodes after it do not run. It also checks, whatever the schema says, that no split is empty and that the label is in
    every row and has more than one value to learn from. Where the schema has drift comparators, the other splits are
    compared with the training split.
    """

    SPEC_CLASS = SchemaValidatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self, statistics: BaseChannel, schema: BaseChannel, label: str, on_anomaly: Literal["stop", "warn"] = "stop"
    ) -> None:
        """Makes the node.

        Args:
          statistics: `ExampleStatistics` with a split `train`.
          schema: a `Schema`.
          label: the column that the model learns to predict.
          on_anomaly: `stop`: fail on anomalies. `warn`: log and publish them, as TFX's own does. Problems of the label
            and empty splits fail either way: there is nothing to train on.
        """
        # TFX's own constructor makes a specification without these properties.
        base_component.BaseComponent.__init__(
            self,
            SchemaValidatorSpec(
                statistics=statistics,
                schema=schema,
                label=label,
                on_anomaly=on_anomaly,
                anomalies=Channel(standard_artifacts.ExampleAnomalies),
            ),
        )
