"""The SavedModel that is served: raw columns in, the transform graph inside."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from keyword import iskeyword
from pathlib import PurePosixPath

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef, TensorInfo

from pipeline.config import Task
from pipeline.contracts import model as contract
from pipeline.contracts.model_description import DESCRIPTION_PATH, ModelDescription
from pipeline.contracts.schema import Schema
from pipeline.training import raw, reference
from pipeline.training.head import Head, class_values
from pipeline.training.labels import LabelEncoding
from pipeline.training.transformation import Features, Transformation
from pipeline.training.warmup import write_warmup_requests

_OWN_NAME = re.compile("[A-Za-z][A-Za-z0-9_]*")
# Of a SavedModel, the folders with what its graph reads.
_CONTENT = (tf.saved_model.VARIABLES_DIRECTORY, tf.saved_model.ASSETS_DIRECTORY)
_DIGEST_BYTES = 16


def export_model(
    model: keras.Model,
    transform_output: tft.TFTransformOutput,
    transformation: Transformation,
    label: str,
    head: Head,
    sample: npt.NDArray[np.object_],
    destination: str,
) -> None:
    """Writes the SavedModel that `pipeline.contracts.model` describes, with warm-up requests for model servers.

    Where a parameter of Python cannot have a column's name, tf.saved_model.load alone calls this input `column_<position>`.

    Args:
      model: from transformed features to logits or the standardised label.
      transform_output: the transform graph.
      transformation: computes the model's features.
      label: the label's name.
      head: what is answered, given the model's outputs.
      sample: serialized tf.Examples, [M], of which some travel with the model; without any it cannot be explained.
      destination: the folder of the SavedModel.
    """
    specs = transform_output.raw_feature_spec()
    lists = Schema.of(transform_output.raw_metadata.schema).lists
    needed = {name: specs[name] for name in transformation.columns}
    inputs = _input_names(transformation.columns)
    encoding = head.encoding

    def predict(transformed: Features) -> dict[str, tf.Tensor]:
        features = {name: raw.to_columns(transformed[name], layer.shape[1]) for name, layer in model.input.items()}
        return head(model(features, training=False))

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
    if len(sample):
        candidates = reference.candidates(sample)
        chosen = candidates.numpy()[reference.choose(predict(transformation.of_examples(candidates)))]
        rows = [reference.to_json(example, transformation.columns, lists) for example in chosen]
        archive.add_endpoint(
            contract.REFERENCE_SIGNATURE,
            lambda numbers: {contract.REFERENCE_OUTPUT: tf.gather(tf.constant(rows), numbers % len(rows))},
            input_signature=[tf.TensorSpec([None], tf.int64, name=contract.REFERENCE_INPUT)],
        )
    archive.write_out(destination, verbose=False)
    digest = _complete_signatures(destination, inputs)
    write_warmup_requests({column: tensors[name] for name, column in inputs.items()}, destination)
    _write_description(needed, label, head, model.count_params(), digest, destination)


def _class_index(label: tf.Tensor | tf.SparseTensor, encoding: LabelEncoding) -> tf.Tensor:
    """Class indices, [N, 1] int64; -1 for a label that the training data did not have."""
    values = raw.to_dense(label)
    matches = tf.equal(values[:, tf.newaxis], tf.cast(class_values(encoding), values.dtype)[tf.newaxis])
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


def _complete_signatures(destination: str, columns: Mapping[str, str]) -> str:
    """Writes into the signatures what tf.saved_model.save cannot write, but a SignatureDef can hold.

    The inputs of `predict_raw` get the names of their columns, as TF Serving's clients know them; and `serving_default` a
    second name with the digest of the model, which is returned.
    """
    path = str(PurePosixPath(destination) / tf.saved_model.SAVED_MODEL_FILENAME_PB)
    saved_model = saved_model_pb2.SavedModel.FromString(_read(path))
    signatures = saved_model.meta_graphs[0].signature_def
    inputs = signatures[contract.COLUMNS_SIGNATURE].inputs
    renamed = {column: TensorInfo.FromString(inputs[name].SerializeToString()) for name, column in columns.items()}
    inputs.clear()
    for column, info in renamed.items():
        inputs[column].CopyFrom(info)
    digest = hashlib.blake2b(saved_model.SerializeToString(deterministic=True), digest_size=_DIGEST_BYTES)
    for folder in _CONTENT:
        pattern = str(PurePosixPath(destination) / folder / "*")
        for each in sorted(tf.io.gfile.glob(pattern)):
            digest.update(PurePosixPath(each).name.encode() + b"\0" + _read(each))
    name = contract.DIGEST_SIGNATURE + digest.hexdigest()
    signatures[name].CopyFrom(SignatureDef.FromString(signatures[contract.EXAMPLES_SIGNATURE].SerializeToString()))
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(saved_model.SerializeToString(deterministic=True))
    return digest.hexdigest()


def _read(path: str) -> bytes:
    with tf.io.gfile.GFile(path, "rb") as file:
        content: bytes = file.read()
    return content


def _write_description(
    features: Mapping[str, tf.io.VarLenFeature | tf.io.FixedLenFeature],
    label: str,
    head: Head,
    num_parameters: int,
    digest: str,
    destination: str,
) -> None:
    encoding = head.encoding
    is_binary = encoding.task is Task.BINARY
    description = ModelDescription(
        task=encoding.task.value,
        label=label,
        classes=list(encoding.classes),
        threshold=head.threshold.value if is_binary else None,
        threshold_reason=head.threshold.reason,
        calibration=str(head.calibration or ""),
        class_weights=list(head.class_weights),
        digest=digest,
        parameters=num_parameters,
        features={name: raw.dtype_name(spec.dtype) for name, spec in features.items()},
    )
    path = str(PurePosixPath(destination) / DESCRIPTION_PATH)
    tf.io.gfile.makedirs(str(PurePosixPath(path).parent))
    with tf.io.gfile.GFile(path, "w") as file:
        file.write(description.to_json())
