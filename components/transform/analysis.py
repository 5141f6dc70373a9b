"""From a preprocessing function and data to a transform graph, without Beam.

The functions of TFT that Beam's version of the analysis calls are called here, in the same order: trace, build the graph of
operations, apply the function of each phase, write the SavedModel with the results in it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform import annotators, graph_context, graph_tools, impl_helper, nodes, tf2_utils
from tensorflow_transform.beam import analysis_graph_builder
from tensorflow_transform.saved import saved_transform_io_v2
from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io

from components.transform.operations import Interpreter, Signature
from components.transform.reader import Reader
from components.transform.unsupported import UnsupportedError

PreprocessingFn = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def analyze(
    preprocessing_fn: PreprocessingFn, schema: schema_pb2.Schema, files: Sequence[str], output: str, temporary: str
) -> list[str]:
    """Writes the transform graph as TFX's Transform does: `transform_fn`, `transformed_metadata` and `metadata`.

    Args:
      preprocessing_fn: from raw tensors to transformed ones, by name.
      schema: of the raw data.
      files: TFRecord files of the rows to analyse.
      output: the folder of the `TransformGraph` artifact.
      temporary: a folder for intermediate files.

    Returns:
      The raw columns that the transform graph depends on.

    Raises:
      UnsupportedError: the function or the schema has something that only TFX's own executor deals with.
    """
    reader = Reader(schema)
    tf.io.gfile.makedirs(temporary)
    graph, inputs, outputs = impl_helper.trace_preprocessing_function(
        preprocessing_fn, reader.type_specs, use_tf_compat_v1=False, base_temp_dir=temporary
    )
    if not isinstance(outputs, dict) or not outputs or graph.get_collection(tf.compat.v1.GraphKeys.TRAINABLE_VARIABLES):
        raise UnsupportedError("the preprocessing function returns no tensors by name, or has variables")
    asset_map = annotators.get_asset_annotations(graph)
    annotators.clear_asset_annotations(graph)
    fingerprint = graph_tools.get_analyzers_fingerprint(graph, inputs)
    saved_model, _, _ = analysis_graph_builder.build(graph, inputs, outputs)
    columns = list(graph_tools.get_dependent_inputs(graph, inputs, outputs))

    phases = _Phases(preprocessing_fn, reader, files, inputs, temporary)
    traverser = nodes.Traverser(Interpreter(phases.batches, temporary))
    bindings = [traverser.visit_value_node(binding) for binding in saved_model.parent_operation.inputs]
    replacements = dict(binding.get() for binding in bindings)

    folder = os.path.join(output, tft.TFTransformOutput.TRANSFORM_FN_DIR)
    impl_helper.trace_and_write_v2_saved_model(
        folder, preprocessing_fn, reader.type_specs, temporary, fingerprint, replacements, {}, None
    )
    _write_metadata(output, folder, schema, asset_map)
    return columns


class _Phases:
    """The preprocessing function up to the analyzers that each phase computes."""

    def __init__(
        self,
        preprocessing_fn: PreprocessingFn,
        reader: Reader,
        files: Sequence[str],
        inputs: Mapping[str, Any],
        temporary: str,
    ) -> None:
        self._preprocessing_fn = preprocessing_fn
        self._reader = reader
        self._files = files
        self._inputs = inputs
        self._temporary = temporary

    def batches(self, signature: Signature) -> Iterable[Mapping[str, Any]]:
        """The tensors of a phase, batch by batch, as numpy arrays."""
        module = tf.Module()
        context = graph_context.TFGraphContext(module, self._temporary, signature.replacements)
        function = impl_helper.get_traced_transform_fn(
            self._preprocessing_fn,
            self._reader.type_specs,
            context,
            output_keys_to_name_map={name: tensor.name for name, tensor in signature.tensors.items()},
        )
        # The module holds what the function needs to stay alive: its lookup tables.
        concrete = saved_transform_io_v2.trace_and_update_module(
            module, function, "transform_fn", strip_control_dependencies=False
        )
        inputs = tf2_utils.get_structured_inputs_from_func_graph(concrete.graph)
        outputs = {name: concrete.graph.get_tensor_by_name(tensor.name) for name, tensor in signature.tensors.items()}
        columns = graph_tools.get_dependent_inputs(concrete.graph, inputs, outputs)
        unused = tf2_utils.supply_missing_inputs(self._inputs, 1, set(inputs) - set(columns))
        for batch in self._reader.batches(self._files, columns):
            yield {name: tensor.numpy() for name, tensor in concrete({**batch, **unused}).items()}


def _write_metadata(output: str, folder: str, schema: schema_pb2.Schema, asset_map: Mapping[str, str]) -> None:
    inferred = os.path.join(folder, impl_helper.METADATA_DIR_NAME)
    transformed = os.path.join(output, tft.TFTransformOutput.TRANSFORMED_METADATA_DIR)
    metadata_io.write_metadata(metadata_io.read_metadata(inferred), transformed)
    shutil.rmtree(inferred)
    if asset_map:
        with open(os.path.join(transformed, tft.TFTransformOutput.ASSET_MAP), "w") as file:
            file.write(json.dumps(asset_map))
    metadata_io.write_metadata(
        dataset_metadata.DatasetMetadata(schema), os.path.join(output, tft.TFTransformOutput.RAW_METADATA_DIR)
    )
