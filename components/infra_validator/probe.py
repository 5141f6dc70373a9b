"""Loads a SavedModel as TensorFlow Serving does, and sends it rows to answer.

Run as a script, in a process of its own: `python probe.py VERDICT MODEL REQUESTS FILE...`

It imports nothing of this project, as a model server would not, says on stdout what it does next, and writes its verdict to
the file VERDICT, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # TensorFlow imports Keras if it can, in a third of the time of its own start. A model server has none.
    sys.modules["keras"] = None  # type: ignore[assignment]

import numpy as np
import tensorflow as tf

SERIALISED, RAW = "serving_default", "predict_raw"
EXAMPLES = "examples"
OF_CLASSES = ("probabilities", "weighed_probabilities")
# How TensorFlow refuses a row without a feature of fixed shape, which a schema asks for by giving the feature a shape.
REQUIRED = "is required but could not be found"
# Both signatures run the same graph in float32: what differs beyond this is another computation.
TOLERANCE = 1e-5

Outputs = dict[str, np.ndarray]


class RefusedError(Exception):
    """The model must not be served, for the reason that the message gives."""


class ServedModel:
    """A SavedModel, restored as in TensorFlow 1, as TensorFlow Serving does."""

    def __init__(self, folder: str) -> None:
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        try:
            with self._session.graph.as_default():
                graph = tf.compat.v1.saved_model.load(self._session, [tf.saved_model.SERVING], folder)
        except Exception as error:  # Whatever it is, a model server would not get any further.
            raise RefusedError(f"It could not be loaded: {_first_line(str(error))}") from error
        self._signatures = dict(graph.signature_def)
        for name in (SERIALISED, RAW):
            if name not in self._signatures:
                raise RefusedError(f"It has no signature {name}, only {', '.join(sorted(self._signatures))}.")
        if list(self._signatures[SERIALISED].inputs) != [EXAMPLES]:
            raise RefusedError(f"The one input of {SERIALISED} must be {EXAMPLES}.")

    def raw_inputs(self) -> dict[str, tf.TensorSpec]:
        """The raw features by name: [rows], or [rows, values] for lists."""
        inputs = self._signatures[RAW].inputs
        return {name: tf.TensorSpec(info.tensor_shape, info.dtype, name) for name, info in inputs.items()}

    def answer(self, signature: str, inputs: Mapping[str, Any]) -> Outputs:
        """The outputs of a signature, by name."""
        definition = self._signatures[signature]
        fetches = {name: info.name for name, info in definition.outputs.items()}
        feeds = {definition.inputs[name].name: value for name, value in inputs.items()}
        try:
            return self._session.run(fetches, feeds)
        except tf.errors.OpError as error:
            raise RefusedError(f"{signature} failed: {_first_line(error.message)}") from error

    def answer_examples(self, examples: list[tf.train.Example]) -> Outputs:
        """The outputs for tf.Examples, checked."""
        outputs = self.answer(SERIALISED, {EXAMPLES: [example.SerializeToString() for example in examples]})
        check(outputs, len(examples))
        return outputs


def check(outputs: Outputs, rows: int) -> None:
    """Raises a RefusedError for outputs that clients could not use."""
    if "probabilities" not in outputs and "predictions" not in outputs:
        raise RefusedError(f"Its outputs are {', '.join(sorted(outputs))}: neither probabilities nor predictions.")
    for name, values in outputs.items():
        expected = [rows, values.shape[-1] if name in OF_CLASSES and values.ndim else 1]
        if list(values.shape) != expected:
            raise RefusedError(f"{name} has the shape {list(values.shape)} for {rows} rows, not {expected}.")
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise RefusedError(f"{name} is not finite in {np.sum(~np.isfinite(values))} places for {rows} rows.")


def check_agreement(serialised: Outputs, raw: Outputs) -> None:
    """Raises a RefusedError for a model whose signatures answer the same rows differently."""
    if serialised.keys() != raw.keys():
        raise RefusedError(f"{SERIALISED} answers {sorted(serialised)}, but {RAW} answers {sorted(raw)}.")
    for name, values in serialised.items():
        if values.dtype.kind == "f":
            difference = float(np.max(np.abs(values - raw[name])))
            if difference > TOLERANCE:
                raise RefusedError(f"{SERIALISED} and {RAW} differ by {difference:.2g} in {name} for the same rows.")
        elif not np.array_equal(values, raw[name]):
            raise RefusedError(f"{SERIALISED} and {RAW} differ in {name} for the same rows.")


def complete(examples: list[tf.train.Example], inputs: dict[str, tf.TensorSpec]) -> list[tf.train.Example]:
    """Copies of rows in which every raw feature has a value, taken from another row where it was missing."""
    completed = [tf.train.Example.FromString(example.SerializeToString()) for example in examples]
    for name, spec in inputs.items():
        filler = next((example.features.feature[name] for example in completed if _values(example, name)), _default(spec))
        for example in completed:
            if not _values(example, name):
                example.features.feature[name].CopyFrom(filler)
    return completed


def raw_tensors(examples: list[tf.train.Example], inputs: dict[str, tf.TensorSpec]) -> dict[str, np.ndarray]:
    """An array of shape [rows] for each raw feature, or [rows, values] for lists, which end before the first missing value."""
    return {name: _array([_values(example, name) for example in examples], spec) for name, spec in inputs.items()}


def _array(rows: list[list[Any]], spec: tf.TensorSpec) -> np.ndarray:
    if spec.shape.rank == 1:
        return np.array([values[0] for values in rows], spec.dtype.as_numpy_dtype)
    width = spec.shape[1] or 1 + max(map(len, rows))
    missing = {tf.string: b"", tf.int64: np.iinfo(np.int64).min}.get(spec.dtype, np.nan)
    present = [[value for value in values if value == value and value != missing] for values in rows]
    padded = [values + [missing] * (width - len(values)) for values in (rows if spec.shape[1] else present)]
    return np.array(padded, spec.dtype.as_numpy_dtype)


def without(example: tf.train.Example, name: str) -> tf.train.Example:
    """A copy of a row that lacks one feature."""
    copy = tf.train.Example.FromString(example.SerializeToString())
    del copy.features.feature[name]
    return copy


def check_gap(served: ServedModel, example: tf.train.Example, name: str) -> None:
    """Raises a RefusedError for a model that does not answer a row without a feature which its schema does not require."""
    try:
        served.answer_examples([without(example, name)])
    except RefusedError as refusal:
        if REQUIRED not in str(refusal):
            raise RefusedError(f"A row without {name}: {refusal}") from refusal


def validate(model: str, requests: int, files: list[str]) -> dict[str, float]:
    """Loads a model and checks its answers.

    Args:
      model: folder of the SavedModel.
      requests: the number of rows to send, one by one and together.
      files: TFRecord files of tf.Examples.

    Returns:
      Measures: `load_seconds`, `latency_p50_ms` and `latency_p99_ms` of a request of one row, `requests` answered.

    Raises:
      RefusedError: the model must not be served.
    """
    say("reading rows")
    examples = read(files, requests)
    say("loading the model")
    started = time.perf_counter()
    served = ServedModel(model)
    load_seconds = time.perf_counter() - started
    inputs = served.raw_inputs()
    completed = complete(examples, inputs)

    say(f"answering {len(examples)} rows")
    served.answer_examples(examples)
    say("answering rows without gaps")
    check_agreement(served.answer_examples(completed), served.answer(RAW, raw_tensors(completed, inputs)))
    for name in inputs:
        say(f"answering a row without {name}")
        check_gap(served, completed[0], name)
    latencies = []
    for number, example in enumerate(examples):
        say(f"answering row {number + 1}")
        started = time.perf_counter()
        served.answer_examples([example])
        latencies.append(1000 * (time.perf_counter() - started))
    p50, p99 = np.percentile(latencies, [50, 99])
    return {"load_seconds": load_seconds, "latency_p50_ms": p50, "latency_p99_ms": p99, "requests": len(examples)}


def say(step: str) -> None:
    """Says what comes next to whoever waits for it."""
    print(step, flush=True)


def read(files: list[str], rows: int) -> list[tf.train.Example]:
    """The first rows of TFRecord files, gzipped when their names end in .gz."""
    records: list[bytes] = []
    for file in files:
        compression = "GZIP" if file.endswith(".gz") else ""
        dataset = tf.data.TFRecordDataset(file, compression).take(rows - len(records))
        records.extend(dataset.as_numpy_iterator())
    if not records:
        raise RefusedError("The evaluation split has no rows to send to it.")
    return [tf.train.Example.FromString(record) for record in records]


def _values(example: tf.train.Example, name: str) -> list[Any]:
    if name not in example.features.feature:
        return []
    feature = example.features.feature[name]
    kind = feature.WhichOneof("kind")
    return list(getattr(feature, kind).value) if kind else []


def _default(spec: tf.TensorSpec) -> tf.train.Feature:
    size = (spec.shape[1] or 1) if spec.shape.rank > 1 else 1
    if spec.dtype == tf.string:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[b""] * size))
    if spec.dtype.is_integer:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[0] * size))
    return tf.train.Feature(float_list=tf.train.FloatList(value=[0.0] * size))


def _first_line(message: str) -> str:
    lines = message.removeprefix("Graph execution error:").strip().splitlines()
    return lines[0] if lines else "no message"


def main() -> None:
    """Writes the verdict."""
    verdict_file, model, requests, *files = sys.argv[1:]
    verdict: dict[str, Any] = {"blessed": True, "message": "", "measures": {}}
    try:
        verdict["measures"] = validate(model, int(requests), files)
    except RefusedError as refusal:
        verdict.update(blessed=False, message=str(refusal))
    Path(verdict_file).write_text(json.dumps(verdict))


if __name__ == "__main__":
    main()
