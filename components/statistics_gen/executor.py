"""Computes the statistics of every split, on Arrow batches where that applies and as TFX does where not."""

from __future__ import annotations

from typing import Any

import tensorflow_data_validation as tfdv
from absl import logging
from tfx import types
from tfx.components.statistics_gen import executor as stock
from tfx.components.util import examples_utils
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils, json_utils, stats_utils

from components.example_gen.ingested import SplitPart, parts_of_split
from components.shared.beam_runner import distributed_runner
from components.shared.partial import PartialResults, digest_of_code
from components.statistics_gen.batches import read_batches
from components.statistics_gen.statistics import Accumulators, accumulate, merge
from pipeline.util.progress import RowProgress


class Executor(stock.Executor):
    """TFX's StatisticsGen without Beam, where nothing asks for Beam.

    Spans that an earlier run has counted are not read again.
    """

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes FeatureStats.pb for each split.

        Args:
          input_dict: `examples`, and optionally `schema`.
          output_dict: `statistics`.
          exec_properties: those of TFX's executor.
        """
        examples = artifact_utils.get_single_instance(input_dict[standard_component_specs.EXAMPLES_KEY])
        reason = self._reason_for_beam(examples, input_dict, exec_properties)
        if reason:
            logging.warning("TFX's own StatisticsGen is used: %s.", reason)
            super().Do(input_dict, output_dict, exec_properties)
            return
        self._log_startup(input_dict, output_dict, exec_properties)
        excluded = json_utils.loads(exec_properties.get(standard_component_specs.EXCLUDE_SPLITS_KEY) or "null") or []
        splits = [split for split in artifact_utils.decode_split_names(examples.split_names) if split not in excluded]
        statistics = artifact_utils.get_single_instance(output_dict[standard_component_specs.STATISTICS_KEY])
        _describe(statistics, examples, splits)
        counted = PartialResults(statistics.uri, f"{tfdv.__version__} {digest_of_code(__file__)}")
        for split in splits:
            parts = [_accumulators(part, counted, f"counting {split}") for part in parts_of_split(examples.uri, split)]
            path = f"{artifact_utils.get_split_uri([statistics], split)}/{stock.DEFAULT_FILE_NAME}"
            io_utils.write_bytes_file(path, merge(parts).SerializeToString(deterministic=True))

    def _reason_for_beam(
        self, examples: types.Artifact, input_dict: dict[str, list[types.Artifact]], exec_properties: dict[str, Any]
    ) -> str | None:
        if runner := distributed_runner(self._beam_pipeline_args):
            return f"Beam runs on {runner}"
        if examples_utils.get_payload_format(examples) != example_gen_pb2.PayloadFormat.FORMAT_TF_EXAMPLE:
            return f"the examples are {examples_utils.get_payload_format_string(examples)}"
        if input_dict.get(standard_component_specs.SCHEMA_KEY):
            return "statistics are wanted as a schema says"
        for key in (
            standard_component_specs.STATS_OPTIONS_JSON_KEY,
            standard_component_specs.SAMPLE_RATE_BY_SPLIT_KEY,
            standard_component_specs.SHARDED_STATS_OUTPUT_KEY,
        ):
            if exec_properties.get(key) not in (None, False, "", "null"):
                return f"{key} is set"
        return None


def _accumulators(part: SplitPart, counted: PartialResults, doing: str) -> Accumulators:
    def count() -> Accumulators:
        progress = RowProgress(doing, part.rows)
        return accumulate(progress.through(read_batches(part.files, part.kinds), lambda batch: batch.num_rows))

    return counted.of(part.digest, count) if part.digest else count()


def _describe(statistics: types.Artifact, examples: types.Artifact, splits: list[str]) -> None:
    """Sets the properties that TFX sets."""
    statistics.split_names = artifact_utils.encode_split_names(splits)
    statistics.span = examples.span
    statistics.set_string_custom_property(stock.STATS_DASHBOARD_LINK, stats_utils.generate_stats_dashboard_link(statistics))
    statistics.set_json_value_custom_property(
        stock.SAMPLE_RATE_BY_SPLIT_PROPERTY_NAME, json_utils.dumps(dict.fromkeys(splits, 1.0))
    )
