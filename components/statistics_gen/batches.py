"""Reads serialized tf.Examples as Arrow batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa
import tensorflow as tf
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

# Large enough for a batch's fixed costs not to matter; larger ones gain nothing.
BATCH_SIZE = 16_384


def read_batches(files: Iterable[str]) -> Iterator[pa.RecordBatch]:
    """Reads TFRecord files.

    Args:
      files: paths; those whose names end in .gz are compressed.

    Yields:
      Batches of up to `BATCH_SIZE` rows, in the files' order; a column is a list a row, null where the row lacks it, and
      is absent where every row of the batch lacks it.
    """
    decoder = ExamplesToRecordBatchDecoder()
    paths = list(files)
    for compression in ("GZIP", ""):
        chosen = [path for path in paths if path.endswith(".gz") == (compression == "GZIP")]
        if chosen:
            dataset = tf.data.TFRecordDataset(chosen, compression).batch(BATCH_SIZE)
            # The next batch is read while this one is decoded.
            for examples in dataset.prefetch(1).as_numpy_iterator():
                yield decoder.DecodeBatch(examples)
