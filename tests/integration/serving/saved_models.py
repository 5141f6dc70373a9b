"""Small SavedModels of each kind that a model server has to load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# TensorFlow is imported where it is used, so that tests without it start quickly.


def write_half_plus(path: Path, offset: float = 2.0, *, seconds: float = 0.0) -> Path:
    """A SavedModel of TensorFlow 1: y = x / 2 + offset.

    Its signatures are those of TensorFlow Serving's own example: serving_default (x to y), and classify_x_to_y and
    regress_x_to_y, which take tf.Examples with a float feature x.

    Args:
      path: the version's folder; it must not exist.
      offset: tells versions apart.
      seconds: how long each run takes.

    Returns:
      The path.
    """
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        half = v1.get_variable("a", initializer=0.5)
        added = v1.get_variable("b", initializer=offset)
        serialized = v1.placeholder(tf.string, [None], name="tf_example")
        parsed = v1.parse_example(serialized, {"x": tf.io.FixedLenFeature([1], tf.float32)})
        x = v1.placeholder_with_default(parsed["x"], None, name="x")
        y = tf.add(_slowly(tf.multiply(half, x), seconds), added, name="y")
        session.run(v1.global_variables_initializer())
        info, build = v1.saved_model.utils.build_tensor_info, v1.saved_model.signature_def_utils.build_signature_def
        signatures = {
            "serving_default": build({"x": info(x)}, {"y": info(y)}, "tensorflow/serving/predict"),
            "regress_x_to_y": build({"inputs": info(serialized)}, {"outputs": info(y)}, "tensorflow/serving/regress"),
            "classify_x_to_y": build({"inputs": info(serialized)}, {"scores": info(y)}, "tensorflow/serving/classify"),
        }
        builder = v1.saved_model.Builder(str(path))
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
        builder.save()
    return path


def write_module(path: Path) -> Path:
    """A SavedModel of a tf.Module, with a signature for each type of tensor.

    - serving_default: `text` (string) and `count` (int64), both of a row, to `joined` (string), `joined_bytes` (string) and
      `next` (int64).
    - types: a tensor of [rows, 2] for each type, by its name such as float32, to the same.
    - label: tf.Examples with a string `name` to `classes` and `scores`, as Classify wants them.
    - scalar: `x` (float32, no dimensions) to `y`.
    - fail: `x` (float32) to `y`, if no x is negative.

    Args:
      path: the version's folder.

    Returns:
      The path.
    """
    import tensorflow as tf

    names = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint32", "uint64", "bool", "string")

    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text"), tf.TensorSpec([None], tf.int64, "count")])
        def join(self, text: Any, count: Any) -> Any:
            joined = tf.strings.join([text, tf.strings.as_string(count)], "-")
            return {"joined": joined, "joined_bytes": joined, "next": count + 1}

        @tf.function(input_signature=[tf.TensorSpec([None, 2], name, name) for name in names])
        def types(self, *values: Any) -> Any:
            return {name: tf.identity(value) for name, value in zip(names, values, strict=True)}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
        def label(self, inputs: Any) -> Any:
            names = tf.io.parse_example(inputs, {"name": tf.io.FixedLenFeature([], tf.string, "nobody")})["name"]
            return {
                "classes": tf.stack([names, tf.fill(tf.shape(names), "other")], axis=1),
                "scores": tf.repeat(tf.constant([[0.75, 0.25]]), tf.size(names), axis=0),
            }

        @tf.function(input_signature=[tf.TensorSpec([], tf.float32, "x")])
        def scalar(self, x: Any) -> Any:
            return {"y": 2.0 * x}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
        def fail(self, x: Any) -> Any:
            with tf.control_dependencies([tf.debugging.assert_non_negative(x, "no negative numbers, please")]):
                return {"y": tf.identity(x)}

    module = Module()
    signatures = {
        "serving_default": module.join,
        "types": module.types,
        "label": module.label,
        "scalar": module.scalar,
        "fail": module.fail,
    }
    tf.saved_model.save(module, str(path), signatures)
    return path


def write_keras(path: Path) -> Path:
    """A SavedModel that Keras 3 has exported: a dense layer that adds 1 to the sum of three numbers.

    Args:
      path: the version's folder.

    Returns:
      The path.
    """
    import keras

    inputs = keras.Input((3,), name="numbers")
    outputs = keras.layers.Dense(1, kernel_initializer="ones", bias_initializer="ones", name="total")(inputs)
    keras.Model(inputs, outputs).export(str(path), verbose=False)
    return path


def write_warmup(path: Path, *requests: Any) -> None:
    """Gives a version warm-up requests.

    Args:
      path: the version's folder.
      requests: PredictRequests.
    """
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    extra = path / "assets.extra"
    extra.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(extra / "tf_serving_warmup_requests")) as writer:
        for request in requests:
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            writer.write(log.SerializeToString())


def _slowly(value: Any, seconds: float) -> Any:
    """The value, after a while: the graph itself waits, since one that is served has no Python in it."""
    import tensorflow as tf

    if not seconds:
        return value
    started = tf.timestamp()
    with tf.control_dependencies([started, value]):
        waited = tf.while_loop(lambda now: now - started < seconds, lambda now: [tf.timestamp()], [tf.identity(started)])
    with tf.control_dependencies([waited] if not isinstance(waited, list) else waited):
        return tf.identity(value)
