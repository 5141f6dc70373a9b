"""Runs the fast transformation, or TFX's own where that does not apply."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from absl import logging
from tfx.components.transform import executor as tfx_executor
from tfx.components.transform import executor_utils, labels
from tfx.components.util import examples_utils, udf_utils
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import Artifact, artifact_utils, standard_component_specs
from tfx.utils import io_utils

from components.example_gen.ingested import SplitPart, parts_of_split
from components.shared.beam_runner import distributed_runner
from components.transform.analysis import analyze
from components.transform.materialization import Materializer
from components.transform.unsupported import UnsupportedError
from pipeline.errors import NodeError
from pipeline.util.progress import say

FORCE_KEY = "force"

_FUNCTION_KEYS = (
    standard_component_specs.PREPROCESSING_FN_KEY,
    standard_component_specs.MODULE_FILE_KEY,
    standard_component_specs.MODULE_PATH_KEY,
    standard_component_specs.CUSTOM_CONFIG_KEY,
)
_WORKERS = 2
_TEMPORARY = ".temp_path"

Artifacts = dict[str, list[Artifact]]


class Executor(base_executor.BaseExecutor):
    """Transforms in large batches in this process where function and data allow it, and as TFX's executor elsewhere.

    TFX's executor is made only when it is needed, since a Beam executor packages the sources of TFX when it is made: seconds.
    """

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        """Writes the transform graph and the transformed examples.

        Args:
          input_dict: examples, and schema.
          output_dict: transform_graph, and transformed_examples unless they are not to be materialised.
          exec_properties: those of TFX's executor, and `force`: "fast", "stock", or "auto" for the one that applies.

        Raises:
          NodeError: `force` is "fast", and the fast transformation does not apply.
        """
        force = exec_properties[FORCE_KEY]
        if force == "stock":
            tfx_executor.Executor(self._context).Do(input_dict, output_dict, exec_properties)
            return
        try:
            self._transform(input_dict, output_dict, exec_properties)
        except UnsupportedError as reason:
            if force == "fast":
                raise NodeError(
                    "The fast transformation does not apply.",
                    where="Transform",
                    seen=str(reason),
                    fix="set force to 'auto' or 'stock' to use TFX's own",
                ) from reason
            logging.warning("TFX's own Transform is used, which is slower: %s.", reason)
            tfx_executor.Executor(self._context).Do(input_dict, output_dict, exec_properties)

    def _transform(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        if runner := distributed_runner(getattr(self._context, "beam_pipeline_args", None)):
            raise UnsupportedError(f"Beam runs on {runner}")
        examples = input_dict[standard_component_specs.EXAMPLES_KEY]
        executor_utils.MatchNumberOfTransformedExamplesArtifacts(input_dict, output_dict)
        splits = executor_utils.ResolveSplitsConfig(exec_properties.get(standard_component_specs.SPLITS_CONFIG_KEY), examples)
        schema = io_utils.SchemaReader().read(
            io_utils.get_only_uri_in_dir(artifact_utils.get_single_uri(input_dict[standard_component_specs.SCHEMA_KEY]))
        )
        transform_graph = artifact_utils.get_single_uri(output_dict[standard_component_specs.TRANSFORM_GRAPH_KEY])
        temporary = os.path.join(transform_graph, _TEMPORARY)
        parts = [part for split in splits.analyze for artifact in examples for part in _parts(artifact, split)]

        say("analysing")
        settings = repr([exec_properties.get(name) for name in _FUNCTION_KEYS])
        columns = analyze(_preprocessing_fn(exec_properties), settings, schema, parts, transform_graph, temporary)
        fileio.rmtree(temporary)

        transformed = output_dict.get(standard_component_specs.TRANSFORMED_EXAMPLES_KEY)
        if not transformed:
            return
        # TFX goes through a set; in the order of the input two runs write the same artifact.
        names = [name for name in artifact_utils.decode_split_names(examples[0].split_names) if name in splits.transform]
        executor_utils.SetSplitNames(names, transformed)
        materializer = Materializer(transform_graph, columns)
        with ThreadPoolExecutor(_WORKERS) as pool:
            for split in names:
                say(f"transforming {split}")
                for source, target in zip(examples, transformed, strict=True):
                    rows = materializer.write(_files(source, split), artifact_utils.get_split_uri([target], split), pool)
                    logging.info("Split %s: %d rows.", split, rows)


def _preprocessing_fn(exec_properties: dict[str, Any]) -> Any:
    function = udf_utils.get_fn(exec_properties, standard_component_specs.PREPROCESSING_FN_KEY)
    config = {labels.CUSTOM_CONFIG: exec_properties.get(standard_component_specs.CUSTOM_CONFIG_KEY)}
    return executor_utils.MaybeBindCustomConfig(config, function)


def _parts(examples: Artifact, split: str) -> list[SplitPart]:
    _check_format(examples)
    return parts_of_split(examples.uri, split)


def _files(examples: Artifact, split: str) -> list[str]:
    _check_format(examples)
    uri = artifact_utils.get_split_uri([examples], split)
    return sorted(os.path.join(uri, name) for name in fileio.listdir(uri))


def _check_format(examples: Artifact) -> None:
    if examples_utils.get_payload_format(examples) != example_gen_pb2.FORMAT_TF_EXAMPLE:
        raise UnsupportedError("the examples are not TFRecords of tf.Examples")
