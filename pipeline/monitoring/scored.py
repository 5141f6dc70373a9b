"""What a version predicted of the rows that it was judged on: what its predictions should be like."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.contracts import prediction_log
from pipeline.contracts.model import EXAMPLES_INPUT, EXAMPLES_SIGNATURE, LABELS, PREDICTIONS, PROBABILITIES, PROBABILITY, SCORE

_MOST_ROWS = 20_000
_BATCH = 4096


def scored(model: Path, files: Sequence[Path]) -> Iterator[pa.RecordBatch]:
    """The predictions of some rows, spread evenly over all of them, with the names that the log has.

    Args:
      model: the folder of a SavedModel.
      files: TFRecord files of tf.Examples.
    """
    import tensorflow as tf

    from components.shared.examples.tfrecord import compression_of

    names = [str(path) for path in files]
    num_rows = sum(int(_records(name, compression_of(name)).reduce(np.int64(0), lambda count, _: count + 1)) for name in names)
    step = -(-num_rows // _MOST_ROWS) or 1
    ask = tf.saved_model.load(str(model)).signatures[EXAMPLES_SIGNATURE]
    for name in names:
        for examples in _records(name, compression_of(name)).shard(step, 0).batch(_BATCH):
            yield _answers({key: value.numpy() for key, value in ask(**{EXAMPLES_INPUT: examples}).items()})


def _records(name: str, compression: str) -> Any:
    import tensorflow as tf

    return tf.data.TFRecordDataset(name, compression)


def _answers(outputs: dict[str, Any]) -> pa.RecordBatch:
    if PREDICTIONS in outputs:
        return pa.record_batch({prediction_log.VALUE: outputs[PREDICTIONS][:, 0].astype(np.float64)})
    of_labels = outputs[PROBABILITY][:, 0] if PROBABILITY in outputs else outputs[PROBABILITIES].max(axis=1)
    score = outputs[SCORE][:, 0] if SCORE in outputs else of_labels
    return pa.record_batch(
        {
            prediction_log.LABEL: pa.array(outputs[LABELS][:, 0].tolist()),
            prediction_log.SCORE: score.astype(np.float64),
        }
    )
