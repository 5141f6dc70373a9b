"""The analysis: from a preprocessing function and data to a transform graph, without Beam.

The functions of TFT that Beam's version of the analysis calls are called here, in the same order: trace, build the graph of
operations, apply the function of each phase, write the SavedModel with the results in it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from tensorflow.python.eager import wrap_function
from tensorflow.python.trackable import resource as tracking
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform import annotators, graph_context, graph_tools, impl_helper, nodes, schema_inference, tf2_utils
from tensorflow_transform.beam import analysis_graph_builder
from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io

from components.shared.examples.splits import SplitPart
from components.shared.fast_executor import UnsupportedError
from components.shared.span_results import SpanResults
from components.transform.fingerprints import Fingerprints, analyzers_fingerprint, quick_fingerprints
from components.transform.operations import STATES, Interpreter, Signature
from components.transform.passes import Batch
from components.transform.reader import Reader
from pipeline.util import code
from pipeline.util.progress import RowProgress

# The collections of a graph in which TFT keeps the outputs of which a function says more than their tensors do.
_ANNOTATIONS = (
    schema_inference._TF_METADATA_TENSOR_COLLECTION,
    schema_inference._ANNOTATED_SPARSE_SHAPE_TENSORS,
    schema_inference._ANNOTATED_TRUELY_SPARSE_TENSORS,
)

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
    trace = _Trace(preprocessing_fn, reader, temporary)
    graph, inputs, outputs = trace.graph, trace.inputs, trace.function.structured_outputs
    if not isinstance(outputs, dict) or not outputs or graph.get_collection(tf.compat.v1.GraphKeys.TRAINABLE_VARIABLES):
        raise UnsupportedError("the preprocessing function returns no tensors by name, or has variables")
    asset_map = annotators.get_asset_annotations(graph)
    annotators.clear_asset_annotations(graph)
    fingerprint = analyzers_fingerprint(graph, inputs)
    saved_model, _, _ = analysis_graph_builder.build(graph, inputs, outputs)
    columns = list(graph_tools.get_dependent_inputs(graph, inputs, outputs))

    span_results = SpanResults(output, _digest(settings, schema, fingerprint), STATES)

    def start(signature: Signature) -> _Phase:
        traced = _Trace(preprocessing_fn, reader, temporary, signature) if signature.replacements else trace
        return _Phase(traced, reader, parts, signature, span_results)

    traverser = nodes.Traverser(Interpreter(start, temporary))
    bindings = [traverser.visit_value_node(binding) for binding in saved_model.parent_operation.inputs]
    replacements = dict(binding.get() for binding in bindings)

    metadata = _write_graph(output, preprocessing_fn, reader, temporary, fingerprint, replacements)
    _write_metadata(output, metadata, schema, asset_map)
    return columns


class _Trace:
    """The preprocessing function as a graph, with the tables and variables of the graph, which live as long as this.

    Args:
      preprocessing_fn: the function.
      reader: knows the types of its inputs.
      temporary: a folder for intermediate files.
      signature: the phase up to which it is traced; None for the whole function without any result of an analyzer.

    Attributes:
      function: the function. What it returns is not used.
      graph: its graph.
      inputs: the placeholders of each column.
    """

    def __init__(
        self, preprocessing_fn: PreprocessingFn, reader: Reader, temporary: str, signature: Signature | None = None
    ) -> None:
        self._owned = tracking.ResourceTracker(), annotators.ObjectTracker()
        self._variables: list[tf.Variable] = []
        replacements = signature.replacements if signature else None
        names = {name: tensor.name for name, tensor in signature.tensors.items()} if signature else None
        context = graph_context.TFGraphContext(tf.Module(), temporary, replacements)
        traced = impl_helper.get_traced_transform_fn(preprocessing_fn, reader.type_specs, context, names)
        resources, objects = self._owned
        with (
            tracking.resource_tracker_scope(resources),
            annotators.object_tracker_scope(objects),
            tf.variable_creator_scope(self._create),
        ):
            self.function = traced.get_concrete_function()
        self.graph = self.function.graph
        self.inputs = tf2_utils.get_structured_inputs_from_func_graph(self.graph)

    def up_to(self, tensors: Mapping[str, tf.Tensor]) -> Any:
        """The function that returns these tensors of its graph."""
        holder = wrap_function.VariableHolder(share_variables=True)
        wrapped = wrap_function.WrappedFunction(self.graph, variable_holder=holder)
        return wrapped.prune(self.function.inputs, dict(tensors), input_signature=self.function.structured_input_signature)

    def _create(self, create: Callable[..., tf.Variable], **options: Any) -> tf.Variable:
        self._variables.append(create(**options))
        return self._variables[-1]


class _Phase:
    """The preprocessing function up to the analyzers of one phase."""

    def __init__(
        self, trace: _Trace, reader: Reader, parts: Sequence[SplitPart], signature: Signature, span_results: SpanResults
    ) -> None:
        self.parts = parts
        self._trace = trace
        self._reader = reader
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
        graph, inputs = self._trace.graph, self._trace.inputs
        outputs = {name: graph.get_tensor_by_name(tensor.name) for name, tensor in self._signature.tensors.items()}
        columns = graph_tools.get_dependent_inputs(graph, inputs, outputs)
        return self._trace.up_to(outputs), columns, tf2_utils.supply_missing_inputs(inputs, 1, set(inputs) - set(columns))


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


def _write_graph(
    output: str,
    preprocessing_fn: PreprocessingFn,
    reader: Reader,
    temporary: str,
    fingerprint: Fingerprints,
    replacements: Mapping[str, tf.Tensor],
) -> dataset_metadata.DatasetMetadata:
    """Writes the SavedModel as `impl_helper.trace_and_write_v2_saved_model` does.

    TFT traces the function once more for the values of annotations of the outputs, which is left out where there are none.

    Returns:
      The metadata of the function's outputs.
    """
    folder = os.path.join(output, tft.TFTransformOutput.TRANSFORM_FN_DIR)
    written = impl_helper._trace_and_write_transform_fn(
        folder, preprocessing_fn, reader.type_specs, temporary, replacements, {}, None
    )
    inputs = tf2_utils.get_structured_inputs_from_func_graph(written.graph)
    with quick_fingerprints():
        impl_helper._validate_analyzers_fingerprint(fingerprint, written.graph, inputs)
    outputs = written.structured_outputs
    if _are_annotated(written.graph, outputs):
        return impl_helper._trace_and_get_metadata(written, inputs, preprocessing_fn, temporary, replacements)
    annotations: Callable[[], dict[str, Any]] = dict
    return dataset_metadata.DatasetMetadata(
        schema_inference.infer_feature_schema_v2(outputs, annotations, evaluate_schema_overrides=True)
    )


def _are_annotated(graph: tf.Graph, outputs: Mapping[str, Any]) -> bool:
    """Whether outputs have a range or a shape of their own, or the schema anything else, that the function says."""
    if graph.get_collection(schema_inference._TF_METADATA_EXTRA_ANNOTATION):
        return True
    annotated = {tensor.name for name in _ANNOTATIONS for tensor in graph.get_collection(name)}
    return any(not annotated.isdisjoint(_names(schema_inference._get_tensor_values(output))) for output in outputs.values())


def _names(tensor: tf.Tensor) -> Iterator[str]:
    """The names that a tensor has: TensorFlow renames what a function returns."""
    yield tensor.name
    while tensor.op.type == "Identity":
        tensor = tensor.op.inputs[0]
        yield tensor.name


def _write_metadata(
    output: str, metadata: dataset_metadata.DatasetMetadata, schema: schema_pb2.Schema, asset_map: Mapping[str, str]
) -> None:
    transformed = os.path.join(output, tft.TFTransformOutput.TRANSFORMED_METADATA_DIR)
    metadata_io.write_metadata(metadata, transformed)
    if asset_map:
        with open(os.path.join(transformed, tft.TFTransformOutput.ASSET_MAP), "w") as file:
            file.write(json.dumps(asset_map))
    metadata_io.write_metadata(
        dataset_metadata.DatasetMetadata(schema), os.path.join(output, tft.TFTransformOutput.RAW_METADATA_DIR)
    )
