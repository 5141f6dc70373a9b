"""The derived features against the transform graph that they come from, on rows made to be nasty."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_metadata.proto.v0 import schema_pb2

from components.shared.examples.splits import SplitPart
from components.transform.analysis import analyze
from pipeline.training.preprocessing import preprocessing_fn
from pipeline.training.raw import MISSING
from pipeline.training.settings import TrainerSettings
from pipeline.training.transformation import DerivedTransformation, GraphTransformation, transformation

ONE, ANY, THREE = (
    "value_count { max: 1 }",
    "value_count { min: 0 max: 9 }",
    "shape { dim { size: 3 } } presence { min_fraction: 1 }",
)
FIXED, FIXED_IN_A_LIST = "shape {} presence { min_fraction: 1 }", "shape { dim { size: 1 } } presence { min_fraction: 1 }"
COLUMNS = {
    "amount": ("FLOAT", ONE),
    "count": ("INT", ONE),
    "fixed": ("FLOAT", FIXED),
    "fixed in a list": ("INT", FIXED_IN_A_LIST),
    "constant": ("FLOAT", ONE),
    "never": ("FLOAT", ONE),
    "five": ("FLOAT", ONE),
    "also five": ("INT", ONE),
    "three": ("FLOAT", ONE),
    "city": ("BYTES", ONE),
    "code": ("INT", ONE),
    "plane": ("BYTES", ONE),
    "never text": ("BYTES", ONE),
    "departure": ("INT", ONE),
    "arrival": ("INT", ONE),
    "birthday": ("INT", ONE),
    "review": ("BYTES", ONE),
    "tags": ("BYTES", ANY),
    "codes": ("INT", ANY),
    "waits": ("FLOAT", ANY),
    "binned": ("FLOAT", ANY),
    "visits": ("INT", ANY),
    "vector": ("FLOAT", THREE),
    "label": ("INT", ONE),
}
FEATURES = {
    "five": {"buckets": 5},
    "also five": {"buckets": 5},
    "three": {"buckets": 3},
    "city": {"oov_buckets": 3},
    "code": {"kind": "categorical", "vocabulary": 3, "oov_buckets": 2},
    "departure": {"kind": "time"},
    "arrival": {"kind": "time"},
    "birthday": {"kind": "time", "parts": ["day_of_year", "day_of_month", "minute_of_hour", "elapsed"]},
    "review": {"kind": "text", "hash_buckets": 100},
    "codes": {"kind": "categorical", "oov_buckets": 2},
    "binned": {"buckets": 3},
    "visits": {"kind": "time", "parts": ["hour_of_day", "elapsed"]},
}
LISTS = {"tags": None, "codes": None, "waits": None, "binned": None, "visits": None, "vector": 3}
PREPARED = {"label": "label", "features": FEATURES, "lists": LISTS}
TEXTS = ["", "a", "b", "ä", "a b", " a", "a ", "0 a", "1", "-1", "a\nb", "a\r", "\x00", "日本", "long" * 200]
NUMBERS = [0, 1, -1, 2, 7, 2**53 + 1, 2**63 - 1, -(2**63), 1_700_000_000, -86_400]
FLOATS = [0.0, -0.0, 1.5, -1.5, 1e-38, 3e38, math.nan, math.inf, -math.inf, 0.1]
VALUES = {"FLOAT": st.sampled_from(FLOATS), "INT": st.sampled_from(NUMBERS), "BYTES": st.sampled_from(TEXTS)}

Row = Mapping[str, list[Any]]


def _sizes(constraint: str) -> dict[str, int]:
    return {
        ONE: {"max_size": 2},
        ANY: {"max_size": 4},
        THREE: {"min_size": 3, "max_size": 3},
    }.get(constraint, {"min_size": 1, "max_size": 1})


ROWS = st.lists(
    st.fixed_dictionaries(
        {}, optional={name: st.lists(VALUES[type_], **_sizes(constraint)) for name, (type_, constraint) in COLUMNS.items()}
    ),
    min_size=1,
    max_size=5,
)


def _example(row: Row) -> bytes:
    """A row whose lists are there even if they are empty."""
    features = {}
    for name, values in row.items():
        if COLUMNS[name][0] == "BYTES":
            texts = tf.train.BytesList(value=[value.encode() for value in values])
            features[name] = tf.train.Feature(bytes_list=texts)
        elif COLUMNS[name][0] == "FLOAT":
            features[name] = tf.train.Feature(float_list=tf.train.FloatList(value=values))
        else:
            features[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    serialized: bytes = tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()
    return serialized


def _trained_on() -> list[Row]:
    random = np.random.default_rng(0)

    def values(name: str) -> list[Any]:
        type_, constraint = COLUMNS[name]
        count = {ANY: random.integers(0, 4), THREE: 3}.get(constraint, 1)
        if type_ == "FLOAT":
            return [1.5] if name == "constant" else random.normal(3, 2, count).tolist()
        if type_ == "INT":
            return random.integers(-5, 5, count).tolist()
        return random.choice(["a", "b", "ä", "a b", " a"], count).tolist()

    return [{name: values(name) for name in COLUMNS if not name.startswith("never")} for _ in range(200)]


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> tft.TFTransformOutput:
    folder = tmp_path_factory.mktemp("analysis")
    with tf.io.TFRecordWriter(str(folder / "rows.gz"), "GZIP") as writer:
        for row in _trained_on():
            writer.write(_example(row))
    schema = schema_pb2.Schema()
    for name, (type_, constraint) in COLUMNS.items():
        text_format.Merge(f'feature {{ name: "{name}" type: {type_} {constraint} }}', schema)
    analyze(
        functools.partial(preprocessing_fn, custom_config=PREPARED),
        "",
        schema,
        [SplitPart((str(folder / "rows.gz"),))],
        str(folder / "graph"),
        str(folder / "temporary"),
    )
    return tft.TFTransformOutput(str(folder / "graph"))


@pytest.fixture(scope="module")
def expected(graph: tft.TFTransformOutput) -> Any:
    transformed = GraphTransformation(graph, "label")
    return tf.function(transformed.of_examples, [tf.TensorSpec([None], tf.string)], autograph=False)


@pytest.fixture(scope="module")
def derived(graph: tft.TFTransformOutput) -> Any:
    found = transformation(TrainerSettings.model_validate(PREPARED), graph)
    assert isinstance(found, DerivedTransformation)
    return found


@pytest.fixture(scope="module")
def of_examples(derived: DerivedTransformation) -> Any:
    return tf.function(derived.of_examples, [tf.TensorSpec([None], tf.string)], autograph=False)


def _assert_equal(actual: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    assert actual.keys() == expected.keys()
    for name, values in expected.items():
        assert actual[name].dtype == values.dtype
        dense, other = (tf.sparse.to_dense(each) if name.startswith("bag") else each for each in (values, actual[name]))
        np.testing.assert_allclose(other.numpy(), dense.numpy(), rtol=1e-6, atol=1e-6, err_msg=name)


NASTY: list[Row] = [
    {},
    *({"city": [text], "plane": [text], "tags": [text, text], "review": [text]} for text in TEXTS),
    *({"count": [number], "code": [number], "departure": [number], "codes": [3, number]} for number in NUMBERS),
    *({"amount": [number], "five": [number], "constant": [number], "waits": [1.0, number]} for number in FLOATS),
    {"amount": [], "count": [1, 2], "city": ["a", "b"], "never": [1.0], "never text": ["x"]},
]


@settings(max_examples=40)
@given(ROWS)
def test_derived_features_are_those_of_the_transform_graph(expected: Any, of_examples: Any, rows: list[Row]) -> None:
    examples = tf.constant([_example(row) for row in rows])
    _assert_equal(of_examples(examples), _without_label(expected(examples)))


def test_nasty_rows_one_by_one_and_together(expected: Any, of_examples: Any) -> None:
    for rows in [NASTY, *([row] for row in NASTY)]:
        examples = tf.constant([_example(row) for row in rows])
        _assert_equal(of_examples(examples), _without_label(expected(examples)))


def test_features_are_those_of_the_same_columns(derived: DerivedTransformation, of_examples: Any) -> None:
    """A tensor for each column, as a served model takes them."""
    rows = _trained_on()[:20]
    tensors = {}
    for name in derived.columns:
        type_, constraint = COLUMNS[name]
        dtype = {"FLOAT": tf.float32, "INT": tf.int64, "BYTES": tf.string}[type_]
        width = {ANY: 5, THREE: 3}.get(constraint, 1)
        padded = [[*row.get(name, []), *[MISSING[dtype]] * width][:width] for row in rows]
        tensors[name] = tf.constant(padded if width > 1 else [values[0] for values in padded], dtype)
    of_columns = tf.function(derived.of_columns, autograph=False)
    _assert_equal(of_columns(tensors), of_examples(tf.constant([_example(row) for row in rows])))


def test_rows_to_learn_from_have_their_label_and_what_the_schema_requires(
    derived: DerivedTransformation, of_examples: Any
) -> None:
    rows = _trained_on()[:9]
    learned = derived.of_labelled(tf.constant([_example(row) for row in rows]))
    assert learned.pop("label").numpy().tolist() == [row["label"][0] for row in rows]
    _assert_equal(learned, of_examples(tf.constant([_example(row) for row in rows])))
    with pytest.raises(tf.errors.InvalidArgumentError, match="fixed"):
        derived.of_labelled(tf.constant([_example({"label": [1]})]))


def test_no_rows(of_examples: Any) -> None:
    assert {values.shape[0] for values in of_examples(tf.constant([], tf.string)).values()} == {0}


def _without_label(features: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values for name, values in features.items() if name != "label"}
