"""Answers in JSON, exactly as TensorFlow Serving writes them."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from google.protobuf import json_format
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    regression_pb2,
)

from serving.modelserver.inference import tensors
from serving.modelserver.inference.predict import SIGNATURE_DEF
from serving.modelserver.protocol.rest.json_document import quote
from serving.modelserver.protocol.rest.json_inputs import Format
from serving.modelserver.status import StatusError, invalid_argument

_INDENT = "    "
# The end of a tensor's name, if its strings are bytes and not text.
_BYTES_SUFFIX = "_bytes"
_INTEGERS = frozenset("iu")
_DIGITS = {np.float32: 9, np.float64: 17}
_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def predictions(outputs: Mapping[str, np.ndarray], format: Format) -> str:
    """The answer to a predict request.

    Args:
      outputs: arrays by name.
      format: the format of the request.

    Raises:
      StatusError: the format cannot hold them.
    """
    if not outputs:
        raise invalid_argument("Cannot convert empty tensor map to JSON")
    return _rows(outputs) if format is Format.ROW else _columns(outputs)


def classifications(result: classification_pb2.ClassificationResult) -> str:
    """The answer to a classify request."""
    lines = (
        "[" + ", ".join(f"[{quote(label)}, {score}]" for label, score in _scored(row)) + "]" for row in result.classifications
    )
    return f'{{\n{_INDENT}"results": [{", ".join(lines)}\n{_INDENT}]\n}}'


def regressions(result: regression_pb2.RegressionResult) -> str:
    """The answer to a regress request."""
    values = ", ".join(_decimals(np.array([each.value for each in result.regressions], np.float32)))
    return f'{{\n{_INDENT}"results": [{values}]\n}}'


def status(response: get_model_status_pb2.GetModelStatusResponse) -> str:
    """The answer to a question for a model's versions."""
    return _message(response)


def metadata(response: get_model_metadata_pb2.GetModelMetadataResponse) -> str:
    """The answer to a question for a model's signatures."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata[SIGNATURE_DEF].Unpack(signatures)
    model_spec, signature_def = _message(response.model_spec), _message(signatures)
    return f'{{\n"model_spec":{model_spec},\n"metadata": {{"signature_def": {signature_def}}}\n}}\n'


def failure(error: StatusError) -> str:
    """The answer for an error."""
    return f'{{\n{_INDENT}"error": {quote(error.message)}\n}}'


def _message(message: Any) -> str:
    return json_format.MessageToJson(
        message, indent=1, always_print_fields_with_no_presence=True, preserving_proto_field_name=True, ensure_ascii=False
    )


def _rows(outputs: Mapping[str, np.ndarray]) -> str:
    count = -1
    for name, array in outputs.items():
        if array.ndim == 0:
            raise invalid_argument(f"Tensor name: {name} has no shape information ")
        if count not in (-1, len(array)):
            raise invalid_argument(f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {count}")
        count = len(array)
    if count == 0:
        return f'{{\n{_INDENT}"predictions": []\n}}'
    if len(outputs) == 1:
        ((name, array),) = outputs.items()
        rows = ", ".join(map(_line, _texts(array, name, depth=2 + array.ndim - 1)))
        return f'{{\n{_INDENT}"predictions": [{rows}\n{_INDENT}]\n}}'
    members = [
        [f"{_INDENT * 3}{quote(name)}: {_line(row)}" for row in _texts(array, name, depth=3 + array.ndim - 1)]
        for name, array in outputs.items()
    ]
    objects = (f"{_INDENT * 2}{{\n" + ",\n".join(row) + f"\n{_INDENT * 2}}}" for row in zip(*members, strict=True))
    return f'{{\n{_INDENT}"predictions": [\n' + ",\n".join(objects) + f"\n{_INDENT}]\n}}"


def _columns(outputs: Mapping[str, np.ndarray]) -> str:
    if len(outputs) == 1:
        ((name, array),) = outputs.items()
        return f'{{\n{_INDENT}"outputs": {_block(_texts(array, name, depth=1 + array.ndim), 1)}\n}}'
    members = (
        f"{_INDENT * 2}{quote(name)}: {_block(_texts(array, name, depth=2 + array.ndim), 2)}" for name, array in outputs.items()
    )
    return f'{{\n{_INDENT}"outputs": {{\n' + ",\n".join(members) + f"\n{_INDENT}}}\n}}"


def _texts(array: np.ndarray, name: str, depth: int) -> Any:
    """Nested lists of JSON texts in an array's shape (a text, if it is a scalar).

    Args:
      array: numbers, booleans or strings.
      name: the tensor's name.
      depth: the number of objects and lists around a value, by which bytes are indented.
    """
    texts = np.empty(array.size, np.object_)
    texts[:] = _flat_texts(array, name, depth)
    return texts.reshape(array.shape).tolist()


def _flat_texts(array: np.ndarray, name: str, depth: int) -> list[str]:
    kind = array.dtype.kind
    if kind == "O":
        if name.endswith(_BYTES_SUFFIX):
            inner, outer = _INDENT * (depth + 1), _INDENT * depth
            return [f'{{\n{inner}"b64": "{base64.b64encode(text).decode()}"\n{outer}}}' for text in array.ravel()]
        return [quote(text.decode(errors="surrogateescape")) for text in array.ravel()]
    if array.dtype.type in _DIGITS:
        return _decimals(array)
    # TensorFlow Serving cannot write uint16 either.
    if (kind in _INTEGERS and array.dtype != np.uint16) or kind == "b":
        return [str(value).lower() for value in array.ravel().tolist()]
    raise invalid_argument(f"Failed to write JSON value for tensor type: {tensors.type_name(tensors.data_type(array))}")


def _decimals(array: np.ndarray) -> list[str]:
    """Numbers with six digits where these are enough to get them back, otherwise with all digits of their type."""
    flat, digits = array.ravel(), _DIGITS[array.dtype.type]
    numbers = flat.tolist()
    texts = [f"{number:g}" for number in numbers]
    for index in np.flatnonzero(np.array(list(map(float, texts)), array.dtype) != flat).tolist():
        texts[index] = f"{numbers[index]:.{digits}g}"
    return [text if "." in text or "e" in text else _NOT_FINITE.get(text) or f"{text}.0" for text in texts]


def _scored(row: classification_pb2.Classifications) -> Iterator[tuple[str, str]]:
    scores = _decimals(np.array([each.score for each in row.classes], np.float32))
    return zip((each.label for each in row.classes), scores, strict=True)


def _line(texts: Any) -> str:
    return texts if isinstance(texts, str) else f"[{', '.join(map(_line, texts))}]"


def _block(texts: Any, depth: int) -> str:
    if isinstance(texts, str):
        return texts
    if not texts:
        return "[]"
    inner = _INDENT * (depth + 1)
    return "[\n" + ",\n".join(inner + _block(text, depth + 1) for text in texts) + f"\n{_INDENT * depth}]"
