"""The results of an evaluation as files, as TFMA writes them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf
from google.protobuf import json_format
from google.protobuf.message import Message
from tensorflow_model_analysis import constants
from tensorflow_model_analysis import version as tfma_version
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2, validation_result_pb2
from tensorflow_model_analysis.writers import metrics_plots_and_validations_writer as writer

from components.evaluator.slices import SliceKey

# By metric, plot and error; TFMA has classes for the keys of the first two only.
Metrics = dict[Any, Any]

_UNKNOWN_DATA = {"data_location": "<user provided PCollection>", "file_format": "<unknown>"}


def write_results(
    folder: str,
    eval_config: config_pb2.EvalConfig,
    model_paths: Mapping[str, str],
    metrics: Mapping[SliceKey, Metrics],
    validation: validation_result_pb2.ValidationResult,
) -> None:
    """Writes what `tfma.ExtractEvaluateAndWriteResults` writes: metrics, plots, validations, config.

    Args:
      folder: the folder to write to.
      eval_config: what was evaluated.
      model_paths: the folder of each SavedModel, by model name.
      metrics: metrics and plots by slice.
      validation: whether all thresholds are met.
    """
    tf.io.gfile.makedirs(folder)
    slices = metrics.items()
    records = {
        "metrics-00000-of-00001": [
            writer.convert_slice_metrics_to_proto((key, select(values, plots=False)), None) for key, values in slices
        ],
        "plots-00000-of-00001": [
            writer.convert_slice_plots_to_proto((key, select(values, plots=True)), None) for key, values in slices
        ],
        "attributions-00000-of-00001": [writer.convert_slice_attributions_to_proto((key, {})) for key in metrics],
        constants.VALIDATIONS_KEY: [validation],
    }
    for name, messages in records.items():
        _write_records(os.path.join(folder, f"{name}.tfrecord"), messages)
    run = config_pb2.EvalRun(
        eval_config=eval_config,
        version=tfma_version.VERSION,
        model_locations=dict(model_paths),
        **_UNKNOWN_DATA,
    )
    with tf.io.gfile.GFile(os.path.join(folder, "eval_config.json"), "w") as file:
        file.write(json_format.MessageToJson(run) + "\n")


def _write_records(path: str, messages: Iterable[Message]) -> None:
    with tf.io.TFRecordWriter(path) as file:
        for message in messages:
            file.write(message.SerializeToString())


def write_text(folder: str, name: str, text: str) -> None:
    """Writes a file beside the results."""
    with tf.io.gfile.GFile(os.path.join(folder, name), "w") as file:
        file.write(text + "\n")


def select(metrics: Metrics, plots: bool) -> Metrics:
    """The plots, or all but these."""
    return {key: value for key, value in metrics.items() if isinstance(key, metric_types.PlotKey) == plots}
