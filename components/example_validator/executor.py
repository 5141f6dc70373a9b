"""Validates statistics against the schema, and fails on what it finds."""

from __future__ import annotations

from typing import Any

import tensorflow_data_validation as tfdv
from absl import logging
from tensorflow_metadata.proto.v0.anomalies_pb2 import Anomalies
from tfx import types
from tfx.components.example_validator import executor as stock
from tfx.components.example_validator import labels
from tfx.components.statistics_gen import stats_artifact_utils
from tfx.proto.orchestration.execution_result_pb2 import ExecutorOutput
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils, writer_utils

from components.example_validator.anomalies import anomaly_error
from components.example_validator.label import check_label, check_not_empty

TRAIN = "train"


class Executor(stock.Executor):
    """TFX's ExampleValidator, with a check of the label, drift between splits, and an error that says how to mend the data."""

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
          exec_properties: `label`, the name of a column; `on_anomaly`, "stop" or "warn".

        Returns:
          The anomalies artifact with its property `blessed`, as TFX's own does.

        Raises:
          DataError: a split is empty, the label is of no use, or `on_anomaly` is "stop" and there are anomalies.
        """
        artifact = artifact_utils.get_single_instance(input_dict[standard_component_specs.STATISTICS_KEY])
        splits = artifact_utils.decode_split_names(artifact.split_names)
        statistics = {split: stats_artifact_utils.load_statistics(artifact, split).proto() for split in splits}
        for split in splits:
            check_not_empty(statistics[split], split)
            check_label(statistics[split], split, exec_properties["label"], must_vary=split == TRAIN)

        self._reference = statistics.get(TRAIN)
        output = super().Do(input_dict, output_dict, exec_properties)

        (anomalies_artifact,) = output_dict[standard_component_specs.ANOMALIES_KEY]
        found = {split: _read_anomalies(anomalies_artifact, split) for split in splits}
        schema_uri = artifact_utils.get_single_uri(input_dict[standard_component_specs.SCHEMA_KEY])
        schema = io_utils.SchemaReader().read(io_utils.get_only_uri_in_dir(schema_uri))
        error = anomaly_error(schema, statistics, found)
        if error is None:
            return output
        stop = exec_properties["on_anomaly"] == "stop"
        # The artifact of a node that fails is removed: then the log alone has all of it.
        logging.log(logging.ERROR if stop else logging.WARNING, "%s", anomaly_error(schema, statistics, found, complete=True))
        if stop:
            raise error
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


def _read_anomalies(artifact: types.Artifact, split: str) -> Anomalies:
    path = f"{artifact_utils.get_split_uri([artifact], split)}/{stock.DEFAULT_FILE_NAME}"
    return Anomalies.FromString(io_utils.read_bytes_file(path))
