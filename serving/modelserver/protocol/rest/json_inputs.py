"""Requests in JSON: tensors by row or by column, and tf.Examples."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import input_pb2

from serving.modelserver.inference.tensors import MAX_DIMENSIONS, empty_array
from serving.modelserver.inference.tensors import type_name as tensor_type_name
from serving.modelserver.protocol.rest.json_document import describe, number_too_big, to_bytes, to_text, type_name
from serving.modelserver.status import StatusError, invalid_argument, unimplemented

_INSTANCES, _INPUTS, _BASE64 = "instances", "inputs", "b64"
_Inputs = Mapping[str, meta_graph_pb2.TensorInfo]
_INT64 = range(-(2**63), 2**63)
_UINT64 = range(2**64)


class Format(Enum):
    """The layout of tensors: an object (or value) for each row, or a list for each tensor."""

    ROW = "row"
    COLUMN = "column"


@dataclass(frozen=True)
class _Kind:
    """The values that a tensor's type accepts: Python types as the parser makes them, and whole numbers of a range."""

    dtype: type
    types: frozenset[type]
    range: range | None = None

    def accepts(self, values: Sequence[Any]) -> bool:
        if not self.types.issuperset(map(type, values)):
            return False
        return self.range is None or not values or (min(values) in self.range and max(values) in self.range)


_NUMBERS, _INTEGERS = frozenset({int, float}), frozenset({int})
_INT32 = range(-(2**31), 2**31)
_KINDS = {
    types_pb2.DT_FLOAT: _Kind(np.float32, _NUMBERS),
    types_pb2.DT_DOUBLE: _Kind(np.float64, _NUMBERS),
    # TensorFlow Serving checks these against int32 and then takes the lower bits.
    types_pb2.DT_INT8: _Kind(np.int8, _INTEGERS, _INT32),
    types_pb2.DT_INT16: _Kind(np.int16, _INTEGERS, _INT32),
    types_pb2.DT_INT32: _Kind(np.int32, _INTEGERS, _INT32),
    types_pb2.DT_UINT8: _Kind(np.uint8, _INTEGERS, _INT32),
    types_pb2.DT_INT64: _Kind(np.int64, _INTEGERS, _INT64),
    types_pb2.DT_UINT32: _Kind(np.uint32, _INTEGERS, range(2**32)),
    types_pb2.DT_UINT64: _Kind(np.uint64, _INTEGERS, _UINT64),
    types_pb2.DT_BOOL: _Kind(np.bool_, frozenset({bool})),
    types_pb2.DT_STRING: _Kind(np.object_, frozenset({str})),
}


