"""Values of parameters: plain JSON values in Python, with the types and the text forms that the backend gives them."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf import json_format, struct_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

Type = pipeline_spec_pb2.ParameterType

_EXPECTED: dict[int, tuple[type, ...]] = {
    Type.NUMBER_DOUBLE: (int, float),
    Type.NUMBER_INTEGER: (int, float),
    Type.STRING: (str,),
    Type.BOOLEAN: (bool,),
    Type.LIST: (list,),
    Type.STRUCT: (dict,),
    Type.TASK_FINAL_STATUS: (dict,),
}
_BOOLEANS = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}


def from_proto(value: struct_pb2.Value) -> Any:
    """A protobuf value as JSON has it. Protobuf knows no integers: a number that is whole becomes one."""
    return whole(json_format.MessageToDict(value))


def whole(value: Any) -> Any:
    """The same value with whole numbers as integers, as Go writes them."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [whole(item) for item in value]
    if isinstance(value, dict):
        return {name: whole(item) for name, item in value.items()}
    return value


def has_type(value: Any, kind: int) -> bool:
    """Whether a value is of a parameter's type. The backend takes any number for an integer."""
    return isinstance(value, _EXPECTED[kind]) and isinstance(value, bool) == (kind == Type.BOOLEAN)


def text(value: Any) -> str:
    """A value as the driver puts it into an argument (pbValueToString): %d for whole numbers, else Go's %g."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        shortest = repr(value)
        # %g changes to powers of ten from the sixth digit on, Python's repr from the sixteenth.
        return shortest if abs(value) < 1e6 else f"{value:.{sum(map(str.isdigit, shortest)) - 1}e}"
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def parse(content: str, kind: int) -> Any:
    """The value of an output parameter, from the file that the task wrote (TextToPbValue).

    Raises:
      ValueError: it is not of the type.
    """
    if kind == Type.STRING:
        return content
    stripped = content.strip()
    if kind == Type.NUMBER_INTEGER:
        return int(stripped)
    if kind == Type.NUMBER_DOUBLE:
        return whole(float(stripped))
    if kind == Type.BOOLEAN:
        if stripped.lower() not in _BOOLEANS:
            raise ValueError(f"{stripped!r} is not a boolean")
        return _BOOLEANS[stripped.lower()]
    value = strict_json(content)
    if not has_type(value, kind):
        raise ValueError(f"{content!r} is not a {Type.ParameterTypeEnum.Name(kind)}")
    return value


def strict_json(content: str) -> Any:
    """JSON without the NaN and Infinity that Python reads and writes but JSON does not have.

    Raises:
      ValueError: it is not JSON.
    """
    return json.loads(content, parse_constant=_refuse)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
