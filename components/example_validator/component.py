"""TFX's ExampleValidator, whose anomalies stop the run."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import tensorflow_data_validation as tfdv
from absl import logging
from tensorflow_metadata.proto.v0.anomalies_pb2 import Anomalies
from tfx import types
from tfx.components.example_validator import executor as stock
from tfx.components.example_validator import labels
from tfx.components.example_validator.component import ExampleValidator
from tfx.components.statistics_gen import stats_artifact_utils
from tfx.dsl.components.base import base_component, executor_spec
from tfx.proto.orchestration.execution_result_pb2 import ExecutorOutput
from tfx.types import BaseChannel, Channel, artifact_utils, standard_artifacts, standard_component_specs
from tfx.types.component_spec import ExecutionParameter
from tfx.utils import io_utils, writer_utils

from components.example_validator.anomalies import anomaly_error, anomaly_notes
from components.example_validator.label import check_classes, check_label, check_not_empty
from components.example_validator.unworkable import unworkable
from pipeline.util.notes import note

TRAIN = "train"

OnAnomaly = Literal["stop", "stop_if_unworkable", "warn"]
STOP: OnAnomaly = "stop"
"""Any anomaly stops the run."""
STOP_IF_UNWORKABLE: OnAnomaly = "stop_if_unworkable"
"""Only anomalies with which the run could not work stop it; the others become notes."""
WARN: OnAnomaly = "warn"
"""Anomalies become notes."""


class Executor(stock.Executor):
    """TFX's ExampleValidator, with a check of the label, drift between splits, and an error that says what to correct."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> ExecutorOutput:
        """Validates every split.

        Args:
          input_dict: `statistics` and `schema`.
          output_dict: `anomalies`: SchemaDiff.pb for each split.
          exec_properties: `label`, the name of a column; `on_anomaly`, one of `STOP`, `STOP_IF_UNWORKABLE` and `WARN`.

        Returns:
          The anomalies artifact with its property `blessed`, as TFX's own does.

        Raises:
          DataError: a split is empty, the label cannot be learnt, or there are anomalies for which `on_anomaly` stops the run.
        """
        artifact = artifact_utils.get_single_instance(input_dict[standard_component_specs.STATISTICS_KEY])
        splits = artifact_utils.decode_split_names(artifact.split_names)
        statistics = {split: stats_artifact_utils.load_statistics(artifact, split).proto() for split in splits}
        for split in splits:
            check_not_empty(statistics[split], split)
            check_label(statistics[split], split, exec_properties["label"], must_vary=split == TRAIN)
        if TRAIN in splits:
            check_classes(statistics, TRAIN, exec_properties["label"])

        self._reference = statistics.get(TRAIN)
        output = super().Do(input_dict, output_dict, exec_properties)

        (anomalies_artifact,) = output_dict[standard_component_specs.ANOMALIES_KEY]
        found = {split: _read_anomalies(anomalies_artifact, split) for split in splits}
        schema_uri = artifact_utils.get_single_uri(input_dict[standard_component_specs.SCHEMA_KEY])
        schema = io_utils.SchemaReader().read(io_utils.get_only_uri_in_dir(schema_uri))
        complete = anomaly_error(schema, statistics, found, TRAIN, complete=True)
        if complete is None:
            return output
        on_anomaly = exec_properties["on_anomaly"]
        inferred = on_anomaly == STOP_IF_UNWORKABLE
        stopping = unworkable(found, statistics, TRAIN) if inferred else found
        error = None if on_anomaly == WARN else anomaly_error(schema, statistics, stopping, TRAIN, inferred=inferred)
        # TFX removes the artifact of a node that fails, so only the log then has all anomalies.
        logging.log(logging.ERROR if error else logging.WARNING, "%s", complete)
        if error:
            raise error
        for each in anomaly_notes(found, TRAIN if inferred else ""):
            note(each)
        return output

    def _Validate(self, inputs: dict[str, Any], outputs: dict[str, Any]) -> Anomalies:
        """Validates one split. The training split, compared with itself, never drifts."""
        anomalies = tfdv.validate_statistics(
            statistics=inputs[standard_component_specs.STATISTICS_KEY],
            schema=inputs[standard_component_specs.SCHEMA_KEY],
            previous_statistics=self._reference,
        )
        writer_utils.write_anomalies(f"{outputs[labels.SCHEMA_DIFF_PATH]}/{stock.DEFAULT_FILE_NAME}", anomalies)
        return anomalies


class SchemaValidatorSpec(standard_component_specs.ExampleValidatorSpec):
    """Inputs and output are those of TFX's ExampleValidator."""

    PARAMETERS: ClassVar = {
        **standard_component_specs.ExampleValidatorSpec.PARAMETERS,
        "label": ExecutionParameter(type=str),
        "on_anomaly": ExecutionParameter(type=str),
    }


class SchemaValidator(ExampleValidator):
    """Compares the statistics of every split with the schema, and checks the label.

    Unlike TFX's own, which publishes anomalies and goes on, it can fail on anomalies, so that the nodes after it do not run. It
    also checks, whatever the schema says, that no split is empty, and that the label is in every row, is text or numbers, has
    more than one value to learn from, and none that only other splits have. Where the schema has drift comparators, the other
    splits are compared with the training split.

    Args:
      statistics: `ExampleStatistics` with a split `train`.
      schema: a `Schema`.
      label: the column that the model learns to predict.
      on_anomaly: `STOP` to fail on anomalies; `STOP_IF_UNWORKABLE`, for a schema that was inferred from the split `train`, to
        fail where a type has changed or a column is gone; `WARN` to log, note and publish them, as TFX's own does. Empty
        splits and labels that cannot be learnt are errors in any case.
    """

    SPEC_CLASS = SchemaValidatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, statistics: BaseChannel, schema: BaseChannel, label: str, on_anomaly: OnAnomaly = STOP) -> None:
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


def _read_anomalies(artifact: types.Artifact, split: str) -> Anomalies:
    path = f"{artifact_utils.get_split_uri([artifact], split)}/{stock.DEFAULT_FILE_NAME}"
    return Anomalies.FromString(io_utils.read_bytes_file(path))
