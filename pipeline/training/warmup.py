"""Warm-up requests, which a model server replays before a version answers, so that the first caller need not wait."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

import tensorflow as tf
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog, PredictLog

from pipeline.contracts.model import COLUMNS_SIGNATURE, EXAMPLES_INPUT, EXAMPLES_SIGNATURE, WARMUP_PATH
from pipeline.training import raw

# Some operations treat a single row in another way than several.
_ROWS = (1, 64)


def write_warmup_requests(columns: Mapping[str, tf.TensorSpec], destination: str) -> None:
    """Writes requests for both signatures of a model, with rows whose values are all missing: they carry nobody's data.

    Args:
      columns: the inputs of `predict_raw`, with their types and shapes.
      destination: the folder of the SavedModel.
    """
    path = str(PurePosixPath(destination) / WARMUP_PATH)
    tf.io.gfile.makedirs(str(PurePosixPath(path).parent))
    with tf.io.TFRecordWriter(path) as file:
        for request in _requests(columns):
            file.write(PredictionLog(predict_log=PredictLog(request=request)).SerializeToString(deterministic=True))


def _requests(columns: Mapping[str, tf.TensorSpec]) -> Iterable[PredictRequest]:
    for rows in _ROWS:
        examples = PredictRequest()
        examples.model_spec.signature_name = EXAMPLES_SIGNATURE
        examples.inputs[EXAMPLES_INPUT].CopyFrom(tf.make_tensor_proto([b""] * rows, tf.string))
        yield examples
        tensors = PredictRequest()
        tensors.model_spec.signature_name = COLUMNS_SIGNATURE
        for name, spec in columns.items():
            shape = [rows, *(size or 1 for size in spec.shape[1:])]
            missing = [raw.MISSING[spec.dtype]] * math.prod(shape)
            tensors.inputs[name].CopyFrom(tf.make_tensor_proto(missing, spec.dtype, shape))
        yield tensors
