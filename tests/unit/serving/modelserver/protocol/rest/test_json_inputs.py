"""Requests in JSON, by row and by column, and tf.Examples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from serving.modelserver.inference.tensors import data_type
from serving.modelserver.protocol.rest.json_inputs import Format, examples, predict_inputs, signature_name
from serving.modelserver.status import StatusError

FLOAT = {"x": "DT_FLOAT"}
ELEMENT, ERROR = "Failed to process element", "Error: INVALID_ARGUMENT"
TWO = {"x": "DT_FLOAT", "name": "DT_STRING"}


def wanted(**types: str) -> dict[str, meta_graph_pb2.TensorInfo]:
    return {name: meta_graph_pb2.TensorInfo(dtype=getattr(types_pb2, dtype)) for name, dtype in types.items()}


def arrays(document: dict[str, Any], **types: str) -> dict[str, Any]:
    return {name: array.tolist() for name, array in predict_inputs(document, wanted(**types))[0].items()}


def problem(document: dict[str, Any], **types: str) -> str:
    with pytest.raises(StatusError) as failed:
        predict_inputs(document, wanted(**types))
    return failed.value.message


def test_rows_of_a_single_input() -> None:
    inputs, format = predict_inputs({"instances": [[[1, 2.5]], [[3, 4]]]}, wanted(**FLOAT))

    assert inputs["x"].tolist() == [[[1.0, 2.5]], [[3.0, 4.0]]]
    assert inputs["x"].dtype == np.float32
    assert format is Format.ROW


def test_rows_of_named_inputs() -> None:
    document = {"instances": [{"x": 1, "name": "Ann"}, {"name": {"b64": "/wA="}, "x": 2}]}

    assert arrays(document, **TWO) == {"x": [1.0, 2.0], "name": [b"Ann", b"\xff\x00"]}


def test_a_single_input_may_be_named_too() -> None:
    assert arrays({"instances": [{"x": 1}, {"x": 2}]}, **FLOAT) == {"x": [1.0, 2.0]}


def test_columns_of_a_single_input() -> None:
    inputs, format = predict_inputs({"inputs": [[1], [2]]}, wanted(**FLOAT))

    assert inputs["x"].tolist() == [[1.0], [2.0]]
    assert format is Format.COLUMN


def test_columns_of_named_inputs_may_have_different_shapes() -> None:
    document = {"inputs": {"x": [[1, 2]], "name": {"b64": "aGk="}, "unknown": 1}}

    assert arrays(document, **TWO) == {"x": [[1.0, 2.0]], "name": b"hi"}


def test_an_empty_list_is_an_empty_tensor() -> None:
    assert predict_inputs({"inputs": {"x": []}}, wanted(**FLOAT))[0]["x"].shape == (0,)
    assert predict_inputs({"instances": [[], []]}, wanted(**FLOAT))[0]["x"].shape == (2, 0)


@pytest.mark.parametrize("dtype", ["DT_HALF", "DT_BFLOAT16", "DT_COMPLEX64", "DT_UINT16", "DT_QINT8"])
def test_an_empty_list_has_any_type(dtype: str) -> None:
    array = predict_inputs({"inputs": {"x": []}}, wanted(x=dtype))[0]["x"]

    assert array.shape == (0,)
    assert data_type(array) == getattr(types_pb2, dtype)


@pytest.mark.parametrize("dtype", ["DT_VARIANT", "DT_RESOURCE"])
def test_an_empty_list_has_no_type_without_arrays(dtype: str) -> None:
    assert problem({"inputs": {"x": []}}, x=dtype) == f"Tensors of {dtype[3:].lower()} cannot be sent"


@pytest.mark.parametrize("depth", [33, 64, 300])
def test_a_tensor_of_too_many_dimensions(depth: int) -> None:
    value: object = 1.0
    for _ in range(depth):
        value = [value]

    assert problem({"inputs": value}, **FLOAT) == f"A tensor has at most 32 dimensions, not {depth}"


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("DT_FLOAT", [0.5, 3]),
        ("DT_DOUBLE", [1e300, 2**60]),
        ("DT_INT8", [-128, 127]),
        ("DT_INT32", [-(2**31), 2**31 - 1]),
        ("DT_INT64", [-(2**63), 2**63 - 1]),
        ("DT_UINT8", [0, 255]),
        ("DT_UINT32", [0, 2**32 - 1]),
        ("DT_UINT64", [0, 2**64 - 1]),
        ("DT_BOOL", [True, False]),
    ],
)
def test_every_type(dtype: str, values: list[Any]) -> None:
    assert arrays({"instances": values}, x=dtype) == {"x": values}


def test_nan_and_infinity_and_what_a_float_cannot_hold() -> None:
    nan, *others = arrays({"instances": [math.nan, math.inf, -math.inf, 1e300]}, **FLOAT)["x"]

    assert math.isnan(nan)
    assert others == [math.inf, -math.inf, math.inf]


@pytest.mark.parametrize(
    ("dtype", "value", "message"),
    [
        ("DT_FLOAT", "a", 'JSON Value: "a" Type: String is not of expected type: float'),
        ("DT_FLOAT", True, "JSON Value: true Type: True is not of expected type: float"),
        ("DT_FLOAT", None, "JSON Value: null Type: Null is not of expected type: float"),
        ("DT_INT32", 1.0, "JSON Value: 1.0 Type: Number is not of expected type: int32"),
        ("DT_INT32", 2**31, "JSON Value: 2147483648 Type: Number is not of expected type: int32"),
        ("DT_INT64", 2**63, "JSON Value: 9223372036854775808 Type: Number is not of expected type: int64"),
        ("DT_UINT32", -1, "JSON Value: -1 Type: Number is not of expected type: uint32"),
        ("DT_BOOL", 1, "JSON Value: 1 Type: Number is not of expected type: bool"),
        ("DT_STRING", 1, "JSON Value: 1 Type: Number is not of expected type: string"),
        ("DT_FLOAT", {"b64": "aGk="}, "Type: Object is not of expected type: float"),
        ("DT_COMPLEX64", 1, "Conversion of JSON Value: 1 to type: complex64"),
        ("DT_STRING", {"b64": "a?"}, "Unable to base64 decode"),
        ("DT_DOUBLE", 10**400, "Number too big to be stored in double."),
    ],
)
def test_values_that_a_type_cannot_have(dtype: str, value: Any, message: str) -> None:
    assert message in problem({"inputs": [value]}, x=dtype)
    assert message in problem({"instances": [value]}, x=dtype)


@pytest.mark.parametrize("text", ["aGk=", "aGk", "aG\nk ="])
def test_base64_may_lack_its_padding_and_have_spaces(text: str) -> None:
    assert arrays({"inputs": [{"b64": text}]}, x="DT_STRING") == {"x": [b"hi"]}


@pytest.mark.parametrize(
    ("instances", "types", "message"),
    [
        ([[1, 2], [3]], FLOAT, f"{ELEMENT}: 1 of 'instances' list. {ERROR}: Expecting tensor size: 2 but got: 1"),
        ([[1, 2], [[3], [4]]], FLOAT, "Expecting shape [2] but got: [2,1]"),
        ([1, [1]], FLOAT, "Expecting shape [] but got: [1]"),
        ([[1, [2]]], FLOAT, "Encountered list at unexpected level: 1 expected < 1"),
        ([[[1], 2]], FLOAT, "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
        ([[[1, 2], [3]]], FLOAT, "Encountered list at unexpected size: 1 at level: 1 expected size: 2"),
        ([1, 2], TWO, "instances is a plain list, but expecting list of objects"),
        ([{"x": 1, "name": "a"}, 2], TWO, "Expecting object but got list at item 1 of input list"),
        ([1, {"x": 2}], FLOAT, "Expecting value/list but got object at item 1 of input list"),
        (
            [{"x": 1, "z": 2}],
            FLOAT,
            f"{ELEMENT}: 0 key: z of 'instances' list. {ERROR}: JSON object: does not have named input: z",
        ),
        ([{"x": 1}], TWO, 'JSON object: {\n    "x": 1\n} keys must be equal to: name,x'),
    ],
)
def test_rows_that_do_not_fit(instances: list[Any], types: dict[str, str], message: str) -> None:
    assert message in problem({"instances": instances}, **types)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "Missing 'inputs' or 'instances' key"),
        ({"instances": [1], "inputs": [1]}, "expecting only one of 'inputs' or 'instances' keys to exist "),
        ({"instances": 1}, "Expecting 'instances' to be an list/array"),
        ({"instances": []}, "No values in 'instances' array"),
        ({"inputs": [1]}, "inputs is a plain value/list, but expecting an object as multiple input tensors"),
        ({"inputs": {"x": [1]}}, "Missing named input: name in 'inputs' object."),
    ],
)
def test_requests_without_a_format(document: dict[str, Any], message: str) -> None:
    assert message in problem(document, **TWO)


def test_the_signature_is_a_name() -> None:
    assert signature_name({}) == ""
    assert signature_name({"signature_name": "x"}) == "x"
    with pytest.raises(StatusError, match="'signature_name' key must be a string value"):
        signature_name({"signature_name": 5})


def test_examples_and_their_context() -> None:
    document = {
        "context": {"country": "US"},
        "examples": [{"age": 30, "score": [1.5, 2.5], "on": True, "raw": {"b64": "/w=="}, "none": []}],
    }

    given = examples(document).example_list_with_context

    assert given.context.features.feature["country"].bytes_list.value[0] == b"US"
    features = given.examples[0].features.feature
    assert list(features["age"].int64_list.value) == [30]
    assert list(features["score"].float_list.value) == [1.5, 2.5]
    assert list(features["on"].int64_list.value) == [1]
    assert list(features["raw"].bytes_list.value) == [b"\xff"]
    assert features["none"].WhichOneof("kind") is None


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "key 'examples' is expected and was not found"),
        ({"examples": {}}, "Expecting 'examples' value to be an list/array"),
        ({"examples": []}, "'examples' value is an empty array"),
        ({"examples": [1]}, "Example must be JSON object but got JSON Number"),
        ({"context": [], "examples": [{}]}, "Example must be JSON object but got JSON Array"),
        ({"examples": [{"a": None}]}, "Feature: a has element with unexpected JSON type: Null"),
        ({"examples": [{"a": [[1]]}]}, "Feature: a has element with unexpected JSON type: Array"),
        ({"examples": [{"a": {"b": 1}}]}, "Feature: a has element with unexpected JSON type: Object"),
        ({"examples": [{"a": [1, 2.5]}]}, "Unexpected element type in feature: a expecting type: int64"),
        ({"examples": [{"a": ["x", 1]}]}, "Unexpected element type in feature: a expecting type: bytes"),
        ({"examples": [{"a": 2**63}]}, "Feature: a has uint64_t element. Only int64_t is supported."),
    ],
)
def test_examples_that_are_none(document: dict[str, Any], message: str) -> None:
    with pytest.raises(StatusError) as failed:
        examples(document)

    assert message in failed.value.message
