"""Warm-up: the requests in a version's folder, replayed before it answers."""

from __future__ import annotations

import time
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from pipeline.contracts.model import MAX_WARMUP_REQUESTS, WARMUP_PATH
from serving.modelserver import metrics
from serving.modelserver.inference.classify import classify, multi_inference, regress
from serving.modelserver.inference.predict import predict
from serving.modelserver.inference.servable import Servable
from serving.modelserver.status import from_exception, invalid_argument, unimplemented


def warm_up(servable: Servable, path: Path, iterations: int = 1) -> int:
    """Replays a version's warm-up requests, if it has any.

    Args:
      servable: the version.
      path: the version's folder.
      iterations: the number of times that each request is replayed.

    Returns:
      The number of requests.

    Raises:
      StatusError: a request failed, or there are more than 1,000: the version must not be served.
    """
    file = path / WARMUP_PATH
    if not file.is_file():
        return 0
    started, records, status = time.monotonic(), 0, "OK"
    try:
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            records += 1
            if records > MAX_WARMUP_REQUESTS:
                raise invalid_argument(f"Number of warmup records exceeds the maximum ({MAX_WARMUP_REQUESTS}) at {file}")
            for _ in range(iterations):
                _replay(servable, _parse(record, file))
    except Exception as error:
        failure = from_exception(error)
        status = failure.name
        raise failure from error
    finally:
        metrics.record_warmup(str(path), time.monotonic() - started, records, status)
    return records


def _parse(record: bytes, file: Path) -> prediction_log_pb2.PredictionLog:
    try:
        return prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError as error:
        raise invalid_argument(f"Failed to parse warmup record from {file}") from error


def _replay(servable: Servable, log: prediction_log_pb2.PredictionLog) -> None:
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        predict(servable, log.predict_log.request)
    elif kind == "classify_log":
        classify(servable, log.classify_log.request)
    elif kind == "regress_log":
        regress(servable, log.regress_log.request)
    elif kind == "multi_inference_log":
        multi_inference(servable, log.multi_inference_log.request)
    elif kind is not None:
        raise unimplemented(f"Unsupported log_type for warmup: {kind}")
