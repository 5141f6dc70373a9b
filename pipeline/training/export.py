"""The SavedModel that is served: raw columns in, the transform graph inside."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from keyword import iskeyword
from pathlib import PurePosixPath

import keras
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.core.protobuf.meta_graph_pb2 import TensorInfo

from pipeline.config import Task
from pipeline.contracts import model as contract
from pipeline.contracts.schema import Schema
from pipeline.training import raw
from pipeline.training.labels import LabelEncoding
from pipeline.training.transformation import Features, Transformation
from pipeline.training.warmup import write_warmup_requests

_OWN_NAME = re.compile("[A-Za-z][A-Za-z0-9_]*")


def export_model(
    model: keras.Model,
    transform_output: tft.TFTransformOutput,
    transformation: Transformation,
    label: str,
    encoding: LabelEncoding,
    destination: str,
) -> None:
    """Writes the SavedModel that `pipeline.contracts.model` describes, with warm-up requests for model servers.

    Where a parameter of Python cannot have a column's name, tf.saved_model.load alone calls this input `column_<position>`.

    Args:
      model: from transformed features to logits or the standardised label.
      transform_output: the transform graph.
      transformation: computes the model's features.
      label: the label's name.
      encoding: what the model's outputs mean.
      destination: the folder of the SavedModel.
    """
    specs = transform_output.raw_feature_spec()
    lists = Schema.of(transform_output.raw_metadata.schema).lists
    needed = {name: specs[name] for name in transformation.columns}
    inputs = _input_names(transformation.columns)

    def predict(transformed: Features) -> dict[str, tf.Tensor]:
        features = {name: raw.to_columns(transformed[name], layer.shape[1]) for name, layer in model.input.items()}
        return _outputs(model(features, training=False), encoding)

    def predict_raw(tensors: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return predict(transformation.of_columns({column: tensors[name] for name, column in inputs.items()}))

    # ExportArchive rather than tf.saved_model.save of the model: only then do TF1-style loaders, which TF Serving has,
    # find the variables of a Keras 3 model.
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.track(transformation.resource)
    examples = tf.TensorSpec([None], tf.string, name=contract.EXAMPLES_INPUT)
    archive.add_endpoint(
        contract.EXAMPLES_SIGNATURE,
        lambda examples: predict(transformation.of_examples(examples)),
        input_signature=[examples],
    )
    tensors = {
        name: tf.TensorSpec([None, lists[column]] if column in lists else [None], needed[column].dtype, name=name)
        for name, column in inputs.items()
    }
    archive.add_endpoint(contract.COLUMNS_SIGNATURE, predict_raw, input_signature=[tensors])
    if encoding.classes and not encoding.is_index:
        archive.add_endpoint(
            contract.TRANSFORMED_LABELS,
            lambda examples: {label: _class_index(tf.io.parse_example(examples, {label: specs[label]})[label], encoding)},
            input_signature=[examples],
        )
    archive.write_out(destination, verbose=False)
    if tuple(inputs) != transformation.columns:
        _rename_inputs(destination, inputs)
    write_warmup_requests({column: tensors[name] for name, column in inputs.items()}, destination)
    _write_description(needed, label, encoding, model.count_params(), destination)


def _outputs(raw_output: tf.Tensor, encoding: LabelEncoding) -> dict[str, tf.Tensor]:
    if encoding.task is Task.REGRESSION:
        return {contract.PREDICTIONS: raw_output * encoding.deviation + encoding.mean}
    if encoding.task is Task.BINARY:
        score = tf.sigmoid(raw_output)
        probabilities = tf.concat([1 - score, score], axis=1)
    else:
        probabilities = tf.nn.softmax(raw_output)
    # A column, as the other outputs: BulkInferrer fails on strings of shape [N].
    labels = tf.gather(_class_values(encoding), tf.argmax(probabilities, axis=1))[:, tf.newaxis]
    outputs = {contract.PROBABILITIES: probabilities, contract.LABELS: labels}
    return {**outputs, contract.SCORE: score} if encoding.task is Task.BINARY else outputs


def _class_values(encoding: LabelEncoding) -> tf.Tensor:
    """The label's values by class index: [classes], string or int64."""
    is_text = isinstance(encoding.classes[0], str)
    return tf.constant(encoding.classes, tf.string if is_text else tf.int64)


def _class_index(label: tf.Tensor | tf.SparseTensor, encoding: LabelEncoding) -> tf.Tensor:
    """Class indices, [N, 1] int64; -1 for a label that the training data did not have."""
    values = raw.to_dense(label)
    matches = tf.equal(values[:, tf.newaxis], tf.cast(_class_values(encoding), values.dtype)[tf.newaxis])
    index = tf.where(tf.reduce_any(matches, axis=1), tf.argmax(tf.cast(matches, tf.int64), axis=1), tf.constant(-1, tf.int64))
    return index[:, tf.newaxis]


def _input_names(columns: Sequence[str]) -> dict[str, str]:
    """Columns by the name that TensorFlow gives their input: their own where an operation and a parameter can have it."""
    neutral = "column_"
    while any(column.lower().startswith(neutral) for column in columns):
        neutral += "_"
    names: dict[str, str] = {}
    taken: set[str] = set()
    for position, column in enumerate(columns):
        # Operations whose names differ in case only are renamed.
        if _OWN_NAME.fullmatch(column) and column.lower() not in taken and not iskeyword(column) and column != "self":
            taken.add(column.lower())
            names[column] = column
        else:
            names[f"{neutral}{position}"] = column
    return names


def _rename_inputs(destination: str, columns: Mapping[str, str]) -> None:
    """Gives the inputs of `predict_raw` the names of their columns, as TF Serving's clients know them.

    tf.saved_model.save cannot write them, but a SignatureDef can hold them.
    """
    path = str(PurePosixPath(destination) / tf.saved_model.SAVED_MODEL_FILENAME_PB)
    with tf.io.gfile.GFile(path, "rb") as file:
        saved_model = saved_model_pb2.SavedModel.FromString(file.read())
    inputs = saved_model.meta_graphs[0].signature_def[contract.COLUMNS_SIGNATURE].inputs
    renamed = {column: TensorInfo.FromString(inputs[name].SerializeToString()) for name, column in columns.items()}
    inputs.clear()
    for column, info in renamed.items():
        inputs[column].CopyFrom(info)
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(saved_model.SerializeToString(deterministic=True))


def _write_description(
    features: Mapping[str, tf.io.VarLenFeature | tf.io.FixedLenFeature],
    label: str,
    encoding: LabelEncoding,
    num_parameters: int,
    destination: str,
) -> None:
    description = contract.ModelDescription(
        task=encoding.task.value,
        label=label,
        classes=list(encoding.classes),
        parameters=num_parameters,
        features={name: raw.dtype_name(spec.dtype) for name, spec in features.items()},
    )
    path = str(PurePosixPath(destination) / contract.DESCRIPTION_PATH)
    tf.io.gfile.makedirs(str(PurePosixPath(path).parent))
    with tf.io.gfile.GFile(path, "w") as file:
        file.write(description.to_json())
