"""What BulkInferrer has answered, in the order of the rows that were asked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.core.example import example_pb2
from tensorflow_serving.apis import prediction_log_pb2

from components.shared.examples.tfrecord import compression_of
from pipeline.errors import NodeError

_READ_ROWS = 8192


def answers_in_order(logs: Sequence[str], examples: Sequence[str]) -> Iterator[Any]:
    """The answer to each example, whatever the order in which Beam has written them.

    An answer carries its example. Those that come before their turn are kept, which are few: Beam reads files one by one.

    Args:
      logs: TFRecord files of PredictionLogs, each with one tf.Example and the answer to it.
      examples: TFRecord files of the tf.Examples that were asked about, in their order.

    Yields:
      A PredictLog for each example.

    Raises:
      NodeError: an example has no answer.
    """
    early: dict[bytes, list[Any]] = defaultdict(list)
    answers = _answers(logs)
    for number, example in enumerate(map(_canonical, _records(examples)), start=1):
        if kept := early.get(example):
            yield kept.pop()
            if not kept:
                del early[example]
            continue
        for answer in answers:
            (tensor,) = answer.request.inputs.values()
            answered = _canonical(tensor.string_val[0])
            if answered == example:
                yield answer
                break
            early[answered].append(answer)
        else:
            raise NodeError(
                "A row of the table has no prediction.",
                where=f"row {number:,}",
                expected="an answer of BulkInferrer to each row",
                seen="none",
                fix="Run `conveyor score` again.",
            )


def _canonical(example: bytes) -> bytes:
    """The same bytes for the same features: BulkInferrer writes an example's features in another order."""
    return bytes(example_pb2.Example.FromString(example).SerializeToString(deterministic=True))


def _answers(paths: Iterable[str]) -> Iterator[Any]:
    for record in _records(paths):
        yield prediction_log_pb2.PredictionLog.FromString(record).predict_log


def _records(paths: Iterable[str]) -> Iterator[bytes]:
    for path in paths:
        for records in tf.data.TFRecordDataset(path, compression_of(path)).batch(_READ_ROWS).as_numpy_iterator():
            yield from records.tolist()
