"""TFX's StatisticsGen, computed on Arrow batches where that applies."""

from __future__ import annotations

from typing import Any

import tensorflow_data_validation as tfdv
from tfx import types
from tfx.components.statistics_gen import executor as stock
from tfx.components.statistics_gen.component import StatisticsGen
from tfx.dsl.components.base import executor_spec
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils, json_utils, stats_utils

from components.shared.examples.splits import SplitPart, split_parts
from components.shared.fast_executor import Artifacts, FastExecutor, UnsupportedError
from components.shared.span_results import SpanResults
from components.statistics_gen.batches import read_batches
from components.statistics_gen.statistics import STATES, Accumulators, accumulate, merge
from pipeline.util import code
from pipeline.util.progress import RowProgress


class Executor(FastExecutor):
    """Computes statistics on Arrow batches in this process, where nothing needs Beam.

    Spans that an earlier run has counted are not read again.
    """

    NODE = "StatisticsGen"
    STOCK = stock.Executor

    def run_fast(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        """Writes FeatureStats.pb for each split.

        Args:
          input_dict: `examples`, and optionally `schema`.
          output_dict: `statistics`.
          exec_properties: as in TFX's executor.

        Raises:
          UnsupportedError: there is a schema or are options for TFDV, or the examples are not tf.Examples.
        """
        _check_supported(input_dict, exec_properties)
        self._log_startup(input_dict, output_dict, exec_properties)
        examples = artifact_utils.get_single_instance(input_dict[standard_component_specs.EXAMPLES_KEY])
        excluded = json_utils.loads(exec_properties.get(standard_component_specs.EXCLUDE_SPLITS_KEY) or "null") or []
        splits = [split for split in artifact_utils.decode_split_names(examples.split_names) if split not in excluded]
        parts = {split: split_parts(examples, split) for split in splits}
        statistics = artifact_utils.get_single_instance(output_dict[standard_component_specs.STATISTICS_KEY])
        _describe(statistics, examples, splits)
        counted = SpanResults(statistics.uri, f"{tfdv.__version__} {code.digest(__name__)}", STATES)
        for split in splits:
            accumulators = [_accumulators(part, counted, f"counting {split}") for part in parts[split]]
            path = f"{artifact_utils.get_split_uri([statistics], split)}/{stock.DEFAULT_FILE_NAME}"
            io_utils.write_bytes_file(path, merge(accumulators).SerializeToString(deterministic=True))


class ArrowStatisticsGen(StatisticsGen):
    """Computes statistics of every split with TFDV's generators, fed large Arrow batches instead of Beam bundles.

    Arguments, specification and output are TFX's, and so are the statistics; only where a split has several files may
    medians and histograms differ, by the error of TFDV's quantile sketch (1 %), since TFX merges a sketch a file. TFX's
    executor is used, and the log says why, where there are options for TFDV or a schema, where payloads are not tf.Examples,
    and where Beam is distributed.
    """

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)


def _check_supported(input_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
    if input_dict.get(standard_component_specs.SCHEMA_KEY):
        raise UnsupportedError("the statistics depend on a schema")
    for key in (
        standard_component_specs.STATS_OPTIONS_JSON_KEY,
        standard_component_specs.SAMPLE_RATE_BY_SPLIT_KEY,
        standard_component_specs.SHARDED_STATS_OUTPUT_KEY,
    ):
        if exec_properties.get(key) not in (None, False, "", "null"):
            raise UnsupportedError(f"{key} is set")


def _accumulators(part: SplitPart, counted: SpanResults, doing: str) -> Accumulators:
    def count() -> Accumulators:
        progress = RowProgress(doing, part.rows)
        return accumulate(progress.through(read_batches(part.files, part.kinds), lambda batch: batch.num_rows))

    return counted.get(part.digest, count) if part.digest else count()


def _describe(statistics: types.Artifact, examples: types.Artifact, splits: list[str]) -> None:
    """Sets the properties that TFX sets."""
    statistics.split_names = artifact_utils.encode_split_names(splits)
    statistics.span = examples.span
    statistics.set_string_custom_property(stock.STATS_DASHBOARD_LINK, stats_utils.generate_stats_dashboard_link(statistics))
    statistics.set_json_value_custom_property(
        stock.SAMPLE_RATE_BY_SPLIT_PROPERTY_NAME, json_utils.dumps(dict.fromkeys(splits, 1.0))
    )
