"""What an analysis has found, as constants and one table: for rows that are transformed without the transform graph."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow.python.framework.function_def_to_graph import function_def_to_graph_def
from tensorflow.python.saved_model import loader_impl

from pipeline.training import raw
from pipeline.training.features import Categorical, FeaturePlan
from pipeline.training.preprocessing import ANALYSED, out_of_vocabulary
from pipeline.training.vocabularies import vocabularies_of

_FILE = "vocabularies"


class Analysed(tf.Module):
    """The `pipeline.training.preprocessing.Analysis` that led to a transform graph.

    The vocabularies of all columns are one table, whose keys begin with the number of the vocabulary: a few operations look up
    any number of columns.

    Args:
      plan: that of the transform graph.
      transform_output: the transform graph.
    """

    def __init__(self, plan: FeaturePlan, transform_output: tft.TFTransformOutput) -> None:
        super().__init__()
        self._found = _found(transform_output.transform_savedmodel_dir)
        columns = [*plan.categorical, *(bag for bag in plan.bags if isinstance(bag, Categorical))]
        vocabularies = vocabularies_of(columns, transform_output.transform_savedmodel_dir)
        self._numbers = {column.name: number for number, column in enumerate(columns)}
        self._sizes = [len(vocabulary) for vocabulary in vocabularies]
        self._starts = [0, *accumulate(self._sizes)]
        if columns:
            # The file becomes an asset of a SavedModel that is written while this object lives.
            self._folder = TemporaryDirectory()
            path = os.path.join(self._folder.name, _FILE)
            with open(path, "wb") as file:
                for number, vocabulary in enumerate(vocabularies):
                    file.writelines(b"%d %s\n" % (number, token) for token in vocabulary)
            self._table = tf.lookup.StaticHashTable(_line_numbers(path), -1)

    def moments(self, key: str, values: tf.Tensor) -> npt.NDArray[np.float64]:
        """Means and standard deviations, [2, columns]."""
        return self._found[key]

    def boundaries(self, key: str, values: tf.Tensor, buckets: int) -> npt.NDArray[np.float32]:
        """Boundaries between buckets, [columns, buckets - 1]."""
        return self._found[key]

    def look_up(self, key: str, values: Sequence[tf.Tensor], columns: Sequence[Categorical]) -> tf.Tensor:
        """Indices, [N, columns] int64."""
        texts = raw.to_texts(values)
        numbers = [self._numbers[column.name] for column in columns]
        prefixes = tf.broadcast_to(tf.constant([f"{number} " for number in numbers]), tf.shape(texts))
        line = self._table.lookup(tf.strings.join([prefixes, texts]))
        starts, sizes = (tf.constant([part[number] for number in numbers], tf.int64) for part in (self._starts, self._sizes))
        return tf.where(line < 0, sizes + out_of_vocabulary(texts, columns), line - starts)


# Read by the Trainer to read rows, and again to export the model.
@lru_cache(maxsize=1)
def _found(saved_model: str) -> dict[str, npt.NDArray[Any]]:
    """What the operations hold whose names begin with `ANALYSED`, by key.

    They depend on no row, so the rest of the function need not be restored: to load a SavedModel takes longer than in
    proportion to its columns.
    """
    meta_graph = loader_impl.parse_saved_model(saved_model).meta_graphs[0]
    objects = meta_graph.object_graph_def
    [function] = [child.node_id for child in objects.nodes[0].children if child.local_name == "transform_fn"]
    name = objects.nodes[function].bare_concrete_function.concrete_function_name
    [definition] = [each for each in meta_graph.graph_def.library.function if each.signature.name == name]
    names = [node.name for node in definition.node_def if node.name.startswith(ANALYSED)]
    if not names:
        return {}
    # What the function has captured comes last among its arguments.
    captured = objects.concrete_functions[name].bound_inputs
    arguments = [argument.name for argument in definition.signature.input_arg[-len(captured) :]]
    origins = {argument: objects.nodes[node].constant.operation for argument, node in zip(arguments, captured, strict=True)}
    graph_def, _ = function_def_to_graph_def(definition)
    needed = tf.compat.v1.graph_util.extract_sub_graph(graph_def, names)
    constants = {node.name: node.attr["value"].tensor for node in meta_graph.graph_def.node}
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.import_graph_def(needed, name="")
        values = {
            f"{node.name}:0": tf.make_ndarray(constants[origins[node.name]]) for node in needed.node if node.name in origins
        }
        found = session.run([f"{name}:0" for name in names], values)
    return {name.removeprefix(ANALYSED): value for name, value in zip(names, found, strict=True)}


def _line_numbers(path: str) -> tf.lookup.TextFileInitializer:
    return tf.lookup.TextFileInitializer(
        path, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
    )
