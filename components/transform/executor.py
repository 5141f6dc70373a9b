"""The executor of Transform: transformation in large batches where that applies."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from absl import logging
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components.transform import executor as stock
from tfx.components.transform import executor_utils, labels
from tfx.components.util import udf_utils
from tfx.dsl.io import fileio
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils

from components.shared.examples.splits import split_files, split_parts
from components.shared.fast_executor import Artifacts, FastExecutor
from components.transform.analysis import analyze
from components.transform.materialization import Materializer
from pipeline.contracts.schema import Schema
from pipeline.util.progress import say

_FUNCTION_KEYS = (
    standard_component_specs.PREPROCESSING_FN_KEY,
    standard_component_specs.MODULE_FILE_KEY,
    standard_component_specs.MODULE_PATH_KEY,
    standard_component_specs.CUSTOM_CONFIG_KEY,
)
LISTS_KEY = "lists"
"""In the `custom_config`: the columns with several values in a row, with their number, None where rows differ. TFX does not
tell the function what the schema says, and the tensors of a list and of a value that may be missing are of the same type."""

_WORKERS = 2
_TEMPORARY = ".temp_path"


class Executor(FastExecutor):
    """Transforms in large batches in this process where function and data allow it."""

    NODE = "Transform"
    STOCK = stock.Executor

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        """Executes the node: `FastExecutor.Do`, with the schema's lists in the `custom_config`."""
        key = standard_component_specs.CUSTOM_CONFIG_KEY
        if exec_properties.get(key) and (lists := Schema.of(_read_schema(input_dict)).lists):
            config = {**json.loads(exec_properties[key]), LISTS_KEY: lists}
            exec_properties = {**exec_properties, key: json.dumps(config)}
        super().Do(input_dict, output_dict, exec_properties)

    def run_fast(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        """Writes the transform graph and the transformed examples.

        Args:
          input_dict: examples, and schema.
          output_dict: transform_graph, and transformed_examples unless they are not to be materialised.
          exec_properties: as in TFX's executor.

        Raises:
          UnsupportedError: the function, the schema or the examples need TFX's own executor.
        """
        examples = input_dict[standard_component_specs.EXAMPLES_KEY]
        executor_utils.MatchNumberOfTransformedExamplesArtifacts(input_dict, output_dict)
        splits = executor_utils.ResolveSplitsConfig(exec_properties.get(standard_component_specs.SPLITS_CONFIG_KEY), examples)
        schema = _read_schema(input_dict)
        transform_graph = artifact_utils.get_single_uri(output_dict[standard_component_specs.TRANSFORM_GRAPH_KEY])
        temporary = os.path.join(transform_graph, _TEMPORARY)
        parts = [part for split in splits.analyze for artifact in examples for part in split_parts(artifact, split)]

        say("analysing")
        settings = repr([exec_properties.get(name) for name in _FUNCTION_KEYS])
        columns = analyze(_preprocessing_fn(exec_properties), settings, schema, parts, transform_graph, temporary)
        fileio.rmtree(temporary)

        transformed = output_dict.get(standard_component_specs.TRANSFORMED_EXAMPLES_KEY)
        if not transformed:
            return
        # TFX iterates over a set; in the order of the input, two runs write the same artifact.
        names = [name for name in artifact_utils.decode_split_names(examples[0].split_names) if name in splits.transform]
        executor_utils.SetSplitNames(names, transformed)
        materializer = Materializer(transform_graph, columns)
        with ThreadPoolExecutor(_WORKERS) as pool:
            for split in names:
                say(f"transforming {split}")
                for source, target in zip(examples, transformed, strict=True):
                    rows = materializer.write(split_files(source, split), artifact_utils.get_split_uri([target], split), pool)
                    logging.info("Split %s: %d rows.", split, rows)


def _read_schema(input_dict: Artifacts) -> schema_pb2.Schema:
    folder = artifact_utils.get_single_uri(input_dict[standard_component_specs.SCHEMA_KEY])
    return io_utils.SchemaReader().read(io_utils.get_only_uri_in_dir(folder))


def _preprocessing_fn(exec_properties: dict[str, Any]) -> Any:
    function = udf_utils.get_fn(exec_properties, standard_component_specs.PREPROCESSING_FN_KEY)
    config = {labels.CUSTOM_CONFIG: exec_properties.get(standard_component_specs.CUSTOM_CONFIG_KEY)}
    return executor_utils.MaybeBindCustomConfig(config, function)
