"""The analysis: from a preprocessing function and data to a transform graph, without Beam.

The functions of TFT that Beam's version of the analysis calls are called here, in the same order: trace, build the graph of
operations, apply the function of each phase, write the SavedModel with the results in it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform import annotators, graph_context, graph_tools, impl_helper, nodes, tf2_utils
from tensorflow_transform.beam import analysis_graph_builder
from tensorflow_transform.saved import saved_transform_io_v2
from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io

from components.shared.examples.splits import SplitPart
from components.shared.fast_executor import UnsupportedError
from components.shared.span_results import SpanResults
from components.transform.fingerprints import analyzers_fingerprint, quick_fingerprints
from components.transform.operations import STATES, Interpreter, Signature
from components.transform.passes import Batch
from components.transform.reader import Reader
from pipeline.util import code
from pipeline.util.progress import RowProgress

PreprocessingFn = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def analyze(
    preprocessing_fn: PreprocessingFn,
    settings: str,
    schema: schema_pb2.Schema,
    parts: Sequence[SplitPart],
    output: str,
    temporary: str,
) -> list[str]:
    """Writes the transform graph as TFX's Transform does: `transform_fn`, `transformed_metadata` and `metadata`.

    Args:
      preprocessing_fn: from raw tensors to transformed ones, by name.
      settings: all that the function depends on, including the user's own code.
      schema: the schema of the raw data.
      parts: the rows to analyse. Those with a digest that an earlier run has analysed in the same way are not read again.
      output: the folder of the `TransformGraph` artifact.
      temporary: a folder for intermediate files.

    Returns:
      The raw columns that the transform graph depends on.

    Raises:
      UnsupportedError: the function or the schema needs TFX's own executor.
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
    fingerprint = analyzers_fingerprint(graph, inputs)
    saved_model, _, _ = analysis_graph_builder.build(graph, inputs, outputs)
    columns = list(graph_tools.get_dependent_inputs(graph, inputs, outputs))

    span_results = SpanResults(output, _digest(settings, schema, fingerprint), STATES)

    def start(signature: Signature) -> _Phase:
        return _Phase(preprocessing_fn, reader, inputs, temporary, parts, signature, span_results)

    traverser = nodes.Traverser(Interpreter(start, temporary))
    bindings = [traverser.visit_value_node(binding) for binding in saved_model.parent_operation.inputs]
    replacements = dict(binding.get() for binding in bindings)

    folder = os.path.join(output, tft.TFTransformOutput.TRANSFORM_FN_DIR)
    with quick_fingerprints():
        impl_helper.trace_and_write_v2_saved_model(
            folder, preprocessing_fn, reader.type_specs, temporary, fingerprint, replacements, {}, None
        )
    _write_metadata(output, folder, schema, asset_map)
    return columns


class _Phase:
    """The preprocessing function up to the analyzers of one phase."""

    def __init__(
        self,
        preprocessing_fn: PreprocessingFn,
        reader: Reader,
        inputs: Mapping[str, Any],
        temporary: str,
        parts: Sequence[SplitPart],
        signature: Signature,
        span_results: SpanResults,
    ) -> None:
        self.parts = parts
        self._preprocessing_fn = preprocessing_fn
        self._reader = reader
        self._inputs = inputs
        self._temporary = temporary
        self._signature = signature
        self._span_results = span_results

    def batches(self, part: SplitPart) -> Iterator[Batch]:
        """The tensors of the phase, batch by batch."""
        concrete, columns, unused = self._traced
        progress = RowProgress("analysing", part.rows)
        for batch in progress.through(self._reader.batches(part.files, columns), _num_rows):
            yield {name: tensor.numpy() for name, tensor in concrete({**batch, **unused}).items()}

    def states(self, part: SplitPart, accumulators: Collection[str], read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The states of the accumulators for a part, kept only in the first phase, as later ones depend on all parts."""
        if part.digest is None or self._signature.replacements:
            return read()
        return self._span_results.get(f"{part.digest} {sorted(accumulators)}", read)

    @cached_property
    def _traced(self) -> tuple[Any, Collection[str], dict[str, Any]]:
        """The function, the columns it needs, and placeholders for the others."""
        module = tf.Module()
        context = graph_context.TFGraphContext(module, self._temporary, self._signature.replacements)
        function = impl_helper.get_traced_transform_fn(
            self._preprocessing_fn,
            self._reader.type_specs,
            context,
            output_keys_to_name_map={name: tensor.name for name, tensor in self._signature.tensors.items()},
        )
        concrete = saved_transform_io_v2.trace_and_update_module(
            module, function, "transform_fn", strip_control_dependencies=False
        )
        # The module owns the lookup tables of the function, which must stay alive.
        self._module = module
        inputs = tf2_utils.get_structured_inputs_from_func_graph(concrete.graph)
        outputs = {name: concrete.graph.get_tensor_by_name(tensor.name) for name, tensor in self._signature.tensors.items()}
        columns = graph_tools.get_dependent_inputs(concrete.graph, inputs, outputs)
        return concrete, columns, tf2_utils.supply_missing_inputs(self._inputs, 1, set(inputs) - set(columns))


def _num_rows(batch: Mapping[str, tf.Tensor | tf.SparseTensor]) -> int:
    return int(next(iter(batch.values())).shape[0])


def _digest(settings: str, schema: schema_pb2.Schema, fingerprint: Mapping[str, Any]) -> str:
    """A digest of all that the first phase's accumulators depend on besides the rows.

    Args:
      settings: as in `analyze`. The traced function includes most of it, but not the code of Python functions in it.
      schema: the schema of the rows.
      fingerprint: TFT's hashes of the paths from the columns to each analyzer, by analyzer.
    """
    paths = sorted((name, sorted(analyzer.unique_path_hash)) for name, analyzer in fingerprint.items())
    depends_on = (tft.__version__, code.digest(__name__), settings, schema.SerializeToString(deterministic=True), paths)
    return hashlib.sha256(repr(depends_on).encode()).hexdigest()


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
