"""Applies a transform graph to a split, and writes the result as tf.Examples."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from concurrent.futures import Executor, Future

import pyarrow as pa
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform import impl_helper

from components.shared.examples.encoder import encode
from components.shared.examples.kinds import kind_of
from components.shared.examples.writer import SplitWriter
from components.shared.fast_executor import UnsupportedError
from components.transform.reader import Reader

_AHEAD = 2


class Materializer:
    """Transforms rows batch by batch, in order, so that memory does not grow with the number of rows.

    Args:
      transform_graph: the folder of a `TransformGraph` artifact.
      columns: the raw columns that the graph depends on.

    Raises:
      UnsupportedError: an output is nested more deeply than lists in tf.Examples.
    """

    def __init__(self, transform_graph: str, columns: Collection[str]) -> None:
        output = tft.TFTransformOutput(transform_graph)
        self._converter = impl_helper.make_tensor_to_arrow_converter(output.transformed_metadata.schema)
        self._kinds = {}
        for field in self._converter.arrow_schema():
            kind = kind_of(field.type)
            if kind is None:
                raise UnsupportedError(f"the output {field.name!r} is nested")
            self._kinds[field.name] = kind
        self._reader = Reader(output.raw_metadata.schema)
        self._columns = columns
        layer = output.transform_features_layer()
        specs = {name: self._reader.type_specs[name] for name in columns}
        self._transform = tf.function(layer, autograph=False).get_concrete_function(specs)

    def write(self, files: Sequence[str], folder: str, pool: Executor) -> int:
        """Transforms the rows of some files and writes them as gzipped TFRecord files.

        Args:
          files: TFRecord files of raw tf.Examples.
          folder: the folder to write to, made if absent.
          pool: the threads that encode and compress.

        Returns:
          The number of rows.

        Raises:
          StorageError: the folder cannot be written to.
        """
        writer = SplitWriter(folder, "gzip", pool)
        encoding: deque[Future[pa.Array]] = deque()
        for batch in self._reader.batches(files, self._columns):
            encoding.append(pool.submit(self._encode, self._transform(batch)))
            if len(encoding) > _AHEAD:
                writer.write(encoding.popleft().result())
        while encoding:
            writer.write(encoding.popleft().result())
        writer.close()
        return writer.rows

    def _encode(self, batch: dict[str, tf.Tensor | tf.SparseTensor]) -> pa.Array:
        return encode(self._converter.convert(batch), self._kinds)
