"""Reads tf.Examples as batches of tensors, in the order of the files."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.tf_metadata import schema_utils

from components.shared.examples.tfrecord import compression_of
from components.shared.fast_executor import UnsupportedError

BATCH_ROWS = 16_384
_AHEAD = 2


class Reader:
    """Parses the columns of a schema as TFX's own Transform does.

    Attributes:
      type_specs: the type of each column, as the preprocessing function gets it.

    Raises:
      UnsupportedError: the schema has columns that are neither dense nor lists of values.
    """

    def __init__(self, schema: schema_pb2.Schema) -> None:
        try:
            self._features: dict[str, Any] = schema_utils.schema_as_feature_spec(schema).feature_spec
        except ValueError as error:
            raise UnsupportedError(f"the schema has columns that are nested or of no known type ({error})") from error
        for name, feature in self._features.items():
            if not isinstance(feature, (tf.io.FixedLenFeature, tf.io.VarLenFeature)):
                raise UnsupportedError(f"the column {name!r} is a {type(feature).__name__}")
        self.type_specs = {name: _type_spec(feature) for name, feature in self._features.items()}

    def batches(self, files: Sequence[str], columns: Collection[str]) -> tf.data.Dataset:
        """Batches of up to 16,384 rows, some of which are read ahead.

        Args:
          files: TFRecord files, gzipped when their names end in .gz.
          columns: the columns to parse.

        Returns:
          A dataset of dicts: [rows, ...] tensors, and sparse ones for columns of lists.
        """
        wanted = {name: self._features[name] for name in columns}
        if not wanted:
            raise UnsupportedError("the preprocessing function uses no column")
        compression = "GZIP" if all(map(compression_of, files)) else ""
        records = tf.data.TFRecordDataset(tf.constant(files, tf.string), compression).batch(BATCH_ROWS)
        parsed = records.map(lambda batch: tf.io.parse_example(batch, wanted), _AHEAD, deterministic=True)
        return parsed.prefetch(_AHEAD)


def _type_spec(feature: tf.io.FixedLenFeature | tf.io.VarLenFeature) -> tf.TypeSpec:
    if isinstance(feature, tf.io.VarLenFeature):
        return tf.SparseTensorSpec([None, None], feature.dtype)
    return tf.TensorSpec([None, *feature.shape], feature.dtype)
