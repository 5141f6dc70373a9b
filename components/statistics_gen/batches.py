"""Reads serialized tf.Examples as Arrow batches."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import tensorflow as tf
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

# Large enough for a batch's fixed costs not to matter; larger ones gain nothing.
BATCH_SIZE = 16_384


def read_batches(pattern: str) -> Iterator[pa.RecordBatch]:
    """Reads the TFRecord files of a split.

    Args:
      pattern: of the files; those whose names end in .gz are compressed.

    Yields:
      Batches of up to `BATCH_SIZE` rows, in the files' order; a column is a list a row, null where the row lacks it, and
      is absent where every row of the batch lacks it.
    """
    decoder = ExamplesToRecordBatchDecoder()
    files = sorted(tf.io.gfile.glob(pattern))
    for compression in ("GZIP", ""):
        chosen = [file for file in files if file.endswith(".gz") == (compression == "GZIP")]
        if chosen:
            dataset = tf.data.TFRecordDataset(chosen, compression).batch(BATCH_SIZE)
            # The next batch is read while this one is decoded.
            for examples in dataset.prefetch(1).as_numpy_iterator():
                yield decoder.DecodeBatch(examples)
