"""What TFT knows analyzers by, from trace to trace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import tensorflow as tf
from tensorflow_transform import analyzer_nodes, graph_tools, nodes

Fingerprints = Mapping[str, graph_tools.AnalyzersFingerprint]


def analyzers_fingerprint(graph: tf.Graph, structured_inputs: Mapping[str, Any]) -> Fingerprints:
    """What `graph_tools.get_analyzers_fingerprint` returns.

    TFT compares each of an analyzer's sources with each column, which takes minutes where one depends on thousands.

    Args:
      graph: the graph of a preprocessing function.
      structured_inputs: the placeholders of each column.

    Returns:
      By the name of each analyzer's tensor: the columns that it depends on, and hashes of the paths to them.
    """
    columns = {
        component.ref(): name
        for name, value in structured_inputs.items()
        for component in tf.nest.flatten(value, expand_composites=True)
    }
    sinks = graph.get_collection(analyzer_nodes.ALL_REPLACEMENTS)
    analyzer = graph_tools.InitializableGraphAnalyzer(
        graph,
        structured_inputs,
        list({sink.tensor.ref(): False for sink in sinks}.items()),
        graph_tools.describe_path_as_analyzer_cache_hash,
    )
    fingerprints = {}
    for sink in sinks:
        visitor = graph_tools.SourcedTensorsVisitor()
        nodes.Traverser(visitor).visit_value_node(sink.future)
        operations = [tensor.op for tensor in visitor.sourced_tensors]
        sources = graph_tools.retrieve_sources(operations, ignore_control_dependencies=True)
        keys = {columns[source.ref()] for source in sources if source.ref() in columns}
        paths = {analyzer.get_unique_path(tensor) for tensor in visitor.sourced_tensors} - {None}
        fingerprints[str(sink.tensor.name)] = graph_tools.AnalyzersFingerprint(keys, paths)
    return fingerprints


@contextmanager
def quick_fingerprints() -> Iterator[None]:
    """Has TFT's own functions call `analyzers_fingerprint`."""
    original = graph_tools.get_analyzers_fingerprint
    graph_tools.get_analyzers_fingerprint = analyzers_fingerprint
    try:
        yield
    finally:
        graph_tools.get_analyzers_fingerprint = original
