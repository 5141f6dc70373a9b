"""JSON as TensorFlow Serving's parser reads it, with its errors."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

from serving.modelserver.status import StatusError, invalid_argument

# RapidJSON's words for the errors of Python's parser.
_PROBLEMS = {
    "Expecting value": "Invalid value.",
    "Expecting property name enclosed in double quotes": "Missing a name for object member.",
    "Illegal trailing comma before end of object": "Missing a name for object member.",
    "Illegal trailing comma before end of array": "Invalid value.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
    "Invalid control character at": "Invalid encoding in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": "Incorrect hex digit after \\u escape in string.",
}
_MISSING_COMMA = "Expecting ',' delimiter"
_TOO_BIG = "Number too big to be stored in double."
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
# RapidJSON reads Inf besides Infinity; Python does not.
_STRING_OR_INF = re.compile(rf"{_STRING.pattern}|\bInf\b", re.DOTALL)
_DECODER = json.JSONDecoder()
_INDENT = "    "
_SHOWN_LENGTH = 256


def parse(body: bytes) -> dict[str, Any]:
    """Reads a request. Text behind the object is ignored, and NaN and Infinity are numbers, as in TensorFlow Serving.

    Args:
      body: the request's body. Bytes that are not UTF-8 are kept as surrogates, so that they can be turned back into bytes.

    Raises:
      StatusError: the body is not JSON, or not an object.
    """
    text = body.removeprefix(codecs.BOM_UTF8).decode(errors="surrogateescape")
    if not text:
        raise invalid_argument("JSON Parse error: The document is empty")
    try:
        document = _decode(text)
    except RecursionError:
        raise invalid_argument("JSON Parse error: the document is nested too deeply") from None
    if not isinstance(document, dict):
        raise invalid_argument(f"JSON Value: {describe(document)} Is not object")
    return document


def describe(value: Any) -> str:
    """A JSON value as errors show it: laid out as TensorFlow Serving does, and cut off when it gets long."""
    text = ""
    for token in _tokens(value, 0, ""):
        text += token
        if len(text) >= _SHOWN_LENGTH:
            break
    return text


def type_name(value: Any) -> str:
    """RapidJSON's name for the type of a JSON value."""
    if isinstance(value, bool):
        return str(value)
    names = {type(None): "Null", dict: "Object", list: "Array", str: "String", int: "Number", float: "Number"}
    return names[type(value)]


def to_bytes(text: str) -> bytes:
    """The bytes that a string of a document stands for.

    Raises:
      StatusError: it contains half a surrogate pair.
    """
    try:
        return text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        raise invalid_argument("JSON Parse error: The surrogate pair in string is invalid.") from None


def quote(text: str) -> str:
    """A string as JSON."""
    return json.dumps(text, ensure_ascii=False)


def number_too_big() -> StatusError:
    """The error for a number that no double can hold."""
    return invalid_argument(f"JSON Parse error: {_TOO_BIG}")


def _decode(text: str) -> Any:
    start = len(text) - len(text.lstrip(" \t\n\r"))
    if start == len(text):
        raise invalid_argument(f"JSON Parse error: The document is empty. at offset: {start}")
    try:
        return _DECODER.raw_decode(text, start)[0]
    except json.JSONDecodeError as error:
        if text.startswith("Inf", error.pos) or text.startswith("-Inf", error.pos):
            longer = _STRING_OR_INF.sub(lambda found: "Infinity" if found[0] == "Inf" else found[0], text)
            if longer != text:
                return _decode(longer)
        raise _parse_error(text, error) from None
    except ValueError:  # An integer with thousands of digits.
        raise number_too_big() from None


def _parse_error(text: str, error: json.JSONDecodeError) -> StatusError:
    problem = _PROBLEMS.get(error.msg.partition(": ")[0], error.msg)
    if error.msg == _MISSING_COMMA:
        in_object = _innermost_bracket(text[: error.pos]) == "{"
        problem = f"Missing a comma or {'} after an object member' if in_object else '] after an array element'}."
    offset = len(text[: error.pos].encode(errors="surrogateescape"))
    return invalid_argument(f"JSON Parse error: {problem} at offset: {offset}")


def _innermost_bracket(text: str) -> str:
    """The bracket that is open at the end of a text."""
    opened: list[str] = []
    for character in _STRING.sub("", text):
        if character in "{[":
            opened.append(character)
        elif character in "}]":
            opened.pop()
    return opened[-1]


def _tokens(value: Any, depth: int, before: str) -> Iterator[str]:
    """The parts of a value's text: members of objects on lines of their own, arrays on one line."""
    if isinstance(value, dict):
        yield before + "{"
        for position, (name, member) in enumerate(value.items()):
            yield f"{',' if position else ''}\n{_INDENT * (depth + 1)}{quote(name)}"
            yield from _tokens(member, depth + 1, ": ")
        yield f"\n{_INDENT * depth}}}" if value else "}"
    elif isinstance(value, list):
        yield before + "["
        for position, element in enumerate(value):
            yield from _tokens(element, depth + 1, ", " if position else "")
        yield "]"
    else:
        yield before + json.dumps(value, ensure_ascii=False)
