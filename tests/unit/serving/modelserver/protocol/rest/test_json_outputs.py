"""Answers in JSON, letter by letter."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from tensorflow_serving.apis import classification_pb2, get_model_status_pb2, regression_pb2

from serving.modelserver.protocol.rest import json_outputs
from serving.modelserver.protocol.rest.json_inputs import Format
from serving.modelserver.status import StatusError, invalid_argument


def strings(*values: bytes) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def test_rows_of_one_output() -> None:
    outputs = {"y": np.array([[2.5, 3.0], [3.5, 4.0]], np.float32)}

    assert json_outputs.predictions(outputs, Format.ROW) == '{\n    "predictions": [[2.5, 3.0], [3.5, 4.0]\n    ]\n}'


def test_rows_of_several_outputs() -> None:
    outputs = {"a": np.array([1, 2]), "b": np.array([[0.5], [1.5]])}

    assert json_outputs.predictions(outputs, Format.ROW) == (
        '{\n    "predictions": [\n        {\n            "a": 1,\n            "b": [0.5]\n        },\n'
        '        {\n            "a": 2,\n            "b": [1.5]\n        }\n    ]\n}'
    )


def test_columns_of_one_output() -> None:
    outputs = {"y": np.array([[1, 2]], np.int32)}

    assert json_outputs.predictions(outputs, Format.COLUMN) == (
        '{\n    "outputs": [\n        [\n            1,\n            2\n        ]\n    ]\n}'
    )


def test_columns_of_several_outputs_may_be_scalars() -> None:
    outputs = {"a": np.array(True), "b": np.array([], np.float32)}

    assert json_outputs.predictions(outputs, Format.COLUMN) == (
        '{\n    "outputs": {\n        "a": true,\n        "b": []\n    }\n}'
    )


def test_no_rows() -> None:
    assert json_outputs.predictions({"y": np.empty((0, 3))}, Format.ROW) == '{\n    "predictions": []\n}'


def test_strings_are_text_and_bytes_are_base64() -> None:
    outputs = {"name": strings(b"J\xc3\xbc\n", b'"'), "name_bytes": strings(b"hi", b"\xff")}

    text = json_outputs.predictions(outputs, Format.ROW)

    assert json.loads(text)["predictions"] == [
        {"name": "Jü\n", "name_bytes": {"b64": "aGk="}},
        {"name": '"', "name_bytes": {"b64": "/w=="}},
    ]
    assert '            "name_bytes": {\n                "b64": "aGk="\n            }\n' in text
    assert json_outputs.predictions({"x_bytes": strings(b"hi")}, Format.ROW) == (
        '{\n    "predictions": [{\n            "b64": "aGk="\n        }\n    ]\n}'
    )


def test_strings_that_are_no_utf_8_keep_their_bytes() -> None:
    text = json_outputs.predictions({"x": strings(b"\xff")}, Format.ROW)

    assert text.encode(errors="surrogateescape") == b'{\n    "predictions": ["\xff"\n    ]\n}'


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1.0, "1.0"),
        (-0.0, "-0.0"),
        (0.2, "0.2"),
        (0.123456789, "0.123456791"),
        (1e6, "1e+06"),
        (1234567.0, "1234567.0"),
        (3e-5, "3e-05"),
        (16777216.0, "16777216.0"),
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
    ],
)
def test_floats_have_six_digits_or_as_many_as_they_need(number: float, text: str) -> None:
    outputs = {"y": np.array([number], np.float32)}

    assert json_outputs.predictions(outputs, Format.ROW) == f'{{\n    "predictions": [{text}\n    ]\n}}'


def test_doubles_have_seventeen() -> None:
    assert "[0.33333333333333331, 0.1\n" in json_outputs.predictions({"y": np.array([1 / 3, 0.1])}, Format.ROW)


def test_every_float_comes_back() -> None:
    rng = np.random.default_rng(0)
    for dtype, bits in ((np.float32, np.uint32), (np.float64, np.uint64)):
        numbers = rng.integers(0, np.iinfo(bits).max, 5000, bits).view(dtype)
        numbers = numbers[np.isfinite(numbers)]

        back = json.loads(json_outputs.predictions({"y": numbers}, Format.ROW))["predictions"]

        assert np.array_equal(np.array(back, dtype), numbers)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({}, "Cannot convert empty tensor map to JSON"),
        ({"y": np.array(1.0)}, "Tensor name: y has no shape information "),
        ({"a": np.zeros(2), "b": np.zeros(3)}, "Tensor name: b has inconsistent batch size: 3 expecting: 2"),
        ({"y": np.zeros(1, np.complex64)}, "Failed to write JSON value for tensor type: complex64"),
        ({"y": np.zeros(1, np.float16)}, "Failed to write JSON value for tensor type: half"),
    ],
)
def test_rows_that_cannot_be_written(outputs: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(StatusError) as failed:
        json_outputs.predictions(outputs, Format.ROW)

    assert failed.value.message == message


def test_classifications() -> None:
    result = classification_pb2.ClassificationResult()
    for scores in ((0.75, 0.25), (0.5, 0.5)):
        row = result.classifications.add()
        for label, score in zip("ab", scores, strict=True):
            row.classes.add(label=label, score=score)

    assert json_outputs.classifications(result) == (
        '{\n    "results": [[["a", 0.75], ["b", 0.25]], [["a", 0.5], ["b", 0.5]]\n    ]\n}'
    )


def test_regressions() -> None:
    result = regression_pb2.RegressionResult(regressions=[regression_pb2.Regression(value=value) for value in (0.2, 3.0)])

    assert json_outputs.regressions(result) == '{\n    "results": [0.2, 3.0]\n}'


def test_status_shows_what_is_zero_too() -> None:
    response = get_model_status_pb2.GetModelStatusResponse()
    response.model_version_status.add(version=1, state=30).status.SetInParent()

    assert json.loads(json_outputs.status(response)) == {
        "model_version_status": [{"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}]
    }


def test_failure() -> None:
    assert json_outputs.failure(invalid_argument('no "x"')) == '{\n    "error": "no \\"x\\""\n}'