def signature_name(document: Mapping[str, Any]) -> str:
    """The signature that a request names; empty when it names none.

    Raises:
      StatusError: its name is not a string.
    """
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid_argument(
            f"JSON Value: {describe(document)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return to_text(name)


def predict_inputs(document: Mapping[str, Any], wanted: _Inputs) -> tuple[dict[str, np.ndarray], Format]:
    """The tensors of a predict request.

    Args:
      document: the request.
      wanted: the signature's inputs by name.

    Returns:
      Arrays by the name of their input, and the format of the request, which is also that of the answer.

    Raises:
      StatusError: the request has neither format, or does not fit the inputs.
    """
    if _INSTANCES in document and _INPUTS in document:
        problem = f"Not formatted correctly expecting only one of '{_INPUTS}' or '{_INSTANCES}' keys to exist "
        raise invalid_argument(f"JSON Value: {describe(document)} {problem}")
    if _INSTANCES in document:
        rows = document[_INSTANCES]
        if not isinstance(rows, list):
            raise invalid_argument(f"JSON Value: {describe(document)} Expecting '{_INSTANCES}' to be an list/array")
        if not rows:
            raise invalid_argument(f"JSON Value: {describe(document)} No values in '{_INSTANCES}' array")
        return _rows(rows, wanted), Format.ROW
    if _INPUTS in document:
        return _columns(document[_INPUTS], wanted), Format.COLUMN
    raise invalid_argument(f"Missing '{_INPUTS}' or '{_INSTANCES}' key")


def examples(document: Mapping[str, Any]) -> input_pb2.Input:
    """The tf.Examples of a classify or regress request.

    Raises:
      StatusError: there are none, or a value is of a type that tf.Examples do not have.
    """
    given = input_pb2.Input()
    destination = given.example_list
    if "context" in document:
        destination = given.example_list_with_context
        destination.context.CopyFrom(_example(document["context"]))
    if "examples" not in document:
        raise invalid_argument(
            f"JSON Value: {describe(document)} When method is classify, key 'examples' is expected and was not found"
        )
    values = document["examples"]
    if not isinstance(values, list):
        raise invalid_argument(f"JSON Value: {describe(document)} Expecting 'examples' value to be an list/array")
    if not values:
        raise invalid_argument(f"JSON Value: {describe(document)} 'examples' value is an empty array")
    destination.examples.extend(map(_example, values))
    return given


def _rows(rows: list[Any], wanted: _Inputs) -> dict[str, np.ndarray]:
    if not isinstance(rows[0], dict) and len(wanted) > 1:
        raise invalid_argument(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per tensorinfo_map"
        )
    named = _is_object(rows[0])
    only = next(iter(wanted))
    try:
        if not named:
            return {only: _tensor(rows, wanted[only].dtype)}
        if not all(_is_object(row) and row.keys() == wanted.keys() for row in rows):
            raise invalid_argument(f"keys of the objects in 'instances' must be equal to: {','.join(sorted(wanted))}")
        return {name: _tensor([row[name] for row in rows], info.dtype) for name, info in wanted.items()}
    except StatusError:
        _find_problem(rows, named, wanted)
        raise


def _find_problem(rows: list[Any], named: bool, wanted: _Inputs) -> None:
    """Raises the error of the first row that is wrong, as it is found when rows are read one by one."""
    columns: dict[str, _Column] = {}
    for position, row in enumerate(rows):
        if named != _is_object(row):
            seen = "Expecting object but got list" if named else "Expecting value/list but got object"
            raise invalid_argument(f"{seen} at item {position} of input list")
        for name, value in row.items() if named else [(next(iter(wanted)), row)]:
            try:
                if name not in columns:
                    columns[name] = _Column(name, wanted)
                columns[name].add(value)
            except StatusError as error:
                key = f" key: {name}" if named else ""
                message = f"Failed to process element: {position}{key} of 'instances' list. Error: {error}"
                raise invalid_argument(message) from error
        if named and row.keys() != wanted.keys():
            raise invalid_argument(
                f"Failed to process element: {position} of 'instances' list. JSON object: {describe(row)} "
                f"keys must be equal to: {','.join(sorted(wanted))}"
            )


def _columns(given: Any, wanted: _Inputs) -> dict[str, np.ndarray]:
    if not _is_object(given):
        if len(wanted) > 1:
            raise invalid_argument(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per tensorinfo_map"
            )
        given = {next(iter(wanted)): given}
    arrays = {}
    for name, info in wanted.items():
        if name not in given:
            raise invalid_argument(f"Missing named input: {name} in '{_INPUTS}' object.")
        arrays[name] = _tensor(given[name], info.dtype)
    return arrays


class _Column:
    """The values of one input, row by row: all of them of the first one's shape."""

    def __init__(self, name: str, wanted: _Inputs) -> None:
        if name not in wanted:
            raise invalid_argument(f"JSON object: does not have named input: {name}")
        self._dtype = wanted[name].dtype
        self._shape: list[int] | None = None

    def add(self, value: Any) -> None:
        shape = _shape(value)
        values: list[Any] = []
        _fill(value, 0, shape, self._dtype, values)
        if self._shape is None:
            self._shape = shape
        if len(values) != math.prod(self._shape):
            raise invalid_argument(f"Expecting tensor size: {math.prod(self._shape)} but got: {len(values)}")
        if shape != self._shape:
            raise invalid_argument(f"Expecting shape {_listed(self._shape)} but got: {_listed(shape)}")


def _tensor(value: Any, dtype: int) -> np.ndarray:
    shape = _shape(value)
    values: list[Any] = []
    _fill(value, 0, shape, dtype, values)
    return _array(values, shape, dtype)


def _shape(value: Any) -> list[int]:
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return shape


def _fill(value: Any, level: int, shape: list[int], dtype: int, values: list[Any]) -> None:
    """Appends the numbers, booleans or bytes of nested lists to `values`."""
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid_argument(
                f"JSON Value: {describe(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {len(shape)}"
            )
        values.append(_leaf(value, dtype))
        return
    if level >= len(shape):
        raise invalid_argument(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid_argument(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    kind = _KINDS.get(dtype)
    if level == len(shape) - 1 and kind is not None and kind.accepts(value):
        values.extend(map(to_bytes, value) if dtype == types_pb2.DT_STRING else value)
        return
    for element in value:
        _fill(element, level + 1, shape, dtype, values)


def _leaf(value: Any, dtype: int) -> Any:
    if isinstance(value, dict) and dtype == types_pb2.DT_STRING:
        return _decode_base64(value)
    kind = _KINDS.get(dtype)
    if kind is None and not isinstance(value, dict):
        raise unimplemented(f"Conversion of JSON Value: {describe(value)} to type: {tensor_type_name(dtype)}")
    if kind is None or not kind.accepts([value]):
        raise invalid_argument(
            f"JSON Value: {describe(value)} Type: {type_name(value)} is not of expected type: {tensor_type_name(dtype)}"
        )
    return to_bytes(value) if isinstance(value, str) else value


def _array(values: list[Any], shape: list[int], dtype: int) -> np.ndarray:
    if len(shape) > MAX_DIMENSIONS:
        raise invalid_argument(f"A tensor has at most {MAX_DIMENSIONS} dimensions, not {len(shape)}")
    kind = _KINDS.get(dtype)
    if kind is None:  # Only a list without values comes here with a type that JSON does not have.
        return empty_array(shape, dtype)
    if dtype == types_pb2.DT_STRING:
        array = np.empty(len(values), np.object_)
        array[:] = values
        return array.reshape(shape)
    wide = np.int64 if kind.range is _INT32 else kind.dtype
    try:
        # A double that is too large for a float becomes infinite.
        with np.errstate(over="ignore"):
            return np.array(values, wide).astype(kind.dtype).reshape(shape)
    except OverflowError:
        raise number_too_big() from None


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def _is_base64(value: dict[str, Any]) -> bool:
    return value.keys() == {_BASE64} and isinstance(value[_BASE64], str)


def _decode_base64(value: dict[str, Any]) -> bytes:
    if not _is_base64(value):
        raise invalid_argument(f"JSON Value: {describe(value)} not formatted correctly for base64 data")
    text = "".join(value[_BASE64].split())
    try:
        return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise invalid_argument("Unable to base64 decode") from None


def _listed(shape: list[int]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _example(value: Any) -> example_pb2.Example:
    if not isinstance(value, dict):
        raise invalid_argument(f"Example must be JSON object but got JSON {type_name(value)}")
    example = example_pb2.Example()
    for name, content in value.items():
        feature = feature_pb2.Feature()
        for element in content if isinstance(content, list) else [content]:
            _add_to_feature(element, name, feature)
        example.features.feature[to_text(name)].CopyFrom(feature)
    return example


def _add_to_feature(value: Any, name: str, feature: feature_pb2.Feature) -> None:
    kind, converted = _feature_value(value, name)
    present = feature.WhichOneof("kind")
    if present not in (None, kind):
        expected = present.removesuffix("_list")
        raise invalid_argument(f"Unexpected element type in feature: {name} expecting type: {expected}")
    getattr(feature, kind).value.append(converted)


def _feature_value(value: Any, name: str) -> tuple[str, bytes | float | int]:
    if isinstance(value, str):
        return "bytes_list", to_bytes(value)
    if isinstance(value, dict) and _is_base64(value):
        return "bytes_list", _decode_base64(value)
    if isinstance(value, int) and value in _INT64:
        return "int64_list", int(value)
    if isinstance(value, int) and value in _UINT64:
        raise invalid_argument(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
    if isinstance(value, int | float):
        try:
            return "float_list", float(value)
        except OverflowError:
            raise number_too_big() from None
    raise invalid_argument(f"Feature: {name} has element with unexpected JSON type: {type_name(value)}")
